"""What inverse problems ask of a linear damage A: what it does, backwards and inverted too."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

SPREAD = 0.25  # of the values of a photograph
LOST = 1e-5  # singular values below this share of the largest, or of what a blur does to a flat image, count as zero

Step = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The singular value decomposition A = U S V^T, by what applies its factors; no factor is ever a matrix of pixels.

    Coefficients may be complex and need not have the shape of an image. Those whose value is zero belong to what A
    loses; what no coefficient stands for is lost too.

    Attributes:
        values: the diagonal of S, at least 0, shaped to multiply coefficients.
        analyse: images x (B, C, H, W) to V^T x.
        synthesise: coefficients c to V c.
        observe: what is seen, y, to U^T y.
    """

    values: Tensor
    analyse: Callable[[Tensor], Tensor]
    synthesise: Callable[[Tensor], Tensor]
    observe: Callable[[Tensor], Tensor]

    def inverse(self, y: Tensor, ridge: float) -> Tensor:
        """V s / (s^2 + ridge) U^T y, where 0 / 0 is 0."""
        power = self.values.square() + ridge
        gain = torch.where(power > 0, self.values / power.clamp_min(torch.finfo(power.dtype).tiny), 0)
        coefficients = self.observe(y)
        return self.synthesise(gain.to(coefficients.real) * coefficients)


class Operator(ABC):
    """A linear map A of images (B, C, H, W) of one size.

    Attributes:
        scale: side of x by that of A x.
        alike: whether what is seen is an image like x but for sharpness, size and noise.
        spectral: whether there is a `spectrum`.
    """

    scale: int = 1
    alike: bool = True
    spectral: bool = True

    def seen(self, image: Tensor) -> Tensor:
        """y, of an image (B, 3, h, w) as a file holds it."""
        return image

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""

    @property
    def spectrum(self) -> Spectrum | None:
        """The singular value decomposition; `None` where nothing fast is known of it."""
        return None

    def inverse(self, y: Tensor, ridge: float = 0.0) -> Tensor:
        """A^T (A A^T + `ridge`)^-1 y; without a ridge the Moore-Penrose inverse, but for what `LOST` takes away."""
        spectrum = self.spectrum
        if spectrum is None:
            raise NotImplementedError("an operator without a spectrum has an inverse of its own")
        return spectrum.inverse(y, ridge)

    def guess(self, y: Tensor, noise_std: float) -> Tensor:
        """A first estimate of x, where y has noise of that standard deviation."""
        return self.inverse(y, (noise_std / SPREAD) ** 2)

    def hidden(self, x: Tensor) -> Tensor:
        """The part of images (B, C, H, W) of which nothing is seen, x - A^+ A x; zero of any shape if there is none."""
        return x - self.inverse(self.forward(x))

    def towards(self, y: Tensor) -> Step:
        """What takes an image z and a ridge to the image x that minimises |A x - y|^2 + ridge |x - z|^2.

        Without a ridge, to the nearest to z with A x = y.
        """
        return lambda z, ridge: z + self.inverse(y - self.forward(z), ridge)


class Recipe(ABC):
    """Settings that make an operator for an image; subclasses are frozen dataclasses, rows of `OPERATORS`."""

    @property
    def scale(self) -> int:
        """See `Operator.scale`."""
        return 1

    def sparse(self, scale: int) -> bool:
        """Whether most of an image with `scale` times the sides is made up from few pixels, or those around a hole."""
        return scale > 2

    @property
    def files(self) -> tuple[Path, ...]:
        """Whose content decides too."""
        return ()

    @property
    def spectral(self) -> bool:
        """See `Operator.spectral`."""
        return True

    def check(self) -> None:  # noqa: B027 - most have nothing to read
        """Raise a UsageError where it is for no image at all; files are read for that."""

    @abstractmethod
    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """The operator for images of that height and width.

        Args:
            size: of the restored image.
            known: (B, 1, H, W) of booleans: which pixels of the degraded image are known, where a mask says so.

        Raises:
            UsageError: what is known does not suffice.
            InputError: there can be none for an image of that size.
        """
