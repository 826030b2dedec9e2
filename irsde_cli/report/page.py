"""A page to look at: pictures under a slider, figures beside them; one file, with its pictures in a folder."""

import contextlib
import io
import json
import math
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from irsde_cli.errors import InputError, IrsdeError, MachineError, UsageError
from irsde_cli.metrics.columns import COLUMNS
from irsde_cli.storage.files import refusal, write_whole

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]

PAGE = "index.html"
PICTURE_FOLDER = "pictures"
MARK = b'<meta name="generator" content="irsde">'
NAME = re.compile(r"[0-9a-f]{8}-\d+-(small|\d+(-error)?)\.webp")
THUMBNAIL = (128, 96)
LARGEST_AREA = 2**24
LARGEST_SIDE = 16383  # of WebP
ERROR_TOP = 64
AHEAD = 2


class Report:
    """Collects pictures and figures, in any order, and writes the page at the end.

    Pictures are encoded in a thread beside the caller and go to disk at once, so that memory does not grow with their
    number. They are copied without loss: a lossy copy of a noisy picture has less noise. Those of more than 16
    megapixels are made smaller by a whole number, and the page says so.

    An earlier page stays whole until the new one takes its place; then its pictures are removed.

    Args:
        folder: of the page; it is made.
        title: of the page.

    Raises:
        UsageError: the folder is a file, or holds a page that is not ours.
        MachineError: the folder cannot be written.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self._folder = folder
        self._title = title
        self._run = secrets.token_hex(4)
        self._since = time.time()
        self._count = 0
        self._labels: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._figures: dict[str, Any] = {}
        self._unseen: list[tuple[str, str]] = []
        self._fault: IrsdeError | None = None
        self._waiting: deque[tuple[str, Future[dict[str, Any]]]] = deque()
        self._worker = ThreadPoolExecutor(1, "page")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"'{folder}' is a file, not a folder.", hint="Name a folder for the page.")
        page = folder / PAGE
        try:
            if page.exists() and MARK not in page.read_bytes():
                raise UsageError(f"'{page}' is no page of irsde and would be lost.", hint="Name another folder.")
            (folder / PICTURE_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _machine(error, page) from None

    def pictures(self, key: str, images: "Mapping[str, Tensor]") -> None:
        """Add a row: (1, 3, H, W) or (3, H, W) in [0, 1] by label; `clean` is the ground truth, `input` the start."""
        self.read(key, lambda: images)

    def read(self, key: str, load: "Callable[[], Mapping[str, Tensor]]", note: str = "") -> None:
        """Add a row whose pictures `load` gives, in the thread; a row that cannot be read is named on the page."""
        if self._fault is None:
            self._waiting.append((key, self._worker.submit(self._row, self._count, key, load, note)))
            self._count += 1
            self._collect(AHEAD)

    def figures(self, key: str, figures: Mapping[str, Mapping[str, float | None]]) -> None:
        """The figures of a row, by label and column; infinite ones are those of equal pictures."""
        self._figures[key] = {
            label: {name: _figure(value) for name, value in values.items()} for label, values in figures.items()
        }

    def write(
        self,
        caption: str,
        problems: Sequence[tuple[str, str]] = (),
        table: Sequence[Sequence[str]] = (),
        notes: Sequence[str] = (),
    ) -> Path:
        """The page, and where it is.

        Args:
            caption: how the pictures came about and the figures were taken.
            problems: what is not on the page, and why.
            table: of means, with a row of headings.
            notes: below it.

        Raises:
            MachineError: it, or a picture of it, cannot be written.
        """
        self._collect(0)
        self._worker.shutdown()
        if self._fault is not None:
            raise self._fault
        for row in self._rows:
            if row["key"] in self._figures:
                row["figures"] = self._figures[row["key"]]
        names = {name for figures in self._figures.values() for values in figures.values() for name in values}
        columns = {name: column for name, column in COLUMNS.items() if name in names}
        data = {
            "title": self._title,
            "caption": caption,
            "labels": self._labels,
            "columns": [{"name": name, **vars(column)} for name, column in columns.items()],
            "rows": [row | {"key": _text(row["key"])} for row in self._rows],
            "problems": [{"key": _text(key), "reason": _text(reason)} for key, reason in (*problems, *self._unseen)],
            "table": table,
            "notes": [_text(note) for note in notes],
            "errorTop": ERROR_TOP,
        }
        # Inside a script element only "<" can end the text; as an escape it cannot.
        text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
        template = (resources.files("irsde_cli.report") / "report.html").read_text(encoding="utf-8")
        path = self._folder / PAGE
        try:
            write_whole(path, template.replace("__DATA__", text, 1).encode("utf-8"), "page")
        except InputError as error:
            raise MachineError(error.message, hint=error.hint) from None
        self._sweep()
        return path

    def _row(self, number: int, key: str, load: "Callable[[], Mapping[str, Tensor]]", note: str) -> dict[str, Any]:
        images = {label: _pixels(image) for label, image in load().items()}
        labels = sorted(images, key=lambda label: label == "clean")
        first = next((label for label in labels if label not in ("input", "clean")), labels[0])
        height, width = images[first].shape[:2]
        small = Image.fromarray(_reduced(images[first])[0])
        small.thumbnail(THUMBNAIL)
        row: dict[str, Any] = {"key": key, "size": (width, height), "note": note, "pictures": {}, "errors": {}}
        row["thumb"] = self._save(f"{number}-small", small)
        row["reduced"] = 1
        for index, label in enumerate(labels):
            shown, factor = _reduced(images[label])
            row["reduced"] = max(row["reduced"], factor)
            row["pictures"][label] = self._save(f"{number}-{index}", Image.fromarray(shown))
            if "clean" in images and label != "clean" and images[label].shape == images["clean"].shape:
                error = Image.fromarray(_error(images[label], images["clean"]))
                row["errors"][label] = self._save(f"{number}-{index}-error", error)
        return row

    def _collect(self, waiting: int) -> None:
        """Take the rows that are encoded, until no more than so many wait."""
        while len(self._waiting) > waiting:
            key, future = self._waiting.popleft()
            try:
                row = future.result()
            except InputError as error:
                self._unseen.append((key, error.message))
            except OSError as error:
                self._unseen.append((key, f"it cannot be read: {error.strerror or error}."))
            except MemoryError:
                self._unseen.append((key, "there is not enough memory to show it."))
            except MachineError as error:
                self._fault = self._fault or error
            else:
                self._rows.append(row)
                labels = dict.fromkeys([*self._labels, *row["pictures"]])
                self._labels = sorted(labels, key=lambda label: label == "clean")

    def _save(self, name: str, image: Image.Image) -> str:
        stream = io.BytesIO()
        # The smallest of the lossless settings takes ten times as long for files 8 % smaller.
        image.save(stream, "WEBP", lossless=True, quality=0, method=1)
        path = f"{PICTURE_FOLDER}/{self._run}-{name}.webp"
        try:
            (self._folder / path).write_bytes(stream.getvalue())
        except OSError as error:
            raise _machine(error, self._folder / path) from None
        return path

    def _sweep(self) -> None:
        """Remove the pictures of earlier pages, but not those of a run that goes on beside this one."""
        for path in (self._folder / PICTURE_FOLDER).iterdir():
            with contextlib.suppress(OSError):
                ours = NAME.fullmatch(path.name) and not path.name.startswith(self._run)
                if ours and path.stat().st_mtime < self._since:
                    path.unlink()


def _machine(error: OSError, path: Path) -> MachineError:
    refused = refusal(error, path)
    return MachineError(refused.message, hint=refused.hint)


def _pixels(image: "Tensor") -> Pixels:
    plain = image[0] if image.ndim == 4 else image
    pixels: Pixels = (plain.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def _reduced(pixels: Pixels) -> tuple[Pixels, int]:
    """What a browser can show, and how many times smaller that is: means of squares of pixels."""
    height, width = pixels.shape[:2]
    factor = max(math.ceil(math.sqrt(height * width / LARGEST_AREA)), math.ceil(max(height, width) / LARGEST_SIDE))
    return (pixels if factor == 1 else np.asarray(Image.fromarray(pixels).reduce(factor))), factor


def _error(restored: Pixels, clean: Pixels) -> Pixels:
    """Mean absolute difference over channels: black, red, yellow, and white from `ERROR_TOP` of 255 on."""
    levels = np.abs(restored.astype(np.int16) - clean).sum(-1)
    grey, _ = _reduced((np.minimum(levels, 3 * ERROR_TOP) * 255 // (3 * ERROR_TOP)).astype(np.uint8))
    heat = np.clip(3 * np.arange(256)[:, None] - 255 * np.arange(3), 0, 255).astype(np.uint8)
    colours: Pixels = heat[grey]
    return colours


def _figure(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else "equal"


def _text(name: str) -> str:
    """A name as JSON can hold it: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
