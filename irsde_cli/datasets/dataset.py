"""What a data set is: a row of facts, and folders in one of a few layouts."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irsde_cli.datasets.pairing import Pair, Pairing, pair_folders
from irsde_cli.errors import UsageError


@dataclass(frozen=True)
class Layout:
    """Where pictures lie below a data set's folder.

    Attributes:
        clean: folder of clean pictures; `*` stands for any one folder.
        degraded: folder of degraded ones, with the same `*`; `None` where they are made on the fly.
        template: the stem of a degraded file, given `{stem}`.
        clean_template: the stem of a clean file, given the same `{stem}`.
    """

    clean: str
    degraded: str | None = None
    template: str = "{stem}"
    clean_template: str = "{stem}"


GENERIC = (Layout("GT", "LQ"), Layout("GT", "LQ_x4"))
MASK_FOLDERS = ("masks", "gt_keep_masks")


@dataclass(frozen=True)
class Dataset:
    """A test set of the field.

    Attributes:
        title: what people call it, with what it holds.
        homepage: where it is.
        licence: its terms, as far as they are stated.
        citation: whom to cite.
        task: what is undone.
        protocol: how the field measures it, a row of `irsde_cli.metrics.protocols.PROTOCOLS`.
        count: pictures that a whole one has.
        folders: names of its folder.
        layouts: official ones; `GT/` with `LQ/` or `LQ_x4/` is understood for every set. Pictures alone, without a
            `degradation`, are damaged ones whose clean ones nobody has.
        degradation: a row of `irsde_cli.degradations.DEGRADATIONS` and its settings, where the test makes the damage.
        obtain: how to get it.
    """

    title: str
    homepage: str
    licence: str
    citation: str
    task: str
    protocol: str
    count: int
    folders: tuple[str, ...]
    layouts: tuple[Layout, ...] = ()
    degradation: tuple[str, dict[str, Any]] | None = None
    obtain: str = ""


@dataclass(frozen=True)
class Located:
    """The pictures of a data set that are here."""

    folder: Path
    pairing: Pairing
    synthetic: bool


def locate(name: str, dataset: Dataset, roots: list[Path], *, alone: bool = False) -> Located:
    """Find a data set below one of the roots.

    Args:
        name: of the row.
        dataset: the row.
        roots: folders above data sets.
        alone: of a set that is damaged on the fly, take the clean pictures even if degraded ones lie beside them.

    Raises:
        UsageError: it is not there; what was looked for, and what lies there instead, is said.
    """
    for root in roots:
        for folder in (root / spelling for spelling in dict.fromkeys((*dataset.folders, name))):
            if folder.is_dir():
                found = _in_layouts(dataset, folder, alone=alone)
                if found is not None:
                    return found
                inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
                expected = " or ".join(_described(layout) for layout in _layouts(dataset))
                raise UsageError(
                    f"'{folder}' is not laid out as the data set '{name}': expected {expected}, found {inside}."
                )
    looked = ", ".join(f"'{root / dataset.folders[0]}'" for root in roots) or "nowhere"
    raise UsageError(
        f"the data set '{name}' ({dataset.title}) is not here; looked at {looked}.",
        hint=f"{dataset.obtain or f'Get it from {dataset.homepage}.'} --data-root or IRSDE_DATA names what it is in.",
    )


def mask_folder(text: str, folder: Path | None) -> Path:
    """Where masks are: a path, or the name of a mask set of the data set in `folder`.

    Raises:
        UsageError: there is nothing.
    """
    if Path(text).exists():
        return Path(text)
    places = [] if folder is None else [folder / name / text for name in MASK_FOLDERS]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        looked = ", ".join(f"'{place}'" for place in (Path(text), *places))
        raise UsageError(f"no masks at {looked}.", hint="--mask takes a file, a folder, or the name of a mask set.")
    return found


def _layouts(dataset: Dataset) -> tuple[Layout, ...]:
    if dataset.degradation is not None:
        return (*dataset.layouts, *GENERIC, Layout("GT"), Layout("."))
    if all(layout.degraded is None for layout in dataset.layouts):
        return (*GENERIC, *dataset.layouts)
    return (*dataset.layouts, *GENERIC)


def _described(layout: Layout) -> str:
    return f"{layout.clean}/" if layout.degraded is None else f"{layout.clean}/ with {layout.degraded}/"


def _in_layouts(dataset: Dataset, folder: Path, *, alone: bool) -> Located | None:
    for layout in _layouts(dataset):
        if alone and dataset.degradation is not None and layout.degraded is not None:
            continue
        places = (
            sorted(path for path in folder.glob(layout.clean) if path.is_dir()) if layout.clean != "." else [folder]
        )
        pairs: list[Pair] = []
        unpaired: list[Path] = []
        lost: list[Path] = []
        for place in places:
            if layout.degraded is None:
                part = clean_alone(place)
                if layout.clean == ".":  # what lies deeper is something else: masks, other levels
                    part = replace(part, pairs=tuple(pair for pair in part.pairs if "/" not in pair.key))
            else:
                degraded = _degraded_folder(folder, place, layout)
                if not degraded.is_dir():
                    continue
                part = pair_folders(place, degraded, layout.template, layout.clean_template)
            prefix = "".join(f"{name}/" for name in _starred(folder, place, layout))
            pairs += [Pair(prefix + pair.key, pair.clean, pair.degraded) for pair in part.pairs]
            unpaired += part.clean_alone
            lost += part.degraded_alone
        if pairs:
            synthetic = layout.degraded is None and dataset.degradation is not None
            return Located(folder, Pairing(tuple(pairs), tuple(unpaired), tuple(lost)), synthetic)
    return None


def clean_alone(folder: Path) -> Pairing:
    """Clean pictures, each its own partner: they will be degraded on the fly."""
    return pair_folders(folder, folder)


def _starred(folder: Path, place: Path, layout: Layout) -> list[str]:
    """What each `*` stands for in a clean folder of that layout: a sequence's name."""
    parts = place.relative_to(folder).parts
    return [part for part, pattern in zip(parts, Path(layout.clean).parts, strict=True) if "*" in pattern]


def _degraded_folder(folder: Path, place: Path, layout: Layout) -> Path:
    """The degraded folder that belongs to a clean one: the layout's, with what `*` stood for."""
    assert layout.degraded is not None
    names = iter(_starred(folder, place, layout))
    return folder.joinpath(*(next(names) if "*" in part else part for part in Path(layout.degraded).parts))
