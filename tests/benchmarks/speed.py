"""How long networks, samplers, folders, start-up and files take, beside a reference-style loop and machine limits.

    python -m tests.benchmarks.speed [PHOTOS] [--part network sampler restore start files] [--json FILE]
    python -m tests.benchmarks.speed PHOTOS --part quality --lpips FILE --task denoise deblur derain

PHOTOS is a folder, docs/samples/noisy if none is given; its pictures are continued by reflection to squares of --size.
Every figure is the shortest of --repeat rounds, in which all that is compared takes turns, and stands beside its ratio
to the reference-style loop of the same rounds (speed_reference.py): float32, one image, per-step host work, all states
kept, without TF32. Prints a Markdown table a part.
"""

import argparse
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.engine.restoration import Restoration
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import Picture, encode_picture, looks_like_picture, read_picture, to_tensor, with_restored
from irsde_cli.metrics.lpips import LpipsAlex
from irsde_cli.metrics.psnr import psnr
from irsde_cli.networks.nafnet import NAFNet
from irsde_cli.networks.network import Predictor, pad_to
from irsde_cli.networks.tiling import Evaluate, Reduced, whole
from irsde_cli.networks.unet import UNet
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, Prefetched, generator_for
from irsde_cli.restorer import last
from irsde_cli.runtime import Precision, choose_device, choose_precision
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.weights import find_weights
from irsde_cli.workflows.restore.events import Done
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.pipeline import run
from irsde_cli.workflows.restore.plan import plan
from tests.benchmarks.solvers import TESTS
from tests.benchmarks.speed_reference import reference_restore, reference_sample

PUBLISHED: dict[str, Callable[[], Predictor]] = {"unet": UNet, "nafnet": NAFNet}
FORMATS = ("png", "jpeg", "webp", "tiff")
SAMPLES = Path(__file__).parents[2] / "docs/samples/noisy"
Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: what was measured.
        seconds: of the fastest round.
        ratio: of the yardstick's seconds to these.
        yardstick: what it is compared with.
        rounds: all rounds, in seconds.
        more: further figures by name.
    """

    part: str
    what: str
    seconds: float
    ratio: float
    yardstick: str
    rounds: tuple[float, ...]
    more: Mapping[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all parts share."""

    device: torch.device
    tasks: Sequence[str]
    networks: Sequence[str]
    precisions: Sequence[Precision]
    photos: Path
    size: int
    count: int
    steps: int
    repeat: int
    compiled: bool
    lpips: Path | None = None
    clock: Callable[[], float] = time.perf_counter

    def photo(self) -> Tensor:
        """The first photograph (1, 3, size, size)."""
        path = next(path for path in sorted(self.photos.iterdir()) if looks_like_picture(path))
        return pad_to(to_tensor(read_picture(path, path.name))[None], (self.size, self.size), "reflect").to(self.device)

    def timed(self, works: Mapping[str, Work]) -> dict[str, tuple[float, ...]]:
        """Seconds of each, in turns, after one round that is not counted."""
        rounds: dict[str, list[float]] = {name: [] for name in works}
        for index in range(self.repeat + 1):
            for name, work in works.items():
                self._settle()
                begin = self.clock()
                work()
                self._settle()
                if index:
                    rounds[name].append(self.clock() - begin)
        return {name: tuple(values) for name, values in rounds.items()}

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rows(
        self,
        part: str,
        works: Mapping[str, Work],
        more: Mapping[str, Mapping[str, Any]] | None = None,
        share: float = 1,
    ) -> Iterator[Row]:
        """A row each; the first is the yardstick, and `share` what one of the counted things is of a work."""
        timings = self.timed(works)
        yardstick = next(iter(works))
        for name, rounds in timings.items():
            ratio = min(timings[yardstick]) / min(rounds)
            figures = (more or {}).get(name, {})
            yield Row(part, name, min(rounds) * share, ratio, yardstick, tuple(one * share for one in rounds), figures)


