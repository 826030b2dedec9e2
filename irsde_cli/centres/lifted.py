"""Dark images at the brightness that photographs usually have, by a curve that clips nothing and keeps hues."""

import math

import torch
from torch import Tensor

from irsde_cli.centres.exposed import USUAL

LARGEST_LIFT = 100.0  # the curve's slope at black
SHOULDER = 3
HALVINGS = 24
SAMPLES = 512  # along each side, of those that the slope is chosen on


def lifted(images: Tensor) -> Tensor:
    """`images` (B, 3, H, W) in [0, 1], brightened until the mean of each is `USUAL`, as far as `LARGEST_LIFT` goes.

    A gain g where nothing passes 1 by it. Elsewhere a curve for the largest channel m of a pixel, of which the
    brightest of the image is w: g m / (1 + (g^p - 1 / w^p) m^p)^(1/p), p = `SHOULDER`. The other channels grow as it
    does: dark parts get g times the light, w becomes 1, hues stay, and nothing clips that was not clipped. With p = 1
    it is the global operator of Reinhard et al., "Photographic Tone Reproduction for Digital Images", SIGGRAPH 2002.
    Bright images stay as they are.
    """
    return torch.cat([_to_usual(image) for image in torch.split(images, 1)])


def _to_usual(image: Tensor) -> Tensor:
    """One image (1, 3, H, W): each by itself, so that none depends on those beside it."""
    rows, columns = (max(length // SAMPLES, 1) for length in image.shape[-2:])
    some, white = image[..., ::rows, ::columns], float(image.amax())
    low, high = 1.0, LARGEST_LIFT
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if float(_lifted(some, middle, white).mean()) < USUAL else (low, middle)
    return _lifted(image, low, white)


def _lifted(image: Tensor, gain: float, white: float) -> Tensor:
    if gain * white <= 1:
        return image * gain
    bent = math.pow(gain, SHOULDER) - math.pow(white, -SHOULDER)
    largest = image.amax(1, keepdim=True)
    return (image * (gain / (1 + bent * largest**SHOULDER) ** (1 / SHOULDER))).clamp_(max=1)
