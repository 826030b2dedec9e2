"""What a million pictures cost, from what the pieces cost here; and what several processes make of a waiting network.

    python -m tests.benchmarks.scale [FOLDER] [--part pieces|rates] [--names N] [--seconds S] [--pictures N] [--ray]

FOLDER, on the disk to be measured, is emptied. Each piece runs in a process of its own, so that memory is its own:
listing and planning N names; reading a manifest about all of them; finding all of them up to date; lines of the
manifest, each forced to the disk; a picture's way from and to the disk; the network that ships for `denoise`. Then 1, 2
and 4 processes restore N pictures each with a network that sleeps S seconds; the rate counts from the first picture
to the last. With `--ray` the processes are actors as well. `--total` computes the hours of a large run.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.engine.restoration import Restoration
from irsde_cli.images import encode_picture, read_picture
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.networks.tiling import whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import RandnLike
from irsde_cli.registry import Entry
from irsde_cli.restorer import last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.digests import content_of
from irsde_cli.storage.files import write_whole
from irsde_cli.storage.journal import Identity, Journal, Result, Source
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.weights import Weights, find_weights
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.restore.pipeline import run
from irsde_cli.workflows.restore.plan import Plan, plan
from irsde_cli.workflows.restore.pool import Pool, Setup
from irsde_cli.workflows.restore.resume import describe, outstanding
from tests.cli.stub import picture

SIDE = 512
MEGAPIXELS = SIDE * SIDE / 1e6
IN_A_FOLDER = 1000


class Sleeping(Mapper):
    """A network that takes its time and no core, and notes when it has ended.

    Args:
        seconds: how long an evaluation takes.
        notes: a file for the times.
    """

    def __init__(self, *, seconds: float, notes: str) -> None:
        super().__init__()
        self.seconds = seconds
        self.notes = notes
        self.weight = nn.Parameter(torch.zeros(1))
        self.facts = Facts(working_bytes=4)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        time.sleep(self.seconds)
        with Path(self.notes).open("a") as stream:
            stream.write(f"{time.time()}\n")
        return 1.01 * image


def register() -> None:
    """The network's name, in each process that builds one."""
    NETWORKS._entries["sleeping"] = Entry("tests.benchmarks.scale:Sleeping")


register()


def timed(call: Callable[[], Any], repeat: int = 1) -> float:
    """Seconds of a call, the least of several."""
    best = float("inf")
    for _ in range(repeat):
        since = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - since)
    return best


def grown(since: int) -> float:
    """Megabytes at the peak beyond those before."""
    return (peak() - since) / 1024


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def names(count: int) -> Iterator[str]:
    for index in range(count):
        yield f"{index // IN_A_FOLDER:04}/IMG_2026_{index:08}.jpg"


def make(folder: Path, count: int) -> dict[str, float]:
    """So many empty files and what says that all are done."""
    for name in names(count):
        for side in ("in", "out"):
            path = folder / side / name
            if name.endswith("000.jpg"):
                path.parent.mkdir(parents=True)
            path.touch()
    journal = folder / "out" / ".irsde" / "manifest.jsonl"
    journal.parent.mkdir()
    with journal.open("w") as stream:
        for name in names(count):
            before = Identity.of((folder / "in" / name).stat())
            values = {"event": "pending", "input": name, "input_size": before.size, "input_mtime_ns": before.mtime_ns}
            values |= {"input_path": str(folder.resolve() / "in" / name), "input_blake2b": content_of(b"")}
            values |= {"output": name, "output_size": 0, "output_mtime_ns": before.mtime_ns, "settings": "0" * 16}
            stream.write(json.dumps(values) + "\n" + json.dumps(values | {"event": "done", "seconds": 1.234}) + "\n")
    return {"manifest_megabytes": journal.stat().st_size / 1e6}


def planned(folder: Path) -> Plan:
    return plan(Options(inputs=(str(folder / "in"),), outputs=str(folder / "out"), task="denoise", recursive=True))


