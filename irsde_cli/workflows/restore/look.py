"""A look before a run: a part of one picture, restored with a few settings, on a page."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irsde_cli.errors import IrsdeError, UsageError
from irsde_cli.option import option
from irsde_cli.samplers.settings import Sampling
from irsde_cli.tasks import TASKS
from irsde_cli.weights import ZERO_SHOT
from irsde_cli.workflows.restore.options import Options

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from irsde_cli.restorer import Restorer

SIDE = 256
CROP = re.compile(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?")


@dataclass(frozen=True)
class Crop:
    """A part of a picture in pixels, upright, from the upper left; a place of `None` is chosen by detail."""

    width: int
    height: int
    left: int | None = None
    top: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Crop":
        """Of `WIDTHxHEIGHT+LEFT+TOP`, as ImageMagick has it, or of the size alone.

        Raises:
            UsageError: it is neither.
        """
        found = CROP.fullmatch(text)
        if found is None or not int(found[1]) or not int(found[2]):
            raise UsageError(f"--crop is WIDTHxHEIGHT+LEFT+TOP or WIDTHxHEIGHT, not '{text}'.")
        place = (None, None) if found[3] is None else (int(found[3]), int(found[4]))
        return cls(int(found[1]), int(found[2]), *place)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What `irsde restore --preview` is asked for."""

    preview: bool = option(
        "machine",
        "Restore a part of the first picture with a few settings, side by side on a page, and nothing else.",
        default=False,
        panel="Output",
        variable="-",
    )
    crop: Crop | None = option(
        "machine",
        "With --preview, the part: WIDTHxHEIGHT+LEFT+TOP, or the size alone; else the one with most detail.",
        panel="Output",
        variable="-",
        parse=Crop.parse,
    )


def look(options: Options, crop: Crop | None) -> Path:
    """The page of a preview: the first picture's part as it is, and with each of a few settings.

    Raises:
        UsageError: there is no such picture or part, or a mask is missing or means nothing here.
        InputError: the picture or its mask cannot be read.
        WeightsError: there are no such weights.
    """
    if "-" in options.inputs or options.listed is not None or options.files_from is not None:
        raise UsageError("--preview takes a picture or a folder, and no pipe or list.")
    if options.in_place:
        raise UsageError("--preview does not go with --in-place.")
    if TASKS[options.task].needs_mask != (options.mask is not None):
        takes = "takes no" if options.mask is not None else "needs"
        raise UsageError(f"the task '{options.task}' {takes} --mask.", hint="White is known; black is a hole.")
    if options.model == ZERO_SHOT:
        raise UsageError(f"--preview shows no settings of --model {ZERO_SHOT}.")
    import numpy as np
    import torch

    from irsde_cli.conversions import loading
    from irsde_cli.images import read_picture, to_tensor
    from irsde_cli.report.page import Report
    from irsde_cli.runtime import choose_device
    from irsde_cli.weights import find_weights
    from irsde_cli.workflows.restore.loading import known_of
    from irsde_cli.workflows.restore.opening import opener

    name, path = _first(options)
    picture = read_picture(
        path, name, limits=options.limits, allow_truncated=options.allow_truncated, opener=opener(options)
    )
    known = None if options.mask is None else known_of(picture, options.mask, options)[0]
    interesting = picture.pixels if known is None else 255 * (~known).numpy().astype(np.uint8)[..., None]
    top, left, height, width = _part(interesting, crop)
    if known is not None:
        known = known[top : top + height, left : left + width]
    part = to_tensor(
        replace(
            picture,
            pixels=picture.pixels[top : top + height, left : left + width],
            alpha=None if picture.alpha is None else picture.alpha[top : top + height, left : left + width],
        )
    )
    weights = find_weights(options.model, options.task, short=options.sampling.is_short)
    device = choose_device(options.device)
    restorer = loading.load(weights.path).restorer.to(device)
    shown: dict[str, Tensor] = {"input": part}
    for label, sampling in settings(options.sampling, restorer):
        whole = restorer(part.to(device), seed=options.seed, sampling=sampling, known=known).cpu()
        shown[label] = whole if known is None else torch.where(known, part, whole)
    if known is not None:
        shown["input"] = torch.where(known, part, torch.ones(()))
    folder = options.report or Path(tempfile.mkdtemp(prefix="irsde-preview-"))
    page = Report(folder, f"irsde restore --task {options.task} --preview")
    page.pictures(f"{name} {width}x{height}+{left}+{top}", shown)
    return page.write(f"{weights.name}; each label is what to add to the command")


