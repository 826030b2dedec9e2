"""Help is text: what stands in it is shown as it stands."""

import re
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from irsde_cli.cli.program import Command, app

ODD = [
    "irsde[fid]",
    "[bold]x[/bold]",
    "[/]",
    "[1, 2]",
    "a[b",
    "[link=x]y",
    "widths=[32,64]",
    "\\[a]",
    "<b> *c* _d_ `e`",
]


def shown(program: typer.Typer, *words: str) -> str:
    result = CliRunner().invoke(program, [*words, "--help"], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.replace("│", " ").split())


@pytest.mark.parametrize("text", ODD)
def test_brackets_in_help_are_text(text: str) -> None:
    """In options and in what a command says of itself, also when it is asked twice."""
    program = typer.Typer()

    def command(option: Annotated[str, typer.Option(help=f"Takes {text} too.")] = "") -> None:
        pass

    command.__doc__ = f"It does {text} too."
    program.command(cls=Command)(command)
    for _ in range(2):
        assert f"Takes {text} too." in shown(program) and f"It does {text} too." in shown(program)


@pytest.mark.parametrize("name", ["restore", "evaluate", "train", "download", "push", "env"])
def test_every_help_is_shown_whole(name: str) -> None:
    """Each word of each option's help, whatever marks it has."""
    commands: Any = typer.main.get_command(app)
    text = shown(app, name)
    for parameter in commands.commands[name].params:
        said = " ".join((getattr(parameter, "help", None) or "").split())
        assert re.sub(r"\W+$", "", said) in text, said
