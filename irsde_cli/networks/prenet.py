"""PReNet and PRN: rain is taken away in several passes of one small network.

Ren et al., "Progressive Image Deraining Networks: A Better and Simpler Baseline", CVPR 2019. Names of parameters are
those of the released files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

WIDTH = 32
BLOCKS = 5


class PReNet(Mapper):
    """Takes any size.

    Args:
        passes: how often the network is applied; each sees the rainy image and the last result.
        memory: whether a convolutional LSTM carries features from pass to pass; without it this is PRN.
        shared: whether the five residual blocks are one; the authors' `_r` models.
    """

    def __init__(self, *, passes: int = 6, memory: bool = True, shared: bool = False) -> None:
        super().__init__()
        if passes < 1:
            raise ValueError(f"a network of {passes} passes does nothing")
        convolutions = 2 + memory + 2 * BLOCKS
        self.facts = Facts(padding="zeros", reach=passes * convolutions, working_bytes=4 * 11 * WIDTH)
        self.passes = passes
        self.memory = memory
        self.blocks = [f"res_conv{1 if shared else index}" for index in range(1, BLOCKS + 1)]
        self.conv0 = nn.Sequential(nn.Conv2d(6, WIDTH, 3, padding=1), nn.ReLU())
        for name in dict.fromkeys(self.blocks):
            self.add_module(name, _block())
        if memory:
            self.conv_i, self.conv_f, self.conv_g, self.conv_o = (
                nn.Sequential(nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1), gate())
                for gate in (nn.Sigmoid, nn.Sigmoid, nn.Tanh, nn.Sigmoid)
            )
        self.conv = nn.Sequential(nn.Conv2d(WIDTH, 3, 3, padding=1))

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`; the number of passes leaves no trace, and all released ones are of six."""
        if tensors["conv0.0.weight"].shape != (WIDTH, 6, 3, 3):
            raise ValueError("not a PReNet")
        return {"memory": "conv_i.0.weight" in tensors, "shared": "res_conv2.0.weight" not in tensors}

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        *_, restored = self.results(image)
        return restored

    def results(self, image: Tensor) -> Iterator[Tensor]:
        """The image after each pass, (B, 3, H, W)."""
        x = image
        hidden = cell = image.new_zeros(len(image), WIDTH, *image.shape[-2:])
        for _ in range(self.passes):
            h = self.conv0(torch.cat((image, x), 1))
            if self.memory:
                seen = torch.cat((h, hidden), 1)
                cell = self.conv_f(seen) * cell + self.conv_i(seen) * self.conv_g(seen)
                h = hidden = self.conv_o(seen) * cell.tanh()
            for name in self.blocks:
                h = (self.get_submodule(name)(h) + h).relu()
            x = self.conv(h) + image
            yield x


def _block() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()
    )
