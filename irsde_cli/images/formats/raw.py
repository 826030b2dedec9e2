"""Raw photographs: what a sensor saw, developed by LibRaw. The picture of a screen's size inside is never taken."""

import io
from typing import Any

import numpy as np

from irsde_cli.images import libraries
from irsde_cli.images.container import Container, DamagedError
from irsde_cli.images.formats import jpeg
from irsde_cli.images.picture import Pixels

SRGB_GAMMA = (2.4, 12.92)
QUARTER_TURNS = (5, 6)


def read(data: bytes, exif: bytes | None = None) -> Container:
    """The container of a raw photograph; raises as `formats.inspect` does.

    Args:
        data: the file.
        exif: what its directories say, where it is built like a TIFF.
    """
    with _opened(data) as file:
        sizes = file.sizes
        size = (sizes.width, sizes.height) if sizes.flip in QUARTER_TURNS else (sizes.height, sizes.width)
        exif = exif or _exif_of_preview(file)
    return Container("raw", size, data, depth=16, exif=exif, turns=True)


def _opened(data: bytes) -> Any:
    rawpy = libraries.load("raw", "is a raw photograph")
    try:
        return rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawError as error:
        raise DamagedError(f"is a raw photograph that cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)


def _exif_of_preview(file: Any) -> bytes | None:
    """Of the JPEG that cameras put into their files, where the file's own place for it is not known."""
    try:
        return jpeg.read(bytes(file.extract_thumb().data)).exif
    except Exception:  # there is none, or it is no JPEG
        return None


def develop(data: bytes, *, linear: bool) -> Pixels:
    """(H, W, 1 or 3) of 16 bits in sRGB, with the camera's white balance, upright.

    LibRaw's own defaults would brighten each picture by its histogram, and take the brightest pixel for white where
    that lies above three quarters of the range: pictures of one scene would differ.

    Args:
        data: the file.
        linear: whether the samples are as light is, for who develops further; else as a screen shows them.
    """
    rawpy = libraries.load("raw", "is a raw photograph")
    with _opened(data) as file:
        camera = any(file.camera_whitebalance[:3])
        try:
            samples = file.postprocess(
                output_bps=16,
                gamma=(1, 1) if linear else SRGB_GAMMA,
                no_auto_bright=True,
                adjust_maximum_thr=0.0,
                use_camera_wb=camera,
                use_auto_wb=False,
                output_color=rawpy.ColorSpace.sRGB,
            )
        except rawpy.LibRawError as error:
            raise DamagedError(f"is a raw photograph that cannot be developed: {_reason(error)}") from None
        one = file.num_colors == 1
    return np.ascontiguousarray(samples[..., :1] if one else samples)