def planning(folder: Path, count: int) -> dict[str, float]:
    before = peak()
    found: list[Plan] = []
    seconds = timed(lambda: found.append(planned(folder)))
    listing = timed(lambda: sum(1 for _ in found[0].items()))
    return {"plan_seconds": seconds, "list_seconds": listing, "plan_megabytes": grown(before)}


def manifest(folder: Path, count: int) -> dict[str, float]:
    before = peak()
    journal = Journal(folder / "out")

    def read() -> None:
        journal.load()
        journal.entry("")

    seconds = timed(read)
    return {"manifest_seconds": seconds, "manifest_memory_megabytes": grown(before)}


def resuming(folder: Path, count: int) -> dict[str, float]:
    todo, journal = planned(folder), Journal(folder / "out")
    journal.load()
    settings = "0" * 16
    found: list[Any] = []
    seconds = timed(lambda: found.extend(outstanding(todo.items(), todo, journal, settings)))
    assert all(type(each).__name__ == "Skipped" for each in found), found[:3]
    return {"skip_seconds": seconds}


def lines(folder: Path, count: int) -> dict[str, float]:
    """The two lines of a picture."""
    identity, made = Identity(1, 2), 200
    source = Source("a.jpg", "/photos/a.jpg", identity, content_of(b""))
    with Journal(folder / "lines") as journal:

        def one() -> None:
            for index in range(made):
                result = Result(source, f"{index}.jpg", identity, "settings", 1.0)
                journal.pending(result)
                journal.done(result)

        return {"lines_seconds": timed(one) / made}


def a_picture(folder: Path, count: int) -> dict[str, float]:
    """Decode, encode and write, as JPEG."""
    levels = np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 4 % 256
    from PIL import Image

    path = folder / "one.jpg"
    noise = np.random.default_rng(0).normal(0, 8, (SIDE, SIDE, 3))
    Image.fromarray(np.clip(levels[..., None] + noise, 0, 255).astype(np.uint8)).save(path, quality=95)
    read = read_picture(path, "one")
    data = encode_picture(read)

    def fifty_writes() -> None:
        for _ in range(50):
            write_whole(path, data, "x")

    return {
        "decode_seconds": timed(lambda: read_picture(path, "one"), 20),
        "encode_seconds": timed(lambda: encode_picture(read), 20),
        "write_seconds": timed(fifty_writes, 3) / 50,
    }


def start(folder: Path, count: int) -> dict[str, float]:
    """Loading the network that ships for `denoise`; the time of the whole process is taken as well."""
    return {"load_seconds": timed(lambda: checkpoint.load(find_weights(None, "denoise").path))}


def network(folder: Path, count: int) -> dict[str, float]:
    """An evaluation of that network, with all threads."""
    restorer = checkpoint.load(find_weights(None, "denoise").path).restorer
    restorer.freeze()
    degraded = torch.rand(1, 3, SIDE, SIDE)
    sampling = restorer.resolve(Sampling("ode-1", 2))
    with torch.inference_mode():
        seconds = timed(lambda: last(restorer.steps(Observation(degraded), torch.randn_like, sampling, whole)), 5)
    return {"evaluation_seconds": seconds / 2}


PARTS: Mapping[str, Callable[[Path, int], dict[str, float]]] = {
    "make": make,
    "planning": planning,
    "manifest": manifest,
    "resuming": resuming,
    "lines": lines,
    "picture": a_picture,
    "start": start,
    "network": network,
}


