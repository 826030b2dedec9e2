"""Rows of tables that need an optional package: tests of them are skipped, with the reason, where it is missing."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import pytest

OF_DIFFUSERS = {"flux", "kl-autoencoder", "flux-ir"}
needs_diffusers = pytest.mark.skipif(find_spec("diffusers") is None, reason="the extra 'flux' is not installed")


def rows(names: Iterable[str]) -> list[Any]:
    """Parameters of a test."""
    return [pytest.param(name, marks=needs_diffusers) if name in OF_DIFFUSERS else name for name in names]
