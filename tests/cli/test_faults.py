"""What goes wrong on real folders: interrupted, crowded, mixed, or short of memory."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli.observation import Observation
from irsde_cli.storage.journal import Journal
from irsde_cli.systems.mean_reverting import MeanReverting
from tests.cli.stub import Program, picture, pixels, tree


class Killed(BaseException):
    """Stands for the moment at which the process is killed."""


def killed_after_the_rename(restore: Program, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):

        def die(*_: object) -> None:
            raise Killed

        patch.setattr(Journal, "done", die)
        restore(*words)


def test_in_place_is_never_done_twice(restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the new name and the done line does not make the result an input."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    original = source.read_bytes()
    restore(source, tmp_path / "out" / "a.png")
    expected = pixels(tmp_path / "out" / "a.png")
    killed_after_the_rename(restore, monkeypatch, source, "--in-place")
    assert source.read_bytes() != original
    restore(source, "--in-place")
    assert (pixels(source) == expected).all()


def test_in_place_with_other_settings_is_not_silent(restore: Program, tmp_path: Path) -> None:
    """A result that replaced its input is not restored again because a setting changed."""
    source = picture(tmp_path / "in" / "a.png", 16, 16)
    restore(source, "--in-place")
    once = source.read_bytes()
    restore(source, "--in-place", "--seed", 1, code=3)
    assert source.read_bytes() == once


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()])
def test_the_memory_errors_of_a_cpu_are_known(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """torch raises RuntimeError, not OutOfMemoryError, where the CPU's memory ends."""
    source = picture(tmp_path / "in" / "a.png", 200, 300)
    from irsde_cli.networks.pocket_unet import PocketUNet

    forward = PocketUNet.forward

    def limited(self: Any, x: torch.Tensor, mu: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] * x.shape[-2] > 160 * 160:
            raise error
        return forward(self, x, mu, t)

    monkeypatch.setattr(PocketUNet, "forward", limited)
    restore(source, tmp_path / "out")


def test_one_unexpected_error_never_stops_the_rest(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that one picture sets off fails that picture."""
    steps = MeanReverting.steps

    def odd(self: Any, observation: Observation, *rest: Any) -> Any:
        if observation.image.shape[-1] == 24:
            raise RuntimeError("a shape nobody thought of")
        yield from steps(self, observation, *rest)

    monkeypatch.setattr(MeanReverting, "steps", odd)
    restore(photos, tmp_path / "out", code=3)
    assert sorted(tree(tmp_path / "out")) == ["p0.png", "p1.png", "p2.png", "p4.png", "p5.png"]


def test_not_finite_in_both_precisions_is_a_failure(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more in float32, and then the item fails."""

    def steps(self: Any, observation: Observation, *_: Any) -> Any:
        yield observation.image * torch.nan

    monkeypatch.setattr(MeanReverting, "steps", steps)
    result = restore(photos / "p1.png", tmp_path / "out", "--precision", "bf16", code=3)
    assert "not finite" in result.stderr


def test_the_last_manifest_is_believed(restore: Program, photos: Path, tmp_path: Path) -> None:
    """A shard's later lines are not outweighed by an earlier run over everything."""
    restore(photos, tmp_path / "out")
    shard = [photos, tmp_path / "out", "--shard", "1/1", "--seed", 1]
    restore(*shard)
    assert {event["event"] for event in restore.events(*shard)} == {"ready", "planned", "skipped", "summary"}


def test_extra_files_collide_too(restore: Program, tmp_path: Path) -> None:
    """The draws and films of one picture and the result of another are one name: refused in planning."""
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "a.1.png")
    restore(tmp_path / "in", tmp_path / "out", "--samples", 2, code=2)
    picture(tmp_path / "two" / "a.png")
    picture(tmp_path / "two" / "a.jpg")
    restore(tmp_path / "two", tmp_path / "out", "--trajectory", 2, code=2)
    assert not (tmp_path / "out").exists()


def test_collisions_across_shards(restore: Program, tmp_path: Path) -> None:
    """Two pictures that become one name are refused by each shard, wherever they fall."""
    for name in ("a.png", "a.jpg"):
        picture(tmp_path / "in" / name)
    for index in range(1, 9):
        restore(tmp_path / "in", tmp_path / "out", "--format", "png", "--shard", f"{index}/8", code=2)


def test_a_folder_and_a_file_of_one_name(restore: Program, tmp_path: Path) -> None:
    """x.jpg cannot become x.png where x.png/ is a folder of results."""
    picture(tmp_path / "in" / "x.jpg")
    picture(tmp_path / "in" / "x.png" / "b.png")
    restore(tmp_path / "in", tmp_path / "out", "-r", "--format", "png", code=2)


