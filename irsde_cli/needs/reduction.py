"""A larger picture: made small again, it is to be its input."""

from torch import Tensor
from torch.nn import functional as F


def consistent(degraded: Tensor, restored: Tensor) -> Tensor:
    """A restored picture (3, H * scale, W * scale), nearer to what reduces to the degraded one (3, H, W).

    One step of the back-projection of Irani and Peleg (1991): what is missed when it is made small again, bicubically
    as the field does it, is added enlarged.
    """
    if restored.shape == degraded.shape:
        return restored
    missed = degraded - resized(restored, degraded)
    return (restored + resized(missed, restored)).clamp_(0, 1)


def resized(image: Tensor, like: Tensor) -> Tensor:
    """(3, H, W) at the size of another; bicubic, without aliasing."""
    size = (like.shape[-2], like.shape[-1])
    return F.interpolate(image[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
