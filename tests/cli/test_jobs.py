"""Several processes on one machine do what one does, also when they are killed."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli.engine.restoration import Restoration
from irsde_cli.errors import MachineError, UsageError
from irsde_cli.workflows.restore import pool
from irsde_cli.workflows.restore.pool import places
from tests.cli.stub import Program, endless, thirteen, tree
from tests.reliability.processes import Running, start

MARK = "RUN_INTO"
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes share the threads of one; another number of threads may change a level."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return thirteen(tmp_path / "in")


def lines(folder: Path) -> Counter[str]:
    """What the manifest says, without order and times."""
    assert not list((folder / ".irsde").glob("*job*")), "the workers' manifests are taken over"
    found: Counter[str] = Counter()
    for line in (folder / ".irsde" / "manifest.jsonl").read_text().splitlines():
        values = {key: value for key, value in json.loads(line).items() if key not in ("seconds", "output_mtime_ns")}
        found[json.dumps(values)] += 1
    return found


def test_several_processes_do_what_one_does(restore: Program, photos: Path, tmp_path: Path) -> None:
    """The same bytes and the same manifest, but for its order; and a resumed run finds all of it."""
    (photos / "bad.png").write_bytes(b"no picture")
    one, several = tmp_path / "one", tmp_path / "several"
    restore(photos, one, "-r", "--samples", 2, code=3)
    events = restore.events(photos, several, "-r", "--samples", 2, "--jobs", 2, code=3)
    assert tree(several) == tree(one)
    assert lines(several) == lines(one)
    assert events[-1] == {"event": "summary", "done": 13, "failed": 1, "skipped": 0, "interrupted": False}
    again = restore(photos, several, "-r", "--samples", 2, "--jobs", 2, code=3)
    assert "0 done, 1 failed, 13 up to date" in again.stderr


def test_shards_of_several_processes(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Each part has a manifest; a run over everything finds in them all that is done."""
    restore(photos, tmp_path / "one", "-r")
    out = tmp_path / "out"
    for index in (1, 2):
        restore(photos, out, "-r", "--shard", f"{index}/2", "--jobs", 2)
    assert tree(out) == tree(tmp_path / "one")
    manifests = sorted(path.name for path in (out / ".irsde").glob("manifest*"))
    assert manifests == ["manifest.1-of-2.jsonl", "manifest.2-of-2.jsonl"]
    assert "13 up to date" in restore(photos, out, "-r", "--jobs", 2).stderr


