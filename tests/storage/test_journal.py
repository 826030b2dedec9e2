from pathlib import Path

import pytest

from irsde_cli.storage.journal import FOLDER, Identity, Journal, Result, Source, WorkerJournal, worker


@pytest.mark.parametrize("kind", [Journal, WorkerJournal])
def test_what_killed_workers_left_goes(tmp_path: Path, kind: type[Journal]) -> None:
    """Temporary files of workers that are gone are removed by their run and its workers; those of others stay."""
    label = worker("1-of-2", "next") if kind is WorkerJournal else "1-of-2"
    gone, alive = worker("1-of-2", "a1b2"), worker("1-of-2", "c3d4")
    parts = {
        owner: tmp_path / f".irsde-{owner}-0f0f0f.part" for owner in (label, gone, alive, "all", "2-of-2", "job-1")
    }
    for part in parts.values():
        part.touch()
    with kind(tmp_path, label) as journal:
        (tmp_path / FOLDER / f"lock.{alive}").touch()
        journal.sweep(tmp_path)
    assert {owner for owner, part in parts.items() if part.exists()} == {alive, "all", "2-of-2", "job-1"}


def test_a_worker_of_a_killed_run_that_writes_late_is_heard(tmp_path: Path) -> None:
    """What it names when the next run has begun is known as ours."""
    source = Source("in.png", "/in.png", Identity(1, 2), "00" * 16)
    with Journal(tmp_path) as journal, WorkerJournal(tmp_path, worker("", "orphan")) as orphan:
        orphan.pending(Result(source, "in.png", Identity(3, 4), "00" * 8))
        assert journal.entry("in.png") is None
        known = journal.late("in.png")
        assert known is not None and known.came_from("in.png") and known.made == Identity(3, 4)
        assert journal.late("other.png") is None
