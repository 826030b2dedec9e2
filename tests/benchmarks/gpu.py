"""All that is wanted of a GPU that is lent for minutes: figures of speed, then several trainings at once on it.

    python -m tests.benchmarks.gpu PHOTOS OUT [--minutes 7] [--preset NAME ...] [--device cuda]

PHOTOS holds train/ and val/. Damage is made on the device, and each network is a process of its own, so that the small
ones fill the device together. When the time is over each is asked to stop; its newest averaged weights lie in OUT as
NAME.safetensors, and what was reached in OUT/report.json. Run the same command again, with the same --work, to go on.
On a CPU: --device cpu --crop 32 --batch-size 2 --speed-size 64 --frame 64x48 --evaluations 2.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PRESETS = ("denoise-photo", "derain-photo", "jpeg-photo")
FACTS = (
    "--data-name",
    "86 free photographs, 71 megapixels",
    "--licence",
    "CC0, public domain and CC BY; credits in NOTICE",
)
GRACE = 60.0  # seconds that a training gets to write its state


def words(name: str, given: argparse.Namespace) -> list[str]:
    """The training of a preset, as people would type it."""
    folders = ["--data", given.photos / "train", "--validation", given.photos / "val", "--out", given.work / name]
    sizes = ["--steps", given.steps, "--crop", given.crop, "--batch-size", given.batch_size]
    pace = ["--save-every", given.save_every, "--workers", given.workers, "--device", given.device]
    begin = [] if name == "denoise-photo" else ["--init", "denoise-photo"]
    return ["train", "--preset", name, *map(str, [*folders, *sizes, *pace, *begin]), *FACTS]


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "irsde_cli", *arguments]


def reached(run: Path) -> dict[str, Any]:
    """The last step of a run, its loss, and crops a second over all that was logged."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    return {key: steps[-1][key] for key in ("step", "loss", "images_per_second") if key in steps[-1]} if steps else {}


def trained(given: argparse.Namespace) -> dict[str, Any]:
    """Train all presets at once until the time is over; what each has reached."""
    running = {}
    for name in given.preset:
        (given.work / name).mkdir(parents=True, exist_ok=True)
        with (given.out / f"{name}.log").open("ab") as log:
            running[name] = subprocess.Popen(program(*words(name, given)), stdout=log, stderr=log)
    end = time.monotonic() + 60 * given.minutes
    while time.monotonic() < end and any(process.poll() is None for process in running.values()):
        time.sleep(0.2)
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    found = {}
    for name, process in running.items():
        code = process.wait(GRACE)
        found[name] = {"exit": code}
        model = given.work / name / "model.safetensors"
        if model.exists():
            shutil.copy(model, given.out / f"{name}.safetensors")
            found[name] |= reached(given.work / name)
    return found


def speed(given: argparse.Namespace) -> Any:
    """The figures of `tests.benchmarks.speed` for networks and samplers on the device."""
    file = given.out / "speed.json"
    wanted = ["--part", "network", "sampler", "--device", given.device, "--size", str(given.speed_size), "--json", file]
    repeats = ["--repeat", str(given.repeat), *(["--compile"] if given.compile else [])]
    command = [sys.executable, "-m", "tests.benchmarks.speed", given.photos / "val", *wanted, *repeats]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr[-2000:]}
    return json.loads(file.read_text(encoding="utf-8"))


def sparing(given: argparse.Namespace) -> list[str]:
    """The words of `tests.benchmarks.spared`."""
    sizes = ["--size", given.speed_size, "--batch", given.batch_size, "--frame", given.frame, "--rounds", given.repeat]
    counts = ["--evaluations", given.evaluations, "--reference", max(given.evaluations // 10, 1)]
    return list(map(str, ["--device", given.device, *sizes, *counts, "--json", given.out / "spared.json"]))


def spared(given: argparse.Namespace) -> Any:
    """The figures of `tests.benchmarks.spared`."""
    command = [sys.executable, "-m", "tests.benchmarks.spared", *sparing(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr[-2000:]}
    return json.loads((given.out / "spared.json").read_text(encoding="utf-8"))


def parser() -> argparse.ArgumentParser:
    """What the script takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, help="the runs' folders; OUT/runs if not given")
    parser.add_argument("--preset", nargs="+", default=PRESETS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=7.0, help="of training")
    parser.add_argument("--steps", type=int, default=60000, help="of each training, where time allows")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4, help="threads that make samples, of each training")
    parser.add_argument("--speed-size", type=int, default=512, help="0 measures no speed")
    parser.add_argument("--frame", default="1280x720", help="for the published U-Net")
    parser.add_argument("--evaluations", type=int, default=100, help="of it")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    return parser


def main() -> None:
    """Measure, train, report."""
    given = parser().parse_args()
    given.work = given.work or given.out / "runs"
    given.out.mkdir(parents=True, exist_ok=True)
    report = {"spared": spared(given), "speed": speed(given)} if given.speed_size else {}
    report["training"] = trained(given)
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["training"], indent=1))


if __name__ == "__main__":
    main()