def deadly(*arguments: Any) -> None:
    """A worker that is killed by pictures called 05 and, once in all, 07."""
    sample = Restoration.sample
    once = Path(arguments[2]) / "once"

    def dying(self: Restoration, batch: Any) -> Any:
        if any(loaded.name == "05.png" for loaded in batch) or ("07.png" in batch[0].name and not once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return sample(self, batch)

    setattr(Restoration, "sample", dying)  # noqa: B010
    WORK(*arguments)


def meeting(*arguments: Any) -> None:
    """A worker that restores nothing until another one is about to restore as well."""
    sample, place = Restoration.sample, Path(arguments[2])

    def waiting(self: Restoration, batch: Any) -> Any:
        (place / f"here-{os.getpid()}").touch()
        until = time.monotonic() + 120
        while len(list(place.glob("here-*"))) < 2:
            assert time.monotonic() < until, "the other process never came"
            time.sleep(0.01)
        return sample(self, batch)

    setattr(Restoration, "sample", waiting)  # noqa: B010
    WORK(*arguments)


def dead(*arguments: Any) -> None:
    """A worker that ends before it has begun."""
    os._exit(1)


WORK = pool._work


def test_processes_work_at_the_same_time(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for what the other does: `tests/benchmarks/scale.py` has the rates."""
    monkeypatch.setattr(pool, "_work", meeting)
    result = restore(photos, tmp_path / "out", "-r", "--jobs", 2)
    assert "13 done, 0 failed" in result.stderr
    assert len(list((tmp_path / "out").glob("here-*"))) == 2


@posix
def test_a_picture_that_kills_its_process_fails_alone(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was with it is restored by the next process, and so is what was killed by chance."""
    restore(photos, tmp_path / "one", "-r")
    monkeypatch.setattr(pool, "_work", deadly)
    result = restore(photos, tmp_path / "out", "-r", "--jobs", 2, code=3)
    assert "failed: 05.png: the process that restored it was ended by signal 9." in result.stderr
    assert "1 failed" in result.stderr
    whole = tree(tmp_path / "one")
    del whole["05.png"]
    assert {name: data for name, data in tree(tmp_path / "out").items() if name != "once"} == whole
    assert not list((tmp_path / "out" / ".irsde").glob("*job*"))


def test_processes_that_do_not_stay_alive(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with 5 instead of starting them for ever."""
    monkeypatch.setattr(pool, "_work", dead)
    result = restore(photos, tmp_path / "out", "--jobs", 2, code=MachineError.exit_code)
    assert "do not stay alive" in result.stderr


def started(stub: Path, photos: Path, out: Path, *more: object) -> Running:
    """`irsde restore` of these in a process of its own."""
    words = ["restore", photos, out, "-r", "--task", "denoise", "--model", stub, "--steps", 60, *more]
    return start(*words, cwd=photos, environment={"OMP_NUM_THREADS": "1", MARK: str(out)})


def alone(out: Path, named: bytes = b"") -> None:
    """Wait until the processes of killed runs into `out` end: what one of them holds, no other run takes over.

    Only those with `named` in their command lines: Ray's own, which write nothing here, stay for a while.
    """
    mark, until = f"{MARK}={out}".encode(), time.monotonic() + 240
    while any(
        named in _read(process, "cmdline") and mark in _read(process, "environ")
        for process in Path("/proc").glob("[0-9]*")
    ):
        assert time.monotonic() < until, "the processes of a killed run do not end"
        time.sleep(0.05)


def told(run: Running, count: int) -> None:
    """Wait for so many results."""
    run.until(lambda: run.stdout.count("\n") >= count)


def ended(run: Running, code: int) -> str:
    found = run.wait(120)
    assert found.code == code, found.stderr
    assert "Traceback" not in found.stderr
    return found.stderr


def workers(run: Running) -> list[int]:
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return [pid for pid in map(int, children) if b"spawn_main" in _read(Path(f"/proc/{pid}"), "cmdline")]


def _read(process: Path, name: str) -> bytes:
    """A file of a process; those of one that has ended are empty."""
    try:
        return (process / name).read_bytes()
    except OSError:  # it has just gone
        return b""


def finished(out: Path) -> dict[str, bytes]:
    """The results; what a killed process was writing lies beside them until the next run."""
    return {name: data for name, data in tree(out).items() if not name.endswith(".part")}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_killed_halfway(restore: Program, stub: Path, photos: Path, tmp_path: Path) -> None:
    """A process, then the run by SIGTERM, then the next by SIGKILL: nothing is torn or lost, and its processes end."""
    restore(photos, tmp_path / "one", "-r", steps=60)
    whole, out = tree(tmp_path / "one"), tmp_path / "out"
    with endless(photos, after="04"):
        run = started(stub, photos, out, "--jobs", 2)
        told(run, 1)
        killed = workers(run)[0]
        os.kill(killed, signal.SIGKILL)
        run.until(lambda: len({*workers(run)} - {killed}) == 2)  # another has come
        run.signal(signal.SIGTERM)
        assert "interrupted" in ended(run, 143)
    before = finished(out)
    assert before.items() <= whole.items() and 1 <= len(before) < len(whole)
    with endless(photos, after="09"):
        run = started(stub, photos, out, "--jobs", 2)
        told(run, 2)
        run.signal(signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL
    assert before.items() < finished(out).items() <= whole.items()
    alone(out)
    shown = restore(photos, out, "-r", steps=60).stderr
    assert ", 0 failed, " in shown and ", 0 up to date" not in shown
    assert tree(out) == whole
    assert not list((out / ".irsde").glob("*job*"))


@pytest.mark.parametrize(
    ("jobs", "named", "kind", "gpus", "count", "expected"),
    [
        ("auto", "auto", "cpu", 0, 9, ["cpu"]),
        (3, "auto", "cpu", 0, 9, ["cpu"] * 3),
        (3, "auto", "cpu", 0, 2, ["cpu"] * 2),
        ("auto", "auto", "cuda:0", 4, 9, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ("auto", "cuda", "cuda", 2, 9, ["cuda:0", "cuda:1"]),
        ("auto", "cuda:1", "cuda:1", 2, 9, ["cuda:1"]),
        (3, "auto", "cuda:0", 2, 9, ["cuda:0", "cuda:1", "cuda:0"]),
        ("auto", "auto", "mps", 0, 9, ["mps"]),
    ],
)
def test_where_processes_run(
    jobs: Any, named: str, kind: str, gpus: int, count: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each GPU, in turn, unless one GPU was named; a CPU is one place."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [str(device) for device in places(jobs, named, torch.device(kind), count)] == expected


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--jobs", "many"]])
def test_jobs_that_are_none(restore: Program, photos: Path, tmp_path: Path, words: list[str]) -> None:
    """Refused before anything is loaded."""
    assert "--jobs" in restore(photos, tmp_path / "out", *words, code=UsageError.exit_code).stderr
