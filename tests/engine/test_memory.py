"""How pictures are cut: the choice for every amount of free memory, without taking any."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irsde_cli import checkpoint
from irsde_cli.engine import memory, restoration
from irsde_cli.engine.memory import TILE_BYTES, TooLargeError, choose_tile, held_bytes, largest_batch
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.networks.facts import Facts
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS
from irsde_cli.tasks import TASKS
from irsde_cli.weights import shipped_path
from tests.extras import rows
from tests.systems.test_restorers import build

GB = 10**9
CPU = torch.device("cpu")
GPU = torch.device("cuda")
SHIPPED = sorted({task.weights for task in TASKS.values() if task.weights and shipped_path(task.weights).is_file()})


class Sized(Restorer):
    """What is known of a system before it is used."""

    def __init__(self, working_bytes: int, multiple: int, scale: int, *, local: bool) -> None:
        super().__init__()
        self.known = Facts(scale=scale, multiple=multiple, reach=100 if local else None, working_bytes=working_bytes)

    @property
    def facts(self) -> Facts:
        return self.known

    def resolve(self, asked: Any) -> Any:
        raise NotImplementedError

    def steps(self, *_: Any) -> Any:
        raise NotImplementedError


def chosen(free: float, restorer: Restorer, size: tuple[int, int], device: torch.device = CPU, **more: Any) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda _: int(free))
        return choose_tile(restorer, size, device, **more)


def taken(restorer: Restorer, size: tuple[int, int], tile: int, device: torch.device) -> int:
    """Bytes at the worst moment, by the figures that the choice is made of."""
    height, width = restorer.facts.padded_size(size[0] * restorer.scale, size[1] * restorer.scale)
    height, width = min(height, tile or height), min(width, tile or width)
    return held_bytes(restorer, size, device) + height * width * restorer.facts.working_bytes


SIZED = st.builds(
    Sized,
    st.integers(32, 20_000),
    st.sampled_from([1, 2, 8, 16, 24, 32]),
    st.sampled_from([1, 2, 4]),
    local=st.booleans(),
)
SIZES = st.tuples(st.integers(1, 12_000), st.integers(1, 12_000))


@given(SIZED, SIZES, st.floats(1e8, 1e12), st.sampled_from([CPU, GPU]))
def test_what_is_chosen_fits(restorer: Sized, size: tuple[int, int], free: float, device: torch.device) -> None:
    """States and one evaluation stay within free memory, or the picture is refused before anything is taken."""
    try:
        tile = chosen(free, restorer, size, device)
    except TooLargeError as error:
        assert taken(restorer, size, 2 * max(restorer.facts.multiple, 64), device) > free, error.message
        return
    assert taken(restorer, size, tile, device) <= free
    assert tile % restorer.facts.multiple == 0 and (tile == 0 or tile >= 2 * restorer.facts.multiple)


@given(SIZED, SIZES, st.floats(1e8, 1e12), st.floats(1, 100), st.sampled_from([CPU, GPU]))
def test_more_memory_never_makes_smaller_tiles(
    restorer: Sized, size: tuple[int, int], free: float, more: float, device: torch.device
) -> None:
    try:
        little = chosen(free, restorer, size, device)
    except TooLargeError:
        return
    much = chosen(more * free, restorer, size, device)
    assert (much or math.inf) >= (little or math.inf)


@given(SIZED, SIZES, st.floats(1, 1000))
def test_free_memory_has_no_say_where_there_is_enough(restorer: Sized, size: tuple[int, int], more: float) -> None:
    """On a CPU the tile of a local network is its own: every machine with the memory makes the same pixels."""
    restorer.known = replace(restorer.facts, reach=100)
    enough = held_bytes(restorer, size, CPU) + 2 * max(
        TILE_BYTES, restorer.facts.working_bytes * (2 * restorer.facts.multiple + 64) ** 2
    )
    assert chosen(enough, restorer, size) == chosen(more * enough, restorer, size)


def test_a_network_that_sees_all_gets_all_where_it_fits() -> None:
    """Attention and pooling take their statistics from the whole picture, if memory allows; a GPU cuts as little."""
    small = Sized(1000, 8, 1, local=False)
    assert chosen(30 * GB, small, (3000, 4000)) == 0
    assert 0 < chosen(20 * GB, small, (3000, 4000)) == chosen(4 * GB, small, (3000, 4000))
    local = Sized(1000, 8, 1, local=True)
    assert chosen(30 * GB, local, (3000, 4000)) > 0
    assert chosen(30 * GB, local, (3000, 4000), GPU) == 0
    assert chosen(20 * GB, local, (3000, 4000), GPU) > chosen(20 * GB, local, (3000, 4000))


@pytest.mark.parametrize(("sampler", "more"), [("posterior", 0), ("sde-noise-2", 5), ("sde-noise-1", 2)])
def test_what_a_sampler_holds_is_counted(
    sampler: str, more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those for parity hold more images than others, and a large picture is cut, or refused, with that in mind."""
    asked: list[int] = []

    def counted(*_: Any, extra_images: int, **__: Any) -> int:
        asked.append(extra_images)
        return 0

    monkeypatch.setattr(restoration, "choose_tile", counted)
    checkpoint.save(tmp_path / "a.safetensors", build("mean-reverting"), task="denoise")
    settings = Settings(Sampling(sampler, 3), 0)
    Restoration(checkpoint.load(tmp_path / "a.safetensors"), settings, CPU).tile_for((9, 9))
    assert asked == [more]


