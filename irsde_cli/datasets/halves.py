"""Folders that hold pairs, told by their names: the clean half, the damaged half, and what is taken for the other.

Training on clean pictures that it damages itself learns nothing from damaged ones, and nothing says so afterwards.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Literal

from irsde_cli.errors import UsageError

Role = Literal["clean", "damaged"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CLEAN = _words(
    "gt gts groundtruth truth clean cleaned clear sharp hr hq hires highres highresolution high target targets norain "
    "nohaze nofog nosnow noblur nonoise noiseless noisefree hazefree fogfree rainfree snowfree blurfree shadowfree "
    "noshadow nonshadow reference references ref original originals orig long bright normal normallight pristine "
    "lossless uncompressed undistorted undegraded after"
)
DAMAGED = _words(
    "noisy noised blur blurred blurry blurring lq lr lowres lowresolution lowquality lowlight degraded degradation "
    "damaged corrupted distorted compressed rainy rained raindrop raindrops rainstreak rainstreaks hazy foggy snowy "
    "bicubic downsampled underexposed overexposed shadowed scratched moire"
)
# Words that may as well say what pictures show, or where they come from: they count where names of files pair up too.
PERHAPS = _words(
    "low input inputs in dark rain haze fog mist snow smoke cloud cloudy shadow shadows noise short raw before under "
    "over bad dirty masked jpeg drops"
)
COMPOUNDS: dict[tuple[str, str], Role] = {
    ("ground", "truth"): "clean",
    ("well", "exposed"): "clean",
    **{(word, "free"): "clean" for word in ("rain", "haze", "fog", "snow", "noise", "blur", "shadow", "moire")},
    **{(no, word): "clean" for no in ("no", "non") for word in ("rain", "haze", "fog", "snow", "noise", "shadow")},
    **{("high", word): "clean" for word in ("resolution", "res", "quality", "light")},
    **{("normal", word): "clean" for word in ("light", "exposure")},
    **{("low", word): "damaged" for word in ("resolution", "res", "quality", "light")},
    **{(side, word): "damaged" for side in ("under", "over") for word in ("exposed", "exposure")},
    **{("rain", word): "damaged" for word in ("drop", "drops", "streak", "streaks")},
}
# What says nothing of which half it is, nor of which pair.
NEUTRAL = _words(
    "image images img imgs photo photos picture pictures pic pics png jpg srgb rgb crop crops patch patches sub set "
    "gamma linear color colour folder frames sequence of the and"
)
LETTERS: dict[str, Role] = {"a": "damaged", "c": "clean"}  # of sets of shadows: train_A, train_C
SCALE = re.compile(r"(?<![a-z])x[2348](?![a-z0-9])|(?<=[a-z0-9])x[2348](?![a-z0-9])", re.IGNORECASE)
WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)|[^A-Za-z0-9]+")
ABOVE = 3


@dataclass(frozen=True)
class Name:
    """What the name of a file or a folder says.

    Attributes:
        role: which half; `None` where it does not say.
        sure: whether the word has no other meaning in the names of pictures.
        rest: the other words; numbers too, which tell files apart.
    """

    role: Role | None
    sure: bool
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Halves:
    """A clean and a damaged place that belong together."""

    clean: Path
    damaged: Path


def read_name(text: str) -> Name:
    """What a name says; of several words the last one decides: `blur_gt` is clean, `sharp_bicubic` is damaged."""
    plain = SCALE.sub(" ", text)
    words = [word.lower() for word in WORDS.split(plain) if word]
    role: Role | None = None
    sure, rest = False, []
    index = 0
    while index < len(words):
        word, both = words[index], COMPOUNDS.get(tuple(words[index : index + 2]))  # type: ignore[arg-type]
        if both is not None:
            role, sure = both, True
            index += 1
        elif word in CLEAN:
            role, sure = "clean", True
        elif word in DAMAGED:
            role, sure = "damaged", True
        elif word in PERHAPS:
            role, sure = "damaged", False
        elif word not in NEUTRAL:
            rest.append(word)
        index += 1
    if role is None and plain != text and rest:  # 0001x4 beside 0001
        role = "damaged"
    if role is None and len(rest) == 2 and rest[0] in ("train", "test") and rest[1] in LETTERS:
        role = LETTERS[rest.pop()]
    return Name(role, sure, tuple(rest))


def find_halves(root: Path, pictures: Sequence[Path]) -> Halves | None:
    """Where pictures that are given as clean ones are pairs, or the damaged half of pairs that lie beside `root`.

    Args:
        root: a folder.
        pictures: all pictures below it.
    """
    return _below(root, pictures) or _among(pictures) or _beside(root, pictures)


def check_clean(root: Path, pictures: Sequence[Path]) -> None:
    """Refuse pairs, and a damaged half, in the place of clean pictures.

    Raises:
        UsageError: the folder looks like that; the way out is named.
    """
    found = find_halves(root, pictures)
    if found is None:
        return
    pairs = "--degradation none and a folder with both halves, like GT/ and LQ/"
    if found.damaged.is_dir():
        if found.clean.resolve().parent == found.damaged.resolve().parent:
            pairs = f"--degradation none --data '{found.clean.parent}'"
        raise UsageError(
            f"'{root}' {'holds pairs' if found.clean.is_relative_to(root) else 'is the damaged half of pairs'}, and "
            f"clean pictures are wanted: '{found.damaged}' belongs to '{found.clean}'.",
            hint=f"Name the clean half, '{found.clean}'; or learn from the pairs: {pairs}.",
        )
    raise UsageError(
        f"'{root}' holds pairs, and clean pictures are wanted: '{found.damaged.name}' belongs to '{found.clean.name}'.",
        hint=f"Move the damaged ones away; or learn from the pairs: {pairs}, and --pairs for what names differ in.",
    )


def find_pair_folders(root: Path, scale: int = 1) -> tuple[Path, Path] | None:
    """The clean and the degraded folder directly under `root`, by their names in any case, or `None`.

    Where there are several of a kind, `GT` and `LQ` come first, and else there is no telling which. Of a degraded
    folder for several scales, `X2` to `X4`, that of `scale` is taken.
    """
    if not root.is_dir():
        return None
    folders = [(folder, read_name(folder.name)) for folder in sorted(root.iterdir()) if folder.is_dir()]
    found = list(_related(folders))
    if len(found) > 1:
        names = {(one.name.lower(), other.name.lower()): (one, other) for one, other in found}
        first = (f"lq_x{scale}", f"lr_x{scale}", "lq", "lr")
        found = [names[both] for both in product(("gt", "hq", "hr"), first) if both in names][:1]
    if not found:
        return None
    clean, damaged = found[0]
    inner = next((damaged / name for name in (f"X{scale}", f"x{scale}") if (damaged / name).is_dir()), damaged)
    return clean, inner


def _related(folders: Iterable[tuple[Path, Name]]) -> Iterator[tuple[Path, Path]]:
    """Each clean folder with each damaged one, of names that are the same but for that."""
    kinds: dict[Role | None, list[tuple[Path, Name]]] = defaultdict(list)
    for folder, name in folders:
        kinds[name.role].append((folder, name))
    for (clean, one), (damaged, other) in product(kinds["clean"], kinds["damaged"]):
        if _alike(one, other):
            yield clean, damaged


def _alike(one: Name, other: Name) -> bool:
    first, second = ({word for word in name.rest if not word.isdigit()} for name in (one, other))
    return first <= second or second <= first


def _below(root: Path, pictures: Sequence[Path]) -> Halves | None:
    """Folders below the root, of which one is the clean and one the damaged half."""
    inside: dict[Path, list[Path]] = defaultdict(list)
    for picture in pictures:
        for folder in picture.relative_to(root).parents:
            inside[root / folder].append(picture)
    siblings: dict[Path, list[tuple[Path, Name]]] = defaultdict(list)
    for folder in inside:
        name = read_name(folder.name)
        if folder != root and name.role is not None:
            siblings[folder.parent].append((folder, name))
    for parent in sorted(siblings):
        for clean, damaged in _related(sorted(siblings[parent])):
            if read_name(damaged.name).sure or _stems(inside[clean]) & _stems(inside[damaged]):
                return Halves(clean, damaged)
    return None


def _among(pictures: Sequence[Path]) -> Halves | None:
    """Files of one folder of which at least half are pairs by their names."""
    folders: dict[Path, list[tuple[Path, Name]]] = defaultdict(list)
    for picture in pictures:
        folders[picture.parent].append((picture, read_name(picture.stem)))
    for files in folders.values():
        clean = {name.rest: path for path, name in files if name.role != "damaged" and name.rest}
        paired = [(path, name.rest) for path, name in files if name.role == "damaged" and name.rest in clean]
        if paired and 2 * (len(paired) + len({rest for _, rest in paired})) >= len(files):
            path, rest = paired[0]
            return Halves(clean[rest], path)
    return None


def _beside(root: Path, pictures: Sequence[Path]) -> Halves | None:
    """A clean half next to the root, or next to a folder above it."""
    place = root.resolve()
    for folder in (place, *place.parents)[:ABOVE]:
        name = read_name(folder.name)
        if name.role != "damaged" or folder == folder.parent:
            continue
        try:
            others = [(path, read_name(path.name)) for path in sorted(folder.parent.iterdir()) if path.is_dir()]
        except OSError:
            continue
        for clean, _ in _related([(folder, name), *(one for one in others if one[1].role == "clean")]):
            if (name.sure and folder == place) or _stems(clean.rglob("*.*")) & _stems(pictures):
                return Halves(clean, root)
    return None


def _stems(paths: Iterable[Path]) -> set[tuple[str, ...]]:
    """What tells the pictures of a half apart."""
    return {read_name(PurePosixPath(path.name).stem).rest for path in paths} - {()}
