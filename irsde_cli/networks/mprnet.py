"""MPRNet: an image is restored in quarters, then in halves, then as a whole; each stage is told what the last one saw.

Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021. Names of parameters are those of the released
files, where all activations share one parameter: here each has its own, which matters to training alone.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike

REDUCTION = 4

Levels = list[Tensor]


class MPRNet(Mapper):
    """Attention to channels pools over each part of the image, and at the end over all of it.

    Args:
        n_feat: channels of the first level.
        scale_unetfeats: by how many each level below has more.
        scale_orsnetfeats: by how many the last stage has more.
        num_cab: blocks of each part of the last stage.
    """

    def __init__(
        self,
        *,
        n_feat: int = 80,
        scale_unetfeats: int = 48,
        scale_orsnetfeats: int = 32,
        num_cab: int = 8,
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=8, working_bytes=4 * 12 * (n_feat + scale_orsnetfeats))
        widths = [n_feat + level * scale_unetfeats for level in range(3)]
        last = n_feat + scale_orsnetfeats
        self.shallow_feat1, self.shallow_feat2, self.shallow_feat3 = (
            nn.Sequential(_conv(3, n_feat), Block(n_feat)) for _ in range(3)
        )
        self.stage1_encoder = Encoder(widths, told=False)
        self.stage1_decoder = Decoder(widths)
        self.stage2_encoder = Encoder(widths, told=True)
        self.stage2_decoder = Decoder(widths)
        self.stage3_orsnet = Whole(widths, last, num_cab)
        self.sam12 = Supervised(n_feat)
        self.sam23 = Supervised(n_feat)
        self.concat12 = _conv(2 * n_feat, n_feat)
        self.concat23 = _conv(2 * n_feat, last)
        self.tail = _conv(last, 3)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        width = len(tensors["shallow_feat1.0.weight"])
        return {
            "n_feat": width,
            "scale_unetfeats": len(tensors["stage1_encoder.down12.down.1.weight"]) - width,
            "scale_orsnetfeats": tensors["tail.weight"].shape[1] - width,
            "num_cab": count_modules(tensors, "stage3_orsnet.orb1.body.") - 1,
        }

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        restored, *_ = self.stages_of(self.padded(image))
        return restored[..., :height, :width]

    def stages_of(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the last, the second and the first stage make of an image whose sides 8 divides."""
        halves = _cut(image, -2)
        quarters = _cut(halves, -1)
        seen = self.stage1_encoder(self.shallow_feat1(quarters))
        seen = [_joined(one, -1) for one in seen]
        made = self.stage1_decoder(seen)
        handed, first = self.sam12(made[0], halves)
        x = self.concat12(torch.cat((self.shallow_feat2(halves), handed), 1))
        seen = [_joined(one, -2) for one in self.stage2_encoder(x, seen, made)]
        made = self.stage2_decoder(seen)
        handed, second = self.sam23(made[0], image)
        x = self.concat23(torch.cat((self.shallow_feat3(image), handed), 1))
        third = self.tail(self.stage3_orsnet(x, seen, made)) + image
        return third, second, _joined(first, -2)


def _cut(x: Tensor, axis: int) -> Tensor:
    """The halves of each image of a batch along an axis, one behind the other: (2 B, C, H', W')."""
    return torch.stack(x.chunk(2, axis), 1).flatten(0, 1)


def _joined(x: Tensor, axis: int) -> Tensor:
    """The reverse of `_cut`."""
    first, second = torch.unflatten(x, 0, (-1, 2)).unbind(1)
    return torch.cat((first, second), axis)


def _conv(in_channels: int, out_channels: int, side: int = 3) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, side, padding=side // 2, bias=False)


