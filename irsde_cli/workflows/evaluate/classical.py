"""The methods of `baselines`: what is seen of one image (1, 3, h, w) to an image of the size that is asked for."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.centres.filled import filled
from irsde_cli.errors import InputError
from irsde_cli.observation import Observation

Size = tuple[int, int]


def nl_means(seen: Observation, size: Size) -> Tensor:
    """Buades et al. 2005."""
    sigma = _sigma(seen)
    settings = {"h": 0.6 * sigma, "sigma": sigma, "patch_size": 5, "patch_distance": 6}
    return _image(_restoration().denoise_nl_means(_pixels(seen), channel_axis=-1, **settings))


def wavelet(seen: Observation, size: Size) -> Tensor:
    """Chang et al. 2000."""
    settings = {"sigma": _sigma(seen), "convert2ycbcr": True, "rescale_sigma": True}
    return _image(_restoration().denoise_wavelet(_pixels(seen), channel_axis=-1, **settings))


def bicubic(seen: Observation, size: Size) -> Tensor:
    """Keys 1981, as the field enlarges."""
    if seen.image.shape[-2:] == size:
        raise InputError("bicubic enlarges, and this picture has its size already.")
    # With antialias torch uses the field's kernel, a = -1/2; it makes no other difference when enlarging.
    return F.interpolate(seen.image, size=size, mode="bicubic", antialias=True)


def telea(seen: Observation, size: Size) -> Tensor:
    """Telea 2004; on a float picture OpenCV would take a whole level for a step."""
    import cv2

    holes = (~_known(seen)[0, 0]).numpy().astype(np.uint8)
    pixels = (_pixels(seen).clip(0, 1) * 255).round().astype(np.uint8)
    return _image(cv2.inpaint(pixels, holes, 3, cv2.INPAINT_TELEA) / 255)


def harmonic(seen: Observation, size: Size) -> Tensor:
    """Laplace's equation in each hole."""
    return filled(seen.image, _known(seen))


def _known(seen: Observation) -> Tensor:
    if seen.known is None:
        raise InputError("this method fills holes, and nothing says where they are.", hint="--mask does.")
    return seen.known


def _sigma(seen: Observation) -> float:
    """Of the noise, as it is told, or estimated from the finest wavelets."""
    if seen.noise_std is not None:
        return seen.noise_std
    return float(_restoration().estimate_sigma(_pixels(seen), channel_axis=-1, average_sigmas=True))


def _restoration() -> Any:
    from skimage import restoration

    return restoration


def _pixels(seen: Observation) -> NDArray[np.float32]:
    """(h, w, 3)."""
    return seen.painted()[0].permute(1, 2, 0).contiguous().numpy()


def _image(pixels: NDArray[Any]) -> Tensor:
    """(1, 3, H, W), clipped as a file is."""
    return torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(2, 0, 1)[None].clamp(0, 1)
