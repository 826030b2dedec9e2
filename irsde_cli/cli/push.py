"""`irsde push`."""

from typing import Annotated

import typer

from irsde_cli.cli.reporting import data


def push(
    model: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint, or a name.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is seen by you alone.")] = False,
    revision: Annotated[str | None, typer.Option(help="A branch, made where it is missing.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the model card, and send nothing.")] = False,
) -> None:
    """Publish weights on the Hugging Face Hub, with a model card made of their header; HF_TOKEN must allow it.

    Example: irsde push runs/mine me/my-denoiser
    """
    from irsde_cli.workflows.weights import push as workflow

    files = workflow.repository(model, repo)
    if dry_run:
        card = files["README.md"]
        assert isinstance(card, bytes)
        data(card.decode().rstrip("\n"))
        return
    data(workflow.push(files, repo, private=private, revision=revision))
