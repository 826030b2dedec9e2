"""Every row says how it is known to be right, and the test that shows it."""

import ast
from pathlib import Path

import pytest

from irsde_cli.degradations import DEGRADATIONS
from irsde_cli.inverse import METHODS
from irsde_cli.networks import NETWORKS
from irsde_cli.processes import PROCESSES
from irsde_cli.systems import SYSTEMS
from irsde_cli.training import OBJECTIVES
from irsde_cli.weights.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
TABLES = {
    "networks": NETWORKS,
    "processes": PROCESSES,
    "systems": SYSTEMS,
    "objectives": OBJECTIVES,
    "methods": METHODS,
    "degradations": DEGRADATIONS,
}
EVIDENCE = {f"{kind} {name}": row.evidence for kind, table in TABLES.items() for name, row in table.items()} | {
    f"weights {name}": row.evidence for name, row in CATALOGUE.items() if row.checked
}


@pytest.mark.parametrize(("row", "evidence"), EVIDENCE.items(), ids=EVIDENCE)
def test_the_evidence_exists(row: str, evidence: str) -> None:
    """It is a test of this suite."""
    file, _, name = evidence.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name.startswith("test_")
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, row


@pytest.mark.parametrize("kind", TABLES)
def test_every_row_is_checked(kind: str) -> None:
    """One way or another."""
    assert [name for name, row in TABLES[kind].items() if row.checked is None] == []
