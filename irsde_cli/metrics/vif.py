"""VIF, by torchmetrics (Apache-2.0); its module for that needs no torchvision."""

import torch
from torch import Tensor, nn

from irsde_cli.extras import load

SMALLEST = 41


class Vif(nn.Module):
    """Visual information fidelity in the pixel domain (Sheikh, Bovik 2006): 1 for equal images; higher is better.

    Raises:
        MissingError: torchmetrics is missing, or does not load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.metric = load("torchmetrics", module="torchmetrics.functional.image.vif").visual_information_fidelity

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Of each pair of images (B, 3, H, W) in [0, 1]: (B,); NaN below 41 pixels."""
        if min(clean.shape[-2:]) < SMALLEST:
            return torch.full((len(clean),), torch.nan)
        # The noise of its model of vision is set for values to 255, and is taken for granted.
        figure: Tensor = self.metric(255 * restored, 255 * clean, reduction="none")
        return figure.reshape(-1)
