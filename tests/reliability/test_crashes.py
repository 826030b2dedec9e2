"""Killed at every write, fsync and rename, or at any instant; and power that fails: final names are whole or absent.

The long mode is `pytest tests/reliability/test_crashes.py --slow`.
"""

import hashlib
import io
import json
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from irsde_cli.conversions.published import export
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.weights import MODEL
from tests.cli.stub import TRAINING, picture, tree
from tests.hub_server import Repo, served
from tests.reliability import points
from tests.reliability.power import Disk, Ordering
from tests.reliability.processes import Ended, irsde, start

SETTINGS = TRAINING.format(steps=6, save_every=2) + "validate_every = 3\nkeep = 2\n"
Files = dict[str, bytes]
CACHE = "hf/"
# What the Hub's client leaves in its cache when it is killed; it reads none of these again.
HARMLESS = re.compile(r"hf/hub/(.*\.incomplete|.*/tmp_[-\w]+|.*\.tmp|(.*/)?tmp\w+/.*|\.locks/.*|CACHEDIR\.TAG)")


@dataclass(frozen=True)
class Command:
    """A command that changes a folder.

    Attributes:
        prepare: makes its inputs in a folder.
        words: the command line, for that folder and the stub's weights.
        changed: the folder below it that is changed.
        files: what lies in the changed folder under final names.
        results: what must come out the same, however often the command was killed.
        allowed: what a file may hold at any time, from the folder's files before and after an unbroken run.
    """

    prepare: Callable[[Path], None]
    words: Callable[[Path, Path], list[object]]
    changed: str
    files: Callable[[Path], Files]
    results: Callable[[Path], Files]
    allowed: Callable[[str, Files, Files], set[bytes]]


def _photos(place: Path) -> None:
    for index in range(2):
        picture(place / "in" / f"{index}.png", 20, 20)
    picture(place / "in" / "sub" / "2.jpg", 12, 20)


def _restore(place: Path, stub: Path, *more: object) -> list[object]:
    options = ["--task", "denoise", "--model", stub, "--steps", 2, "-r", *more]
    return ["restore", place / "in", *([] if "--in-place" in more else [place / "out"]), *options]


def _draws(place: Path, stub: Path) -> list[object]:
    return _restore(place, stub, "--samples", 2, "--trajectory", 2)


def _in_place(place: Path, stub: Path) -> list[object]:
    return _restore(place, stub, "--in-place")


def _backup(place: Path, stub: Path) -> list[object]:
    return _restore(place, stub, "--in-place", "--backup")


def _restored(folder: Path) -> Files:
    return {name: data for name, data in tree(folder).items() if not name.endswith(".part")}


def _new(name: str, before: Files, after: Files) -> set[bytes]:
    return {after[name]}


def _old_or_new(name: str, before: Files, after: Files) -> set[bytes]:
    return {before[name], after[name]}


def _original_or_new(name: str, before: Files, after: Files) -> set[bytes]:
    """Names are those of originals or of results; a backup holds the original."""
    return {before[name.removesuffix(".orig")]} if name.endswith(".orig") else {before[name], after[name]}


def _photos_and_settings(place: Path) -> None:
    for index in range(2):
        picture(place / "clean" / f"{index}.png", 24, 20)
        picture(place / "held-out" / f"{index}.png", 24, 20)
    (place / "mine.toml").write_text(SETTINGS)


def _train(place: Path, _: Path) -> list[object]:
    folders = ["--data", place / "clean", "--validation", place / "held-out"]
    return ["train", place / "mine.toml", *folders, "--out", place / "run"]


def _state(data: bytes) -> bytes:
    """The values of a saved state; its bytes depend on which of its strings are one object."""
    return repr(_plain(torch.load(io.BytesIO(data), weights_only=True))).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _checkpoints(folder: Path) -> Files:
    """Checkpoints, states and settings, without the log, pictures and displays."""
    found = {
        name: data
        for name, data in tree(folder).items()
        if name.split("/")[0] not in (".lock", "log.jsonl", "validation", "tensorboard") and ".part" not in name
    }
    return {name: _state(data) if name.endswith(".pt") else data for name, data in found.items()}


def _trained(folder: Path) -> Files:
    """The checkpoints at the top, the last step, the settings and the losses."""
    found = {name: data for name, data in _checkpoints(folder).items() if not name.startswith("step-0000000")}
    found |= {name: data for name, data in _checkpoints(folder).items() if name.startswith("step-00000006/")}
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return found | {"losses": json.dumps({line["step"]: line["loss"] for line in lines}).encode()}


