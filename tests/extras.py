"""Rows of tables that need an optional package: tests of them are skipped, with the reason, where it is missing."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import pytest

from irsde_cli.degradations import DEGRADATIONS
from irsde_cli.networks import NETWORKS
from irsde_cli.systems import SYSTEMS

PACKAGES = {"flux": "diffusers"}
EXTRAS = {name: row.extra for table in (NETWORKS, SYSTEMS) for name, row in table.items()}
# Degradations that take nothing but their settings.
ALONE = [name for name, row in DEGRADATIONS.items() if not row.extra]
needs_diffusers = pytest.mark.skipif(find_spec("diffusers") is None, reason="the extra 'flux' is not installed")


def rows(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: names of networks or of systems."""
    return [pytest.param(name, marks=_needs(EXTRAS[name])) if EXTRAS[name] else name for name in names]


def _needs(extra: str) -> Any:
    return pytest.mark.skipif(find_spec(PACKAGES[extra]) is None, reason=f"the extra '{extra}' is not installed")
