"""Pixels of files that Pillow does not read, or not at their depth."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from irsde_cli.images import hdr, libraries, tiff_samples
from irsde_cli.images.container import Container
from irsde_cli.images.formats import jxl, raw
from irsde_cli.images.formats.bmff import box_of
from irsde_cli.images.parts import Part
from irsde_cli.images.picture import Pixels


class Decoded(NamedTuple):
    """Samples (H, W, C) with alpha last, the colour profile, and what else became known of the file."""

    samples: Pixels
    icc: bytes | None
    parts: tuple[Part, ...] = ()


def full_range(samples: Pixels, bits: int) -> Pixels:
    """16-bit samples of those of fewer bits that lie in the high bits, so that the largest becomes 65535."""
    plain = (samples >> np.uint16(16 - bits)).astype(np.uint32)
    largest = (1 << bits) - 1
    return ((plain * 65535 + largest // 2) // largest).astype(np.uint16)


def _heic(container: Container, linear: bool) -> Decoded:
    pillow_heif = libraries.load("heic", "is a HEIC picture")
    # Asked for 8 bits, as it is by default, it would cut off the rest; the deep samples lie in the high bits.
    file = pillow_heif.open_heif(container.essence, convert_hdr_to_8bit=False)
    samples: Pixels = np.asarray(file)
    samples = samples[..., None] if samples.ndim == 2 else samples
    if samples.dtype == np.uint16:
        samples = full_range(samples, int(file.info["bit_depth"]))
    if file.mode.startswith("RGBa"):
        samples[..., :3] = tiff_samples.straight(samples[..., :3], samples[..., 3])
    return Decoded(np.ascontiguousarray(samples), container.icc)


def _jxl(container: Container, linear: bool) -> Decoded:
    libraries.load("jxl", "is a JPEG XL picture")
    # It takes a file of fewer bytes than it looks at first for none; what is appended is read over.
    data = jxl.with_boxes(container.essence, None, None) + box_of(b"free", bytes(256))
    samples, icc = hdr.decode(data, "jxl", "uint16" if container.depth > 8 else "uint8")
    return Decoded(samples, None if icc is not None and _is_plain_srgb(icc) else icc)


def _is_plain_srgb(icc: bytes) -> bool:
    """Whether a profile is the one that libjxl makes of sRGB, which the file itself only names."""
    return icc[4:8] == b"jxl " and any(name.encode("utf-16-be") in icc for name in ("sRGB", "Gra_D65_Rel_SRG"))


def _jp2(container: Container, linear: bool) -> Decoded:
    samples, _ = hdr.decode(container.essence, "jp2", "uint16")
    return Decoded(samples, container.icc)


def _exr(container: Container, linear: bool) -> Decoded:
    libraries.load("exr", "is an OpenEXR picture")
    values, _ = hdr.decode(container.essence, "exr", "float")
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no numbers")
    colours = 1 if values.shape[2] < 3 else 3
    parts = (Part("bright", f"up to {values[..., :colours].max():.3g}"),) if values[..., :colours].max() > 1 else ()
    values = values.clip(0, 1)
    if not linear:
        low, light = values[..., :colours] * 12.92, values[..., :colours]
        values[..., :colours] = np.where(light <= 0.0031308, low, 1.055 * light ** (1 / 2.4) - 0.055)
    return Decoded((values * 65535).round().astype(np.uint16), None, parts)


def _raw(container: Container, linear: bool) -> Decoded:
    return Decoded(raw.develop(container.essence, linear=linear), None)


DECODERS: dict[str, Callable[[Container, bool], Decoded]] = {
    "heic": _heic,
    "jxl": _jxl,
    "jp2": _jp2,
    "exr": _exr,
    "raw": _raw,
}


def needed(container: Container) -> Callable[[Container, bool], Decoded] | None:
    """What decodes a file in Pillow's place; `None` where Pillow does.

    Pillow gives 16-bit grey in JPEG 2000 exactly; of other samples of more than 8 bits it makes others.
    """
    if container.format == "jp2" and (container.depth == 8 or (container.depth, container.channels) == (16, 1)):
        return None
    return DECODERS.get(container.format)
