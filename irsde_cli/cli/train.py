"""`irsde train`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from irsde_cli.cli.reporting import Interruption, complain, data
from irsde_cli.errors import UsageError

EXAMPLES = """Train a network of your own. For example:

  irsde train --preset denoise-small --data photos/ --out runs/denoise
  irsde train --preset deblur-small --data photos/ --validation held-out/ --out runs/deblur --steps 20000
  irsde train my-settings.toml --data photos/ --out runs/mine
"""


def train(
    config: Annotated[Path | None, typer.Argument(help="Settings in a TOML file.")] = None,
    preset: Annotated[str | None, typer.Option(help="Settings that ship in the package.")] = None,
    folder: Annotated[Path | None, typer.Option("--data", help="Folder of clean photographs.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; run again to go on.")] = None,
    validation: Annotated[Path | None, typer.Option(help="Folder of clean photographs to measure on.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, crops and noise.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    data_name: Annotated[str, typer.Option(help="What the checkpoint says it was trained on.")] = "",
    licence: Annotated[str, typer.Option(help="The terms of the data, for the checkpoint.")] = "",
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 1000,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 2000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the settings and stop.")] = False,
) -> None:
    """Train a network on clean photographs that are degraded on the fly.

    The run's folder resumes by itself; model.safetensors in it is what `restore --model` takes.
    """
    if config is None and preset is None:
        typer.echo(EXAMPLES, err=True)
        raise typer.Exit(2)
    if config is not None and preset is not None:
        raise UsageError("settings come from a file or from --preset, not from both.")
    if not dry_run and (folder is None or out is None):
        raise UsageError("--data and --out are missing." if folder is None else "--out is missing.")

    from irsde_cli.config import from_mapping, read_toml, to_mapping
    from irsde_cli.runtime import choose_device
    from irsde_cli.training.trainer import TrainConfig, parameter_count
    from irsde_cli.workflows import train as workflow

    values: dict[str, Any] = read_toml(config) if config is not None else workflow.read_preset(preset or "")
    values |= {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    settings = from_mapping(TrainConfig, values, str(config or preset))
    if dry_run or folder is None or out is None:
        data(json.dumps(to_mapping(settings), indent=1))
        typer.echo(f"{parameter_count(settings):,} parameters", err=True)
        return
    with Interruption() as interrupted:
        for event in workflow.train(
            settings,
            folder,
            out,
            validation=validation,
            device=choose_device(device),
            save_every=save_every,
            validate_every=validate_every,
            data_name=data_name,
            licence=licence,
            stopped=interrupted,
        ):
            if isinstance(event, workflow.Finished):
                data(str(event.path))
                continue
            measured = "" if event.psnr is None else f", validation {event.input_psnr:.2f} -> {event.psnr:.2f} dB"
            speed = f"{event.images_per_second:.0f} images/s"
            typer.echo(f"step {event.step}/{event.steps}: loss {event.loss:.5f}, {speed}{measured}", err=True)
    if interrupted.code:
        complain("interrupted; the same command goes on.")
        raise typer.Exit(interrupted.code)
