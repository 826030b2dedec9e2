"""A checkpoint with a tiny random network, pictures of a few pixels, and the program called in this process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig

NETWORK = NetworkConfig("pocket-unet", {"widths": (8, 8), "blocks": (1, 1), "time_dim": 8})

TRAINING = """
task = "denoise"
objective = "clean-matching"
crop = 16
batch_size = 2
warm_up = 2
steps = {steps}
[model]
process.prediction = "clean"
[model.network]
name = "pocket-unet"
options = {{ widths = [8, 8], blocks = [1, 1], time_dim = 8 }}
[degradation]
name = "gaussian-noise"
[run]
report_every = 1
save_every = {save_every}
"""


def save_stub(path: Path, task: str = "denoise", **settings: Any) -> Path:
    torch.manual_seed(0)
    restorer = MeanReverting(MeanRevertingConfig(NETWORK, ProcessConfig(prediction="clean"), **settings))
    for parameter in restorer.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    checkpoint.save(path, restorer, task=task)
    return path


def picture(path: Path, height: int = 9, width: int = 14, mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(str(path.name).encode("utf-8", "surrogateescape"))
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").convert(mode).save(path, **options)
    return path


def thirteen(folder: Path) -> Path:
    """Work for several processes, some of it in a folder below."""
    for index in range(12):
        picture(folder / f"{index:02}.png", 20 + index, 24)
    picture(folder / "sub" / "q.jpg", 20, 20)
    return folder


@contextmanager
def endless(folder: Path, after: str, count: int = 2) -> Iterator[None]:
    """Pictures that take minutes, between the others: a run that comes to them is still at work when it is stopped."""
    paths = [folder / f"{after}-{index}.png" for index in range(count)]
    for path in paths:
        Image.new("RGB", (3000, 3000)).save(path)
    yield
    for path in paths:
        path.unlink()


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path)).astype(int)


class Program:
    """`irsde restore`, with the stub's weights and two steps unless told otherwise."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def __call__(self, *arguments: object, code: int = 0, task: str = "denoise", steps: int = 2, **more: Any) -> Any:
        words = ["restore", *map(str, arguments), "--task", task, "--model", str(self.model), "--steps", str(steps)]
        result = CliRunner().invoke(app, words, **more)
        assert result.exit_code == code, f"{result.exit_code}: {result.output} {result.exception!r}"
        return result

    def events(self, *arguments: object, **more: Any) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*arguments, "--json", **more).stdout.splitlines()]


def call(*words: object, code: int = 0) -> Result:
    """The program with these words, in this process; it must end with that exit code."""
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, f"{result.exit_code}: {result.output} {result.exception!r}"
    return result


def shown(folder: Path) -> dict[str, bytes]:
    """The pixels of the files of an output folder, without what is written beside them."""
    return {name: pixels(folder / name).tobytes() for name in tree(folder)}


def tree(folder: Path) -> dict[str, bytes]:
    """The files of an output folder, without the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".irsde" not in path.parts
    }
