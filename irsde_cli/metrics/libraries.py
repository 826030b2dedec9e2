"""The weights of metrics that other packages carry, or one sentence on what is missing."""

import logging
import re
from pathlib import Path

import torch

from irsde_cli.errors import WeightsError
from irsde_cli.storage import digests, weight_files

logger = logging.getLogger(__name__)


def fetched(url: str) -> Path:
    """Weights in torch.hub's folder, from `url` the first time; loading them runs no code.

    Where the name ends with the start of a SHA-256, as torch.hub's convention is, the file has that one.

    Raises:
        WeightsError: they cannot be fetched, are damaged, or hold more than weights.
    """
    name = url.rsplit("/", 1)[-1]
    convention = re.search(r"-([0-9a-f]{8,})\.", name)
    digest = convention.group(1) if convention else ""
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        if not path.is_file():
            logger.warning("fetching %s", url)
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), digest, progress=False)
        if not digests.sha256(path).startswith(digest):
            raise WeightsError(f"its weights '{path}' are damaged.", hint="Delete them; the next run fetches them.")
        weight_files.unpickled(path)  # the package itself would run what it unpickles
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"its weights '{path}' cannot be had: {error}.", hint=f"Fetch {url} yourself.") from None
    return path