def _steps(name: str, before: Files, after: Files) -> set[bytes]:
    """Checkpoints at the top may be those of any step."""
    if name in ("model.safetensors", "best.safetensors"):
        return {data for other, data in after.items() if other.endswith("/model.safetensors")}
    return {after[name]}


def _older(place: Path) -> None:
    """Weights that an earlier run put where the new ones go."""
    folder = place / "home" / "there"
    folder.mkdir(parents=True)
    (folder / "good.safetensors").write_bytes(b"older")
    (folder / "good.sha256").write_text(f"{hashlib.sha256(b'older').hexdigest()}  good.safetensors\n")


def _fetch(place: Path, _: Path) -> list[object]:
    return ["download", "me/good", "--local-dir", place / "home" / "there"]


def _official(place: Path) -> None:
    (place / "official.pth").write_bytes(_official_bytes())


@cache
def _official_bytes() -> bytes:
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "official.pth"
        export(MeanReverting(MeanRevertingConfig(NetworkConfig("unet", {"nf": 8, "depth": 2}))), [path])
        return path.read_bytes()


def _convert(place: Path, _: Path) -> list[object]:
    return ["download", "rain100h", "--from", place / "official.pth", "--max-sigma", 10]


def _fetched(folder: Path) -> Files:
    return {
        name: data for name, data in tree(folder).items() if not name.endswith(".part") and not HARMLESS.fullmatch(name)
    }


def _weights(folder: Path) -> Files:
    """What can be loaded; a checksum beside it is that of the file, or not there yet."""
    found = _fetched(folder)
    for note in [name for name in found if name.endswith(".sha256")]:
        noted, path = found.pop(note).decode(), folder / Path(note).with_suffix(".safetensors")
        if noted:
            assert noted == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    return found


def _older_or_new(name: str, before: Files, after: Files) -> set[bytes]:
    return {files[name] for files in (before, after) if name in files}


COMMANDS = {
    "restore": Command(_photos, _restore, "out", _restored, _restored, _new),
    "draws": Command(_photos, _draws, "out", _restored, _restored, _new),
    "in-place": Command(_photos, _in_place, "in", _restored, _restored, _old_or_new),
    "backup": Command(_photos, _backup, "in", _restored, _restored, _original_or_new),
    "train": Command(_photos_and_settings, _train, "run", _checkpoints, _trained, _steps),
    "fetch": Command(_older, _fetch, "home", _weights, _fetched, _older_or_new),
    "convert": Command(_official, _convert, "home", _weights, _fetched, _older_or_new),
}


class Loop:
    """Runs of one command, killed and run again, compared with one that nothing broke."""

    def __init__(self, command: Command, folder: Path, stub: Path, endpoint: str) -> None:
        self.command, self.folder, self.stub, self.endpoint = command, folder, stub, endpoint
        self.kills = self.places = 0
        place = self.place()
        before = command.files(place / command.changed)
        self.points, self.seconds = self._unbroken(place)
        self.results = command.results(place / command.changed)
        history = command.files(place / command.changed)
        if "train" in self._words(place):
            place = self.place()
            assert self.run(place, "--keep", 100).code == 0
            history = command.files(place / command.changed)
        self._before, self._after = before, history

    def place(self) -> Path:
        """Fresh inputs."""
        self.places += 1
        place = self.folder / str(self.places)
        place.mkdir(parents=True)
        self.command.prepare(place)
        return place

    def _words(self, place: Path) -> list[object]:
        return self.command.words(place, self.stub)

    def run(self, place: Path, *more: object, prepare: tuple[points.Prepare, ...] = ()) -> Ended:
        return irsde(*self._words(place), *more, cwd=place, environment=self._environment(place), prepare=prepare)

    def _environment(self, place: Path) -> dict[str, str | None]:
        """A Hub, its cache, and a store of weights."""
        home = place / "home"
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_CACHE": None,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": None,
            "IRSDE_WEIGHTS": str(home / "weights"),
        }

    def _unbroken(self, place: Path) -> tuple[list[points.Point], float]:
        since = time.monotonic()
        ended = self.run(place, prepare=(points.count(place / self.command.changed, place / "points"),))
        assert ended.code == 0, ended.complaint
        return points.counted(place / "points"), time.monotonic() - since

    def kill_at(self, number: int, place: Path) -> None:
        """A run that is killed at a point; there may be fewer points where an earlier run did a part."""
        ended = self.run(place, prepare=(points.kill_at(place / self.command.changed, number),))
        assert ended.code in (-signal.SIGKILL, 0), ended.complaint
        self.kills += ended.code != 0
        self.check(place)

    def kill_after(self, seconds: float, place: Path) -> None:
        """A run that is killed whatever it does."""
        running = start(*self._words(place), cwd=place, environment=self._environment(place))
        time.sleep(seconds)
        running.signal(signal.SIGKILL)
        self.kills += running.wait().code != 0
        self.check(place)

    def check(self, place: Path, without: str = "/") -> None:
        """Final names are whole or absent, but for those that begin so."""
        for name, data in self.command.files(place / self.command.changed).items():
            if name.startswith(without):
                continue
            assert data in self.command.allowed(name, self._before, self._after), f"{name} is neither whole nor absent"

    def finish(self, place: Path) -> None:
        """The same command finishes, and leaves what an unbroken run leaves."""
        ended = self.run(place)
        assert ended.code == 0, ended.complaint
        folder = place / self.command.changed
        assert self.command.results(folder) == self.results
        assert not list(place.rglob("*.part"))


