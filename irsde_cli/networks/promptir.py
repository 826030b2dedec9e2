"""PromptIR: Restormer's U-Net, whose decoder is told by learnt prompts what the image may suffer from.

Potlapalli et al., "PromptIR: Prompting for All-in-One Blind Image Restoration", NeurIPS 2023. Names of parameters are
those of the files of DCPT, which leave out three convolutions that nothing calls.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.restormer import Block, Restormer, Up, counted

PROMPTS = 5
# By which a prompt of each level is wide, of the width of the first level; and its side in pixels.
SHARES = (4 / 3, 8 / 3, 20 / 3)
SIDES = (64, 32, 16)


class Mixing(Restormer):
    """A block more before each step up, for features of the level and `told` channels beside them."""

    def mix(self, width: int, told: Sequence[int], heads: int) -> None:
        """Make those blocks, of `told` channels more at the first, the second and the third level."""
        self.noise_level3 = Block(8 * width + told[2], heads, biased=True)
        self.reduce_noise_level3 = nn.Conv2d(8 * width + told[2], 4 * width, 1, bias=False)
        self.up4_3 = Up(4 * width)
        self.reduce_chan_level3 = nn.Conv2d(6 * width, 4 * width, 1, bias=False)
        self.noise_level2 = Block(4 * width + told[1], heads, biased=True)
        self.reduce_noise_level2 = nn.Conv2d(4 * width + told[1], 4 * width, 1, bias=False)
        self.noise_level1 = Block(2 * width + told[0], heads, biased=True)
        self.reduce_noise_level1 = nn.Conv2d(2 * width + told[0], 2 * width, 1, bias=False)

    def told(self, x: Tensor, level: int) -> Tensor:
        """See `Restormer.told`."""
        mixed, reduced = (self.get_submodule(f"{name}{level}") for name in ("noise_level", "reduce_noise_level"))
        features: Tensor = reduced(mixed(x))
        return features


class PromptIR(Mixing):
    """Every pixel depends on all of the image.

    Args:
        width: channels of the first level, a multiple of 3; each level below doubles it.
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
        if width % 3:
            raise ValueError(f"the width of a PromptIR is a multiple of 3, not {width}")
        super().__init__(width=width, blocks=blocks, refinement=refinement, heads=heads)
        told = [round(share * width) for share in SHARES]
        self.mix(width, told, heads[2])
        self.prompt3 = Prompt(8 * width, told[2], SIDES[2])
        self.prompt2 = Prompt(4 * width, told[1], SIDES[1])
        self.prompt1 = Prompt(2 * width, told[0], SIDES[0])

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        return counted(tensors)

    def freeze(self) -> None:
        """See `Network.freeze`; the prompts have an axis more than pictures."""
        freeze_convolutions(self)

    def told(self, x: Tensor, level: int) -> Tensor:
        """See `Restormer.told`: the prompt of that level."""
        return super().told(self.get_submodule(f"prompt{level}")(x), level)


def freeze_convolutions(network: nn.Module) -> None:
    """`Network.freeze`, where other parameters have more axes than pictures."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Prompt(nn.Module):
    """Learnt pictures, mixed by what the features are on average, beside the features."""

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, PROMPTS, width, side, side))
        self.linear_layer = nn.Linear(channels, PROMPTS)
        self.conv3x3 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C + C', H, W)."""
        shares = self.linear_layer(x.mean((-2, -1))).softmax(-1)
        prompt = (shares[:, :, None, None, None] * self.prompt_param).sum(1)
        prompt = F.interpolate(prompt.float(), x.shape[-2:], mode="bilinear").to(x.dtype)
        return torch.cat((x, self.conv3x3(prompt)), 1)