def measured(folder: Path, count: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in PARTS:
        words = [sys.executable, "-m", "tests.benchmarks.scale", str(folder), "--names", str(count), "--part", part]
        since = time.perf_counter()
        output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(output, end="", file=sys.stderr)
        found |= json.loads(output)
        if part == "start":
            found["process_seconds"] = time.perf_counter() - since
    return found


def hours(found: Mapping[str, float], pictures: int, megapixels: float, steps: int, parts: int) -> dict[str, float]:
    """Hours until the last of `parts` processes, each with a part of the pictures, has ended, piece by piece.

    Decoding and encoding go on beside the network, in threads; writing and the manifest's lines do not.
    """
    larger, each = megapixels / MEGAPIXELS, pictures / parts
    listed = pictures / found["names"]
    pieces = {
        "start": found["process_seconds"],
        "list": listed * (found["plan_seconds"] + found["list_seconds"]),
        "restore": each * found["evaluation_seconds"] * larger * steps,
        "write": each * (found["lines_seconds"] + found["write_seconds"] * larger),
    }
    # Against an even division: the largest of `parts` parts by a hash, four deviations above the mean.
    pieces["skew"] = 4 * each**-0.5 * (pieces["restore"] + pieces["write"]) if parts > 1 else 0.0
    pieces["total"] = sum(pieces.values())
    pieces["resume"] = listed * (found["plan_seconds"] + found["manifest_seconds"]) + each * (
        found["skip_seconds"] / found["names"]
    )
    return {name: value / 3600 for name, value in pieces.items()}


def rate(folder: Path, count: int, each: int, seconds: float, *, ray: bool = False) -> float:
    """Pictures a second of so many processes, from the first to the last; the first of each process do not count."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    weights, notes = folder / "sleeping.safetensors", folder / "notes"
    notes.unlink(missing_ok=True)
    sleeping = NetworkConfig("sleeping", {"seconds": seconds, "notes": str(notes)})
    checkpoint.save(weights, OnePass(OnePassConfig(sleeping)), task="denoise")
    shutil.rmtree(folder / "in", ignore_errors=True)
    for index in range(count * each):
        picture(folder / "in" / f"{index:04}.png")
    todo = plan(Options(inputs=(str(folder / "in"),), outputs=str(folder / "out"), task="denoise"))
    restoration = Restoration(checkpoint.load(weights), todo.options, torch.device("cpu"))
    settings = describe(todo, restoration.checkpoint, restoration.sampling, None)
    setup = Setup.of(restoration, todo.options, settings, Weights("stub", weights))
    if ray:
        from irsde_cli.workflows.restore.cluster import Cluster

        events = Cluster(setup, todo, settings, "auto", count).run()
    elif count == 1:
        events = run(restoration, todo)
    else:
        events = Pool(setup, todo, settings, [torch.device("cpu")] * count).run()
    assert not [event for event in events if type(event).__name__ == "Failed"]
    ended = sorted(map(float, notes.read_text().split()))
    assert len(ended) == count * each == len(list((folder / "out").glob("*.png")))
    return (len(ended) - count) / (ended[-1] - ended[0])


def rates(folder: Path, each: int, seconds: float, *, ray: bool) -> dict[str, float]:
    found = {f"processes_{count}": rate(folder, count, each, seconds) for count in (1, 2, 4)}
    if ray:
        import ray as cluster

        environment = {"worker_process_setup_hook": "tests.benchmarks.scale.register"}
        cluster.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env=environment)
        found |= {f"actors_{count}": rate(folder, count, each, seconds, ray=True) for count in (1, 2, 4)}
        cluster.shutdown()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("scale"))
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument(
        "--total", type=float, nargs=3, default=(1e6, 2, 8), metavar=("PICTURES", "MEGAPIXELS", "STEPS")
    )
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=[*PARTS, "pieces", "rates"])
    arguments = parser.parse_args()
    folder, count = arguments.folder.absolute(), arguments.names
    if arguments.part in PARTS:
        (folder / "lines").mkdir(parents=True, exist_ok=True)
        print(json.dumps(PARTS[arguments.part](folder, count)))
        return
    found: dict[str, float] = {"names": count, "sleep": arguments.seconds}
    shutil.rmtree(folder, ignore_errors=True)
    if arguments.part != "rates":
        found |= measured(folder, count)
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.part != "pieces":
        found |= rates(folder, arguments.pictures, arguments.seconds, ray=arguments.ray)
    found |= {"threads": torch.get_num_threads(), "cores": os.cpu_count() or 1}
    shutil.rmtree(folder)
    for name, value in found.items():
        print(f"| {name} | {value:.5g} |")
    if "plan_seconds" in found:
        total, megapixels, steps = arguments.total
        for parts in (1, 10, 100, 1000):
            row = hours(found, int(total), megapixels, int(steps), parts)
            print(f"| {parts} | " + " | ".join(f"{name} {value:.3g}" for name, value in row.items()) + " |")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
