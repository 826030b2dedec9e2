"""The features that FID and KID are defined on, from the extra `irsde[fid]`."""

import hashlib
import io
import logging
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from irsde_cli.errors import MachineError, WeightsError

logger = logging.getLogger(__name__)


class Inception(nn.Module):
    """Features of torch-fidelity's Inception v3: TensorFlow's weights of 2015, and its resizing to 299 x 299.

    Raises:
        MachineError: torch-fidelity is missing, or does not load.
        WeightsError: its weights cannot be fetched, or are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as library
        except Exception as error:  # where torchvision's binary does not fit torch, anything is raised
            missing = isinstance(error, ModuleNotFoundError) and error.name == "torch_fidelity"
            reason = "is not installed" if missing else f"does not load here ({type(error).__name__}: {error})"
            raise MachineError(
                f"they need torch-fidelity, which {reason}.",
                hint="Run: pip install 'irsde[fid]'." if missing else "Its torchvision must be built for this torch.",
            ) from None
        self.network = library.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=_weights(library.URL_INCEPTION_V3)
        )

    def forward(self, images: Tensor) -> Tensor:
        """The last pooling's output (B, 2048) for images (B, 3, H, W) in [0, 1], which are rounded to 8 bits."""
        (features,) = self.network(images.clamp(0, 1).mul(255).round().to(torch.uint8))
        found: Tensor = features
        return found


def _weights(url: str) -> io.BytesIO:
    """What torch-fidelity may unpickle: weights that were read without running code, written anew."""
    name = url.rsplit("/", 1)[-1]
    digest = name.removesuffix(".pth").rsplit("-", 1)[-1]  # torch.hub's convention: the start of the SHA-256
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        if not path.is_file():
            logger.warning("fetching the weights of FID and KID (91 MB): %s", url)
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), digest, progress=False)
        if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
            raise WeightsError(f"'{path}' is damaged.", hint="Delete it; the next run fetches it again.")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"their weights '{path}' cannot be had: {error}.", hint=f"Fetch {url} yourself.") from None
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return stream
