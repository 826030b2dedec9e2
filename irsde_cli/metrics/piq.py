"""Metrics of the package piq (Apache-2.0), from the extra `irsde[piq]`."""

import warnings

import torch
from torch import Tensor, nn

from irsde_cli.extras import load
from irsde_cli.metrics.libraries import fetched

BRISQUE_WEIGHTS = "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"


class Dists(nn.Module):
    """DISTS (Ding et al. 2020): structure and texture of VGG-16's features; lower is closer.

    Raises:
        MachineError: piq is missing, or does not load.
        WeightsError: the weights (VGG-16's 528 MB, and its own) cannot be fetched, or are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        package = load("piq")
        vgg = load("piq", module="torchvision.models", package="torchvision")
        fetched(package.DISTS._weights_url)
        fetched(vgg.VGG16_Weights.IMAGENET1K_V1.url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # piq names VGG's weights as torchvision used to
            self.metric = package.DISTS(reduction="none")

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The distance of each pair of images (B, 3, H, W) in [0, 1]: (B,)."""
        distance: Tensor = self.metric(restored, clean)
        return distance


class Brisque(nn.Module):
    """BRISQUE (Mittal et al. 2012), without a clean image: lower looks more natural, undamaged photos near 0 to 30.

    Raises:
        MachineError: piq is missing, or does not load.
        WeightsError: its weights cannot be fetched, or are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.metric = load("piq").brisque
        fetched(BRISQUE_WEIGHTS)

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The score of each restored image (B, 3, H, W) in [0, 1]: (B,); NaN where it has none, as for flat ones."""
        try:
            score: Tensor = self.metric(restored, data_range=1.0, reduction="none").reshape(-1)
        except (AssertionError, RuntimeError):
            return torch.full((len(restored),), torch.nan)
        return score
