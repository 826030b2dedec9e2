"""The program `irsde`: its commands in one place."""

import os
from typing import Annotated

import typer

from irsde_cli.cli import download, environment, evaluate, push, restore, train
from irsde_cli.cli.reporting import reported
from irsde_cli.version import __version__

app = typer.Typer(
    name="irsde",
    help="Restore photographs with mean-reverting SDEs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"irsde {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Restore photographs with mean-reverting SDEs."""


app.command("restore", no_args_is_help=True)(reported(restore.restore))
app.command("evaluate", no_args_is_help=True)(reported(evaluate.evaluate))
app.command("train")(reported(train.train))
app.command("download", no_args_is_help=True)(reported(download.download))
app.command("push", no_args_is_help=True)(reported(push.push))
app.command("env")(reported(environment.environment))


def main() -> None:
    """Run the program; errors for people end here, with their exit code."""
    # Read when torch is loaded. Threads that spin while they wait take the processor from whoever else needs it.
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
