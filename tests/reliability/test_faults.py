"""Faults that a run meets, provoked for real: full disks, rights taken away, limits, signals, terminals, other runs."""

import os
import resource
import signal
import socket
import subprocess
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.stub import Program, picture, save_stub, tree
from tests.cli.test_download import Machine
from tests.hub_server import Repo, served
from tests.reliability.processes import (
    Ended,
    Running,
    Terminal,
    irsde,
    limited,
    little_memory,
    start,
    without_privileges,
)

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="provoked with what Linux has")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def words(place: Path, stub: Path, *more: object, steps: int = 2, out: str = "out") -> list[object]:
    options = ["--task", "denoise", "--model", stub, "--steps", steps]
    return ["restore", place / "in", place / out, *options, *more]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def test_a_disk_that_fills_and_is_freed(place: Path, stub: Path, disk: Path) -> None:
    """The run stops at once with 5 and one sentence that names the folder; with room the same command finishes."""
    for index in range(8):
        picture(place / "in" / f"{index}.png", 240, 240)
    (place / "out").symlink_to(disk)
    full = irsde(*words(place, stub), cwd=place)
    assert full.code == 5, full.complaint
    assert f"cannot write to '{place / 'out'}': No space left on device" in full.complaint
    assert full.stderr.count("Error") == 1 and "Traceback" not in full.stderr and "failed: " not in full.stderr
    finished = tree(disk)
    assert 0 < len(finished) < 8 and not [name for name in finished if name.endswith(".part")]
    remount(disk, "size=8m")
    assert irsde(*words(place, stub), cwd=place).code == 0
    assert irsde(*words(place, stub, out="whole"), cwd=place).code == 0
    assert tree(disk) == tree(place / "whole")
    assert finished.items() <= tree(disk).items()


def test_files_that_may_not_grow(place: Path, stub: Path) -> None:
    """A limit on the size of files is a full disk."""
    picture(place / "in" / "a.png", 90, 90)
    ended = irsde(*words(place, stub), cwd=place, prepare=[limited(resource.RLIMIT_FSIZE, 8192)])
    assert ended.code == 5 and "cannot write to" in ended.complaint
    assert not tree(place / "out")


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_may_not_be_written(place: Path, stub: Path, mode: int) -> None:
    """Found before the weights are: 5, although the weights are missing too."""
    picture(place / "in" / "a.png")
    (place / "out").mkdir()
    (place / "out").chmod(mode)
    ended = irsde(*words(place, place / "absent.safetensors"), cwd=place, prepare=[without_privileges])
    assert ended.code == 5 and "cannot write" in ended.complaint and "Permission denied" in ended.complaint
    assert not tree(place / "out")


def test_a_disk_that_may_not_be_written(place: Path, stub: Path, disk: Path) -> None:
    picture(place / "in" / "a.png")
    remount(disk, "ro")
    (place / "out").symlink_to(disk)
    ended = irsde(*words(place, stub), cwd=place)
    assert ended.code == 5 and "Read-only file system" in ended.complaint


def test_where_results_go(place: Path, stub: Path) -> None:
    """Missing folders are made; a file is no folder."""
    picture(place / "in" / "a.png")
    assert irsde(*words(place, stub, out="some/where/else"), cwd=place).code == 0
    assert (place / "some" / "where" / "else" / "a.png").is_file()
    (place / "file").touch()
    for out in ("file", "file/below"):
        ended = irsde(*words(place, stub, out=out), cwd=place)
        assert ended.code == 2 and "is a file, not a folder" in ended.complaint


