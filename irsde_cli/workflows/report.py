"""A page to look at: pictures under a slider, figures beside them; one file, with its pictures in a folder."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from irsde_cli.errors import MachineError
from irsde_cli.workflows.files import refusal

PAGE = "index.html"
PICTURES = "pictures"
THUMBNAIL = (128, 96)
QUALITY = 90
ERROR_GAIN = 4.0


class Report:
    """Collects pictures and figures, in any order, and writes the page at the end; pictures go to disk at once.

    Args:
        folder: of the page; it is made.
        title: of the page.

    Raises:
        MachineError: the folder cannot be written.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self._folder = folder
        self._title = title
        self._rows: dict[str, dict[str, Any]] = {}
        self._labels: list[str] = []
        try:
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refusal(error, folder / PAGE) from None

    def pictures(self, key: str, images: Mapping[str, Tensor]) -> None:
        """Write the pictures of one row: (1, 3, H, W) or (3, H, W) in [0, 1] by label; `clean` is the ground truth."""
        arrays = {label: _pixels(image) for label, image in images.items()}
        number = len(self._rows)
        ordered = [label for label in arrays if label != "clean"] + (["clean"] if "clean" in arrays else [])
        for label in ordered:
            if label not in self._labels:
                self._labels.insert(len(self._labels) - ("clean" in self._labels and label != "clean"), label)
        first = next((label for label in ordered if label not in ("input", "clean")), ordered[0])
        height, width = arrays[first].shape[:2]
        row: dict[str, Any] = {"key": _text(key), "size": [width, height], "pictures": {}}
        for index, label in enumerate(ordered):
            row["pictures"][label] = self._write(f"{number:05d}-{index}.webp", arrays[label])
        small = Image.fromarray(arrays[first])
        small.thumbnail(THUMBNAIL)
        row["thumb"] = self._write(f"{number:05d}-small.webp", np.asarray(small))
        if "clean" in arrays:
            row["errors"] = {
                label: self._write(f"{number:05d}-{index}-error.webp", _error(arrays[label], arrays["clean"]))
                for index, label in enumerate(ordered)
                if label != "clean" and arrays[label].shape == arrays["clean"].shape
            }
        self._rows[key] = row

    def figures(self, key: str, figures: Mapping[str, Mapping[str, float | None]]) -> None:
        """The figures of a row whose pictures are written."""
        if key in self._rows:
            self._rows[key]["figures"] = {
                label: {name: _finite(value) for name, value in values.items()} for label, values in figures.items()
            }

    def write(self, caption: str, problems: Sequence[tuple[str, str]] = ()) -> Path:
        """The page, and where it is.

        Raises:
            MachineError: it cannot be written.
        """
        rows = list(self._rows.values())
        names = {name for row in rows for values in row.get("figures", {}).values() for name in values}
        data = {
            "title": self._title,
            "caption": _text(caption),
            "labels": self._labels,
            "metrics": [name for name in ("psnr", "ssim", "lpips", "psnr_hole") if name in names],
            "rows": rows,
            "problems": [{"key": _text(key), "reason": _text(reason)} for key, reason in problems],
        }
        # Inside a script element only "<" can end the text; as an escape it cannot.
        text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
        template = (resources.files("irsde_cli.workflows") / "report.html").read_text(encoding="utf-8")
        path = self._folder / PAGE
        self._save(path, template.replace("__DATA__", text, 1).encode("utf-8"))
        return path

    def _write(self, name: str, pixels: Any) -> str:
        stream = io.BytesIO()
        lossless = max(pixels.shape[:2]) <= 128
        Image.fromarray(_fitting(pixels)).save(stream, "WEBP", quality=QUALITY, lossless=lossless)
        self._save(self._folder / PICTURES / name, stream.getvalue())
        return f"{PICTURES}/{name}"

    def _save(self, path: Path, content: bytes) -> None:
        try:
            path.write_bytes(content)
        except OSError as error:
            refused = refusal(error, path)
            raise MachineError(refused.message, hint=refused.hint) from None


def _pixels(image: Tensor) -> Any:
    plain = image[0] if image.ndim == 4 else image
    return (plain.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def _fitting(pixels: Any) -> Any:
    """WebP ends at 16383 pixels a side; a page needs no more."""
    step = math.ceil(max(pixels.shape[:2]) / 16383)
    return np.ascontiguousarray(pixels[::step, ::step])


def _error(restored: Any, clean: Any) -> Any:
    """Mean absolute difference, times four: black, red, yellow, white."""
    heat = np.abs(restored.astype(np.float32) - clean.astype(np.float32)).mean(-1, keepdims=True) / 255 * ERROR_GAIN
    return (np.clip(heat * 3 - np.arange(3, dtype=np.float32), 0, 1) * 255).astype(np.uint8)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(name: str) -> str:
    """A name as JSON can hold it: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
