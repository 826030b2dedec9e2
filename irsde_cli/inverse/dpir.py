"""DPIR: plug-and-play with a denoiser; data and prior take turns, and the noise level falls.

Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", TPAMI 2021. Half-quadratic splitting: nothing
is drawn, and few turns are enough. It has the best PSNR, as it goes for the mean, and the least detail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from irsde_cli.inverse.method import Denoiser, Method, Problem, log_levels
from irsde_cli.randomness import RandnLike

POSITIONS = ((), (-1,), (-2,), (-1, -2))  # which axes are turned round; to transpose is slow, and gains nothing more


@dataclass(frozen=True)
class DPIR(Method):
    """Half-quadratic splitting.

    Attributes:
        first: the noise level of the first turn, of 255; the last is that of the picture.
        trust: how much the prior counts against the data; lambda in the paper.
        ahead: how much farther than the denoiser says goes what the damage took away, where nothing else speaks: the
            over-relaxation of splitting methods (Eckstein and Bertsekas, Mathematical Programming 55, 1992), which
            does not diverge up to 1 where the denoiser is a proximal map. The paper has none.
        turn: whether each turn shows the denoiser the image in another of four positions: what it does wrong in one,
            it does not in the next.
    """

    evaluations: ClassVar[int] = 8
    draws: ClassVar[bool] = False

    first: float = 49.0
    trust: float = 0.23
    ahead: float = 1.0
    turn: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.first <= 255 or not 0 < self.trust < 100:
            raise ValueError(f"first {self.first:g} and trust {self.trust:g}: expected above 0, and to 255 and to 100")
        if not 0 <= self.ahead <= 1:
            raise ValueError(f"ahead {self.ahead:g}: expected from 0 to 1")

    def usual(self, *, sparse: bool) -> int:
        """See `Method.usual`: what is sparse gains from twice as many, and blurs lose."""
        return self.evaluations * (2 if sparse else 1)

    def steps(self, problem: Problem, denoise: Denoiser, evaluations: int, randn_like: RandnLike) -> Iterator[Tensor]:
        """See `Method.steps`."""
        last = problem.variance**0.5
        towards = problem.operator.towards(problem.y)
        z = x = problem.operator.guess(problem.y, problem.noise_std)
        for index, sigma in enumerate(log_levels(min(self.first / 255, denoise.largest), last, evaluations)):
            beyond = self.ahead * problem.operator.hidden(x - z) if self.ahead else 0.0
            z = towards(x, self.trust * problem.variance / sigma**2) + beyond
            position = POSITIONS[index % len(POSITIONS)] if self.turn else ()
            x = flipped(denoise(flipped(z, position), sigma), position)
            yield x


def flipped(images: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Images with those axes turned round; its own inverse."""
    return images.flip(axes) if axes else images