class Block(nn.Module):
    """Two convolutions and attention to channels, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = channels // REDUCTION
        attention = nn.Sequential(_conv(channels, few, 1), nn.ReLU(), _conv(few, channels, 1), nn.Sigmoid())
        self.CA = nn.ModuleDict({"conv_du": attention})
        self.body = nn.Sequential(_conv(channels, channels), nn.PReLU(), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        h = self.body(x)
        return cast(Tensor, h * self.CA["conv_du"](h.mean((-2, -1), keepdim=True)) + x)


def _blocks(channels: int) -> nn.Sequential:
    return nn.Sequential(Block(channels), Block(channels))


class Resized(nn.Module):
    """Half or twice the size, then other channels."""

    def __init__(self, name: str, factor: float, in_channels: int, out_channels: int) -> None:
        super().__init__()
        resize = nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)
        self.name = name
        self.add_module(name, nn.Sequential(resize, _conv(in_channels, out_channels, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return cast(Tensor, self.get_submodule(self.name)(x))


def _down(wide: int, wider: int) -> Resized:
    return Resized("down", 0.5, wide, wider)


def _up(wider: int, wide: int) -> Resized:
    return Resized("up", 2.0, wider, wide)


class Encoder(nn.Module):
    """Three levels; the second stage's is told what the first one saw and made there."""

    def __init__(self, widths: list[int], *, told: bool) -> None:
        super().__init__()
        self.told = told
        self.encoder_level1, self.encoder_level2, self.encoder_level3 = (_blocks(width) for width in widths)
        self.down12 = _down(widths[0], widths[1])
        self.down23 = _down(widths[1], widths[2])
        if told:
            for level, width in enumerate(widths, 1):
                self.add_module(f"csff_enc{level}", _conv(width, width, 1))
                self.add_module(f"csff_dec{level}", _conv(width, width, 1))

    def forward(self, x: Tensor, seen: Levels | None = None, made: Levels | None = None) -> Levels:
        """(B, C, H, W) to the features of each level, from the first."""
        levels: Levels = []
        for level in (1, 2, 3):
            if level > 1:
                x = self.get_submodule(f"down{level - 1}{level}")(x)
            x = self.get_submodule(f"encoder_level{level}")(x)
            if seen is not None and made is not None:
                x = x + self.get_submodule(f"csff_enc{level}")(seen[level - 1])
                x = x + self.get_submodule(f"csff_dec{level}")(made[level - 1])
            levels.append(x)
        return levels


class Decoder(nn.Module):
    """Back up, with what the encoder saw at each level."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.decoder_level1, self.decoder_level2, self.decoder_level3 = (_blocks(width) for width in widths)
        self.skip_attn1, self.skip_attn2 = Block(widths[0]), Block(widths[1])
        self.up21 = _up(widths[1], widths[0])
        self.up32 = _up(widths[2], widths[1])

    def forward(self, seen: Levels) -> Levels:
        """The features of each level, from the first, to what is made of them."""
        third = self.decoder_level3(seen[2])
        second = self.decoder_level2(self.up32(third) + self.skip_attn2(seen[1]))
        first = self.decoder_level1(self.up21(second) + self.skip_attn1(seen[0]))
        return [first, second, third]


class Whole(nn.Module):
    """The last stage, at the full size throughout."""

    def __init__(self, widths: list[int], channels: int, num_cab: int) -> None:
        super().__init__()
        self.orb1, self.orb2, self.orb3 = (Chain(channels, num_cab) for _ in range(3))
        first, second, third = widths
        for kind in ("enc", "dec"):
            self.add_module(f"up_{kind}1", _up(second, first))
            self.add_module(f"up_{kind}2", nn.Sequential(_up(third, second), _up(second, first)))
            for level in (1, 2, 3):
                self.add_module(f"conv_{kind}{level}", _conv(first, channels, 1))

    def forward(self, x: Tensor, seen: Levels, made: Levels) -> Tensor:
        """(B, C, H, W) to the same; see `Encoder.forward`."""
        for level in (1, 2, 3):
            x = self.get_submodule(f"orb{level}")(x)
            for kind, levels in (("enc", seen), ("dec", made)):
                told = levels[level - 1]
                if level > 1:
                    told = self.get_submodule(f"up_{kind}{level - 1}")(told)
                x = x + self.get_submodule(f"conv_{kind}{level}")(told)
        return x


class Chain(nn.Module):
    """Blocks and a convolution, beside the identity."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(Block(channels) for _ in range(count)), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return cast(Tensor, self.body(x) + x)


class Supervised(nn.Module):
    """The image that a stage makes, and its features weighted by what that image shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, 1)
        self.conv2 = _conv(channels, 3, 1)
        self.conv3 = _conv(3, channels, 1)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and (B, 3, H, W) to the same."""
        made = self.conv2(x) + image
        return self.conv1(x) * F.sigmoid(self.conv3(made)) + x, made
