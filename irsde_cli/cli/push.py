"""`irsde push`."""

import json
from dataclasses import asdict

from irsde_cli.cli.builder import command
from irsde_cli.cli.options import Show
from irsde_cli.cli.reporting import as_json, data, log
from irsde_cli.workflows.weights.options import Push


def run(options: Push, show: Show) -> None:
    """Publish weights on the Hugging Face Hub, with a model card made of their header; HF_TOKEN must allow it.

    Example: irsde push runs/mine me/my-denoiser
    """
    log(verbose=show.verbose, quiet=show.quiet)
    if show.print_config:
        data(json.dumps(asdict(options)))
        return
    from irsde_cli.workflows.weights import push as workflow

    files = workflow.repository(options.model, options.repo)
    if options.dry_run:
        card = files["README.md"]
        assert isinstance(card, bytes)
        data(card.decode().rstrip("\n"))
        return
    pushed = workflow.push(files, options.repo, private=options.private, revision=options.revision)
    data(as_json(pushed) if show.json else pushed.url)


push = command(run)
