"""A decoded picture with everything that has to survive, and its way to a tensor and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from irsde_cli.images import geography
from irsde_cli.images.libraries import LIBRARIES
from irsde_cli.images.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[Any]

BAND = 256
FAINT = 16  # what has less than a sixteenth of the strongest alpha is not seen

SUFFIXES = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
    ".avif": "avif",
    ".jp2": "jp2",
    ".j2k": "jp2",
    ".j2c": "jp2",
    ".jpf": "jp2",
    ".jpx": "jp2",
} | {suffix: format for format, library in LIBRARIES.items() if library.here for suffix in library.suffixes}
# What is written in the place of what is only read, or written only where somebody asks for it; and what is written.
INSTEAD = {"raw": "tiff", "exr": "tiff", "irc": "png"}
WRITTEN = tuple(dict.fromkeys(format for format in SUFFIXES.values() if format not in ("raw", "exr")))
TITLES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "tiff": "TIFF",
    "bmp": "BMP",
    "avif": "AVIF",
    "jp2": "JPEG 2000",
    "heic": "HEIC",
    "jxl": "JPEG XL",
    "exr": "OpenEXR",
    "irc": "files of restoring codecs",
    "raw": "raw photographs",
}
READ_HERE = ", ".join(TITLES[format] for format in dict.fromkeys(SUFFIXES.values()))


def suffix_for(format: str) -> str:
    """The usual file suffix of a format, with its dot: `suffix_for("jpeg") == ".jpg"`."""
    return next(suffix for suffix, known in SUFFIXES.items() if known == format)


def looks_like_picture(path: PurePath) -> bool:
    """Whether the suffix is that of a picture, in either case. Nothing is opened."""
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class Limits:
    """What an untrusted file may cost.

    Attributes:
        max_pixels: height times width, enforced from the header before anything is decoded.
        max_file_bytes: size of the file.
    """

    max_pixels: int = 120_000_000
    max_file_bytes: int = 1 << 30


@dataclass(frozen=True, eq=False)
class Picture:
    """Upright pixels and what belongs to them.

    Attributes:
        pixels: (H, W, 3) RGB or (H, W, 1) grey, uint8 or uint16.
        alpha: (H, W) of the same dtype, not premultiplied; `None` is opaque.
        format: the format of the file: `png`, `jpeg`, `webp`, `tiff` or `bmp`.
        icc: colour profile of `pixels`; `None` is sRGB.
        exif: a TIFF structure without the `Exif` prefix; its orientation is 1.
        xmp: a packet in UTF-8.
        dpi: pixels an inch, horizontally and vertically.
        parts: what else its file holds; a writer takes those that its format keeps.
        warnings: what was changed in reading, one sentence each.
        name: what messages call the picture.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    format: str = "png"
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    parts: tuple[Part, ...] = ()
    warnings: tuple[str, ...] = ()
    name: str = "picture"

    @property
    def depth(self) -> int:
        """Bits per sample, 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def grey(self) -> bool:
        """Whether there is one channel of colour."""
        return bool(self.pixels.shape[2] == 1)

    @property
    def shown(self) -> NDArray[np.bool_] | None:
        """(H, W): which pixels are seen; the colours of the others are left-overs. `None` is all, or not one."""
        if self.alpha is None or not self.alpha.any():
            return None
        shown: NDArray[np.bool_] = self.alpha >= self.alpha.max() / FAINT
        return None if shown.all() else shown

    @property
    def flat(self) -> bool:
        """Whether all that is seen has one value in all channels."""
        shown = self.shown
        seen = self.pixels if shown is None else self.pixels[shown]
        return int(seen.max()) == int(seen.min())

    def to_depth(self, depth: int) -> Picture:
        """The same picture with `depth` bits, 8 or 16; from 16 to 8 rounded to the nearest."""
        alpha = None if self.alpha is None else _to_depth(self.alpha, depth)
        return replace(self, pixels=_to_depth(self.pixels, depth), alpha=alpha)


def _to_depth(samples: Pixels, depth: int) -> Pixels:
    if depth == 8 * samples.dtype.itemsize:
        return samples
    if depth == 16:
        return samples.astype(np.uint16) * np.uint16(257)
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def to_tensor(picture: Picture) -> Tensor:
    """(3, H, W) float32 RGB in [0, 1]; grey is repeated, alpha is left out.

    What transparency hides must not decide what is seen: a smooth surface between the pixels that are shown takes the
    place of the colours of the others.
    """
    return in_unit(samples_of(picture))


def samples_of(picture: Picture) -> Tensor:
    """The same as (3, H, W) samples that `in_unit` makes it of; a view of the picture's own where that is possible."""
    import torch

    from irsde_cli.images.holes import smoothed

    pixels = picture.pixels if picture.pixels.flags.writeable else picture.pixels.copy()
    samples: Tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    shown = picture.shown
    if shown is not None:
        samples = smoothed(in_unit(samples)[None], ~torch.from_numpy(shown)[None, None])[0]
    return samples.expand(3, -1, -1)


