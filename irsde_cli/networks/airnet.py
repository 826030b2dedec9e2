"""AirNet: convolutions are bent by a map of the damage, which an encoder draws of the image.

Li et al., "All-In-One Image Restoration for Unknown Corruption", CVPR 2022. Names of parameters are those of TUR's
files, without what its training needs: a second encoder, a queue, and a head for uncertainty.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

SLOPE = 0.1
TAPS = 9


class AirNet(Mapper):
    """Takes any size. Convolutions look where they are told, so that a pixel may depend on any other.

    Args:
        width: channels.
        groups: of blocks.
        blocks: of each group.
    """

    def __init__(self, *, width: int = 64, groups: int = 5, blocks: int = 5) -> None:
        super().__init__()
        self.facts = Facts(working_bytes=4 * (22 * width + 48))
        damage = nn.ModuleDict({"E_pre": Damage(width)})
        self.E = nn.ModuleDict({"E": nn.ModuleDict({"encoder_q": damage})})
        body = [*(Group(width, blocks) for _ in range(groups)), nn.Conv2d(width, width, 3, padding=1)]
        self.R = nn.ModuleDict(
            {
                "head": nn.Sequential(nn.Conv2d(3, width, 3, padding=1)),
                "body": nn.ModuleList(body),
                "tail": nn.Sequential(nn.Conv2d(width, 3, 3, padding=1)),
            }
        )

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        return {
            "width": len(tensors["R.head.0.weight"]),
            "groups": count_modules(tensors, "R.body.") - 1,
            "blocks": count_modules(tensors, "R.body.0.body.") - 1,
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        damage = cast(Any, self.E["E"])["encoder_q"]["E_pre"](image)
        first = x = self.R["head"](image)
        *groups, last = cast(nn.ModuleList, self.R["body"])
        for group in groups:
            x = group(x, damage)
        return cast(Tensor, self.R["tail"](last(x) + first))


class Damage(nn.Module):
    """The map of the damage, of as many channels as the features have."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(3, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W)."""
        return F.leaky_relu(self.backbone(image) + self.shortcut(image), SLOPE)


class Group(nn.Module):
    """Blocks and a convolution, beside the identity."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.ModuleList((*(Block(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1)))

    def forward(self, x: Tensor, damage: Tensor) -> Tensor:
        """(B, C, H, W) and the map of the damage to (B, C, H, W)."""
        *blocks, last = self.body
        h = x
        for block in blocks:
            h = block(h, damage)
        return cast(Tensor, last(h)) + x


class Block(nn.Module):
    """Two guided layers and two convolutions, beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dgm1 = Guided(width)
        self.dgm2 = Guided(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, damage: Tensor) -> Tensor:
        """See `Group.forward`."""
        h = F.leaky_relu(self.dgm1(x, damage), SLOPE)
        h = F.leaky_relu(self.conv1(h), SLOPE)
        h = F.leaky_relu(self.dgm2(h, damage), SLOPE)
        return cast(Tensor, self.conv2(h)) + x


class Guided(nn.Module):
    """A bent convolution, and a gain and a shift for each pixel, added to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dcn = Bent(width)
        self.sft = nn.ModuleDict({name: _pointwise(width) for name in ("conv_gamma", "conv_beta")})

    def forward(self, x: Tensor, damage: Tensor) -> Tensor:
        """See `Group.forward`."""
        shifted = x * self.sft["conv_gamma"](damage) + self.sft["conv_beta"](damage)
        return cast(Tensor, x + self.dcn(x, damage) + shifted)


def _pointwise(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
    )


class Bent(nn.Module):
    """A 3x3 convolution whose taps are moved and weakened at each pixel: Zhu et al., "Deformable ConvNets v2"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        nn.init.kaiming_uniform_(self.weight)
        self.conv_offset_mask = nn.Conv2d(2 * width, 3 * TAPS, 3, padding=1)
        nn.init.zeros_(self.conv_offset_mask.weight)

    def forward(self, x: Tensor, damage: Tensor) -> Tensor:
        """See `Group.forward`."""
        moved, strength = self.conv_offset_mask(torch.cat((x, damage), 1)).split((2 * TAPS, TAPS), 1)
        taps = self.taps(x, torch.unflatten(moved, 1, (TAPS, 2))) * strength.sigmoid().to(x.dtype)[:, None]
        return torch.einsum("bcthw,oct->bohw", taps, self.weight.flatten(2).to(taps.dtype))

    def taps(self, x: Tensor, moved: Tensor) -> Tensor:
        """What lies under each tap, (B, C, 9, H, W), between pixels by the four around; zero outside.

        Args:
            x: (B, C, H, W).
            moved: how far each tap is moved down and to the right, in pixels, (B, 9, 2, H, W).
        """
        height, width = x.shape[-2:]
        rows, columns = (torch.arange(side, device=x.device, dtype=torch.float32) for side in (height, width))
        step = torch.arange(-1.0, 2.0, device=x.device)
        down = rows[:, None] + step.repeat_interleave(3)[:, None, None] + moved[:, :, 0].float()
        right = columns + step.repeat(3)[:, None, None] + moved[:, :, 1].float()
        # The sampler counts pixels from -1 to 1, whose borders lie half a pixel outside.
        places = torch.stack(((2 * right + 1) / width - 1, (2 * down + 1) / height - 1), -1)
        sampled = F.grid_sample(x.float(), places.flatten(1, 2), align_corners=False)
        return torch.unflatten(sampled, 2, (TAPS, height)).to(x.dtype)
