"""Optional parts: one table of them, one sentence where one is missing, and no second place that words it."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import irsde_cli
from irsde_cli import extras
from irsde_cli.extras import EXTRAS, MissingError

ROOT = Path(irsde_cli.__file__).parent
FOR_DEVELOPERS = {"dev", "fuzz"}


def test_the_table_is_that_of_the_package() -> None:
    """Each part that pip can install has a row, and its package is what the row says."""
    parts = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(parts) - FOR_DEVELOPERS
    for name, row in EXTRAS.items():
        named = {re.split(r"[\[<>=]", text)[0] for text in parts[name]}
        words = {word.casefold() for word in re.split(r",? and |, ", row.package)}
        assert len(words) == len(named) or name == "ray", (words, named)
        assert all(any(one.startswith(word) for one in named) for word in words) or name == "ray", (words, named)


@pytest.mark.parametrize("name", EXTRAS)
def test_one_sentence_says_what_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it, what it is called, and what to do; whether it is imported or only looked for."""
    row = EXTRAS[name]
    for module in row.modules:
        monkeypatch.setitem(sys.modules, module, None)
    assert not row.here
    for ask in (extras.require, extras.load):
        with pytest.raises(MissingError, match="is not installed") as caught:
            ask(name, "this")
        assert caught.value.message == f"this needs {row.package}, which is not installed."
        assert caught.value.hint == f"Run: pip install 'irsde[{name}]'." and caught.value.exit_code == 5


def test_no_other_place_words_it() -> None:
    for path in ROOT.rglob("*.py"):
        if path.name != "extras.py":
            assert "pip install 'irsde[" not in path.read_text(encoding="utf-8"), path
