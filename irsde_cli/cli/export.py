"""`irsde export`."""

from pathlib import Path
from typing import Annotated

import typer

from irsde_cli.cli.reporting import data_path
from irsde_cli.errors import UsageError
from irsde_cli.tasks import TASKS
from irsde_cli.weights import find_weights


def export(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A task, or weights as --model names them.")],
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, NAME.onnx.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path alone.")] = False,
) -> None:
    """Write a network as an ONNX graph of one evaluation, for other programs.

    Example: irsde export denoise denoise.onnx
    """
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"'{output}' is no name of an ONNX file.", hint="Name it like denoise.onnx.")
    weights = find_weights(None if what in TASKS else what, what if what in TASKS else "")
    from irsde_cli.workflows.weights import graph

    done = graph.export(weights, output)
    data_path(done.path)
    if not quiet:
        more = ", and 'noise', standard normal and as large as the result" if "noise" in done.inputs else ""
        typer.echo(
            f"{weights.name}: input 'image', (1, 3, H, W), RGB in [0, 1], sides of at least {done.smallest}{more}; "
            "output 'restored'.",
            err=True,
        )
