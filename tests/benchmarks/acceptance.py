"""Whether a network of two heads may ship: what it must hold, line by line, with a yes or a no.

    python -m tests.benchmarks.acceptance MODEL PHOTOS LPIPS [--today deblur-small] [--regression FILE] [--limit 24]

MODEL is any file of the system `two-heads`; its task says how the central parts of the first photographs in PHOTOS are
damaged. PSNR and LPIPS must fall as realism goes from 0 to 1, and draws be as far from the truth as from
each other. With --today, the weights of several evaluations that it would take the place of, its best LPIPS must be at
most 5 % above theirs, at their own settings, and its time is set beside theirs; with --regression, a file trained as
long on the mean alone, the mean must have as much PSNR, to 0.05 dB.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import torch

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig
from irsde_cli.metrics.statistics import Mean
from irsde_cli.workflows.evaluate.events import Problem, Result
from irsde_cli.workflows.evaluate.options import INPUT, Contender, EvaluateOptions
from irsde_cli.workflows.evaluate.request import sampling_of
from irsde_cli.workflows.evaluate.run import evaluate
from tests.benchmarks.calibrate import DAMAGE
from tests.benchmarks.study import cut

REALISM = (0.0, 0.25, 0.5, 0.75, 1.0)
DRAWS = 8
CALIBRATED = (0.8, 1.25)
LPIPS_MORE = 1.05
PSNR_LESS = 0.05


def contender(name: str, model: str, way: str) -> Contender:
    """Weights, sampled in a way."""
    return Contender(name, way, model, sampling=sampling_of(way)[0])


def measured(contenders: list[Contender], pictures: Path, task: str, lpips: Path, draws: int) -> Result:
    """What `irsde evaluate` finds."""
    options = EvaluateOptions(
        tuple(contenders), clean=pictures, task=task, degradation=DegradationConfig(*DAMAGE[task]), lpips=lpips,
        draws=draws, protocol="plain-rgb",
    )  # fmt: skip
    for event in evaluate(options):
        if isinstance(event, Problem):
            raise SystemExit(f"{event.key}: {event.reason}")
        if isinstance(event, Result):
            return event
    raise SystemExit("nothing was measured.")


def said(mean: Mean, digits: int, sign: str = "") -> str:
    """A figure with its interval."""
    low, high = (f"{value:{sign}.{digits}f}" for value in (mean.low, mean.high))
    return f"{mean.mean:{sign}.{digits}f} [{low}, {high}]"


def verdict(text: str, holds: bool) -> None:
    """A line."""
    print(f"{'yes' if holds else 'NO':3} {text}")


def value(mean: Mean) -> float:
    """The mean, which is there."""
    assert mean.mean is not None, "figures of pictures that are not equal"
    return mean.mean


def main() -> None:
    """Print figures, and what holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("lpips", type=Path)
    parser.add_argument("--today")
    parser.add_argument("--regression")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    task, model = checkpoint.read_header(asked.model).task, str(asked.model)
    contenders = [contender(f"A {amount:g}", model, f"own,realism={amount:g}") for amount in REALISM]
    if asked.regression is not None:
        contenders.append(contender("regression", asked.regression, "own"))
    if asked.today is not None:
        contenders += [
            contender("today", asked.today, "own,strength=1"),
            contender("eight", asked.today, "posterior:8"),
        ]
    with tempfile.TemporaryDirectory() as folder:
        pictures = cut(asked.photos, Path(folder), asked.limit, asked.side)
        result = measured(contenders, pictures, task, asked.lpips, 1)
        drawn = measured([contender("draws", model, "own,realism=1")], pictures, task, asked.lpips, DRAWS)
    found = dict(zip((INPUT, *(one.name for one in contenders)), result.means.items(), strict=True))
    print(f"{task}, {asked.limit} pictures of {asked.side} x {asked.side}, {asked.model.name}")
    for name, (label, row) in found.items():
        cost = result.costs.get(label)
        seconds = "" if cost is None else f", {cost.seconds:.3g} s/MP"
        print(f"    {name:10} PSNR {said(row['psnr'], 2)} dB, LPIPS {said(row['lpips'], 4)}{seconds}")
    rows = {name: row for name, (_, row) in found.items()}
    curve = [rows[f"A {amount:g}"] for amount in REALISM]
    for name, title in (("psnr", "PSNR"), ("lpips", "LPIPS")):
        falls = all(value(a[name]) > value(b[name]) for a, b in pairwise(curve))
        verdict(f"{title} falls at each step of realism", falls)
    row = next(figures for label, figures in drawn.means.items() if label != INPUT)
    ratio = value(row["calibration"])
    verdict(
        f"calibration {said(row['calibration'], 2)} of {DRAWS} draws, spread {said(row['spread'], 2)} of 255",
        CALIBRATED[0] <= ratio <= CALIBRATED[1],
    )
    if asked.regression is not None:
        less = value(rows["regression"]["psnr"]) - value(curve[0]["psnr"])
        verdict(f"the mean has {-less:+.2f} dB beside regression", less <= PSNR_LESS)
    if asked.today is not None:
        least = min(value(one["lpips"]) for one in curve)
        for name in ("today", "eight"):
            share = least / value(rows[name]["lpips"])
            times = result.costs[found["A 1"][0]].seconds / result.costs[found[name][0]].seconds
            verdict(f"the least LPIPS is {share:.3f} of '{name}', in {times:.2f} of its time", share <= LPIPS_MORE)


if __name__ == "__main__":
    main()
