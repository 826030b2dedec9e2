"""The same seed, the same image: what may change of a run without a byte of its results, and what by one level."""

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.stub import picture, pixels, tree
from tests.cli.test_train import SETTINGS
from tests.reliability.processes import irsde, start

SIZES = ((40, 56), (40, 56), (39, 55), (17, 64), (1, 1), (64, 64))
Make = Callable[[Path, list[object]], None]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for index, size in enumerate(SIZES):
        picture(tmp_path / "place" / "in" / f"{index}.png", *size)
    picture(tmp_path / "place" / "in" / "sub" / "6.jpg", 33, 20)
    return tmp_path / "place"


def run(place: Path, options: list[object], *more: object, out: str = "out", threads: int = 1) -> None:
    ended = irsde(
        *("restore", place / "in", place / out, "-r", *options, *more),
        cwd=place,
        prepare=[partial(torch.set_num_threads, threads)],
    )
    assert ended.code == 0, ended.stderr


def as_it_is(place: Path, options: list[object]) -> None:
    run(place, options)


def another_order(place: Path, options: list[object]) -> None:
    names = [str(path.relative_to(place / "in")) for path in (place / "in").rglob("*.*")]
    random.Random(0).shuffle(names)
    (place / "list").write_text("\n".join(names))
    run(place, options, "--files-from", place / "list")


def alone(place: Path, options: list[object]) -> None:
    for index in range(len(SIZES)):
        (place / "list").write_text(f"{index}.png")
        run(place, options, "--files-from", place / "list")
    (place / "list").write_text("sub/6.jpg")
    run(place, options, "--files-from", place / "list")


def three_shards(place: Path, options: list[object]) -> None:
    """At once, as three machines would."""
    words = ["restore", place / "in", place / "out", "-r", *options]
    shards = [start(*words, "--shard", f"{index}/3", cwd=place) for index in (3, 1, 2)]
    assert [shard.wait().code for shard in shards] == [0, 0, 0]


def resumed(place: Path, options: list[object]) -> None:
    run(place, options, "--limit", 3)
    run(place, options)


def interrupted(place: Path, options: list[object]) -> None:
    running = start("restore", place / "in", place / "out", "-r", *options, cwd=place)
    running.until(lambda: list((place / "out").glob("*.png")))
    running.signal(signal.SIGTERM)
    assert running.wait().code in (0, 143, -signal.SIGTERM)  # the last: all was written, and nobody listens any more
    run(place, options)


def more_pictures(place: Path, options: list[object]) -> None:
    for index in range(3):
        picture(place / "in" / f"0{index}-new.png", 40, 56)
    run(place, options)
    for path in (place / "out").glob("*-new.png"):
        path.unlink()


def in_batches(place: Path, options: list[object]) -> None:
    run(place, options, "--batch-size", 4)


def in_tiles(place: Path, options: list[object]) -> None:
    run(place, options, "--tile", 48, "--tile-overlap", 24)


def in_threads(place: Path, options: list[object]) -> None:
    run(place, options, threads=4)


SAME_BYTES = [as_it_is, another_order, alone, three_shards, resumed, interrupted, more_pictures]
ONE_LEVEL = [in_batches, in_tiles, in_threads]


@pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")
@pytest.mark.parametrize("sampler", ["posterior", "ode-1"])
@pytest.mark.parametrize("make", [*SAME_BYTES, *ONE_LEVEL], ids=lambda make: make.__name__)
def test_the_same_image(place: Path, stub: Path, make: Make, sampler: str) -> None:
    """Equal bytes where the arithmetic is the same, and one level of 255 at most where it is not."""
    options = ["--task", "denoise", "--model", stub, "--steps", 5, "--sampler", sampler, "--seed", 3]
    run(place, options, "--batch-size", 1, "--tile", 0, out="whole")
    make(place, [*options, *(["--batch-size", 1, "--tile", 0] if make in SAME_BYTES else [])])
    whole, other = tree(place / "whole"), tree(place / "out")
    assert whole.keys() == other.keys()
    if make in SAME_BYTES:
        assert whole == other
    for name in whole:
        # A JPEG's own rounding spreads a level over its blocks.
        allowed = 1 if name.endswith(".png") else 4
        difference = np.abs(pixels(place / "whole" / name) - pixels(place / "out" / name))
        assert difference.max() <= allowed, name


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_the_same_weights(place: Path) -> None:
    """What is learnt does not depend on how many threads make the batches."""
    (place / "mine.toml").write_text(SETTINGS + f'data = "{place / "in"}"\n')
    for count in (1, 3):
        words = ["train", place / "mine.toml", "--out", place / str(count), "--skip-bad", "--workers", count]
        assert irsde(*words, cwd=place).code == 0
    one, three = ((place / count / "model.safetensors").read_bytes() for count in ("1", "3"))
    assert one == three
