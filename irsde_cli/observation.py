"""What is seen of an image before it is restored."""

from dataclasses import dataclass

from torch import Tensor

from irsde_cli.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class Observation:
    """Degraded images, and what is known of their damage.

    Attributes:
        image: (B, 3, H, W), RGB in [0, 1], float32. What it holds where it is not known means nothing.
        known: (B, 1, H, W), false in holes; `None` where there are none.
        operator: the linear part of the damage, where it is known.
        noise_std: standard deviation of the noise that came after it, for images in [0, 1], where that is known.
    """

    image: Tensor
    known: Tensor | None = None
    operator: Operator | None = None
    noise_std: float | None = None

    def painted(self) -> Tensor:
        """The images with white holes, as the published networks learnt them; what is known may be white too."""
        return self.image if self.known is None else self.image.masked_fill(~self.known, 1.0)
