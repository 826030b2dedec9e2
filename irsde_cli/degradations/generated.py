"""Damage that a diffusion model makes, as strong as that of given pairs: GenDeg, CVPR 2025.

The numbers that say how strong are those of `irsde_cli.degradations.matched`. Left out: captions of each picture, so
that the words are those of the damage alone, and the network that puts structure back after haze, blur and drops.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation, draw_noise
from irsde_cli.degradations.matched import AMOUNTS, bins, check_amounts, drawn_amounts
from irsde_cli.networks.gendeg import GenDeg, load_gendeg


@dataclass(frozen=True)
class Generated(Degradation):
    """Each image goes through the model, to be changed as strongly as one of the pairs was.

    Attributes:
        model: a folder with `unet`, `vae` and `gendeg.safetensors`.
        amounts: mean and spread of each pair, as `irsde_cli.degradations.matched.amounts` measures them.
        even_share: share of the images that get an amount drawn evenly between the least and the largest of the pairs.
        steps: evaluations of the model, each of three pictures.
        text_scale: how far the words lead away from the picture; as published.
        image_scale: how far the picture leads away from what is likely without it; as published.
    """

    model: str = ""
    amounts: tuple[tuple[float, ...], ...] = AMOUNTS
    even_share: float = 0.05
    steps: int = 100
    text_scale: float = 7.5
    image_scale: float = 1.5

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("'model' must name the folder of a model that damages pictures")
        check_amounts(self.amounts, self.even_share)
        if self.steps < 1 or min(self.text_scale, self.image_scale) < 0:
            raise ValueError("'steps' must be at least 1, and no scale negative")

    @cached_property
    def _built(self) -> GenDeg:
        return load_gendeg(Path(self.model))

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """See `Degradation.apply`."""
        model = self._built.to(clean.device)
        wanted = bins(drawn_amounts(self.amounts, self.even_share, len(clean), generator)).to(clean.device)
        with torch.no_grad():
            damaged: Tensor = model(
                clean.float(),
                wanted,
                lambda x: draw_noise(x, generator),
                steps=self.steps,
                text_scale=self.text_scale,
                image_scale=self.image_scale,
            )
        return damaged.to(clean)
