"""Parsers of what nobody should trust, asked with bytes that nobody would write.

The long mode is `pytest tests/reliability/test_fuzz.py --slow`: ten minutes for each parser, guided by coverage.
"""

import importlib.util
import json
import math
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reliability.targets import MANIFEST, SEEDS, SETTINGS, TARGETS

ROOT = Path(__file__).parents[2]
LONG = 600
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([math.inf, 10**30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Callable[[], list[bytes]]) -> bytes:
    """A valid file with bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["change", "cut", "double", "insert", "end"])):
            case "change":
                data[start : start + length] = draw(st.binary(min_size=length, max_size=length))
            case "cut":
                del data[start : start + length]
            case "double":
                data[start:start] = data[start : start + length]
            case "insert":
                data[start:start] = draw(st.binary(max_size=length))
            case _:
                del data[start:]
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, values: Any) -> Any:
    """The same tables with one value, somewhere, that is anything."""
    if isinstance(values, dict) and values and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(values)))
        return values | {key: draw(changed(values[key]))}
    return draw(JSON)


def quick(examples: int) -> settings:
    # The same examples in each run, so that a failure is of the change that is tested.
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=5000, derandomize=True, database=None, suppress_health_check=checks)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_bytes(name: str) -> None:
    """What was valid and has been damaged is read, or refused by a declared error."""

    @quick(150)
    @given(damaged(SEEDS[name]))
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", ["configuration", "shard", "manifest"])
def test_any_bytes(name: str) -> None:
    @quick(150)
    @given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@quick(150)
@given(changed(json.loads(SEEDS["header"]()[0])))
def test_headers_that_say_anything(values: Any) -> None:
    """A checkpoint whose settings are of any kind."""
    TARGETS["header"](json.dumps(values).encode())


@quick(150)
@given(changed(json.loads(MANIFEST)))
def test_lines_that_say_anything(values: Any) -> None:
    TARGETS["manifest"](json.dumps(values).encode())


@quick(150)
@given(changed(tomllib.loads(SETTINGS.decode())))
def test_settings_that_say_anything(values: Any) -> None:
    """Whatever a TOML or JSON file can hold."""
    from irsde_cli.config import from_mapping
    from irsde_cli.errors import UsageError
    from irsde_cli.training.config import TrainConfig

    if isinstance(values, dict):
        try:
            from_mapping(TrainConfig, values, "settings")
        except UsageError as error:
            assert error.message


FOUND = [
    ("manifest", MANIFEST.replace(b": 1,", b": 1e999,")),
    ("shard", b"9" * 5000 + b"/" + b"9" * 5000),
    ("configuration", b"a = " + b"[" * 100_000),
    ("configuration", b"a = " + b"9" * 5000),
    ("header", b'{"a":' * 100_000),
    ("header", b"[" * 100_000),
]


@pytest.mark.parametrize("index", range(len(FOUND)))
def test_what_was_found(index: int) -> None:
    """Inputs that once raised what they should not."""
    name, data = FOUND[index]
    TARGETS[name](data)


@pytest.mark.slow
@pytest.mark.timeout(2 * LONG)
@pytest.mark.parametrize("name", TARGETS)
def test_ten_minutes_each(name: str, tmp_path: Path) -> None:
    """Guided by coverage where atheris is installed, otherwise at random."""
    if importlib.util.find_spec("atheris") is None:

        @settings(quick(10**6), derandomize=False)
        @given(damaged(SEEDS[name]))
        def check(data: bytes) -> None:
            TARGETS[name](data)

        check()
        return
    command = [sys.executable, "-m", "tests.reliability.fuzz", name, str(LONG)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(name, done.stderr[-300:])  # noqa: T201 - for the record
