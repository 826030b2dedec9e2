"""`irsde restore` as people use it: places, names, resuming, failures, usage."""

import json
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from irsde_cli.cli.program import app
from irsde_cli.engine.settings import SPREAD_GAIN
from irsde_cli.errors import InputError
from irsde_cli.images import read_picture
from irsde_cli.observation import Observation
from irsde_cli.storage.files import Aside
from irsde_cli.storage.journal import Journal
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.workflows.restore import pipeline
from tests.cli.stub import Program, picture, pixels, save_stub, tree
from tests.images.test_read_picture import saved, tiff


def names(folder: Path) -> list[str]:
    return list(tree(folder))


def test_a_folder(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Without -r the top level is restored under the same names; results stand on standard output alone."""
    result = restore(photos, tmp_path / "out")
    assert names(tmp_path / "out") == [f"p{index}.png" for index in range(6)]
    assert result.stdout.splitlines() == [str(tmp_path / "out" / name) for name in names(tmp_path / "out")]
    assert pixels(tmp_path / "out" / "p3.png").shape == (8, 24, 3)


def test_a_tree_is_mirrored(restore: Program, photos: Path, tmp_path: Path) -> None:
    """With -r subfolders are read and mirrored."""
    restore(photos, tmp_path / "out", "-r")
    assert "sub/q.jpg" in names(tmp_path / "out")


def test_a_single_file(restore: Program, photos: Path, tmp_path: Path) -> None:
    """An OUTPUT with a picture's suffix is the file to write, in the format of that suffix."""
    restore(photos / "p1.png", tmp_path / "one.jpg")
    assert (tmp_path / "one.jpg").read_bytes()[:2] == b"\xff\xd8"
    restore(photos / "p1.png", tmp_path / "folder", "--suffix", "-x")
    assert names(tmp_path / "folder") == ["p1-x.png"]


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_a_list(restore: Program, photos: Path, tmp_path: Path, separator: str) -> None:
    """Files of a list keep their folders; a missing one fails by name."""
    (tmp_path / "list").write_text(separator.join(["p1.png", str(photos / "sub" / "q.jpg"), "absent.png"]))
    result = restore(photos, tmp_path / "out", "--files-from", tmp_path / "list", code=3)
    assert names(tmp_path / "out") == ["p1.png", "sub/q.jpg"]
    assert "absent.png" in result.stderr


def test_order_shards_and_resume_change_no_byte(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Whole, in three shards, or bit by bit: the same files."""
    restore(photos, tmp_path / "whole", "-r")
    whole = tree(tmp_path / "whole")
    for index in (3, 1, 2):
        restore(photos, tmp_path / "shards", "-r", "--shard", f"{index}/3")
    assert tree(tmp_path / "shards") == whole
    assert len(list((tmp_path / "shards" / ".irsde").glob("manifest.*-of-3.jsonl"))) == 3
    for limit in (2, 5, 100):
        restore(photos, tmp_path / "bits", "-r", "--limit", limit)
    assert tree(tmp_path / "bits") == whole
    restore(photos / "p2.png", tmp_path / "single")
    assert tree(tmp_path / "single")["p2.png"] == whole["p2.png"]
    events = restore.events(photos, tmp_path / "shards", "-r")
    assert sum(event["event"] == "skipped" for event in events) == 7


def test_batches_and_tiles_change_a_level_at_most(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Pictures of equal padded size share a batch, and tiles with enough overlap agree with the whole."""
    picture(photos / "wide.png", 40, 60)
    restore(photos, tmp_path / "one")
    restore(photos, tmp_path / "batch", "--batch-size", 4)
    restore(photos, tmp_path / "tiles", "--tile", 48, "--tile-overlap", 24)
    for name in names(tmp_path / "one"):
        for other in ("batch", "tiles"):
            assert np.abs(pixels(tmp_path / "one" / name) - pixels(tmp_path / other / name)).max() <= 1


def test_pictures_that_are_enlarged_share_a_batch_at_equal_size(photos: Path, tmp_path: Path) -> None:
    """Enlarging looks across a picture's border, so a canvas that is not all its own would show there."""
    restore = Program(save_stub(tmp_path / "twice.safetensors", scale=2))
    picture(photos / "wider.png", 9, 15)
    restore(photos, tmp_path / "one")
    restore(photos, tmp_path / "batch", "--batch-size", 4)
    for name in names(tmp_path / "one"):
        assert np.abs(pixels(tmp_path / "one" / name) - pixels(tmp_path / "batch" / name)).max() <= 1, name


def test_the_seed_and_the_name_decide(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Another seed or another name gives another draw."""
    (photos / "p9.png").write_bytes((photos / "p1.png").read_bytes())
    restore(photos, tmp_path / "a", "--sampler", "posterior")
    restore(photos, tmp_path / "b", "--sampler", "posterior", "--seed", 5)
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert a["p1.png"] != b["p1.png"]
    assert a["p1.png"] != a["p9.png"]


def done(events: list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in events if event["event"] == "done"]


def test_a_second_run_does_what_is_left(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Only what is provably finished is skipped."""
    out = tmp_path / "out"
    restore(photos, out)
    manifest = out / ".irsde" / "manifest.jsonl"
    assert done(restore.events(photos, out)) == []
    (out / "p0.png").unlink()
    (out / "p1.png").write_bytes((out / "p1.png").read_bytes()[:50])
    os.utime(photos / "p2.png", ns=(1, 1))
    assert done(restore.events(photos, out)) == ["p0.png", "p1.png", "p2.png"]
    with manifest.open("ab") as stream:
        line = next(line for line in manifest.read_bytes().splitlines() if b"p3.png" in line and b"done" in line)
        stream.write(line.replace(b"done", b"pending") + b'\n{"event": "done", "inp')
    assert done(restore.events(photos, out)) == ["p3.png"]
    assert all(json.loads(line) for line in manifest.read_bytes().splitlines() if not line.endswith(b'"inp'))
    assert len(done(restore.events(photos, out, "--seed", 1))) == 6
    assert len(done(restore.events(photos, out, steps=3))) == 6


def test_files_of_others_stay(restore: Program, photos: Path, tmp_path: Path) -> None:
    """What no line of the manifest names is not overwritten, unless that is asked for."""
    out = tmp_path / "out"
    picture(out / "p1.png", 2, 2)
    before = (out / "p1.png").read_bytes()
    result = restore(photos, out, code=3)
    assert (out / "p1.png").read_bytes() == before
    assert "--overwrite" in result.stderr
    assert len(names(out)) == 6
    restore(photos, out, "--overwrite")
    assert (out / "p1.png").read_bytes() != before


def test_one_bad_file_never_stops_the_rest(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Text, nothing, half a file, a broken link and a pipe under a picture's name are named at the end."""
    (photos / "text.png").write_text("<html>")
    (photos / "empty.jpg").touch()
    (photos / "half.png").write_bytes((photos / "p1.png").read_bytes()[:200])
    picture(photos / "large.png", 100, 100)
    bad = ["text.png", "empty.jpg", "half.png", "large.png"]
    if os.name == "posix":
        (photos / "broken.png").symlink_to("absent")
        os.mkfifo(photos / "pipe.png")
        bad += ["broken.png", "pipe.png"]
    result = restore(photos, tmp_path / "out", "--max-pixels", 5000, code=3)
    assert names(tmp_path / "out") == [f"p{index}.png" for index in range(6)]
    for name in bad:
        assert f"failed: {name}: " in result.stderr
    result = restore(photos, tmp_path / "first", "--fail-fast", code=3)
    assert result.stderr.count("failed: ") == 1
    restore(photos, tmp_path / "cut", "--allow-truncated", code=3)
    assert "half.png" in names(tmp_path / "cut")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs a file system that takes any bytes")
def test_any_name(restore: Program, tmp_path: Path) -> None:
    """Markup, escapes, new lines and bytes that are no text survive, and are printed as what they are."""
    odd = [b"[red]x[b].png", b"new\nline.png", b"\x1b[31m.png", b"\xff\xfe.png", b"-rf.png", "é✓.png".encode()]
    source = picture(tmp_path / "source.png")
    (tmp_path / "in").mkdir()
    for name in odd:
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(source.read_bytes())
    (tmp_path / "in" / "[red]bad.png").write_text("")
    result = restore(tmp_path / "in", tmp_path / "out", code=3)
    written = {os.fsencode(path.name) for path in (tmp_path / "out").iterdir()} - {b".irsde"}
    assert written == set(odd)
    assert "\x1b" not in result.output
    assert "[red]bad.png" in result.stderr
    assert len(result.stdout.splitlines()) == len(odd)
    assert all(line.isascii() for line in (tmp_path / "out/.irsde/manifest.jsonl").read_text().splitlines())
    assert not done(restore.events(tmp_path / "in", tmp_path / "out", code=3))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["in", "out", "--task", "denoisee"], 2, "Did you mean 'denoise'"),
        (["in", "out"], 2, "does not say what it undoes"),
        (["in", "--task", "denoise"], 2, "OUTPUT is missing"),
        (["in", "out", "--task", "denoise", "--sampler", "posteriro"], 2, "Did you mean 'posterior'"),
        (["in", "out", "--task", "denoise", "--stepz", "3"], 2, "--steps"),
        (["in", "out", "--task", "denoise", "--steps", "many"], 2, "steps"),
        (["in", "out", "--task", "denoise", "--steps", "101"], 2, "from 1 to 100"),
        (["in", "out", "--task", "denoise", "--nodes", "3,50"], 2, "must fall"),
        (["in", "out", "--task", "denoise", "--nodes", "a,b"], 2, "whole numbers"),
        (["in", "out", "--task", "denoise", "--sampler", "posterior", "--eta", "1"], 2, "has no eta"),
        (["in", "out", "--task", "denoise", "--depth", "12"], 2, "8 or 16"),
        (["in", "out", "--task", "denoise", "--shard", "4/3"], 2, "4/3"),
        (["in", "out", "--task", "denoise", "--shard", "some"], 2, "i/n"),
        (["in", "out", "--task", "denoise", "--format", "gif"], 2, "unknown format 'gif'"),
        (["in", "out", "--task", "denoise", "--device", "gpu"], 2, "unknown device"),
        (["in", "out", "--task", "inpaint"], 2, "needs --mask"),
        (["nowhere", "out", "--task", "denoise"], 2, "no such file or folder: 'nowhere'"),
        (["empty", "out", "--task", "denoise"], 2, "no pictures in 'empty'"),
        (["in", "in", "--task", "denoise"], 2, "the input itself"),
        (["in/p1.png", "in", "--task", "denoise"], 2, "the input itself"),
        (["in", "in/out", "-r", "--task", "denoise"], 2, "lies inside"),
        (["in", "one.png", "--task", "denoise"], 2, "Name a folder"),
        (["in", "notes.txt", "--task", "denoise"], 2, "is a file"),
        (["in", "out", "--task", "denoise", "--in-place"], 2, "no OUTPUT"),
        (["in", "out", "--config", "bad.toml"], 2, "Did you mean 'steps'"),
        (["in", "out", "--config", "absent.toml"], 2, "cannot read"),
        (["in", "out", "--task", "deshadow"], 4, "no weights ship"),
        (["in", "out", "--task", "denoise", "--model", "absent.safetensors"], 4, "no weight file"),
        (["in", "out", "--task", "denoise", "--model", "denoise-smal"], 4, "Did you mean 'denoise-small'"),
        (["in", "out", "--task", "denoise", "--model", "notes.txt"], 4, "not a whole safetensors file"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: list[str], code: int, message: str, stub: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Misspelt, missing or impossible: the sentence, the exit code, and nothing written."""
    from typer.testing import CliRunner

    monkeypatch.chdir(photos.parent)
    Path("empty").mkdir()
    Path("notes.txt").write_text("no weights")
    Path("bad.toml").write_text("stepz = 3\n")
    if "--model" not in words:
        words = [*words, *(["--model", str(stub)] if code == 2 else [])]
    result = CliRunner().invoke(app, ["restore", *words])
    flat = " ".join(result.stderr.replace("│", " ").split())
    assert (result.exit_code, message in flat) == (code, True), result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    assert not Path("out").exists() or not tree(Path("out"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_device_is_the_machines_fault(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Asking for a GPU where there is none is exit 5."""
    assert "no device 'cuda'" in restore(photos, tmp_path / "out", "--device", "cuda", code=5).stderr


def test_collisions_are_found_before_anything_is_written(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Two pictures that would have one name are refused together, or get stable names."""
    picture(photos / "p1.jpg")
    result = restore(photos, tmp_path / "out", "--format", "png", code=2)
    assert "'p1.jpg' and 'p1.png' would both become 'p1.png'" in result.stderr
    assert not tree(tmp_path / "out")
    restore(photos, tmp_path / "out", "--format", "png", "--on-collision", "rename")
    assert {"p1.png", "p1_jpg.png"} <= set(names(tmp_path / "out"))


def test_a_locked_folder(restore: Program, photos: Path, tmp_path: Path) -> None:
    """A second run on the same folder ends at once."""
    (tmp_path / "out" / ".irsde").mkdir(parents=True)
    with FileLock(tmp_path / "out" / ".irsde" / "lock"):
        assert "another run" in restore(photos, tmp_path / "out", code=5).stderr


def test_a_full_disk_stops_the_run_at_once(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, exit 5, nothing torn, and what is finished stays."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if any((tmp_path / "out").glob("*.png")):
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(pipeline, "TOGETHER", 1)
    result = restore(photos, tmp_path / "out", code=5)
    assert "No space left on device" in result.stderr
    monkeypatch.undo()
    finished = tree(tmp_path / "out")
    assert finished and not [name for name in finished if name.endswith(".part")]
    restore(photos, tmp_path / "out")
    restore(photos, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: torch.full_like(x, 0.5), "one flat colour"),
        (lambda x: x[..., 1:], "size"),
    ],
)
def test_a_wrong_result_is_never_written(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any, reason: str
) -> None:
    """Not finite, of another size, or flat where the picture is not: the item fails."""

    def steps(self: Any, observation: Observation, *_: Any) -> Any:
        yield made(observation.image)

    monkeypatch.setattr(MeanReverting, "steps", steps)
    result = restore(photos / "p1.png", tmp_path / "out", code=3)
    assert reason in result.stderr
    assert not tree(tmp_path / "out")


def test_out_of_memory_takes_smaller_tiles(restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tile is halved until it fits and the result agrees; if nothing fits the machine is to blame."""
    source = picture(tmp_path / "in" / "a.png", 200, 300)
    restore(source, tmp_path / "whole")
    largest = 160 * 160
    from irsde_cli.networks.pocket_unet import PocketUNet

    forward = PocketUNet.forward

    def limited(self: Any, x: torch.Tensor, mu: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] * x.shape[-2] > largest:
            raise torch.OutOfMemoryError("too large")
        return forward(self, x, mu, t)

    monkeypatch.setattr(PocketUNet, "forward", limited)
    result = restore(source, tmp_path / "tiled", "--tile-overlap", 40)
    assert "going on with tiles" in result.stderr or names(tmp_path / "tiled") == ["a.png"]
    assert np.abs(pixels(tmp_path / "whole" / "a.png") - pixels(tmp_path / "tiled" / "a.png")).max() <= 1
    largest = 10
    assert "not enough memory" in restore(source, tmp_path / "none", code=5).stderr


def test_draws(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Several draws have numbered names, the first is the plain run, and the mean is another picture."""
    source = photos / "p1.png"
    restore(source, tmp_path / "plain")
    restore(source, tmp_path / "three", "--samples", 3, "--spread")
    assert names(tmp_path / "three") == ["p1.1.png", "p1.2.png", "p1.png", "p1.spread.png"]
    plain, first, second = (pixels(tmp_path / name) for name in ("plain/p1.png", "three/p1.png", "three/p1.1.png"))
    assert (first == plain).all()
    assert (second != plain).any()
    restore(source, tmp_path / "mean", "--estimate", "mean", "--samples", 3)
    expected = np.mean([pixels(tmp_path / "three" / name) for name in ("p1.png", "p1.1.png", "p1.2.png")], axis=0)
    assert np.abs(pixels(tmp_path / "mean" / "p1.png") - expected).max() <= 1


def test_the_spread_is_eight_deviations(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Of two draws the deviation is half their difference; what is written is eight times that."""
    restore(photos / "p1.png", tmp_path / "out", "--samples", 2, "--spread", "--sampler", "sde-1", steps=8)
    one, other, spread = (pixels(tmp_path / "out" / f"p1{name}.png") for name in ("", ".1", ".spread"))
    inside = (spread < 255) & (one > 0) & (one < 255) & (other > 0) & (other < 255)
    deviation = np.abs(one - other)[inside] / 2
    assert inside.mean() > 0.2 and deviation.mean() > 1
    assert spread[inside].mean() == pytest.approx(SPREAD_GAIN * deviation.mean(), rel=0.05)
    assert SPREAD_GAIN == 8


def test_trajectories_can_be_looked_at(restore: Program, photos: Path, tmp_path: Path) -> None:
    """States side by side in one picture, or one after another; the last is the result."""
    restore(photos / "p1.png", tmp_path / "out", "--trajectory", 3, steps=5)
    strip, result = pixels(tmp_path / "out" / "p1.trajectory.png"), pixels(tmp_path / "out" / "p1.png")
    assert strip.shape == (16, 48, 3)
    assert (strip[:, 32:] == result).all()
    restore(photos / "p1.png", tmp_path / "gif", "--trajectory", 3, "--trajectory-format", "gif", steps=5)
    with Image.open(tmp_path / "gif" / "p1.trajectory.gif") as animated:
        assert getattr(animated, "n_frames", 1) == 3


def test_known_pixels_stay_exactly(restore: Program, photos: Path, tmp_path: Path) -> None:
    """What the mask shows white is the input's, byte for byte; masks are found by name and must fit."""
    mask = np.zeros((16, 16), np.uint8)
    mask[:, :8] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "p1.png")
    restore(photos / "p1.png", tmp_path / "out", "--mask", tmp_path / "masks", task="inpaint")
    before, after = pixels(photos / "p1.png"), pixels(tmp_path / "out" / "p1.png")
    assert (before[:, :8] == after[:, :8]).all()
    assert (before[:, 8:] != after[:, 8:]).mean() > 0.5
    assert done(restore.events(photos / "p1.png", tmp_path / "out", "--mask", tmp_path / "masks", task="inpaint")) == []
    Image.fromarray(255 - mask).save(tmp_path / "masks" / "p1.png")
    restore(photos / "p1.png", tmp_path / "out", "--mask", tmp_path / "masks", task="inpaint")
    assert (before[:, 8:] == pixels(tmp_path / "out" / "p1.png")[:, 8:]).all()
    failed = restore(photos, tmp_path / "all", "--mask", tmp_path / "masks" / "p1.png", task="inpaint", code=3)
    assert "the mask" in failed.stderr and "is 16 x 16" in failed.stderr


def test_masks_that_say_nothing_are_refused(restore: Program, photos: Path, tmp_path: Path) -> None:
    """A mask of labels fills neither nothing nor everything; one that is all white keeps the picture, and says so."""
    for name, value in (("labels", 1), ("white", 255)):
        Image.fromarray(np.full((16, 16), value, np.uint8)).save(tmp_path / f"{name}.png")
    failed = restore(photos / "p1.png", tmp_path / "o", "--mask", tmp_path / "labels.png", task="inpaint", code=3)
    assert "has no white" in failed.stderr and "white where the picture is known" in failed.stderr
    words = (photos / "p1.png", tmp_path / "o", "--mask", tmp_path / "white.png")
    assert "--strict" in restore(*words, "--strict", task="inpaint", code=3).stderr
    assert "its mask is all white" in restore(*words, task="inpaint").stderr
    assert (pixels(photos / "p1.png") == pixels(tmp_path / "o" / "p1.png")).all()


@pytest.mark.parametrize("scale", [1, 2])
def test_hidden_colours_decide_nothing(tmp_path: Path, scale: int) -> None:
    """Two pictures that look alike become two that look alike, each with its own colours where nothing shows."""
    restore = Program(save_stub(tmp_path / "s.safetensors", scale=scale))
    alpha = np.zeros((20, 24), np.uint8)
    alpha[4:16, 6:18] = 255
    seen = []
    for name, value in (("black", 0), ("white", 255)):
        pictured = picture(tmp_path / name / "a.png", 20, 24)
        samples = np.dstack([np.where(alpha[..., None] == 255, pixels(pictured), value).astype(np.uint8), alpha])
        Image.fromarray(samples).save(pictured)
        restore(tmp_path / name, tmp_path / f"{name}-out")
        seen.append(pixels(tmp_path / f"{name}-out" / "a.png"))
        assert (seen[-1][seen[-1][..., 3] == 0][:, :3] == value).all()
    shown = seen[0][..., 3] > 0
    np.testing.assert_array_equal(seen[0][shown], seen[1][shown])


@pytest.mark.parametrize("form", ["png", "tif", "webp", "tif-16"])
def test_grey_by_content_stays_grey(restore: Program, tmp_path: Path, form: str) -> None:
    """R = G = B goes in and comes out, whatever the noise of the draws, also in batches and beside colours."""
    deep, suffix = form.endswith("16"), form.partition("-")[0]
    grey = np.random.default_rng(0).integers(0, 256, (16, 16, 1)).repeat(3, -1).astype(np.uint16 if deep else np.uint8)
    options: dict[str, Any] = {"lossless": True} if form == "webp" else {}
    data = tiff(grey, photometric="rgb") if deep else saved(grey, {"tif": "tiff"}.get(suffix, suffix), **options)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a.{suffix}").write_bytes(data)
    picture(tmp_path / "in" / "b.png", 16, 16)
    more = ["--quality", 100] if form == "webp" else []
    restore(tmp_path / "in", tmp_path / "out", "--batch-size", 2, "--samples", 2, *more)
    for name in (f"a.{suffix}", f"a.1.{suffix}"):
        restored = read_picture(tmp_path / "out" / name, name).pixels
        assert restored.shape == grey.shape and restored.std() > 0
        assert (restored == restored[..., :1]).all()
    colours = pixels(tmp_path / "out" / "b.png")
    assert (colours != colours[..., :1]).any()


def test_in_place(restore: Program, photos: Path) -> None:
    """Inputs are replaced once, and known as results by the next run."""
    before = tree(photos)
    restore(photos, "--in-place")
    once = tree(photos)
    assert once["p1.png"] != before["p1.png"] and once["sub/q.jpg"] == before["sub/q.jpg"]
    restore(photos, "--in-place")
    assert tree(photos) == once


def test_in_place_never_restores_twice(restore: Program, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after an input got its new pixels and before the manifest says so, the next run knows it."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "done", killed)
    with pytest.raises(AssertionError):
        restore(photos / "p1.png", "--in-place")
    monkeypatch.undo()
    once = tree(photos)
    restore(photos / "p1.png", "--in-place")
    assert tree(photos) == once


@pytest.mark.skipif(os.name != "posix", reason="needs hard links")
def test_an_input_under_another_name_stays(restore: Program, photos: Path, tmp_path: Path) -> None:
    """An output that is a hard link to its input is not written, even with --overwrite."""
    (tmp_path / "out").mkdir()
    os.link(photos / "p1.png", tmp_path / "out" / "p1.png")
    before = (photos / "p1.png").read_bytes()
    restore(photos / "p1.png", tmp_path / "out" / "p1.png", "--overwrite", code=2)
    assert "under another name" in restore(photos, tmp_path / "out", "--overwrite", code=3).stderr
    assert (photos / "p1.png").read_bytes() == before


def test_what_belongs_to_a_picture_survives(restore: Program, tmp_path: Path) -> None:
    """Transparency, grey, 16 bits, profile and upright orientation, through the whole program."""
    import tifffile
    from PIL import ImageCms

    folder = tmp_path / "in"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture(folder / "alpha.png", mode="RGBA")
    picture(folder / "grey.png", mode="L")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(folder / "turned.jpg", 10, 20, exif=exif, icc_profile=profile)
    deep = np.random.default_rng(0).integers(0, 65535, (9, 9, 3), dtype=np.uint16)
    tifffile.imwrite(folder / "deep.tif", deep, photometric="rgb")
    restore(folder, tmp_path / "out")
    with Image.open(tmp_path / "out" / "alpha.png") as image, Image.open(folder / "alpha.png") as source:
        assert image.mode == "RGBA" and image.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    with Image.open(tmp_path / "out" / "grey.png") as image:
        assert image.mode == "L"
    with Image.open(tmp_path / "out" / "turned.jpg") as image:
        assert image.size == (10, 20) and image.getexif().get(0x0112, 1) == 1
        assert image.info["icc_profile"] == profile
    assert tifffile.imread(tmp_path / "out" / "deep.tif").dtype == np.uint16


def test_upscaling_comes_from_the_weights(photos: Path, tmp_path: Path) -> None:
    """The checkpoint knows how many times larger its results are."""
    program = Program(save_stub(tmp_path / "sr.safetensors", task="sr4", scale=4))
    program(photos / "p0.png", tmp_path / "out", task="sr4")
    assert pixels(tmp_path / "out" / "p0.png").shape == (36, 56, 3)


def test_a_dry_run_touches_nothing(restore: Program, photos: Path, tmp_path: Path) -> None:
    """It says what would be done, also after a run."""
    result = restore(photos, tmp_path / "out", "--dry-run")
    assert result.stdout.count("restore: ") == 6
    assert not (tmp_path / "out").exists()
    restore(photos / "p1.png", tmp_path / "out")
    assert restore(photos, tmp_path / "out", "--dry-run").stdout.count("skip: ") == 1


def test_flags_come_before_environment_before_file(
    restore: Program, stub: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flag, environment, file, checkpoint."""
    from typer.testing import CliRunner

    (tmp_path / "c.toml").write_text('task = "denoise"\nsteps = 3\nseed = 7\n')
    words = ["restore", str(photos), str(tmp_path / "out"), "--model", str(stub), "--print-config"]

    def resolved(*more: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, [*words, *more])
        assert result.exit_code == 0, result.output
        values: dict[str, Any] = json.loads(result.stdout)
        return values

    config = ("--config", str(tmp_path / "c.toml"))
    assert resolved("--task", "denoise")["sampling"]["steps"] == 100
    assert (resolved(*config)["sampling"]["steps"], resolved(*config)["seed"]) == (3, 7)
    monkeypatch.setenv("IRSDE_STEPS", "4")
    assert resolved(*config)["sampling"]["steps"] == 4
    assert resolved(*config, "--steps", "5")["sampling"]["steps"] == 5


def test_many_pictures_hold_no_files_open(restore: Program, tmp_path: Path) -> None:
    """Descriptors stay flat over hundreds of pictures."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc to count descriptors")
    source = picture(tmp_path / "in" / "0.png", 8, 8).read_bytes()
    for index in range(1, 200):
        (tmp_path / "in" / f"{index}.png").write_bytes(source)
    restore(tmp_path / "in" / "0.png", tmp_path / "warm")
    before = len(list(descriptors.iterdir()))
    restore(tmp_path / "in", tmp_path / "out", steps=1)
    assert len(list(descriptors.iterdir())) <= before + 2
    assert len(names(tmp_path / "out")) == 200


def test_env() -> None:
    """`irsde env` names versions, devices and extras, for people and for programs."""
    from typer.testing import CliRunner

    assert "torch" in CliRunner().invoke(app, ["env"]).stdout
    assert json.loads(CliRunner().invoke(app, ["env", "--json"]).stdout)["devices"].startswith("cpu")


def test_a_page_shows_before_and_after(restore: Program, photos: Path, tmp_path: Path) -> None:
    """One row a picture, and the failed ones by name; a pipe has no page."""
    (photos / "bad.png").write_bytes(b"no picture")
    restore(photos, tmp_path / "out", "-r", "--report", tmp_path / "page", code=3)
    text = (tmp_path / "page" / "index.html").read_text()
    data = json.loads(text.split('type="application/json">')[1].split("</script>")[0])
    assert len(data["rows"]) == 7 and data["labels"] == ["input", "restored"]
    assert data["problems"][0]["key"] == "bad.png"
    assert all((tmp_path / "page" / path).is_file() for row in data["rows"] for path in row["pictures"].values())
    restore(photos / "p1.png", "-", "--report", tmp_path / "page", code=2)


def test_a_page_shows_draws_and_earlier_results(restore: Program, photos: Path, tmp_path: Path) -> None:
    """Each draw and the spread are pictures of their own; a second run without work shows the same."""
    words = (photos / "p1.png", tmp_path / "out", "--samples", 2, "--spread", "--report", tmp_path / "page")
    for note in ("", "restored by an earlier run"):
        restore(*words)
        text = (tmp_path / "page" / "index.html").read_text()
        data = json.loads(text.split('type="application/json">')[1].split("</script>")[0])
        assert data["labels"] == ["input", "restored", "restored, draw 2", "spread"] and not data["problems"]
        assert [row["note"] for row in data["rows"]] == [note]
        for label, name in (("restored", "p1.png"), ("restored, draw 2", "p1.1.png"), ("spread", "p1.spread.png")):
            shown = Image.open(tmp_path / "page" / data["rows"][0]["pictures"][label]).convert("RGB")
            assert np.array_equal(np.asarray(shown), pixels(tmp_path / "out" / name)), label


def test_train_shows_examples_and_trains(photos: Path, tmp_path: Path) -> None:
    """Bare `irsde train` shows how it is called; a settings file trains a checkpoint that restores."""
    from typer.testing import CliRunner

    bare = CliRunner().invoke(app, ["train"])
    assert bare.exit_code == 2 and bare.stderr.count("\n  irsde train") == 3
    settings = tmp_path / "mine.toml"
    settings.write_text(
        'task = "denoise"\nsteps = 3\ncrop = 8\nbatch_size = 2\nobjective = "clean-matching"\n'
        '[model]\nprocess = { prediction = "clean" }\n[model.network]\nname = "pocket-unet"\n'
        "options = { widths = [8, 8], blocks = [1, 1], time_dim = 8 }\n"
        '[degradation]\nname = "gaussian-noise"\n'
    )
    shown = CliRunner().invoke(app, ["train", str(settings), "--dry-run"])
    assert shown.exit_code == 0 and "parameters" in shown.stderr
    for index in range(3):
        picture(tmp_path / "clean" / f"{index}.png", 16, 16)
    words = ["train", str(settings), "--data", str(tmp_path / "clean"), "--out", str(tmp_path / "run")]
    trained = CliRunner().invoke(app, words)
    assert trained.exit_code == 0, trained.output
    Program(Path(trained.stdout.strip()))(photos / "p1.png", tmp_path / "out")
    refused = CliRunner().invoke(app, ["train", "--preset", "denoise-smal", "--data", "x", "--out", "y"])
    assert refused.exit_code == 2 and "denoise-small" in refused.stderr


def test_a_batch_that_does_not_fit_is_divided(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory in a batch makes batches smaller, not tiles, and loses nothing."""
    from irsde_cli.networks.pocket_unet import PocketUNet

    restore(photos, tmp_path / "one")
    forward, largest = PocketUNet.forward, []

    def limited(self: Any, x: torch.Tensor, mu: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            largest.append(len(x))
            raise torch.OutOfMemoryError("too many")
        return forward(self, x, mu, t)

    monkeypatch.setattr(PocketUNet, "forward", limited)
    restore(photos, tmp_path / "batch", "--batch-size", 4)
    assert len(largest) == 1
    assert tree(tmp_path / "batch") == tree(tmp_path / "one")


def test_stale_temporary_files_go(restore: Program, photos: Path, tmp_path: Path) -> None:
    """What killed runs left is removed: at once by the same kind of run, after a day by any."""
    (tmp_path / "out").mkdir()
    for name, age in (("all-1", 0), ("1-of-2-1", 0), ("1-of-2-2", 100_000)):
        left = tmp_path / "out" / f".irsde-{name}.part"
        left.touch()
        os.utime(left, (time.time() - age, time.time() - age))
    restore(photos, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.part")] == [".irsde-1-of-2-1.part"]


def test_nodes_chosen_on_the_pictures(restore: Program, photos: Path, tmp_path: Path) -> None:
    """They are said, count in resuming, and given by hand restore the same; shards would each choose their own."""
    first = restore(photos, tmp_path / "auto", "--nodes", "auto", steps=3)
    found = re.search(r"3 steps at (100,\d+,\d+), seed 0", first.stderr)
    assert found is not None
    again = restore(photos, tmp_path / "auto", "--nodes", "auto", steps=3)
    assert "0 done, 0 failed, 6 up to date" in again.stderr
    restore(photos, tmp_path / "hand", "--nodes", found[1], steps=3)
    assert tree(tmp_path / "auto") == tree(tmp_path / "hand")
    assert "up to date" in restore(photos, tmp_path / "auto", "--nodes", found[1], steps=3).stderr
    assert "shards would choose" in restore(
        photos, tmp_path / "shard", "--nodes", "auto", "--shard", "1/2", code=2
    ).stderr  # fmt: skip


def test_many_small_pictures_wait_for_the_disk_once(
    restore: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve results: each file is forced by itself, their names and the lines about them together."""
    for index in range(12):
        picture(tmp_path / "in" / f"{index:02}.png", 8, 8)
    forced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        forced.append(os.readlink(f"/proc/self/fd/{handle}"))  # noqa: PTH115 - a number
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(pipeline, "SECONDS_TOGETHER", math.inf)
    restore(tmp_path / "in", tmp_path / "out")
    out = str(tmp_path / "out")
    files = [path for path in forced if path.startswith(out) and path.endswith(".part")]
    assert len(files) == len(set(files)) == 12
    assert forced.count(out) <= 3, "made, and once for all names"
    manifest = f"{out}/.irsde/manifest.jsonl"
    assert forced.count(manifest) == 3, "the run, all that is pending, and the end"
    lines = (tmp_path / "out" / ".irsde" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["run", *["pending"] * 12, *["done"] * 12]


def test_one_of_several_that_wait_cannot_be_named(
    restore: Program, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails alone; the others have their names and are up to date the next time."""
    real = Aside.named

    def named(self: Aside) -> os.stat_result:
        if self.path.name == "p1.png":
            raise InputError(f"cannot write '{self.path}': no.")
        return real(self)

    monkeypatch.setattr(Aside, "named", named)
    monkeypatch.setattr(pipeline, "SECONDS_TOGETHER", math.inf)
    events = restore.events(photos, tmp_path / "out", code=3)
    assert [event["name"] for event in events if event["event"] == "failed"] == ["p1.png"]
    assert "p1.png" not in tree(tmp_path / "out") and not list((tmp_path / "out").rglob("*.part"))
    monkeypatch.undo()
    again = restore.events(photos, tmp_path / "out")
    assert [event["name"] for event in again if event["event"] == "done"] == ["p1.png"]
    assert [event for event in again if event["event"] == "skipped"]