def test_names_that_differ_in_case_alone(place: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system takes them for one they are refused together; no such file system can be had here."""
    import irsde_cli.workflows.restore.plan as request

    for name in ("A.png", "a.png"):
        picture(place / "in" / name)
    monkeypatch.setattr(request, "_probe", lambda folder: True)
    result = Program(stub)(place / "in", place / "out", code=2)
    assert "'A.png' and 'a.png' would both become 'a.png'" in result.stderr
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--suffix", "/../up"], 2, "cannot be a part of a name"),
        (["--suffix", "x" * 300], 3, "failed: a.png: cannot write"),
        (["--trajectory", 10**9], 0, ""),
        (["--eta", "nan", "--sampler", "ode-1"], 2, "eta must be at least 0"),
        (["--model", "closed/x.safetensors"], 5, "Permission denied"),
        (["--report", "closed/x"], 5, "Permission denied"),
        (["--files-from", "closed/x"], 2, "Permission denied"),
        (
            ["--mask", "pipe.png", "--task", "inpaint", "--model", "any.safetensors"],
            3,
            "'pipe.png' is not a regular file",
        ),
    ],
)
def test_options_that_lead_nowhere(place: Path, stub: Path, more: list[object], code: int, message: str) -> None:
    """A sentence and an exit code, and no wait for what never comes."""
    picture(place / "in" / "a.png")
    (place / "closed").mkdir(0)
    os.mkfifo(place / "pipe.png")
    save_stub(place / "any.safetensors", task="")
    ended = irsde(*words(place, stub), *more, cwd=place, prepare=[without_privileges])
    assert ended.code == code and message in ended.complaint, ended.stderr
    assert "Traceback" not in ended.stderr and "bug" not in ended.stderr


@pytest.mark.parametrize(
    ("source", "target"), [("closed/x.png", "out"), ("in", "closed/x"), ("in", "o" * 300), ("o" * 300, "out")]
)
def test_places_that_lead_nowhere(place: Path, stub: Path, source: str, target: str) -> None:
    """Out of reach, or too long for the system: one sentence, and 5."""
    picture(place / "in" / "a.png")
    (place / "closed").mkdir(0)
    ended = irsde("restore", source, target, *words(place, stub)[3:], cwd=place, prepare=[without_privileges])
    assert ended.code == 5 and "cannot use '" in ended.complaint, ended.stderr


def test_weights_that_are_a_pipe(place: Path, stub: Path) -> None:
    """Neither waited for nor opened."""
    picture(place / "in" / "a.png")
    for name in ("model.safetensors", "model.pth"):
        os.mkfifo(place / name)
        train = ["train", "--preset", "denoise-small", "--data", "in", "--out", "run", "--init", name]
        for command in (train, words(place, place / name)):
            ended = irsde(*command, cwd=place)
            assert ended.code == 4 and name in ended.complaint, ended.stderr


def test_entries_that_are_no_files(place: Path, stub: Path) -> None:
    """Links to folders are not followed, links to files are; what waits or is a device is named and never opened."""
    folder = place / "in"
    real = picture(place / "elsewhere" / "real.png")
    picture(folder / "good.png")
    picture(folder / "folder.png" / "inner.png")
    (folder / "away.png").symlink_to(real)
    (folder / "loop").symlink_to(folder)
    (folder / "self.png").symlink_to("self.png")
    (folder / "dangling.png").symlink_to("absent")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "linked.png").symlink_to(place / "elsewhere")
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path is short
        listener.bind("socket.png")
        os.chdir(here)
        ended = irsde(*words(place, stub, "-r"), cwd=place)
    assert ended.code == 3
    assert list(tree(place / "out")) == ["away.png", "folder.png/inner.png", "good.png"]
    for name in ("self", "dangling", "zero", "linked", "pipe", "socket"):
        assert f"failed: {name}.png: " in ended.stderr


def test_names_of_all_kinds(place: Path, stub: Path) -> None:
    """Forms of Unicode, directions, the longest names; JSON stays ASCII, and a second run finds all of it done."""
    source = picture(place / "a.png").read_bytes()
    names = [
        *(unicodedata.normalize(form, "caf\u00e9.png") for form in ("NFC", "NFD")),
        "\N{FAMILY}\u200d\N{GRINNING FACE}.png",
        "\u202egnp.\u05d0\u05d1.png",
        "tab\there.png",
        "--help.png",
        " .png",
        "x" * 251 + ".png",
        "\u20ac" * 83 + ".png",
    ]
    (place / "in").mkdir()
    for name in names:
        (place / "in" / name).write_bytes(source)
    ended = irsde(*words(place, stub, "--json"), cwd=place)
    assert ended.code == 0 and ended.stdout.isascii()
    assert sorted(tree(place / "out")) == sorted(names)
    again = irsde(*words(place, stub), cwd=place)
    assert "0 done, 0 failed, 9 up to date" in again.stderr
    shown = irsde(*words(place, stub, "-v"), cwd=place)
    assert "\u202e" not in shown.stderr and "\t" not in shown.stderr


def test_paths_that_are_too_long(place: Path, stub: Path) -> None:
    """What the system cannot name is a failure by name; the others are restored."""
    picture(place / "in" / "good.png")
    source = picture(place / "a.png").read_bytes()
    (place / "in").chmod(0o755)
    here = Path.cwd()
    os.chdir(place / "in")
    for depth in range(20):
        os.mkdir("d" * 240)  # noqa: PTH102 - relative to where we are
        os.chdir("d" * 240)
        if depth in (2, 18):
            Path("deep.png").write_bytes(source)
    os.chdir(here)
    ended = irsde(*words(place, stub, "-r", out="o" * 200), cwd=place)
    subprocess.run(["rm", "-rf", place / "in"], check=True)
    assert ended.code == 3, ended.complaint
    assert "2 done, 1 failed" in ended.stderr and "File name too long" in ended.complaint
    assert "Traceback" not in ended.stderr


def test_files_that_cannot_be_read(place: Path, stub: Path) -> None:
    """Without the right to, the file fails by name; so does all of a folder that cannot be listed."""
    picture(place / "in" / "good.png")
    picture(place / "in" / "closed.png").chmod(0)
    picture(place / "in" / "hidden" / "a.png").parent.chmod(0)
    ended = irsde(*words(place, stub, "-r"), cwd=place, prepare=[without_privileges])
    (place / "in" / "hidden").chmod(0o755)
    assert ended.code == 3
    assert "failed: closed.png: " in ended.stderr and "failed: hidden: " in ended.stderr
    assert "Permission denied" in ended.stderr
    assert list(tree(place / "out")) == ["good.png"]


def test_a_file_that_vanishes(place: Path, stub: Path) -> None:
    """Between the listing and its turn."""
    for index in range(30):
        picture(place / "in" / f"{index:02}.png", 60, 60)
    running = start(*words(place, stub, steps=5), cwd=place)
    running.until(lambda: (place / "out" / "00.png").exists())
    (place / "in" / "29.png").unlink()
    ended = running.wait()
    assert ended.code == 3 and "failed: 29.png: " in ended.stderr and "No such file" in ended.complaint
    assert len(tree(place / "out")) == 29


def test_a_file_that_grows(place: Path, stub: Path) -> None:
    """One that is still being written is no picture yet."""
    growing = picture(place / "in" / "growing.png")
    with growing.open("ab") as stream:
        stream.write(bytes(200_000_000))
    stop = threading.Event()

    def grow() -> None:
        with growing.open("ab", buffering=0) as stream:
            while not stop.is_set():
                stream.write(b"0")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        ended = irsde(*words(place, stub), cwd=place)
    finally:
        stop.set()
        thread.join()
    assert ended.code == 3 and "'growing.png' changed while it was read" in ended.complaint
    assert not tree(place / "out")


def weights_of(stub: Path, path: Path, factor: float) -> Path:
    with safe_open(stub, "pt") as file:
        tensors = {name: file.get_tensor(name) * factor for name in file.keys()}  # noqa: SIM118 - no mapping
        save_file(tensors, path, metadata=file.metadata())
    return path


def test_weights_that_overflow(place: Path, stub: Path) -> None:
    """Finite weights whose results are not: the picture fails, and no file is written."""
    picture(place / "in" / "a.png", 16, 16)
    model = weights_of(stub, place / "wild.safetensors", 1e30)
    ended = irsde(*words(place, model), cwd=place)
    assert ended.code == 3 and "the result is not finite" in ended.complaint
    assert not tree(place / "out")


def test_memory_that_ends(place: Path, stub: Path) -> None:
    """A picture beyond the process's memory is cut into tiles or fails by name; the others come out as ever."""
    for name, side in (("a", 40), ("b", 2600), ("c", 40)):
        picture(place / "in" / f"{name}.png", side, side)
    ended = irsde(*words(place, stub, "--tile", 0), cwd=place, prepare=[little_memory(400_000_000)])
    assert ended.code == 3 and "failed: b.png: there is not enough memory for it" in ended.complaint, ended.complaint
    assert "going on with tiles" in ended.stderr
    (place / "in" / "b.png").unlink()
    assert irsde(*words(place, stub, out="whole"), cwd=place).code == 0
    assert tree(place / "out") == tree(place / "whole")


def test_small_pictures_take_little_memory(place: Path, stub: Path) -> None:
    """From a file or a pipe; a read is never prepared for the largest file that is allowed."""
    source = picture(place / "in" / "a.png")
    little = [little_memory(150_000_000)]
    assert irsde(*words(place, stub), cwd=place, prepare=little).code == 0
    piped = irsde("restore", "-", place / "b.png", *words(place, stub)[3:], cwd=place, prepare=little, stdin=source)
    assert piped.code == 0, piped.complaint


def test_a_device_that_fails(stub: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run stops with 5 at the first error of the device: the next picture would meet it too."""
    from irsde_cli.networks.pocket_unet import PocketUNet

    for index in range(5):
        picture(place / "in" / f"{index}.png")

    def lost(*_: Any) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more lines")

    monkeypatch.setattr(PocketUNet, "forward", lost)
    result = Program(stub)(place / "in", place / "out", code=5)
    assert "the device 'cpu' failed: CUDA error: an illegal memory access was encountered" in " ".join(
        result.stderr.split()
    )
    assert result.stderr.count("Error") == 1 and not tree(place / "out")


def started(place: Path, stub: Path, **more: Any) -> Running:
    """A run that has written its first picture."""
    for index in range(12):
        picture(place / "in" / f"{index:02}.png", 80, 80)
    running = start(*words(place, stub, steps=40), cwd=place, **more)
    running.until(lambda: (place / "out" / "00.png").exists())
    return running


def check_left(place: Path, stub: Path, ended: Ended) -> None:
    """Nothing is torn and no temporary file is left; the same command finishes."""
    assert "Traceback" not in ended.stderr
    left = tree(place / "out")
    assert 0 < len(left) < 12
    assert irsde(*words(place, stub, steps=40), cwd=place).code == 0
    finished = tree(place / "out")
    assert len(finished) == 12 and left.items() <= finished.items()


def test_control_c_on_a_terminal(place: Path, stub: Path) -> None:
    """Once: the current picture is dropped, the summary is shown, and the exit code is 130."""
    terminal = Terminal()
    running = started(place, stub, terminal=terminal.name)
    terminal.press(b"\x03")
    ended = running.wait()
    terminal.finish()
    assert ended.code == 130 and b"interrupted" in terminal.shown and b"done" in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert not list((place / "out").glob("*.part"))
    check_left(place, stub, ended)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal(place: Path, stub: Path, number: int) -> None:
    """From a scheduler or a shell that ends: 128 and the signal, a summary, and no temporary file."""
    running = started(place, stub)
    running.signal(number)
    ended = running.wait()
    assert ended.code == 128 + number and "interrupted" in ended.stderr and "0 failed" in ended.stderr
    assert not list((place / "out").glob("*.part"))
    check_left(place, stub, ended)


def test_a_second_signal_leaves_at_once(place: Path, stub: Path) -> None:
    """For those who cannot wait; what is there is whole all the same."""
    running = started(place, stub)
    running.signal(signal.SIGINT)
    running.signal(signal.SIGINT)
    ended = running.wait()
    assert ended.code == 130
    check_left(place, stub, ended)


def test_a_terminal_that_goes_away(place: Path, stub: Path) -> None:
    """A closed window or a lost connection ends the run like any signal, although nobody sees what it says."""
    terminal = Terminal()
    running = started(place, stub, terminal=terminal.name)
    terminal.hang_up()
    ended = running.wait()
    assert ended.code in (128 + signal.SIGHUP, 141)
    assert not list((place / "out").glob("*.part"))
    check_left(place, stub, ended)


def test_two_runs_on_one_folder(place: Path, stub: Path) -> None:
    """The second ends at once with 5, and the first goes on; after a kill nothing is locked."""
    first = started(place, stub)
    second = irsde(*words(place, stub, steps=40), cwd=place)
    assert second.code == 5 and f"another run is writing to '{place / 'out'}'" in second.complaint
    first.signal(signal.SIGKILL)
    assert first.wait().code == -signal.SIGKILL
    assert irsde(*words(place, stub, steps=40), cwd=place).code == 0


def test_two_shards_at_once(place: Path, stub: Path) -> None:
    """Both complete, and no line of either manifest is lost."""
    for index in range(20):
        picture(place / "in" / f"{index:02}.png", 40, 40)
    both = [start(*words(place, stub, "--shard", f"{index}/2"), cwd=place) for index in (1, 2)]
    assert [running.wait().code for running in both] == [0, 0]
    assert irsde(*words(place, stub, out="whole"), cwd=place).code == 0
    assert tree(place / "out") == tree(place / "whole")
    manifests = list((place / "out" / ".irsde").glob("manifest.*.jsonl"))
    assert sum(path.read_text().count('"done"') for path in manifests) == 20
    assert "20 up to date" in irsde(*words(place, stub), cwd=place).stderr


def resident(running: Running) -> int:
    return int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_memory_and_descriptors_stay_flat(place: Path, stub: Path) -> None:
    """Over hundreds of pictures."""
    data = picture(place / "in" / "000.png", 32, 32).read_bytes()
    for index in range(1, 600):
        (place / "in" / f"{index:03}.png").write_bytes(data)
    running = start(*words(place, stub, steps=1), cwd=place)
    running.until(lambda: (place / "out" / "150.png").exists())
    before, open_before = resident(running), len(os.listdir(f"/proc/{running.pid}/fd"))  # noqa: PTH208
    running.until(lambda: (place / "out" / "550.png").exists())
    after, open_after = resident(running), len(os.listdir(f"/proc/{running.pid}/fd"))  # noqa: PTH208
    assert running.wait().code == 0
    assert after < 1.05 * before and open_after <= open_before + 3


@pytest.mark.parametrize(
    "environment",
    [
        {"NO_COLOR": "1"},
        {"TERM": "dumb"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"COLUMNS": "20", "LINES": "2"},
        {"HOME": None, "XDG_CACHE_HOME": None, "USER": None, "HF_HOME": "/proc/nowhere"},
        {"TMPDIR": "/proc/nowhere"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_surroundings_of_all_kinds(place: Path, stub: Path, environment: dict[str, str | None]) -> None:
    """No escape code without a terminal, no name that cannot be printed, and nothing that needs a home."""
    for name in ("\u017c\u00f3\u0142w \U0001f422.png", "plain.png"):
        picture(place / "in" / name)
    (place / "in" / "\u017a\u0142y.png").write_text("no picture")
    ended = irsde(*words(place, stub), cwd=place, environment=environment)
    assert ended.code == 3 and len(tree(place / "out")) == 2
    assert "\x1b" not in ended.stdout + ended.stderr and "Traceback" not in ended.stderr
    assert "failed: " in ended.stderr and "no picture" not in ended.stderr


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminals_without_colour(place: Path, stub: Path, environment: dict[str, str | None]) -> None:
    """Plain lines where the terminal or its owner wants them."""
    picture(place / "in" / "a.png")
    terminal = Terminal()
    ended = irsde(*words(place, stub), cwd=place, environment=environment, terminal=terminal.name)
    terminal.finish()
    assert ended.code == 0 and b"1 done" in terminal.shown and b"\x1b[" not in terminal.shown


def test_a_cache_that_may_not_be_written(place: Path, stub: Path) -> None:
    """What a Hub sends finds no place: one sentence that names it."""
    with served({"me/good": Repo({"model.safetensors": stub.read_bytes()})}) as hub:
        _, complaint = Machine(place, hub)("download", "me/good", code=4, HF_HOME="/proc/nowhere")
    assert "/proc/nowhere" in complaint


def test_clocks_that_jump(place: Path, stub: Path) -> None:
    """Files from the past and the future are restored once, and known again."""
    for name, seconds in (("old", -(10**9)), ("zero", 0), ("new", 4 * 10**9)):
        os.utime(picture(place / "in" / f"{name}.png"), (seconds, seconds))
    (place / "out").mkdir()
    stale = place / "out" / ".irsde-all-1.part"
    stale.touch()
    os.utime(stale, (4 * 10**9, 4 * 10**9))
    assert irsde(*words(place, stub), cwd=place).code == 0
    assert not stale.exists()
    assert "3 up to date" in irsde(*words(place, stub), cwd=place).stderr
