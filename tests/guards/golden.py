"""Pixels that must not change unless somebody means it: how they are made and stored.

`python -m tests.guards.golden` writes them anew; a change of these files is a change of what users get, and says so.

Where the machine is of the kind that wrote them, bytes are compared. Elsewhere a level of 255 may differ: the kernels
of another instruction set or another torch sum in another order, and where a value lies between two levels the rounding
takes the other one.
"""

import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.conversions.published import content
from irsde_cli.needs import JUDGED
from irsde_cli.networks.unet import UNet
from irsde_cli.restorer import Restorer
from irsde_cli.storage import weight_files
from irsde_cli.systems.denoising import Denoising, DenoisingConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.tasks import TASKS
from irsde_cli.weights import SHIPPED, shipped_path
from irsde_cli.weights.catalogue import LAMBDA
from tests.cli.stub import TRAINING, save_stub
from tests.systems.test_restorers import build

FOLDER = Path(__file__).parent
MACHINE = FOLDER / "machine.json"
COMMANDS = FOLDER / "commands.json"
SIDE = 24
FORMAT_1 = ("mean-reverting", "denoising", "latent", "direct", "autoencoder")
# A run of the stub for each way to the pixels.
RUNS: dict[str, list[str]] = {
    "whole": ["--steps", "5", "--sampler", "posterior"],
    "multistep": ["--steps", "3", "--sampler", "sde-2", "--eta", "0.5"],
    "tiles": ["--steps", "3", "--tile", "16", "--tile-overlap", "8"],
    "draws": ["--steps", "2", "--samples", "2", "--spread", "--trajectory", "2"],
    "mean": ["--steps", "2", "--estimate", "mean", "--samples", "3"],
}
Pixels = NDArray[np.uint8]


def machine() -> str:
    """The kind of machine: what decides the order in which sums are taken."""
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {platform.system()} {platform.machine()}, {kernels}"


def is_ours() -> bool:
    """Whether bytes may be compared here."""
    found: str = json.loads(MACHINE.read_text(encoding="utf-8"))["machine"]
    return found == machine()


