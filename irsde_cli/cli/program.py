"""The program `irsde`: its commands in one place."""

import copy
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from irsde_cli.cli import download, environment, evaluate, export, guide, push, restore, train
from irsde_cli.cli.reporting import complain, reported
from irsde_cli.errors import UsageError
from irsde_cli.tasks import meant
from irsde_cli.version import __version__


class Command(TyperCommand):
    """A command whose help is text: brackets in it are no markup, which would vanish."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See `TyperCommand.format_help`."""
        from rich.markup import escape

        shown = copy.copy(self)
        shown.help = escape(self.help or "")
        shown.params = [copy.copy(parameter) for parameter in self.params]
        for parameter in shown.params:
            text = getattr(parameter, "help", None)
            if text:
                parameter.help = escape(text)  # type: ignore[attr-defined]
        super(Command, shown).format_help(ctx, formatter)


class Restore(Command):
    """`restore`, which alone shows how it is called, and not all it can."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `TyperCommand.parse_args`."""
        if not args:
            typer.echo(guide.RESTORE)
            raise typer.Exit(UsageError.exit_code)
        return super().parse_args(ctx, args)


class Program(TyperGroup):
    """The commands; alone it says what it is for, and a task or a place in a command's stead is answered."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `TyperGroup.parse_args`."""
        if not args:
            typer.echo(guide.WELCOME)
            raise typer.Exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See `TyperGroup.resolve_command`."""
        word, places = args[0], [one for one in args[1:] if not one.startswith("-")] or ["photos/", "restored/"]
        if word not in self.commands:
            task = meant(word)
            if task is not None:
                complain(f"'{word}' is no command.", f"irsde restore {shlex.join(places)} --task {task}")
                raise typer.Exit(UsageError.exit_code)
            if Path(word).exists():
                complain(f"'{word}' is no command.", f"irsde restore {shlex.join(args)} --task ...")
                raise typer.Exit(UsageError.exit_code)
        return super().resolve_command(ctx, args)


class Evaluate(Command):
    """`evaluate`, which also takes `--json FILE` for `--figures FILE`, as scripts of earlier versions have it.

    It has no arguments, so that a word after the flag can be nothing else.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `TyperCommand.parse_args`."""
        words = list(args)
        for index, word in enumerate(words):
            after = words[index + 1] if index + 1 < len(words) else "--"
            if word == "--json" and (after == "-" or not after.startswith("-")):
                words[index] = "--figures"
            elif word.startswith("--json="):
                words[index] = word.replace("--json=", "--figures=", 1)
        return super().parse_args(ctx, words)


app = typer.Typer(
    name="irsde",
    cls=Program,
    help="Restore photographs: noise, blur, rain, haze, JPEG blocks, holes, darkness.",
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
    """Restore photographs: noise, blur, rain, haze, JPEG blocks, holes, darkness."""


app.command("restore", cls=Restore)(reported(restore.restore))
app.command("evaluate", cls=Evaluate, no_args_is_help=True)(reported(evaluate.evaluate))
app.command("train", cls=Command)(reported(train.train))
app.command("download", cls=Command, no_args_is_help=True)(reported(download.download))
app.command("export", cls=Command, no_args_is_help=True)(reported(export.export))
app.command("push", cls=Command, no_args_is_help=True)(reported(push.push))
app.command("env", cls=Command)(reported(environment.environment))


def main() -> None:
    """Run the program; errors for people end here, with their exit code."""
    # Read when torch is loaded. Threads that spin while they wait take the processor from whoever else needs it.
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
