"""FoD: forward-only diffusion, from the degraded image to the clean one, with noise in proportion to what is missing.

Luo et al., "Forward-only Diffusion Probabilistic Models" (2505.16733): dx = theta (c - x) dt + sigma (x - c) dw, so
that x_t = c + (mu - c) L_t for a clean image c, with ln L_t normal. It counts from the degraded image; we count indices
down to 0 as everywhere, and the network is told the paper's time.

It is invariant to the range of images, and no noise is added where nothing is missing. With the clean estimate in the
place of c it spreads too little: the process with these marginals also needs the variance of that estimate, which the
sampler `fod-variance` takes from a network of two outputs.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.processes.parts import CPU, check_std, check_timesteps, pick, with_zero
from irsde_cli.processes.path import Path
from irsde_cli.processes.process import Process
from irsde_cli.processes.schedules import thetas
from irsde_cli.randomness import RandnLike

FodSchedule = Literal["ddpm-cosine", "jsd", "constant"]
LEAST_SPREAD = 1e-2
LEFT = 1e-3  # the median of L at the clean end


@dataclass(frozen=True, eq=False)
class ForwardOnly(Process):
    """Closed forms by three tables, each from the clean end (index 0) to the degraded one (index T).

    Attributes:
        log_mean: E_t of ln L_t, falling to the clean end.
        log_variance: V_t of ln L_t.
        rate: theta Delta of the step that starts at an index, for the paper's Euler sampler.
        spread: sigma^2 Delta of that step.

    Args:
        num_timesteps: T; another T is another noise, so that few steps are better skipped indices of 100.
        schedule: of theta; the noise grows with time, and is even where theta is.
        noise: whether there is any; without it the first estimate is the result.
        residual_std: typical standard deviation of clean minus degraded, for the scale of a network's input and error.

    Raises:
        ValueError: a value is out of range.
    """

    predictions = ("clean", "clean-and-variance")  # its noise multiplies, and nobody predicts it
    num_timesteps: int = 100
    schedule: FodSchedule = "ddpm-cosine"
    noise: bool = True
    residual_std: float = 0.1
    log_mean: Tensor = field(init=False, repr=False)
    log_variance: Tensor = field(init=False, repr=False)
    rate: Tensor = field(init=False, repr=False)
    spread: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = check_timesteps(self.num_timesteps)
        if count < 2:
            raise ValueError("FoD takes at least two steps")
        check_std("residual_std", self.residual_std)
        theta = self._thetas(count)
        growing = torch.linspace(0.1 / count, 20 / count, count, dtype=torch.float64, device=CPU)
        scale = torch.ones_like(growing) if self.schedule == "constant" else growing
        variance = scale / scale.sum() if self.noise else torch.zeros_like(scale)
        fall = theta + variance / 2
        delta = -math.log(LEFT) / float(fall.sum())
        self._set(
            log_mean=with_zero(-fall.cumsum(0) * delta).flip(0),
            log_variance=with_zero(variance.cumsum(0) * delta).flip(0),
            rate=with_zero(theta.flip(0) * delta),
            spread=with_zero(variance.flip(0) * delta),
        )
        # What the common tables can say of it: the mean of 1 - L, and its spread for a typical residual, which is never
        # nothing between the ends: an estimate's error is measured by it.
        left = torch.exp(self.log_mean + self.log_variance / 2)
        spread = (left * torch.expm1(self.log_variance).sqrt()).clamp_min(LEAST_SPREAD)
        spread[-1] = 0
        self._set(m=1 - left, s=self.residual_std * spread)

    def _thetas(self, count: int) -> Tensor:
        match self.schedule:
            case "ddpm-cosine":
                return thetas("ddpm-cosine", count)[1:].double()
            case "jsd":
                return torch.arange(count, 0, -1, dtype=torch.float64, device=CPU) ** -1.5
            case "constant":
                return torch.ones(count, dtype=torch.float64, device=CPU)

    @property
    def last_taught(self) -> int:
        """See `Process.last_taught`: at T the network sees the degraded image twice, which is plain regression."""
        return self.num_timesteps

    def asked(self, t: Tensor) -> Tensor:
        """See `Process.asked`: steps from the degraded image."""
        return self.num_timesteps - t

    def half_log_snr(self) -> Tensor:
        """See `Process.half_log_snr`: how far a state has come, half of ln (1 - L) / L at the median of L."""
        left = torch.exp(self.log_mean[1:]).clamp_max(1 - 1e-6)
        return torch.log((1 - left) / left) / 2

    def state(self, x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """See `Process.state`: log-normal around the clean image."""
        exponent = pick(self.log_mean, t, x0) + pick(self.log_variance.sqrt(), t, x0) * noise
        return x0 + (mu - x0) * torch.exp(exponent)

    def start(self, mu: Tensor, t: int, randn_like: RandnLike) -> Tensor:
        """See `Process.start`: the degraded image itself."""
        return room.copy(mu)

    def path(self, mu: Tensor) -> "ForwardPath":
        """See `Process.path`."""
        return ForwardPath(
            m=self.m, s=self.s, centre=mu, drawn=False, log_mean=self.log_mean, log_variance=self.log_variance,
            rate=self.rate, spread=self.spread,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ForwardPath(Path):
    """The process as its own samplers see it; see `ForwardOnly`. Solvers of Gaussian paths know nothing of it."""

    log_mean: Tensor = field(kw_only=True)
    log_variance: Tensor = field(kw_only=True)
    rate: Tensor = field(kw_only=True)
    spread: Tensor = field(kw_only=True)