def settings(asked: Sampling, restorer: "Restorer") -> Iterator[tuple[str, Sampling]]:
    """What is worth comparing: as asked, and what else these weights can, each by the option that gives it."""
    yield "as asked", asked
    others = [("strength", 0.5), ("strength", 1.3)]
    if restorer.draws:
        others += [("realism", 0.0), ("realism", 1.0)]
    if getattr(restorer.config, "noise_level_max", 0.0):
        others += [("noise_level", 10.0), ("noise_level", 25.0)]
    usual = restorer.resolve(asked)
    for field, value in others:
        known = getattr(usual, field)
        if value == (1.0 if known is None and field != "noise_level" else known):  # as asked, then
            continue
        changed: dict[str, Any] = {field: value}
        sampling = replace(asked, **changed)
        try:
            restorer.resolve(sampling)
        except IrsdeError:  # these weights do not take it
            continue
        yield f"--{field.replace('_', '-')} {value:g}", sampling


def _first(options: Options) -> tuple[str, Path]:
    from irsde_cli.content import missing
    from irsde_cli.datasets.discovery import walk

    place = Path(options.inputs[0])
    if not place.exists():
        raise missing(place, "file or folder")
    if not place.is_dir():
        return place.name, place
    for name, fault in walk(place, recursive=options.recursive):
        if not fault:
            return name, place / name
    raise UsageError(f"no pictures in '{place}'.")


def _part(pixels: "NDArray[Any]", crop: Crop | None) -> tuple[int, int, int, int]:
    """Top, left, height and width of the part; by detail it is where brightness differs most between neighbours.

    Raises:
        UsageError: it does not lie in the picture.
    """
    import numpy as np

    height, width = pixels.shape[:2]
    wanted = crop or Crop(min(SIDE, width), min(SIDE, height))
    left, top = wanted.left, wanted.top
    if wanted.width + (left or 0) > width or wanted.height + (top or 0) > height:
        raise UsageError(
            f"the part {wanted.width} x {wanted.height} at {left or 0}, {top or 0} does not lie in the picture.",
            hint=f"It is {width} x {height}.",
        )
    if left is not None and top is not None:
        return top, left, wanted.height, wanted.width
    grey = pixels.mean(-1, dtype=np.float32)
    # Of means over 4 x 4 pixels, so that noise alone is no detail.
    small = grey[: height // 4 * 4, : width // 4 * 4].reshape(height // 4, 4, width // 4, 4).mean((1, 3))
    if min(small.shape) < 2:
        return 0, 0, wanted.height, wanted.width
    detail = np.zeros_like(small)
    detail[:-1] += np.abs(np.diff(small, axis=0))
    detail[:, :-1] += np.abs(np.diff(small, axis=1))
    sums = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = min(wanted.height // 4, small.shape[0]), min(wanted.width // 4, small.shape[1])
    above, before = len(sums) - rows, sums.shape[1] - columns
    found = sums[rows:, columns:] - sums[:above, columns:] - sums[rows:, :before] + sums[:above, :before]
    row, column = divmod(int(found.argmax()), found.shape[1])
    return min(row * 4, height - wanted.height), min(column * 4, width - wanted.width), wanted.height, wanted.width