@dataclass(frozen=True)
class Machine:
    """The measured limits: FLOP/s of a large product and of a convolution by precision, bytes/s of a large copy."""

    product: Mapping[str, float]
    convolution: Mapping[str, float]
    copy: float

    @classmethod
    def measured(cls, bench: Bench) -> "Machine":
        """On the benchmark's device and threads."""
        gpu = bench.device.type == "cuda"
        side, batch, channels, area = (8192, 16, 256, 256) if gpu else (2048, 1, 128, 128)
        products: dict[str, float] = {}
        convolutions: dict[str, float] = {}
        for name in dict.fromkeys(("fp32", *bench.precisions)):
            dtype = choose_precision(name, bench.device) or torch.float32
            a = torch.randn(side, side, device=bench.device).to(dtype)
            x = torch.randn(batch, channels, area, area, device=bench.device).to(dtype)
            x = x.contiguous(memory_format=torch.channels_last)
            layer = nn.Conv2d(channels, channels, 3, padding=1, device=bench.device, dtype=dtype).requires_grad_(False)
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            best = bench.timed({"product": partial(torch.matmul, a, a), "convolution": partial(layer, x)})
            products[name] = 2 * side**3 / min(best["product"])
            convolutions[name] = 2 * 9 * channels**2 * batch * area**2 / min(best["convolution"])
        source = torch.randn(2**28 if gpu else 2**26, device=bench.device)
        target = torch.empty_like(source)
        seconds = min(bench.timed({"copy": lambda: target.copy_(source)})["copy"])
        return cls(products, convolutions, 2 * source.nbytes / seconds)


def network_rows(bench: Bench, machine: Machine) -> Iterator[Row]:
    """One evaluation of each network, with how far it is from the machine's limits."""
    for name in bench.networks:
        plain = named_network(name).to(bench.device)
        x, mu = bench.photo(), bench.photo().flip(-1)
        t = torch.full((1,), 50, device=bench.device)
        flops, moved = cost(plain, x, mu, t)
        works: dict[str, Work] = {"reference-style, fp32": partial(plain, x, mu, t)}
        frozen = deepcopy(plain)
        frozen.freeze()
        forms = [("ours", frozen), *([("compiled", torch.compile(deepcopy(plain)))] if bench.compiled else [])]
        for (form, network), precision in itertools.product(forms, bench.precisions):
            dtype = choose_precision(precision, bench.device)
            evaluate: Evaluate = Reduced(dtype) if dtype else whole
            works[f"{form}, {precision}"] = partial(evaluate, network, x, mu, t)
        for row in bench.rows("network", works):
            precision = row.what.rsplit(", ", 1)[1]
            width = 2 if choose_precision(precision, bench.device) else 4  # type: ignore[arg-type]
            floor = max(flops / machine.product[precision], moved * width / machine.copy)
            figures = {
                "GFLOP": flops / 1e9,
                "GFLOP/s": flops / row.seconds / 1e9,
                "of the product's": flops / row.seconds / machine.product[precision],
                "of the convolution's": flops / row.seconds / machine.convolution[precision],
                "floor, ms": 1e3 * floor,
                "above it": row.seconds / floor,
            }
            yield replace(row, what=f"{name}, {bench.size} px: {row.what}", more=figures)


def named_network(name: str) -> Predictor:
    """A published architecture with fresh weights, or the network of a shipped checkpoint."""
    if name in PUBLISHED:
        torch.manual_seed(0)
        return PUBLISHED[name]().eval().requires_grad_(False)
    return shipped(name.removesuffix("-small")).network


def shipped(task: str) -> MeanReverting:
    """A fresh copy of the shipped system of a task."""
    restorer = checkpoint.load(find_weights(None, task, sampled=True).path).restorer
    assert isinstance(restorer, MeanReverting)
    return restorer


