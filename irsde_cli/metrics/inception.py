"""The features that FID and KID are defined on, from the extra `irsde[fid]`."""

import torch
from torch import Tensor, nn

from irsde_cli.extras import load
from irsde_cli.metrics.libraries import fetched


class Inception(nn.Module):
    """Features of torch-fidelity's Inception v3: TensorFlow's weights of 2015, and its resizing to 299 x 299.

    Raises:
        MachineError: torch-fidelity is missing, or does not load.
        WeightsError: its weights (91 MB) cannot be fetched, or are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        package = load("fid", module="torch_fidelity.feature_extractor_inceptionv3")
        self.network = package.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(fetched(package.URL_INCEPTION_V3))
        )

    def forward(self, images: Tensor) -> Tensor:
        """The last pooling's output (B, 2048) for images (B, 3, H, W) in [0, 1], which are rounded to 8 bits."""
        (features,) = self.network(images.clamp(0, 1).mul(255).round().to(torch.uint8))
        found: Tensor = features
        return found
