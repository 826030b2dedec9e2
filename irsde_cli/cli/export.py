"""`irsde export`."""

import json
from dataclasses import asdict

from irsde_cli.cli.builder import command
from irsde_cli.cli.options import Show
from irsde_cli.cli.reporting import as_json, data, data_path, log, tell
from irsde_cli.errors import UsageError
from irsde_cli.tasks import TASKS
from irsde_cli.weights import find_weights
from irsde_cli.workflows.weights.options import Export


def run(options: Export, show: Show) -> None:
    """Write a network as an ONNX graph of one evaluation, for other programs.

    Example: irsde export denoise denoise.onnx
    """
    log(verbose=show.verbose, quiet=show.quiet)
    what, output = options.what, options.output
    if show.print_config:
        data(json.dumps(asdict(options), default=str))
        return
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"'{output}' is no name of an ONNX file.", hint="Name it like denoise.onnx.")
    weights = find_weights(None if what in TASKS else what, what if what in TASKS else "")
    from irsde_cli.workflows.weights import graph

    done = graph.export(weights, output)
    if show.json:
        data(as_json(done))
    else:
        data_path(done.path)
    if not show.quiet:
        more = ", and 'noise', standard normal and as large as the result" if "noise" in done.inputs else ""
        tell(
            f"{weights.name}: input 'image', (1, 3, H, W), RGB in [0, 1], sides of at least {done.smallest}{more}; "
            "output 'restored'."
        )


export = command(run)
