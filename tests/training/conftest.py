"""Pictures to learn from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three small pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        ramp = np.linspace(0, 255, 24)[:, None, None] * rng.random((1, 20, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(folder / f"{index}.png")
    return folder