@pytest.fixture
def loop(request: pytest.FixtureRequest, tmp_path: Path, stub: Path) -> Iterator[Loop]:
    with served({"me/good": Repo({MODEL: stub.read_bytes()})}) as hub:
        yield Loop(COMMANDS[request.param], tmp_path / "loop", stub, hub.endpoint)


@pytest.mark.parametrize(
    ("loop", "kills"),
    [("restore", 12), ("draws", 3), ("in-place", 6), ("backup", 6), ("train", 7), ("fetch", 9), ("convert", 5)],
    indirect=["loop"],
)
def test_killed_at_points(loop: Loop, kills: int) -> None:
    """Before, within and after writes, fsyncs, renames and lines of the manifest, evenly spread over the run."""
    for index in range(kills):
        place = loop.place()
        loop.kill_at(index * len(loop.points) // kills, place)
        loop.finish(place)
    assert loop.kills == kills


@pytest.mark.parametrize("loop", ["restore", "in-place", "train", "fetch"], indirect=True)
def test_killed_again_and_again_at_any_instant(loop: Loop) -> None:
    """kill -9 at random instants of one run, and of those that go on with it."""
    draw, place = random.Random(0), loop.place()
    for _ in range(3):
        loop.kill_after(draw.uniform(0.3, 1) * loop.seconds, place)
    loop.finish(place)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("loop", COMMANDS, indirect=True)
def test_killed_at_every_point(loop: Loop) -> None:
    """All of them in turn; then at random points and instants of runs that go on with killed runs."""
    for number in range(len(loop.points)):
        place = loop.place()
        loop.kill_at(number, place)
        loop.finish(place)
    assert loop.kills == len(loop.points)
    draw = random.Random(0)
    for _ in range(10):
        place = loop.place()
        for _ in range(2):
            loop.kill_at(draw.randrange(len(loop.points)), place)
            loop.kill_after(draw.uniform(0, 1) * loop.seconds, place)
        loop.finish(place)
    print(f"{loop.kills} kills at {len(loop.points)} points and at random instants")  # noqa: T201 - for the record


@pytest.mark.parametrize("ordering", ["names first", "names late"])
@pytest.mark.parametrize("loop", ["restore", "in-place", "backup", "train", "fetch", "convert"], indirect=True)
def test_power_fails(loop: Loop, ordering: Ordering, request: pytest.FixtureRequest) -> None:
    """Of what was not forced to the disk half the data are there, or none of the names; the rest is enough to go on.

    The Hub's client forces nothing: what it left is compared with its SHA-256 by whoever takes it.
    """
    recorded = loop.place()
    changed = loop.command.changed
    notes = recorded.with_suffix(".points")
    disk = Disk(recorded)
    assert loop.run(recorded, prepare=(points.count(recorded, notes),)).code == 0
    moments = points.counted(notes)
    told = [point for point in moments if point.moment == "after"]
    wanted = set(range(len(told))) if request.config.getoption("--slow") else set(range(3, len(told), len(told) // 5))
    for index, _ in enumerate(disk.after(moments)):
        if index in wanted:
            place = loop.place()
            disk.lose_power(place, ordering)
            loop.check(place, without=CACHE)
            loop.finish(place)
    place = loop.place()
    disk.lose_power(place, ordering)
    left, made = (
        {name: data for name, data in files.items() if not name.startswith(CACHE)}
        for files in (loop.command.results(place / changed), loop.results)
    )
    assert left == made, "what a finished run made is on the disk"
