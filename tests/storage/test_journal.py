from pathlib import Path

import pytest

from irsde_cli.storage.journal import FOLDER, Journal, WorkerJournal, worker


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
