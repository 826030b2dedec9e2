"""BRISQUE, by piq (Apache-2.0)."""

import torch
from torch import Tensor, nn

from irsde_cli.extras import load
from irsde_cli.metrics.libraries import fetched

BRISQUE_WEIGHTS = "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"


class Brisque(nn.Module):
    """BRISQUE (Mittal et al. 2012), without a clean image: lower looks more natural, undamaged photos near 0 to 30.

    Raises:
        MissingError: piq is missing, or does not load.
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