def test_a_missing_draw_is_made_again(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Finished means that all files of a picture are there."""
    words = [photos / "p1.png", tmp_path / "out", "--samples", 2]
    restore(*words)
    (tmp_path / "out" / "p1.1.png").unlink()
    restore(*words)
    assert (tmp_path / "out" / "p1.1.png").exists()


def test_nothing_is_made_for_a_usage_error(restore: Program, tmp_path: Path) -> None:
    """Not even an empty folder."""
    (tmp_path / "in").mkdir()
    restore(tmp_path / "in", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--spread"], ["--mask", "m.png"]])
def test_what_would_have_no_effect_is_refused(restore: Program, photos: Path, tmp_path: Path, words: list[str]) -> None:
    picture(tmp_path / "m.png", 16, 16)
    words = [str(tmp_path / "m.png") if word == "m.png" else word for word in words]
    restore(photos / "p1.png", tmp_path / "out", *words, code=2)


def test_no_steps_are_a_usage_error(restore: Program, photos: Path, tmp_path: Path) -> None:
    restore(photos / "p1.png", tmp_path / "out", steps=0, code=2)


def test_a_pipe_takes_one_picture(restore: Program, photos: Path) -> None:
    restore(photos / "p1.png", "-", "--samples", 2, code=2)
    restore(photos / "p1.png", "-", "--trajectory", 2, code=2)


def test_paths_in_a_pipe_are_the_paths(restore: Program, tmp_path: Path) -> None:
    """A Mac's screenshots have a narrow no-break space; programs downstream need the name as it is."""
    name = "Shot 1.23\u202fPM \U0001f468\u200d\U0001f469.png"
    picture(tmp_path / "in" / name)
    result = restore(tmp_path / "in", tmp_path / "out")
    assert Path(result.stdout.splitlines()[0]).exists()


def test_tiles_hold_for_pictures_of_unequal_size(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--batch-size does not switch --tile off."""
    picture(tmp_path / "in" / "a.png", 200, 200)
    picture(tmp_path / "in" / "b.png", 199, 200)
    from irsde_cli.networks.pocket_unet import PocketUNet

    seen = []
    forward = PocketUNet.forward

    def watched(self: Any, x: torch.Tensor, mu: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(max(x.shape[-2:]))
        return forward(self, x, mu, t)

    monkeypatch.setattr(PocketUNet, "forward", watched)
    restore(tmp_path / "in", tmp_path / "out", "--batch-size", 2, "--tile", 96, "--tile-overlap", 16)
    assert max(seen) <= 96


def test_a_file_of_options_takes_lists(restore: Program, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("nodes = [100, 50]\njson = true\n")
    restore(photos / "p1.png", tmp_path / "out", "--config", tmp_path / "a.toml")


def test_json_ends_with_a_summary(restore: Program, photos: Path, tmp_path: Path) -> None:
    assert restore.events(photos, tmp_path / "out")[-1]["event"] == "summary"


def test_failures_are_named_when_the_disk_is_full(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "a.png").write_bytes(b"text")
    import errno

    import irsde_cli.workflows.restore.keeping as workflow
    from irsde_cli.storage.files import refusal

    def full(path: Path, *_: Any, **__: Any) -> None:
        raise refusal(OSError(errno.ENOSPC, "No space left on device"), path)

    monkeypatch.setattr(workflow, "Aside", full)
    assert "failed: a.png" in restore(photos, tmp_path / "out", code=5).stderr


def test_repeated_lines_of_a_list_are_one_picture(restore: Program, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("p1.png\np1.png\n")
    restore(photos, tmp_path / "out", "--files-from", tmp_path / "list")


@pytest.mark.skipif(os.name != "posix", reason="needs locks of another kind there")
def test_a_dry_run_beside_a_run(restore: Program, photos: Path, tmp_path: Path) -> None:
    restore(photos / "p1.png", tmp_path / "out")
    with Journal(tmp_path / "out"):
        restore(photos / "p1.png", tmp_path / "out", "--dry-run")


def test_in_place_a_link_stays_a_link(restore: Program, tmp_path: Path) -> None:
    real = picture(tmp_path / "real" / "a.png", 16, 16)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to(real)
    restore(tmp_path / "in", "--in-place", code=3)
    assert (tmp_path / "in" / "a.png").is_symlink()


def test_trajectories_keep_only_what_is_shown(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred states of a large picture would take gigabytes."""
    import irsde_cli.engine.restoration as workflow

    seen = 0
    kept = workflow._seen

    def watched(state: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        return kept(state)

    monkeypatch.setattr(workflow, "_seen", watched)
    restore(photos / "p1.png", tmp_path / "out", "--trajectory", 3, steps=50)
    assert seen <= 4
    assert pixels(tmp_path / "out" / "p1.trajectory.png").shape == (16, 48, 3)


def test_latent_systems_restore(photos: Path, tmp_path: Path) -> None:
    """Their noise has the latent's size and not the picture's."""
    from irsde_cli import checkpoint
    from tests.systems.test_restorers import build

    checkpoint.save(tmp_path / "latent.safetensors", build("latent"), task="denoise")
    Program(tmp_path / "latent.safetensors")(picture(tmp_path / "b.png", 32, 48), tmp_path / "out")
