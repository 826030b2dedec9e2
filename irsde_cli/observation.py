"""What is seen of an image before it is restored."""

from dataclasses import dataclass

from torch import Tensor

from irsde_cli.images import in_unit
from irsde_cli.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class Observation:
    """Degraded images, and what is known of their damage.

    Attributes:
        samples: (B, 3, H, W), RGB: in [0, 1], or as `irsde_cli.images.in_unit` takes them, in a quarter of the memory.
            What they hold where they are not known means nothing.
        known: (B, 1, H, W), false in holes; `None` where there are none.
        operator: the linear part of the damage, where it is known.
        noise_std: standard deviation of the noise that came after it, for images in [0, 1], where that is known.
    """

    samples: Tensor
    known: Tensor | None = None
    operator: Operator | None = None
    noise_std: float | None = None

    @property
    def image(self) -> Tensor:
        """(B, 3, H, W), RGB in [0, 1]; made anew of whole numbers whenever it is asked for."""
        return self.samples if self.samples.is_floating_point() else in_unit(self.samples)

    def painted(self) -> Tensor:
        """The images with white holes, as the published networks learnt them; what is known may be white too."""
        image = self.image
        return image if self.known is None else image.masked_fill(~self.known, 1.0)
