"""The table of docs/reliability.md against the tests."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
CODES = {"0", "2", "3", "4", "5", "129", "130", "141", "143", "-"}


@cache
def defined(path: str) -> set[str]:
    body = ast.parse((TESTS / path).read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_tests() -> None:
    """The rows are numbered, and each has exit codes that exist and tests that exist."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d+ \|", line)]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) >= 40
    for number, _, _, codes, tests in rows:
        assert set(codes.split(", ")) <= CODES, number
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", tests)
        assert named and len(named) == tests.count("`") / 2, number
        for path, test in named:
            assert test in defined(path), (number, path, test)
