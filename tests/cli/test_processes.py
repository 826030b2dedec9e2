"""The real program in processes of its own: start-up, streams, signals, kills."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.stub import picture, tree

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def irsde(*words: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "irsde_cli", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=120, **more)


def options(stub: Path, steps: int = 2) -> list[object]:
    return ["--task", "denoise", "--model", stub, "--steps", steps]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["restore", "--help"], 0),
        (["train", "--help"], 0),
        (["train"], 2),
        (["restore", "in", "out", "--task", "denoisee"], 2),
        (["restore", "nowhere", "out", "--task", "denoise"], 2),
        (["restore", "in", "out", "--stepz", "3"], 2),
    ],
)
def test_torch_is_not_loaded_to_say_something(words: list[str], code: int, tmp_path: Path) -> None:
    """Help, version and usage errors answer without importing torch."""
    # Help takes less than half a second because nothing that works on pixels is loaded for it.
    unwanted = {"torch", *(["numpy", "PIL", "safetensors"] if {"--help", "--version"} & {*words} else [])}
    script = (
        "import sys\nfrom irsde_cli.cli import main\nsys.argv = ['irsde', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        f"assert not {unwanted} & {{*sys.modules}}, 'imported'\nsys.exit(code)\n"
    )
    (tmp_path / "in").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", script, *words], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, timeout=60
    )
    assert result.returncode == code, result.stderr.decode()


def test_torch_is_all_that_restoring_waits_for(stub: Path, tmp_path: Path) -> None:
    """A picture is restored without torch's compiler, whose import takes as long as torch's own."""
    picture(tmp_path / "in.png", 24, 24)
    script = (
        "import sys\nfrom irsde_cli.cli import main\nsys.argv = ['irsde', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' in sys.modules\n"
        "assert not {'torch._dynamo', 'torch._inductor', 'sympy'} & {*sys.modules}, 'imported'\n"
    )
    words = ["restore", "in.png", "out.png", "--task", "denoise", "--model", str(stub), "--steps", "1"]
    result = subprocess.run(
        [sys.executable, "-c", script, *words], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, timeout=60
    )
    assert result.returncode == 0, result.stderr.decode()
    assert (tmp_path / "out.png").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["in", "out", "--task", "denoisee"], 2, "Did you mean 'denoise'"),
        (["in", "out", "--task", "denoise", "--sampler", "posteriro"], 2, "Did you mean 'posterior'"),
        (["in", "out", "--task", "denoise", "--stepz", "3"], 2, "--steps"),
        (["nowhere", "out", "--task", "denoise"], 2, "no such file or folder: 'nowhere'"),
        (["empty", "out", "--task", "denoise"], 2, "no pictures in 'empty'"),
        (["in", "out", "--task", "denoise", "--steps", "101"], 2, "from 1 to 100"),
        (["bad", "out", "--task", "denoise", "--steps", "1"], 3, "failed: bad.png: "),
        (["in", "out", "--task", "denoise", "--model", "misfit.safetensors"], 4, "its settings ask for"),
    ],
)
def test_errors_of_the_real_program(words: list[str], code: int, message: str, stub: Path, tmp_path: Path) -> None:
    """One sentence, the right exit code, nothing written, and never a traceback."""
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.png").write_bytes(b"no picture")
    if "misfit.safetensors" in words:
        with safe_open(stub, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            tensors["network.intro.weight"] = tensors["network.intro.weight"][:, :3].contiguous()
            save_file(tensors, tmp_path / "misfit.safetensors", metadata=file.metadata())
    result = irsde("restore", *words, cwd=tmp_path)
    complaint = " ".join(result.stderr.decode().replace("│", " ").split())
    assert (result.returncode, message in complaint, result.stdout) == (code, True, b""), complaint
    assert "Traceback" not in complaint
    assert not (tmp_path / "out").exists() or not tree(tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "waits"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"GOMP_SPINCOUNT": "100"}, None)],
)
def test_threads_that_wait_leave_the_processor_to_others(given: dict[str, str], waits: str | None) -> None:
    """Unless somebody asked for another way; it is decided before torch is loaded, which reads it once."""
    program = "import os, sys\ntry: main()\nfinally: print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    words = [sys.executable, "-c", f"from irsde_cli.cli import main\n{program}", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment | given)
    assert done.stdout.splitlines()[-1] == f"{waits} False"


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on file sizes")
def test_a_full_disk(stub: Path, tmp_path: Path) -> None:
    """When the system refuses to write, the run stops at once with 5, and no torn file is left."""
    import resource

    picture(tmp_path / "in" / "a.png", 8, 8)
    picture(tmp_path / "in" / "b.png", 90, 90)
    picture(tmp_path / "in" / "c.png", 90, 90)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    result = irsde("restore", "in", "out", *options(stub), cwd=tmp_path, preexec_fn=limited)
    assert result.returncode == 5, result.stderr.decode()
    assert b"cannot write to" in result.stderr and b"Traceback" not in result.stderr
    assert list(tree(tmp_path / "out")) == ["a.png"]


def test_a_pipe(stub: Path, tmp_path: Path) -> None:
    """A picture on standard input comes out restored on standard output, and nothing else does."""
    source = picture(tmp_path / "a.png", 12, 10)
    piped = irsde("restore", "-", "-", *options(stub), input=source.read_bytes())
    assert piped.returncode == 0, piped.stderr.decode()
    assert piped.stdout.startswith(b"\x89PNG")
    damaged = irsde("restore", "-", "-", *options(stub), input=b"no picture")
    assert (damaged.returncode, damaged.stdout) == (3, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
def test_a_closed_pipe_is_no_traceback(stub: Path, tmp_path: Path) -> None:
    """When the reader of the results goes away, the run ends quietly with 141."""
    for index in range(4):
        picture(tmp_path / "in" / f"{index}.png")
    command = [sys.executable, "-m", "irsde_cli", "restore", "in", "out", *map(str, options(stub)), "--json"]
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert b"Traceback" not in complaint


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_cleanly(stub: Path, tmp_path: Path, number: int, code: int) -> None:
    """The current picture is dropped, the summary printed, nothing torn, and the same command goes on."""
    for index in range(8):
        picture(tmp_path / "in" / f"{index}.png", 100, 100)
    words = ["restore", tmp_path / "in", tmp_path / "out", *options(stub, 60), "-v"]
    process = subprocess.Popen(
        [sys.executable, "-m", "irsde_cli", *map(str, words)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first picture is done
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == code, complaint.decode()
    assert b"interrupted" in complaint and b"Traceback" not in complaint
    assert 0 < len(tree(tmp_path / "out")) < 8
    assert not list((tmp_path / "out").glob("*.part"))
    assert irsde(*words).returncode == 0
    assert len(tree(tmp_path / "out")) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_at_any_instant(stub: Path, tmp_path: Path) -> None:
    """Final names are whole or absent, the same command finishes, and the results are those of an unbroken run."""
    for index in range(6):
        picture(tmp_path / "in" / f"{index}.png", 40, 40)
    command = [sys.executable, "-m", "tests.cli.crash", str(stub), str(tmp_path / "in"), str(tmp_path / "work"), "12"]
    (tmp_path / "work").mkdir()
    result = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, timeout=120, text=True)
    assert result.stdout.strip() == "status 0 broken 0 equal True", result.stdout + result.stderr