def test_small_pictures_of_one_size_fit_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is free is not asked for each; for other sizes, for large ones, and a moment later it is."""
    now, asked = [1000.0], []

    def free(_: torch.device) -> int:
        asked.append(now[0])
        return 16 * GB

    monkeypatch.setattr(memory, "free_memory", free)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoint.save(tmp_path / "a.safetensors", build("mean-reverting"), task="denoise")
    system = Restoration(checkpoint.load(tmp_path / "a.safetensors"), Settings(Sampling(), 0), CPU)
    for size, later, times in (
        ((64, 64), 0.1, 1),
        ((64, 64), 0.1, 1),
        ((64, 65), 0.1, 2),
        ((64, 65), 1.0, 3),
        ((600, 600), 0.1, 4),
        ((600, 600), 0.1, 5),
    ):
        now[0] += later
        system.tile_for(size)
        assert len(asked) == times


def test_memory_that_is_short_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Smaller tiles than a machine with more memory would take may change pixels; the picture that fails says why."""
    restorer = Sized(400, 8, 1, local=True)
    usual = chosen(16 * GB, restorer, (3000, 4000))
    assert not caplog.records
    short = chosen(0.9 * GB, restorer, (3000, 4000))
    assert 0 < short < usual
    assert f"tiles of {short} pixels instead of {usual}" in caplog.text
    with pytest.raises(TooLargeError, match=r"takes 0\.7 GB of memory, and 0\.5 GB are free"):
        chosen(0.5 * GB, restorer, (3000, 4000))


def test_workers_share_the_memory() -> None:
    """Four processes on one machine choose what one would choose on a machine with a fourth of the memory."""
    restorer = Sized(1000, 8, 1, local=False)
    for free in (2, 8, 30, 60):
        alone, shared = (
            chosen(free * GB, restorer, (1500, 2000)),
            chosen(4 * free * GB, restorer, (1500, 2000), share=0.125),
        )
        assert alone == shared


@given(SIZED, SIZES, st.floats(1e8, 1e12))
def test_a_batch_fits(restorer: Sized, size: tuple[int, int], free: float) -> None:
    """Pictures are batched by memory: as many as half of it holds, and always one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda _: int(free))
        count = largest_batch(restorer, size, GPU)
    assert count == 1 or count * taken(restorer, size, 0, GPU) <= free / 2 < (count + 1) * taken(restorer, size, 0, GPU)


def test_a_network_with_a_tile_of_its_own_has_it_for_every_large_picture() -> None:
    """Whatever the device and the memory, unless that is short; up to a megapixel the picture is one."""
    restorer = Sized(4000, 64, 1, local=False)
    restorer.known = replace(restorer.facts, tile=512)
    for device in (CPU, GPU):
        assert chosen(64 * GB, restorer, (1024, 1024), device) == 0
        for free in (16, 640):
            assert chosen(free * GB, restorer, (1024, 1088), device) == 512
    assert 0 < chosen(2 * GB, restorer, (1024, 1088)) < 512


@pytest.mark.parametrize("name", SHIPPED)
def test_48_megapixels_take_3_gigabytes(name: str) -> None:
    """By the figures that tests/samplers and tests/networks measure, for each network of the package."""
    restorer = checkpoint.load(shipped_path(name)).restorer
    size = (6000 // restorer.scale, 8000 // restorer.scale)
    for free in (3.5, 8, 64):
        assert taken(restorer, size, chosen(free * GB, restorer, size), CPU) < 3.5 * GB  # 0.4 of it is a margin


@pytest.mark.parametrize("name", rows(SYSTEMS))
def test_batches_shrink_with_the_picture(name: str) -> None:
    """Every system says what it takes."""
    restorer = build(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda _: 16 * GB)
        batches = [largest_batch(restorer, (side, side), CPU) for side in (64, 256, 1024, 8192)]
    assert batches == sorted(batches, reverse=True) and batches[0] > batches[-1] == 1


def test_tiles_share_what_a_network_says() -> None:
    """And else half of how far it looks, or what is usual where it looks everywhere; never more than half of a tile."""
    sized = Sized(1000, 1, 1, local=True)
    assert memory.choose_overlap(sized, 512) == 50
    sized.known = replace(sized.known, scale=4, overlap=32).outside()
    assert memory.choose_overlap(sized, 512) == 128 and memory.choose_overlap(sized, 128) == 64
    assert memory.choose_overlap(Sized(1000, 1, 1, local=False), 512) == memory.USUAL_OVERLAP
