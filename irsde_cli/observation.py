"""What is seen of an image before it is restored."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observation:
    """Degraded images, and which of their pixels are known.

    Attributes:
        image: (B, 3, H, W), RGB in [0, 1], float32. What it holds where it is not known means nothing.
        known: (B, 1, H, W), false in holes; `None` where there are none.
    """

    image: Tensor
    known: Tensor | None = None

    def painted(self) -> Tensor:
        """The images with white holes, as the published networks learnt them; what is known may be white too."""
        return self.image if self.known is None else self.image.masked_fill(~self.known, 1.0)
