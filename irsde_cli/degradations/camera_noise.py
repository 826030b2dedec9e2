"""The noise of a camera: shot noise that grows with the light, read noise, and the correlation of demosaicing.

Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE TIP 2008.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import (
    Degradation,
    as_file,
    check_range,
    draw_noise,
    per_image,
    uniform,
)

GAMMA = 2.2


@dataclass(frozen=True)
class CameraNoise(Degradation):
    """Poisson and Gaussian noise in linear light, softened as a camera's processing does, in an 8-bit file.

    Attributes:
        shot_min: least shot noise: the variance in linear light at white, where the signal is 1.
        shot_max: most.
        read_min: lowest standard deviation of the read noise in linear light, of 1.
        read_max: highest.
        softening_max: widest standard deviation, in pixels, of the Gaussian that correlates the noise; each image
            draws its own from 0 to this, and the noise is as strong afterwards as before.
    """

    shot_min: float = 0.0002
    shot_max: float = 0.01
    read_min: float = 0.0005
    read_max: float = 0.01
    softening_max: float = 0.8

    def __post_init__(self) -> None:
        check_range("shot noise", self.shot_min, self.shot_max, least=1e-8, most=1)
        check_range("read noise", self.read_min, self.read_max, most=1)
        check_range("softening", 0, self.softening_max, most=8)

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """A new camera for each image."""
        linear = clean.clamp(0, 1) ** GAMMA
        shot, read = (
            torch.exp(uniform(low, high, len(clean), generator))
            for low, high in (
                (_log(self.shot_min), _log(self.shot_max)),
                (_log(self.read_min), _log(self.read_max)),
            )
        )
        softening = uniform(0, self.softening_max, len(clean), generator)
        noise = poisson_gaussian(linear, shot, read, generator) - linear
        seen = linear + soften(noise, softening)
        return as_file(seen.clamp_min(0) ** (1 / GAMMA))


def poisson_gaussian(linear: Tensor, shot: Tensor, read: Tensor, generator: torch.Generator) -> Tensor:
    """Linear light (B, C, H, W) counted in quanta and read: variance `shot` * light + `read`^2, each (B,)."""
    quantum = per_image(shot, linear)
    counted = torch.poisson((linear / quantum).to(generator.device), generator=generator).to(linear) * quantum
    return counted + draw_noise(linear, generator) * per_image(read, linear)


def soften(noise: Tensor, width: Tensor) -> Tensor:
    """White noise (B, C, H, W) after a Gaussian of standard deviation `width` (B,) pixels, its own kept, by FFT."""
    height, columns = noise.shape[-2:]
    rows = torch.fft.fftfreq(height, device=noise.device)[:, None]
    frequency = rows.square() + torch.fft.rfftfreq(columns, device=noise.device).square()
    transfer = torch.exp(-2 * (torch.pi * per_image(width, noise)) ** 2 * frequency)
    full = torch.exp(
        -2
        * (torch.pi * per_image(width, noise)) ** 2
        * (rows.square() + torch.fft.fftfreq(columns, device=noise.device).square())
    )
    gain = full.square().mean((-2, -1), keepdim=True).rsqrt()
    softened: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * transfer * gain, s=(height, columns))
    return softened


def _log(value: float) -> float:
    return float(torch.tensor(max(value, 1e-8)).log())
