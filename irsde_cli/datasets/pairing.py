"""Pairs of clean and degraded files: by relative path and stem, never by position."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irsde_cli.errors import UsageError


@dataclass(frozen=True)
class Pair:
    """One clean file and one degraded file; `key` is what they share: the relative path without suffix."""

    key: str
    clean: Path
    degraded: Path


@dataclass(frozen=True)
class Pairing:
    """All pairs of two folders, in the order of their keys, and the files that found no partner."""

    pairs: tuple[Pair, ...]
    clean_alone: tuple[Path, ...]
    degraded_alone: tuple[Path, ...]


def pictures_of(folder: Path) -> dict[str, Path]:
    """The pictures of a folder, at any depth, by relative path without suffix, sorted.

    Composed and decomposed letters are one: copies of a folder on other systems differ in that.

    Raises:
        UsageError: the folder is missing, or two files have one key.
    """
    from irsde_cli.datasets.discovery import pictures_below  # numpy and Pillow, which listing data sets does without

    files: dict[str, Path] = {}
    for path in pictures_below(folder):
        key = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if key in files:
            raise UsageError(f"'{files[key]}' and '{path}' have the same name but for the suffix; keep one.")
        files[key] = path
    return files


def pair_folders(clean: Path, degraded: Path, template: str = "{stem}", clean_template: str = "{stem}") -> Pairing:
    """Match the pictures of two folders, at any depth.

    Args:
        clean: folder of clean pictures.
        degraded: folder of degraded pictures.
        template: what the stem of the degraded file is, given `{stem}` of the clean one, with `*` for anything:
            "{stem}x4" or "{stem}_*". Several degraded files may share a clean one.
        clean_template: what the stem of the clean file is around the same `{stem}`, without `*`; clean files of
            another form belong to something else.

    Raises:
        UsageError: a folder is missing, the template lacks `{stem}`, or two files of one folder have one key.
    """
    for text in (template, clean_template):
        check_template(text)
    found = pictures_of(clean)
    clean_files, degraded_files = (
        _unwrapped(found, clean_template),
        found if clean == degraded else pictures_of(degraded),
    )
    if clean == degraded and (template, clean_template) != ("{stem}", "{stem}"):
        of_clean = set(clean_files.values())
        degraded_files = {key: path for key, path in degraded_files.items() if path not in of_clean}
    used: set[str] = set()
    pairs, degraded_alone = [], []
    for key, path in degraded_files.items():
        partner = _partner(key, clean_files, template)
        if partner is None:
            degraded_alone.append(path)
        else:
            used.add(partner)
            pairs.append(Pair(key, clean_files[partner], path))
    alone = tuple(path for key, path in clean_files.items() if key not in used)
    return Pairing(tuple(pairs), alone, tuple(degraded_alone))


def check_template(text: str) -> None:
    """Whether it is a template.

    Raises:
        UsageError: it is not.
    """
    if text.count("{stem}") != 1:
        raise UsageError(f"the pair template '{text}' must hold {{stem}} once.", hint='For example "{stem}x4".')


def pair_results(folder: Path, keys: Collection[str], template: str = "{stem}") -> dict[str, Path]:
    """The results that another tool wrote, by the key of the pair that each belongs to.

    Args:
        folder: of results.
        keys: of the pairs.
        template: what the stem of a result is, given `{stem}`, as of `pair_folders`.

    Raises:
        UsageError: not one belongs to a pair, or two belong to one; a template that would do is named.
    """
    files, found = pictures_of(folder), dict[str, Path]()
    for name, path in files.items():
        key = _partner(name, keys, template)
        if key is not None and key in found:
            raise UsageError(
                f"'{found[key]}' and '{path}' are both results of '{key}'.", hint="Let --from-pairs name one of them."
            )
        if key is not None:
            found[key] = path
    if not found and keys:
        usual = _usual_template(files, keys)
        example = f", like '{next(iter(files.values())).name}'," if files else ""
        wanted = next(iter(keys))
        raise UsageError(
            f"not one of the {len(files)} pictures of '{folder}'{example} has the name of a pair, like '{wanted}'.",
            hint=f"--from-pairs says how names differ: --from-pairs '{usual or '{stem}_out'}'.",
        )
    return found


def _usual_template(files: Collection[str], keys: Collection[str]) -> str | None:
    """The template by which most results have a partner."""
    stems = {PurePosixPath(key).name for key in keys}
    votes: Counter[str] = Counter()
    for name in files:
        text = PurePosixPath(name).name
        inner = {text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)} & stems
        longest = max(map(len, inner), default=0)
        for stem in sorted(one for one in inner if len(one) == longest):  # "2-v2" may be of "2" in two ways
            votes["{stem}".join(text.split(stem, 1))] += 1
    return votes.most_common(1)[0][0] if votes else None


def find_masks(place: Path, pairs: Sequence[Pair]) -> dict[str, Path]:
    """The mask of each pair, by its key: a file for all; of a folder that of the same path and stem.

    Masks of a folder that fit no picture by name but are numbered (`000000.png`) go by the picture's place in the
    list, counted from 0: so does the reference with its mask sets. Pairs without a mask are missing in the answer.

    Raises:
        UsageError: two masks have one name.
    """
    if not place.is_dir():
        return {pair.key: place for pair in pairs}
    masks = pictures_of(place)
    if any(pair.key in masks for pair in pairs):
        return {pair.key: masks[pair.key] for pair in pairs if pair.key in masks}
    numbered = {int(key): path for key, path in masks.items() if key.isascii() and key.isdigit()}
    return {pair.key: numbered[index] for index, pair in enumerate(pairs) if index in numbered}


def _unwrapped(files: dict[str, Path], template: str) -> dict[str, Path]:
    """The files of that form, by what stands for `{stem}`."""
    before, after = template.split("{stem}")
    found = {}
    for key, path in files.items():
        name = PurePosixPath(key).name
        if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
            found[key.removesuffix(name) + name[len(before) : len(name) - len(after)]] = path
    return found


def _partner(key: str, clean: Collection[str], template: str) -> str | None:
    """The clean key that the degraded `key` belongs to; the longest stem where `*` leaves a choice."""
    if template == "{stem}":
        return key if key in clean else None
    path = PurePosixPath(key)
    before, after = (".*".join(map(re.escape, part.split("*"))) for part in template.split("{stem}"))
    for length in range(len(path.name), 0, -1):
        for start in range(len(path.name) - length + 1):
            stem = path.name[start : start + length]
            candidate = key.removesuffix(path.name) + stem
            if candidate in clean and re.fullmatch(before + re.escape(stem) + after, path.name, re.DOTALL):
                return candidate
    return None
