"""DISTS, by torchmetrics (Apache-2.0) where that is installed, or by piq (Apache-2.0)."""

import warnings

from torch import Tensor, nn

from irsde_cli.extras import EXTRAS, load
from irsde_cli.metrics.libraries import fetched


class Dists(nn.Module):
    """DISTS (Ding et al. 2020): structure and texture of VGG-16's features; lower is closer.

    Raises:
        MissingError: both packages are missing, or do not load.
        WeightsError: the weights (VGG-16's 528 MB, and piq's own) cannot be fetched, or are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        extra = "torchmetrics" if EXTRAS["torchmetrics"].here else "piq"
        package = load(extra)
        fetched(load(extra, module="torchvision.models", package="torchvision").VGG16_Weights.IMAGENET1K_V1.url)
        if extra == "torchmetrics":
            self.metric = load(extra, module="torchmetrics.functional.image.dists").DISTSNetwork()
            return
        fetched(package.DISTS._weights_url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # piq names VGG's weights as torchvision used to
            self.metric = package.DISTS(reduction="none")

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The distance of each pair of images (B, 3, H, W) in [0, 1]: (B,)."""
        distance: Tensor = self.metric(restored, clean)
        return distance.reshape(-1)
