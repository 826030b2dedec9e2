"""DA-RCOT's transport map: a U-Net restores once, looks at what it took away, and restores again, told by that.

Tang et al., "Degradation-Aware Residual-Conditioned Optimal Transport for Unified Image Restoration", TPAMI 2025.
Names of parameters are those of the released files, which hold some layers more that nothing calls.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.promptir import Mixing
from irsde_cli.networks.restormer import Block, Down, Up, counted
from irsde_cli.randomness import RandnLike

SHARE = 0.8  # of what the residual says


class DARCOT(Mixing):
    """Every pixel depends on all of the image.

    Args:
        width: channels of the first level; each level below doubles it.
        blocks: of each level, from the first.
        refinement: blocks at the end.
        heads: of each level.
    """

    def __init__(
        self,
        *,
        width: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
    ) -> None:
        super().__init__(width=width, blocks=blocks, refinement=refinement, heads=heads)
        self.mix(width, (0, 0, 0), heads[2])

        def level(depth: int) -> nn.Sequential:
            channels = width * 2**depth
            return nn.Sequential(*(Block(channels, heads[depth], biased=True) for _ in range(blocks[depth])))

        self.resencoder_level1 = level(0)
        self.resdown1_2 = Down(width)
        self.resencoder_level2 = level(1)
        self.resdown2_3 = Down(2 * width)
        self.resencoder_level3 = level(2)
        self.reslatent = level(3)
        self.resnoise_level3 = Block(8 * width, heads[2], biased=True)
        self.resreduce_noise_level3 = nn.Conv2d(8 * width, 4 * width, 1, bias=False)
        self.resup4_3 = Up(4 * width)
        self.resreduce_chan_level3 = nn.Conv2d(6 * width, 4 * width, 1, bias=False)
        self.resdecoder_level3 = level(2)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        return counted(tensors)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        first, second, third = self.encoded(padded)
        deepest = self.latent(self.down3_4(third))
        taken = -self.decoded(deepest, first, second, third)
        x = self.decoded_again(deepest, taken, first, second, third) + padded
        return x[..., :height, :width]

    def decoded_again(self, x: Tensor, taken: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        """What is added to the image, told by what was `taken` from it before."""
        taken_second = self.resencoder_level2(self.resdown1_2(self.resencoder_level1(self.patch_embed(taken))))
        taken_third = self.resencoder_level3(self.resdown2_3(taken_second))
        said = self.reslatent(self.down3_4(taken_third))
        x = self.told(x + SHARE * said, 3)
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((self.up4_3(x), third), 1)))
        said = self.resup4_3(self.resreduce_noise_level3(self.resnoise_level3(said)))
        said = self.resdecoder_level3(self.resreduce_chan_level3(torch.cat((said, taken_third), 1)))
        x = self.told(x + SHARE * said, 2)
        x, said = (
            self.decoder_level2(self.reduce_chan_level2(torch.cat((self.up3_2(features), kept), 1)))
            for features, kept in ((x, second), (said, taken_second))
        )
        return self.ended(self.told(x + SHARE * said, 1), first)
