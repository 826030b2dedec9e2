"""Tables from names to import strings.

Listing a table imports nothing, so `--help` can name every choice without loading torch.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from irsde_cli.errors import UsageError


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that no table holds, with its nearest neighbour."""
    names = list(known)
    near = nearest(name, names)
    guess = f" Did you mean '{near}'?" if near is not None else ""
    return UsageError(f"unknown {kind} '{name}'.{guess}", hint=f"Known: {', '.join(names)}.")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that somebody most likely meant: case, and what joins words, count for nothing."""
    plain = {_plain(one): one for one in known}
    close = [_plain(name)] if _plain(name) in plain else difflib.get_close_matches(_plain(name), plain, n=1)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-").replace(" ", "-")


def address(paper: str) -> str:
    """Where a paper is, by its number at arXiv or its DOI; an address of anything else is one already."""
    if paper.startswith("https://"):
        return paper
    return f"https://doi.org/{paper}" if "/" in paper else f"https://arxiv.org/abs/{paper}"


# `weights`: official weights gave the published or recorded numbers. `code`: with equal weights it gives the numbers of
# the official code. `properties`: neither was to be had, or it is ours; what must hold of it does.
Checked = Literal["weights", "code", "properties"]


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    Attributes:
        target: "module:attribute".
        paper: its number at arXiv, its DOI, or where the authors' code is.
        checked: how it is known to be right; see `Checked`.
        evidence: the test that shows it.
        extra: the optional part of the package that it needs.
        marks: names of tensors by which a file of it is known without loading it.
        fills: the part of a system that such a file fills.
        example: the smallest settings with which it does all that it promises; tests of every row build it with them.
    """

    target: str
    paper: str = ""
    checked: Checked | None = None
    evidence: str = ""
    extra: str = ""
    marks: tuple[str, ...] = ()
    fills: str = "network"
    example: Mapping[str, Any] = field(default_factory=dict)


class Registry(Mapping[str, Entry]):
    """A table from names to rows, loaded one at a time.

    Args:
        kind: what its rows are called.
        entries: the rows, or of one without more to say its target alone.

    Raises:
        UsageError: from `load` and `check`, if the name is unknown.
    """

    def __init__(self, kind: str, entries: Mapping[str, str | Entry]) -> None:
        self.kind = kind
        self._entries = {name: Entry(row) if isinstance(row, str) else row for name, row in entries.items()}

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str) -> str:
        """`name` itself, if the table has it."""
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return name

    def load(self, name: str) -> Any:
        """Import and return the entry of that name."""
        module, _, attribute = self._entries[self.check(name)].target.partition(":")
        return getattr(import_module(module), attribute)