def in_unit(samples: Tensor) -> Tensor:
    """Samples in [0, 1], contiguous float32: whole numbers by the largest of their dtype; others are so already."""
    import torch

    if samples.is_floating_point():
        return samples.contiguous()
    return samples.to(torch.float32, memory_format=torch.contiguous_format).div_(torch.iinfo(samples.dtype).max)


def in_bytes(image: Tensor) -> Tensor:
    """An image (..., 3, H, W) in [0, 1] as 8-bit samples; `in_unit` makes it of them again.

    They lie in memory as files have them, the three of a pixel side by side.
    """
    import torch

    from irsde_cli import room

    *batch, channels, height, width = image.shape
    samples = torch.empty((*batch, height, width, channels), dtype=torch.uint8, device=image.device).movedim(-1, -3)
    for top in range(0, height, BAND):  # so that a large image does not take its memory several times
        samples[..., top : top + BAND, :] = image[..., top : top + BAND, :].mul(255).round_()
        room.rest()
    return samples


def with_restored(picture: Picture, restored: Tensor, *, depth: int | None = None) -> Picture:
    """`picture` with the pixels of `restored`, (3, H', W') in [0, 1] or `in_bytes`, clamped and rounded half to even.

    A grey picture stays grey: the mean of the three channels, the least-squares estimate of what they were copied from.
    Alpha is carried, and resized with a Lanczos filter where the size has changed; colours that it hides entirely are
    those of `picture`. `depth` overrides the bits per sample; the metadata stay, and what says where pixels lie on the
    ground follows the size.
    """
    depth = depth or picture.depth
    pixels = _in_whole_numbers(restored, depth, grey=picture.grey)
    alpha = None if picture.alpha is None else _resized(_to_depth(picture.alpha, depth), pixels.shape[:2])
    if alpha is not None:
        _copy_hidden(_to_depth(picture.pixels, depth), pixels, alpha == 0)
    return replace(picture, pixels=pixels, alpha=alpha, parts=_parts(picture, pixels.shape[:2]))


def _in_whole_numbers(restored: Tensor, depth: int, *, grey: bool) -> Pixels:
    """(H, W, 1 or 3) of (3, H, W) as `with_restored` takes it; its own memory where it is so already."""
    import torch

    from irsde_cli import room

    if (depth, restored.dtype, grey) == (8, torch.uint8, False):
        ready: Pixels = restored.cpu().permute(1, 2, 0).contiguous().numpy()
        return ready
    height, width = restored.shape[-2:]
    pixels = np.empty((height, width, 1 if grey else 3), np.uint8 if depth == 8 else np.uint16)
    for top in range(0, height, BAND):  # so that a large picture does not take its memory several times
        values = restored[:, top : top + BAND].detach().cpu()
        values = values.float() if values.is_floating_point() else in_unit(values)
        if grey:
            values = values.mean(0, keepdim=True)
        pixels[top : top + BAND] = values.clamp(0, 1).mul(2**depth - 1).round().permute(1, 2, 0).numpy()
        room.rest()
    return pixels


def _parts(picture: Picture, size: tuple[int, int]) -> tuple[Part, ...]:
    """The parts of a picture for another size."""
    down, across = size[0] / picture.size[0], size[1] / picture.size[1]
    if down == across == 1:
        return picture.parts
    return tuple(
        replace(part, data=geography.resized(part.data, down, across)) if part.kind == "geo" and part.data else part
        for part in picture.parts
    )


def _copy_hidden(source: Pixels, into: Pixels, hidden: NDArray[np.bool_]) -> None:
    """The nearest pixels of `source` where they are hidden in `into`."""
    rows, columns = np.nonzero(hidden)
    down, across = (length * np.arange(size) // size for length, size in zip(source.shape, hidden.shape, strict=False))
    into[rows, columns] = source[down[rows], across[columns]]


def _resized(plane: Pixels, size: tuple[int, ...]) -> Pixels:
    if plane.shape == size:
        return plane
    resized = Image.fromarray(plane.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return np.asarray(resized).round().clip(0, np.iinfo(plane.dtype).max).astype(plane.dtype)