def subject() -> Pixels:
    """(SIDE, SIDE, 3): edges, a ramp and a texture, from integers alone."""
    y, x = np.mgrid[:SIDE, :SIDE]
    planes = [x * 9 + y, (x * y) % 200 + 20, np.where((x // 6 + y // 6) % 2, 210, 40) + (x * 7 + y * 13) % 31]
    return np.stack(planes, -1).astype(np.uint8)


def command(*words: object) -> str:
    """Standard output of the program, called in this process."""
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.stdout


def pixels(path: Path) -> Pixels:
    return np.asarray(Image.open(path).convert("RGB"))


def shipped(folder: Path, name: str) -> Pixels:
    """What a shipped network makes of the subject, with the settings that it ships with."""
    task = checkpoint.read_header(shipped_path(name)).task
    Image.fromarray(subject()).save(folder / "a.png")
    words = [folder / "a.png", folder / f"{name}.png", "--task", task, "--model", name]
    if task in JUDGED:
        words += ["--strength", 1]  # all that the network itself makes of it
    if TASKS[task].needs_mask:
        known = np.full((SIDE, SIDE), 255, np.uint8)
        known[6:15, 8:20] = 0
        Image.fromarray(known).save(folder / "mask.png")
        words += ["--mask", folder / "mask.png"]
    command("restore", *words, "--device", "cpu", "--precision", "fp32", "-q")
    return pixels(folder / f"{name}.png")


def stub_run(folder: Path, name: str) -> dict[str, Pixels]:
    """All files that a run of `restore` with the stub writes, by name."""
    Image.fromarray(subject()).save(folder / "a.png")
    out = folder / name
    words = ["--task", "denoise", "--model", save_stub(folder / "stub.safetensors"), "--device", "cpu", "-q"]
    command("restore", folder / "a.png", f"{out}/", *words, "--precision", "fp32", *RUNS[name])
    return {f"{name}-{path.stem}": pixels(path) for path in sorted(out.glob("*.png"))}


def evaluated(folder: Path) -> dict[str, Any]:
    """The figures of a run of `evaluate` with the stub, on noise that it makes itself."""
    (folder / "GT").mkdir()
    Image.fromarray(np.kron(subject(), np.ones((2, 2, 1), np.uint8))).save(folder / "GT" / "a.png")
    words = ["--gt", folder / "GT", "--degradation", "gaussian-noise", "--task", "denoise", "--way", "posterior:2"]
    words += ["--model", save_stub(folder / "stub.safetensors"), "--device", "cpu", "--precision", "fp32", "-q"]
    figures = json.loads(command("evaluate", *words, "--figures", "-"))["images"][0]["figures"]
    return {label: {name: row[name] for name in ("psnr", "ssim")} for label, row in figures.items()}


def trained(folder: Path) -> list[float]:
    """The losses of three steps of the stub."""
    for index in range(3):
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.roll(subject(), index, axis=0)).save(folder / "photos" / f"{index}.png")
    (folder / "settings.toml").write_text(TRAINING.format(steps=3, save_every=10), encoding="utf-8")
    words = ["--data", folder / "photos", "--out", folder / "run", "--device", "cpu", "-q"]
    command("train", folder / "settings.toml", *words)
    lines = (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def kept(folder: Path) -> dict[str, Any]:
    """What `download`, its `--export`, `push` and `env` make of weights that are small fractions, on any machine."""
    network = UNet(nf=4, depth=1)
    for tensor in network.state_dict().values():
        tensor.copy_((torch.arange(tensor.numel()).reshape(tensor.shape) % 17 - 8) / 16)
    official, back = folder / "official.pth", folder / "back.pth"
    torch.save(network.state_dict(), official)
    words = ["--from", official, "--set", f"{LAMBDA}=0.04", "--local-dir", folder / "weights", "-q"]
    path = Path(command("download", "rain100h", *words).strip())
    header = asdict(checkpoint.read_header(path))
    header["origin"] = header["origin"].partition(" ")[0]  # the bytes of a pickle are torch's
    del header["version"]
    command("download", "--export", path, back)
    card = command("push", path, "me/mine", "--dry-run").splitlines()
    return {
        "download": {"header": header, "tensors": content(weight_files.read(path))},
        "export": content(torch.load(back, weights_only=True)),
        "push": [line for line in card if not line.startswith(("| SHA-256", "| written by", "| converted from"))],
        "env": sorted(json.loads(command("env", "--json"))),
    }


def restored(path: Path) -> Pixels:
    """What a checkpoint makes of the subject, by a call from Python."""
    image = torch.from_numpy(subject()).permute(2, 0, 1).float() / 255
    result = checkpoint.load(path).restorer(image)
    return np.asarray((result.permute(1, 2, 0) * 255).round().byte())


def made(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """All stored pictures, by the names of their files."""
    for name in SHIPPED:
        yield f"shipped/{name}", shipped(folder, name)
    for name in RUNS:
        for file, found in stub_run(folder, name).items():
            yield f"restore/{file}", found
    for name in FORMAT_1:
        yield f"format-1/{name}", restored(FOLDER / "format-1" / f"{name}.safetensors")


def small(name: str) -> Restorer:
    """A system with fresh weights, as few as it takes."""
    if name == "denoising":
        return Denoising(DenoisingConfig(NetworkConfig("unet", {"nf": 4, "depth": 1, "conditional": False})))
    return build(name)


def main() -> None:
    torch.set_num_threads(1)
    (FOLDER / "format-1").mkdir(exist_ok=True)
    for name in FORMAT_1:
        path = FOLDER / "format-1" / f"{name}.safetensors"
        if not path.exists():
            checkpoint.save(path, small(name), dtype=torch.float16, task="denoise")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("shipped", "restore"):
            shutil.rmtree(FOLDER / name, ignore_errors=True)
        for name, picture in made(folder):
            path = FOLDER / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path, optimize=True)
        COMMANDS.write_text(json.dumps(kept(folder), indent=1) + "\n", encoding="utf-8")
        found = {"machine": machine(), "evaluate": evaluated(folder), "train": trained(folder)}
        MACHINE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