def cost(network: Predictor, x: Tensor, mu: Tensor, t: Tensor) -> tuple[int, int]:
    """FLOPs of convolutions and products, 2 a multiply-add; and numbers that convolutions must read and write."""
    moved = 0

    def note(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal moved
        moved += given[0].numel() + made.numel() + sum(one.numel() for one in layer.parameters())

    handles = [layer.register_forward_hook(note) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x, mu, t)
    for handle in handles:
        handle.remove()
    return counter.get_total_flops(), moved


def sampler_rows(bench: Bench) -> Iterator[Row]:
    """A whole restoration of a picture in memory; seconds an evaluation."""
    for task in bench.tasks:
        plain, ours = shipped(task).to(bench.device), shipped(task).to(bench.device)
        ours.freeze()
        degraded = bench.photo()
        if plain.scale > 1:
            degraded = degraded[..., : bench.size // plain.scale, : bench.size // plain.scale]
        yardstick = partial(reference_sample, plain, degraded, b"photo", bench.steps)
        works: dict[str, Work] = {"reference-style, fp32": yardstick}
        works |= {
            f"ours, {precision}": partial(sampled, bench, ours, degraded, precision) for precision in bench.precisions
        }
        expected = yardstick()[-1]
        more = {}
        for precision in bench.precisions:
            difference = sampled(bench, ours, degraded, precision) - expected
            more[f"ours, {precision}"] = {"largest difference": float(difference.abs().max())}
        for row in bench.rows("sampler", works, more, 1 / bench.steps):
            yield replace(row, what=f"{task}-small, {bench.size} px, {bench.steps} evaluations: {row.what}")


def sampled(
    bench: Bench, system: MeanReverting, degraded: Tensor, precision: Precision, name: bytes = b"photo"
) -> Tensor:
    """A picture restored as `irsde restore` does it."""
    dtype = choose_precision(precision, bench.device)
    sampling = system.resolve(Sampling("posterior", bench.steps))
    with Prefetched(ImageNoise([generator_for(0, name)])) as noise:
        return last(system.steps(Observation(degraded), noise, sampling, Reduced(dtype) if dtype else whole))


def restore_rows(bench: Bench) -> Iterator[Row]:
    """A folder of pictures, from files to files; seconds a picture and evaluation."""
    task = bench.tasks[0]
    with tempfile.TemporaryDirectory() as place:
        source, targets = Path(place) / "in", itertools.count()
        source.mkdir()
        for index, path in zip(range(bench.count), itertools.cycle(pictures(bench.photos)), strict=False):
            whole_photo = pad_to(to_tensor(read_picture(path, path.name)), (bench.size, bench.size), "reflect")
            samples = whole_photo.mul(255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(np.ascontiguousarray(samples)).save(source / f"{index:03}.png")

        def fresh() -> Path:
            target = Path(place) / f"out{next(targets)}"
            target.mkdir()
            return target

        plain = shipped(task).to(bench.device)
        made: dict[str, Path] = {}

        def yardstick() -> None:
            made["reference"] = fresh()
            reference_restore(plain, source, made["reference"], bench.steps, bench.device)

        def ours(precision: Precision) -> None:
            made[precision] = fresh()
            sampling = Sampling("posterior", bench.steps)
            options = Options(sampling, inputs=(str(source),), outputs=str(made[precision]), task=task, format="png")
            loaded = checkpoint.load(find_weights(None, task).path)
            restoration = Restoration(loaded, options, bench.device, choose_precision(precision, bench.device))
            done = sum(isinstance(event, Done) for event in run(restoration, plan(options)))
            if done != bench.count:
                raise InputError(f"{bench.count - done} of {bench.count} pictures failed.")

        works: dict[str, Work] = {"reference-style, fp32": yardstick}
        works |= {f"ours, {precision}": partial(ours, precision) for precision in bench.precisions}
        rows = list(bench.rows("restore", works, share=1 / bench.count / bench.steps))
        for row in rows:
            more = {}
            if row.what.startswith("ours"):
                levels = differences(made["reference"], made[row.what.removeprefix("ours, ")])
                more = {"largest difference, of 255": max(levels)}
            pictures_s = f"{bench.count} PNG of {bench.size} px, {bench.steps} evaluations"
            yield replace(row, what=f"{task}-small, {pictures_s}: {row.what}", more=more)


def pictures(folder: Path) -> list[Path]:
    """The picture files of a folder."""
    return [path for path in sorted(folder.iterdir()) if looks_like_picture(path)]


def differences(one: Path, other: Path) -> list[int]:
    """The largest difference of each picture of two folders, in levels of 255."""
    return [
        int(np.abs(np.asarray(Image.open(path), int) - np.asarray(Image.open(other / path.name), int)).max())
        for path in pictures(one)
    ]


def quality_rows(bench: Bench) -> Iterator[Row]:
    """What a precision costs in quality: --count photographs, damaged as in tests.benchmarks.solvers, 8-bit results."""
    if bench.lpips is None:
        raise UsageError("--part quality needs --lpips FILE.")
    lpips = LpipsAlex.load(bench.lpips).to(bench.device)
    for task in bench.tasks:
        system = shipped(task).to(bench.device)
        system.freeze()
        name, options = TESTS[task]
        degradation = build_degradation(DegradationConfig(name, options))
        side = degradation.scale * system.facts.multiple
        found: dict[Precision, list[tuple[float, float, float]]] = {precision: [] for precision in bench.precisions}
        for path in pictures(bench.photos)[: bench.count]:
            clean = to_tensor(read_picture(path, path.name))[None]
            clean = clean[..., : clean.shape[-2] // side * side, : clean.shape[-1] // side * side]
            degraded = degradation.apply(clean, generator_for(1, path.name.encode())).to(bench.device)
            clean = clean.to(bench.device)
            for precision in bench.precisions:
                begin = bench.clock()
                image = sampled(bench, system, degraded, precision, path.name.encode())
                seconds = bench.clock() - begin
                image = image.clamp(0, 1).mul(255).round().div(255)
                found[precision].append((seconds, float(psnr(image, clean)), float(lpips(image, clean))))
        first = torch.tensor(found[bench.precisions[0]], dtype=torch.float64).mean(0)
        for precision, figures in found.items():
            mean = torch.tensor(figures, dtype=torch.float64).mean(0)
            more = {
                "PSNR, dB": float(mean[1]),
                "change, dB": float(mean[1] - first[1]),
                "LPIPS": float(mean[2]),
                "change": float(mean[2] - first[2]),
            }
            what = f"{task}-small, {len(figures)} photographs, {bench.steps} evaluations: {precision}"
            rounds = tuple(one[0] for one in figures)
            yield Row("quality", what, float(mean[0]), float(first[0] / mean[0]), bench.precisions[0], rounds, more)


def start_rows(bench: Bench) -> Iterator[Row]:
    """Programs from their start to their end; the yardstick is torch's own import."""
    with tempfile.TemporaryDirectory() as place:
        photo = Path(place) / "photo.png"
        with Image.open(pictures(bench.photos)[0]) as image:
            image.convert("RGB").resize((256, 256)).save(photo)
        irsde = [sys.executable, "-m", "irsde_cli"]
        words = ["restore", photo, Path(place) / "out.png", "-t", bench.tasks[0], "--steps", "1", "--overwrite", "-q"]
        commands: dict[str, list[Any]] = {
            "import torch": [sys.executable, "-c", "import torch"],
            "python alone": [sys.executable, "-c", ""],
            "irsde --help": [*irsde, "--help"],
            "irsde --version": [*irsde, "--version"],
            "irsde restore, 256 px, 1 evaluation": [*irsde, *words, "--device", str(bench.device)],
        }

        def run(command: list[Any]) -> None:
            shutil.rmtree(Path(place) / "out.png.irsde", ignore_errors=True)
            subprocess.run([*map(str, command)], check=True, capture_output=True, env={**os.environ, "IRSDE_SEED": "0"})

        works: dict[str, Work] = {name: partial(run, command) for name, command in commands.items()}
        rows = list(replace(bench, clock=time.perf_counter).rows("start", works))  # other processes have their own
        for row in rows:
            yield replace(row, more={"seconds above import torch": row.seconds - rows[0].seconds})


def file_rows(bench: Bench) -> Iterator[Row]:
    """Decoding and encoding of a photograph; the yardstick is Pillow alone, which checks and keeps nothing."""
    with tempfile.TemporaryDirectory() as place:
        samples = bench.photo()[0].mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        image = Image.fromarray(np.ascontiguousarray(samples))
        for format in FORMATS:
            path = Path(place) / f"photo.{format}"
            image.save(path, quality=95)
            picture = read_picture(path, path.name)
            restored = to_tensor(picture)
            again = Path(place) / f"again.{format}"
            reading: dict[str, Work] = {
                "Pillow": partial(pillow_read, path),
                "ours": partial(our_read, path),
            }
            writing: dict[str, Work] = {
                "Pillow": partial(image.save, again, quality=95),
                "ours": partial(our_write, picture, restored, format, again),
            }
            for verb, works in (("read", reading), ("write", writing)):
                for row in bench.rows("files", works):
                    megapixels = bench.size**2 / 1e6
                    more = {"megapixels a second": megapixels / row.seconds}
                    yield replace(row, what=f"{verb} {format}, {bench.size} px: {row.what}", more=more)


def pillow_read(path: Path) -> object:
    """Pixels, unchecked."""
    with Image.open(path) as image:
        return np.asarray(image)


def our_read(path: Path) -> Tensor:
    """Pixels as a network gets them."""
    return to_tensor(read_picture(path, path.name))


def our_write(picture: Picture, restored: Tensor, format: str, path: Path) -> None:
    """A result as a file, without what a crash asks for."""
    path.write_bytes(encode_picture(with_restored(picture, restored), format=format))


ROWS = {
    "sampler": sampler_rows,
    "restore": restore_rows,
    "start": start_rows,
    "files": file_rows,
    "quality": quality_rows,
}
PARTS = ("network", *ROWS)


def machine_of(bench: Bench) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    if bench.device.type == "cuda":
        name = torch.cuda.get_device_name(bench.device)
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": " ".join(["python -m tests.benchmarks.speed", *sys.argv[1:]]),
    }


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    columns = list(dict.fromkeys(key for row in rows for key in row.more))
    lines = ["| | ms | times as fast | " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) + 2)]
    for row in rows:
        cells = [figure(row.more.get(column)) for column in columns]
        lines.append(f"| {row.what} | {figure(1e3 * row.seconds)} | {row.ratio:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(value: float | None) -> str:
    """A number with three digits that count."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


@contextmanager
def without_tf32() -> Iterator[None]:
    """Float32 means float32 on GPUs too."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        yield


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", default=SAMPLES)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS[:-1])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "fp16"), default=["fp32", "bf16"])
    parser.add_argument("--network", nargs="+", default=["deblur-small", "dehaze-small"], help="or unet, nafnet")
    parser.add_argument("--task", nargs="+", default=["denoise"])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=8, help="pictures of the folder")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="of all threads instead of a clock's, for --threads 1 on a CPU that has other work too",
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile too, its warm-up not counted")
    parser.add_argument("--lpips", type=Path, help="the metric's weights, for --part quality")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    bench = Bench(
        choose_device(given.device),
        given.task,
        given.network,
        given.precision,
        given.photos,
        given.size,
        given.count,
        given.steps,
        given.repeat,
        given.compile,
        given.lpips,
        time.process_time if given.processor_time else time.perf_counter,
    )
    about = machine_of(bench)
    print("\n".join(f"{key}: {value}" for key, value in about.items()))
    found: list[Row] = []
    with without_tf32():
        machine = Machine.measured(bench) if "network" in given.part else None
        if machine is not None:
            for name in machine.product:
                print(f"{name}: product {machine.product[name] / 1e9:.0f} GFLOP/s, ", end="")
                print(f"convolution {machine.convolution[name] / 1e9:.0f} GFLOP/s")
            print(f"copy: {machine.copy / 1e9:.1f} GB/s")
        for part in given.part:
            if part == "network":
                assert machine is not None
                rows = list(network_rows(bench, machine))
            else:
                rows = list(ROWS[part](bench))
            print(f"\n**{part}**\n\n{table(rows)}", flush=True)
            found += rows
    if given.json:
        limits = None if machine is None else asdict(machine)
        text = json.dumps({**about, "limits": limits, "rows": [asdict(row) for row in found]}, indent=1)
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
