"""The pictures of an evaluation as files that any other tool can open."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from irsde_cli.errors import UsageError
from irsde_cli.storage.files import write_whole


class Saved:
    """Writes 8-bit PNG files, FOLDER/LABEL/KEY.png, where what no file name can hold in a label is a dash.

    Args:
        folder: absent, or empty.
        labels: of what will be saved.

    Raises:
        UsageError: the folder holds something, or two labels would share a folder.
    """

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"'{folder}' is not empty.", hint="Give --save a new folder.")
        self._folders = {label: folder / re.sub(r"[^\w.+-]+", "-", label) for label in labels}
        for one in self._folders.values():
            if list(self._folders.values()).count(one) > 1:
                raise UsageError(f"two contenders would be saved in '{one}'.", hint="Name files apart.")

    def write(self, key: str, label: str, image: Tensor) -> None:
        """One picture (1, 3, H, W) in [0, 1], clipped and rounded.

        Raises:
            InputError: this file cannot be written.
            MachineError: none can.
        """
        if label not in self._folders:
            return
        pixels = image[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
        write_whole(self._folders[label] / f"{key}.png", stream.getvalue(), "evaluate")
