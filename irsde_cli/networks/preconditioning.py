"""Networks of diffusion models, read as denoisers: what they are shown, and what their output says of the clean image.

Such a network lives on images in [-1, 1], where noise has twice our standard deviation. Here its `raw` output becomes
what leads from a noisy image in [0, 1] to the clean one, for a noise of any level.
"""

from abc import abstractmethod
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from irsde_cli.networks.network import Predictor

Preconditioning = Literal["vp", "edm", "consistency"]
VP_STEPS = 1000
DATA_STD, LEAST_STD = 0.5, 0.002  # of consistency models, in [-1, 1]


class Preconditioned(Predictor):
    """Sees the state alone; its time is the standard deviation of the noise in it, of 255.

    Args:
        preconditioning: `vp` predicts noise and knows the times of DDPM's linear schedule, Ho et al., NeurIPS 2020.
            `edm` is that of Karras et al., NeurIPS 2022. `consistency` gives the end of the ODE's path, which is no
            mean, between -1 and 1: Song et al., ICML 2023, equation 5 and appendix C.
    """

    untold: ClassVar[tuple[str, ...]] = ("preconditioning",)

    def __init__(self, preconditioning: Preconditioning) -> None:
        super().__init__()
        if preconditioning not in get_args(Preconditioning):
            known = ", ".join(get_args(Preconditioning))
            raise ValueError(f"the preconditioning '{preconditioning}' is none of {known}")
        self.preconditioning = preconditioning

    def freeze(self) -> None:
        """See `Network.freeze`; nothing is changed.

        With channels last, the group normalisation of CPUs loses digits where features hardly vary.
        """

    @abstractmethod
    def raw(self, x: Tensor, time: Tensor) -> Tensor:
        """The network itself: `x` (B, 3, H, W) as it was scaled in training, `time` (B,) real; (B, 3, H, W).

        Height and width are those of `facts.padded_size`.
        """

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`: the clean image minus the state."""
        height, width = x.shape[-2:]
        return self._away(2 * self.padded(x) - 1, (2 * t.to(x) / 255).expand(len(x)))[..., :height, :width]

    def _away(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        s = sigma[:, None, None, None]
        if self.preconditioning == "vp":
            output = self.raw(noisy / (1 + s**2).sqrt(), vp_time(sigma)).to(noisy.dtype)
            return -s * output / 2
        ends = LEAST_STD if self.preconditioning == "consistency" else 0.0
        kept = DATA_STD**2 / ((s - ends) ** 2 + DATA_STD**2)
        spread = (s**2 + DATA_STD**2).sqrt()
        output = self.raw(noisy / spread, 250 * (sigma + 1e-44).log()).to(noisy.dtype)
        clean = kept * noisy + (s - ends) * DATA_STD / spread * output
        if self.preconditioning == "consistency":
            clean = clean.clamp(-1, 1)
        return (clean - noisy) / 2


def vp_alpha_bar() -> Tensor:
    """The share of the image's variance after each of 1000 steps of DDPM's linear schedule, (1000,), float64."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, VP_STEPS, dtype=torch.float64), 0)


def vp_levels() -> Tensor:
    """The noise level at each of these steps, for images in [0, 1], (1000,), rising."""
    alpha_bar = vp_alpha_bar()
    return ((1 - alpha_bar) / alpha_bar).sqrt() / 2


def vp_time(sigma: Tensor) -> Tensor:
    """The step, from 0 to 999, at which the noise is `sigma` (B,) for images in [-1, 1].

    Between two steps it is interpolated in the logarithm of the noise; published samplers take the nearest.
    """
    known = (2 * vp_levels()).log().to(sigma.device, torch.float32)
    level = sigma.float().clamp_min(1e-12).log()
    above = torch.searchsorted(known, level).clamp(1, VP_STEPS - 1)
    lower, upper = known[above - 1], known[above]
    return above - 1 + ((level - lower) / (upper - lower)).clamp(0, 1)
