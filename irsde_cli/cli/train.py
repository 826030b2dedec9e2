"""`irsde train`."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from irsde_cli.cli.builder import Given, command
from irsde_cli.cli.options import Show
from irsde_cli.cli.reporting import Interruption, as_json, beside, complain, data, log, printable, tell
from irsde_cli.errors import UsageError
from irsde_cli.option import option
from irsde_cli.training.config import TrainConfig
from irsde_cli.workflows.train.options import RunConfig

if TYPE_CHECKING:
    import torch

EXAMPLES = """Train a network of your own. For example:

  irsde train --preset denoise-small --data photos/ --out runs/denoise
  irsde train --preset irsde-gopro --data gopro/train/ --out runs/gopro
  irsde train mine.toml --steps 9000 --set model.network.options.widths=[32,64]

'irsde train --list' names the presets, 'irsde train --help' the options.
"""


@dataclass(frozen=True)
class Source:
    """Where the settings come from, and what is not one of them."""

    settings: Path | None = option("pixels", "Settings: TOML, or the settings.json of another run.", flag="SETTINGS")
    preset: str | None = option("pixels", "Settings that ship in the package; see --list.", variable="-")
    degradation: str | None = option(
        "pixels", "Damage clean pictures this way; 'none': --data holds pairs.", variable="-"
    )
    match: Path | None = option(
        "pixels", "Damage clean pictures as strongly as the pairs in this folder are.", variable="-"
    )
    change: tuple[str, ...] = option(
        "pixels", "Any other setting: model.scale=2.", default=(), flag="--set", metavar="KEY=VALUE", variable="-"
    )
    device: str = option("machine", "auto, cpu, cuda, cuda:1, xpu, mps.", default="auto", short="-d")
    listing: bool = option("machine", "Name the presets and stop.", default=False, flag="--list", variable="-")
    dry_run: bool = option("machine", "Show settings and cost, and stop.", default=False, variable="-")


def run(source: Source, learnt: Given, place: Given, show: Show) -> None:
    """Train a network, on pairs or on clean pictures that are degraded on the fly.

    The run's folder resumes by itself; best.safetensors in it is what `restore --model` takes.
    """
    if source.listing:
        _list()
        return
    if source.settings is None and source.preset is None:
        tell(EXAMPLES)
        raise typer.Exit(2)
    log(verbose=show.verbose, quiet=show.quiet)
    config, run = _resolved(source, learnt, place)

    from irsde_cli.config import to_mapping
    from irsde_cli.runtime import choose_device

    device = choose_device(source.device)
    if source.dry_run or show.print_config:
        data(json.dumps(to_mapping(config) | {"run": to_mapping(run)}, indent=1))
        if source.dry_run:
            _show_cost(config, device)
        return
    for name in ("data", "out"):
        if not getattr(run, name):
            raise UsageError(f"--{name} is missing.")
    if source.match is not None:
        from irsde_cli.workflows.train.beginning import matched

        config = matched(config, source.match, run)
    from irsde_cli.cli.display import Display, mode
    from irsde_cli.cli.train_progress import Learning
    from irsde_cli.workflows.train.events import Finished
    from irsde_cli.workflows.train.run import train

    first = os.environ.get("RANK", "0") == "0"
    display = Display(mode(quiet=show.quiet or not first), every=0, transient=False)
    with Interruption() as interrupted, display:
        shown = Learning(display)
        for event in train(config, run, device=device, stopped=interrupted):
            shown.show(event)
            if show.json:
                data(as_json(event))
            elif isinstance(event, Finished):
                data(str(event.best))
    if interrupted.code:
        if first:
            complain("interrupted; the same command goes on.")
        raise typer.Exit(interrupted.code)


train = command(run, learnt=TrainConfig, place=RunConfig)


def _list() -> None:
    from irsde_cli import presets

    names = [*presets.preset_names(), *presets.REFUSED]
    margin = 2 + max(map(len, names))
    for name in names:
        data(beside(name, presets.summary(name), margin))


def _resolved(source: Source, learnt: Given, place: Given) -> tuple[TrainConfig, RunConfig]:
    """What a file or a preset says, under what the command line says."""
    from irsde_cli.config import assignment, from_mapping, put

    values = _values(source.settings, source.preset)
    run_values = values.pop("run", {}) | {
        name: str(value) if isinstance(value, Path) else value for name, value in place.items()
    }
    values |= learnt
    if source.degradation is not None:
        values["degradation"] = None if source.degradation == "none" else {"name": source.degradation}
    for text in source.change:
        put(values, *assignment(text, "model.scale=2"))
    where = f"'{source.settings}'" if source.settings is not None else f"preset '{source.preset}'"
    config = from_mapping(TrainConfig, values, where)
    return config, from_mapping(RunConfig, run_values, f"{where}: 'run'")


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
    if preset is not None:
        return merged(read_preset(preset), values)
    if "model" in values:
        from irsde_cli.systems.upgrades import with_process

        values["model"] = with_process(values.get("system", "mean-reverting"), values["model"])
    return values


def _show_cost(config: TrainConfig, device: "torch.device") -> None:
    from irsde_cli.training.estimate import estimate

    cost = estimate(config, device)
    hours = cost.seconds * config.steps / 3600
    span = f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
    tell(
        f"{cost.parameters:,} parameters; about {cost.memory / 2**30:.2f} GiB beside the pictures; "
        f"{cost.flops / 1e9:,.0f} GFLOP a step, about {cost.seconds:.2g} s on {printable(device)}: {span} for "
        f"{config.steps:,} steps, within a factor of two"
    )
