"""A real Ray of one node does what one process does, also when its actors are killed."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli.engine.restoration import Restoration
from irsde_cli.errors import MachineError
from irsde_cli.workflows.restore import cluster
from tests.cli.stub import Program, endless, thirteen, tree
from tests.cli.test_jobs import alone, ended, lines, started, told
from tests.reliability.processes import ROOT

REASON = "the extra 'ray' is not installed"
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray deprecates parts of itself while it uses them


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return thirteen(tmp_path / "in")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A Ray of two cores, whose processes import this checkout."""
    found = pytest.importorskip("ray", reason=REASON)
    pytest.importorskip("pyarrow", reason=REASON)
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", *cluster.QUIET)}
    os.environ.update({"PYTHONPATH": str(ROOT)} | cluster.QUIET)
    try:
        found.init("local", num_cpus=2, log_to_driver=False, include_dashboard=False)
        yield found
    finally:
        found.shutdown()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture
def one_thread() -> Iterator[None]:
    """An actor that takes one core has one thread; another number of threads may change a level."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("ray", "one_thread")
def test_a_cluster_does_what_one_process_does(restore: Program, photos: Path, tmp_path: Path) -> None:
    """The same bytes and the same manifest, but for its order; and one process finds all of it up to date."""
    (photos / "bad.png").write_bytes(b"no picture")
    one, many = tmp_path / "one", tmp_path / "many"
    restore(photos, one, "-r", "--samples", 2, code=3)
    events = restore.events(photos, many, "-r", "--samples", 2, "--ray", "auto", "--jobs", 2, code=3)
    assert tree(many) == tree(one)
    assert lines(many) == lines(one)
    assert events[-1] == {"event": "summary", "done": 13, "failed": 1, "skipped": 0, "interrupted": False}
    assert "0 done, 1 failed, 13 up to date" in restore(photos, many, "-r", "--samples", 2, code=3).stderr


class Deadly(cluster._Actor):
    """It is killed by pictures called 05, and once in all by 07."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        sample, once = Restoration.sample, self._folder / "once"

        def dying(self: Restoration, batch: Any) -> Any:
            name = batch[0].name
            if name == "05.png" or (name == "07.png" and not once.exists()):
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return sample(self, batch)

        setattr(Restoration, "sample", dying)  # noqa: B010 - in a process of its own
        try:
            return super().__call__(row)
        finally:
            setattr(Restoration, "sample", sample)  # noqa: B010


@pytest.mark.usefixtures("ray", "one_thread")
def test_a_picture_that_kills_its_actor_fails_alone(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was with it, and what was killed by chance, is restored by others."""
    restore(photos, tmp_path / "one", "-r")
    monkeypatch.setattr(cluster, "_Actor", Deadly)
    monkeypatch.setattr(cluster, "TASKS_FOR_EACH", 2)  # so that several pictures are lost together
    result = restore(photos, tmp_path / "out", "-r", "--ray", "auto", "--jobs", 2, code=3)
    assert "failed: 05.png: the process that restored it did not survive." in result.stderr
    assert "1 failed" in result.stderr
    whole = tree(tmp_path / "one")
    del whole["05.png"]
    assert {name: data for name, data in tree(tmp_path / "out").items() if name != "once"} == whole
    assert not list((tmp_path / "out" / ".irsde").glob("*job*"))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_run_that_is_stopped_and_one_that_is_killed(
    restore: Program, stub: Path, photos: Path, tmp_path: Path
) -> None:
    """By SIGTERM and by SIGKILL, with a Ray of its own: nothing is torn or lost, and the next run goes on."""
    pytest.importorskip("ray", reason=REASON)
    pytest.importorskip("pyarrow", reason=REASON)
    restore(photos, tmp_path / "one", "-r", steps=60)
    whole, out = tree(tmp_path / "one"), tmp_path / "out"
    before: dict[str, bytes] = {}
    for number, code, after in ((signal.SIGTERM, 143, "04"), (signal.SIGKILL, -signal.SIGKILL, "09")):
        with endless(photos, after):
            run = started(stub, photos, out, "--ray", "local", "--jobs", 2)
            told(run, 1)
            run.signal(number)
            ended(run, code)
        alone(out, b"ray::")
        found = {name: data for name, data in tree(out).items() if not name.endswith(".part")}
        assert before.items() < found.items() <= whole.items()
        before = found
    assert "0 failed" in restore(photos, out, "-r", steps=60).stderr
    assert tree(out) == whole
    assert sum('"run"' in line for line in (out / ".irsde" / "manifest.jsonl").read_text().splitlines()) == 3
    assert not list((out / ".irsde").glob("*job*"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto"])
def test_no_such_cluster(
    restore: Program, photos: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence and 5."""
    found = pytest.importorskip("ray", reason=REASON)
    pytest.importorskip("pyarrow", reason=REASON)
    found.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    result = restore(photos, tmp_path / "out", "--ray", address, code=MachineError.exit_code)
    assert f"there is no Ray cluster at '{address}'" in result.stderr and "ray start --head" in result.stderr


def test_without_ray(restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, with the command that helps, before anything is loaded."""
    monkeypatch.setitem(sys.modules, "ray", None)
    result = restore(photos, tmp_path / "out", "--ray", "auto", code=MachineError.exit_code)
    assert "Error: --ray needs Ray Data, which is not installed." in result.stderr
    assert "pip install 'irsde[ray]'" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("machines", "jobs", "gpus", "expected"),
    [
        ([{"CPU": 2.0}], "auto", True, cluster.Actors(1, 2, 0, 0.5)),
        ([{"CPU": 2.0}], 2, True, cluster.Actors(2, 1, 0, 0.25)),
        ([{"CPU": 2.0}], 9, True, cluster.Actors(2, 1, 0, 0.25)),
        ([{"CPU": 4.0}] * 3, 4, True, cluster.Actors(4, 2, 0, 0.25)),
        ([{"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0}], "auto", True, cluster.Actors(4, 1, 1, 0.5)),
        ([{"CPU": 8.0, "GPU": 2.0}], 4, True, cluster.Actors(4, 1, 0.5, 0.25)),
        ([{"CPU": 8.0, "GPU": 2.0}], "auto", False, cluster.Actors(1, 8, 0, 0.5)),
    ],
)
def test_what_actors_take(machines: list[dict[str, float]], jobs: Any, gpus: bool, expected: cluster.Actors) -> None:
    """One for each GPU, or for each machine; more of them share."""

    class Nodes:
        @staticmethod
        def nodes() -> list[dict[str, Any]]:
            return [{"Alive": True, "Resources": machine} for machine in machines]

    assert cluster._actors(Nodes, jobs, gpus=gpus) == expected
