"""`irsde train`."""

import json
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irsde_cli.cli.reporting import Interruption, complain, data, printable
from irsde_cli.cli.train_progress import display
from irsde_cli.errors import UsageError

if TYPE_CHECKING:
    from irsde_cli.training.config import TrainConfig

EXAMPLES = """Train a network of your own. For example:

  irsde train --preset denoise-small --data photos/ --out runs/denoise
  irsde train --preset irsde-gopro --data gopro/train/ --validation gopro/test/ --out runs/gopro
  irsde train my-settings.toml --steps 20000 --set model.network.options.widths=[32,64]

'irsde train --list' names the presets, 'irsde train --help' the options.
"""


def train(
    settings: Annotated[
        Path | None, typer.Argument(help="Settings: TOML, or the settings.json of another run.", show_default=False)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings that ship in the package; see --list.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of clean pictures, or one with GT/ and LQ/.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; run again to go on.")] = None,
    validation: Annotated[Path | None, typer.Option(help="A folder like --data, to measure on.")] = None,
    pairs: Annotated[str | None, typer.Option(help='Stem of a degraded file, like "{stem}x4".')] = None,
    degradation: Annotated[
        str | None, typer.Option(help="Damage clean pictures this way; 'none': --data holds pairs.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Begin with these weights: a name, a file, an id of the Hub.")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="What a batch teaches.")] = None,
    optimiser: Annotated[str | None, typer.Option(help="adam, adamw or lion.")] = None,
    schedule: Annotated[str | None, typer.Option(help="plateau, multi-step or cosine.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Crops a step, over all devices.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Parts of a batch, to save memory.")] = None,
    crop: Annotated[int | None, typer.Option(min=1, help="Side of the crops, in pixels.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="After the warm-up.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, crops and noise.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting: model.eps=0.01.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that make batches.")] = None,
    save_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None,
    validate_every: Annotated[int | None, typer.Option(min=1, help="Steps between validations.")] = None,
    report_every: Annotated[int | None, typer.Option(min=1, help="Steps between reports.")] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="Newest checkpoints to keep, beside the best.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without unusable pictures.")] = False,
    data_name: Annotated[str | None, typer.Option(help="What the checkpoint says it was trained on.")] = None,
    licence: Annotated[str | None, typer.Option(help="The terms of the data, for the checkpoint.")] = None,
    list_presets: Annotated[bool, typer.Option("--list", help="Name the presets and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show settings and cost, and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
) -> None:
    """Train a network, on pairs or on clean pictures that are degraded on the fly.

    The run's folder resumes by itself; best.safetensors in it is what `restore --model` takes.
    """
    from irsde_cli import presets

    if list_presets:
        width = max(map(len, [*presets.preset_names(), *presets.REFUSED]))
        for name in [*presets.preset_names(), *presets.REFUSED]:
            data(f"{name:{width}}  {presets.summary(name)}")
        return
    if settings is None and preset is None:
        typer.echo(EXAMPLES, err=True)
        raise typer.Exit(2)
    given: dict[str, Any] = {
        "objective": objective,
        "optimiser": optimiser,
        "schedule": schedule,
        "steps": steps,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "crop": crop,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
    }
    place: dict[str, Any] = {
        "data": folder,
        "out": out,
        "validation": validation,
        "pairs": pairs,
        "init": init,
        "workers": workers,
        "save_every": save_every,
        "validate_every": validate_every,
        "report_every": report_every,
        "keep": keep,
        "skip_bad": skip_bad or None,
        "data_name": data_name,
        "licence": licence,
    }
    values = _values(settings, preset)
    run_values = values.pop("run", {})
    values |= {name: value for name, value in given.items() if value is not None}
    if degradation is not None:
        values["degradation"] = None if degradation == "none" else {"name": degradation}
    for text in change or []:
        _set(values, text)
    run_values |= {
        name: str(value) if isinstance(value, Path) else value for name, value in place.items() if value is not None
    }

    from irsde_cli.config import from_mapping, to_mapping
    from irsde_cli.runtime import choose_device
    from irsde_cli.training.config import TrainConfig
    from irsde_cli.workflows.train.events import Finished
    from irsde_cli.workflows.train.options import RunConfig
    from irsde_cli.workflows.train.run import train as learn

    where = f"'{settings}'" if settings is not None else f"preset '{preset}'"
    config = from_mapping(TrainConfig, values, where)
    run = from_mapping(RunConfig, run_values, f"{where}: 'run'")
    chosen = choose_device(device)
    if dry_run:
        data(json.dumps(to_mapping(config) | {"run": to_mapping(run)}, indent=1))
        _show_cost(config, chosen)
        return
    for name in ("data", "out"):
        if not getattr(run, name):
            raise UsageError(f"--{name} is missing.")
    first = os.environ.get("RANK", "0") == "0"
    with Interruption() as interrupted, display(quiet=quiet or not first) as shown:
        for event in learn(config, run, device=chosen, stopped=interrupted):
            shown.show(event)
            if isinstance(event, Finished):
                data(str(event.best))
    if interrupted.code:
        if first:
            complain("interrupted; the same command goes on.")
        raise typer.Exit(interrupted.code)


def _values(settings: Path | None, preset: str | None) -> dict[str, Any]:
    """The tables of a file over those of a preset, which the file may name itself."""
    from irsde_cli.config import merged, read_json, read_toml
    from irsde_cli.presets import read_preset

    values: dict[str, Any] = {}
    if settings is not None and settings.suffix == ".json":
        values = read_json(settings)
    elif settings is not None:
        values = read_toml(settings)
    named = values.pop("preset", None)
    if preset is None and named is not None:
        preset = str(named)
    return merged(read_preset(preset), values) if preset is not None else values


def _set(values: dict[str, Any], text: str) -> None:
    """Apply one `--set a.b=VALUE`; the value is TOML, or else plain text."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise UsageError(f"'--set {text}' has no value.", hint="For example --set model.eps=0.01")
    *tables, key = path.split(".")
    for table in tables:
        values[table] = dict(values.get(table) or {})
        values = values[table]
    try:
        values[key] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        values[key] = value


def _show_cost(config: "TrainConfig", device: Any) -> None:
    from irsde_cli.training.estimate import estimate

    cost = estimate(config, device)
    hours = cost.seconds * config.steps / 3600
    span = f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
    typer.echo(
        f"{cost.parameters:,} parameters; about {cost.memory / 2**30:.2f} GiB beside the pictures; "
        f"{cost.flops / 1e9:,.0f} GFLOP a step, about {cost.seconds:.2g} s on {printable(device)}: {span} for "
        f"{config.steps:,} steps, within a factor of two",
        err=True,
    )
