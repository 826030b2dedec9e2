"""Dark images at the brightness that photographs usually have."""

from torch import Tensor

USUAL = 0.42
LARGEST_GAIN = 30.0


def exposed(images: Tensor) -> Tensor:
    """`images` (B, 3, H, W) in [0, 1], each multiplied so that its mean is `USUAL`, as far as `LARGEST_GAIN` goes.

    With a gamma curve that is a gain in the light too. Bright images stay as they are, and nothing exceeds 1.
    """
    gain = (USUAL / images.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-3)).clamp(1, LARGEST_GAIN)
    return (images * gain).clamp_(max=1)
