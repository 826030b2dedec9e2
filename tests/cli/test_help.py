"""Help is text: what stands in it is shown as it stands."""

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli import guide
from irsde_cli.cli.program import Command, app
from irsde_cli.tasks import TASKS, meant
from tests.cli.stub import Program, picture, save_stub

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


@pytest.mark.parametrize("name", ["restore", "evaluate", "train", "download", "export", "push", "env"])
def test_every_help_is_shown_whole(name: str) -> None:
    """Each word of each option's help, whatever marks it has."""
    commands: Any = typer.main.get_command(app)
    text = shown(app, name)
    for parameter in commands.commands[name].params:
        said = " ".join((getattr(parameter, "help", None) or "").split())
        assert re.sub(r"\W+$", "", said) in text, said


@pytest.mark.parametrize("words", [[], ["restore"]])
def test_alone_a_few_lines_that_fit(words: list[str]) -> None:
    """Who asks for nothing is told how to begin, in eight lines of 80 columns, and where there are more."""
    result = CliRunner().invoke(app, words)
    lines = result.stdout.splitlines()
    assert result.exit_code == 2 and len(lines) <= 8 and max(map(len, lines)) <= 80
    assert "--help" in lines[-1] and "irsde restore photos/ restored/ -t denoise" in result.stdout


def test_without_a_task_a_table_says_what_there_is(tmp_path: Path) -> None:
    """Nothing is asked and nothing is done: each task in plain words, what is ready first."""
    picture(tmp_path / "in" / "a.png")
    result = CliRunner().invoke(app, ["restore", str(tmp_path / "in"), str(tmp_path / "out")])
    table = result.stderr.splitlines()[1 : 1 + len(TASKS)]
    assert result.exit_code == 2 and not (tmp_path / "out").exists() and "--task is missing" in result.stderr
    assert {line.split()[0] for line in table} == set(TASKS)
    ready = [line.split()[1] for line in table]
    assert ready == sorted(ready, key=["yes", "download", "by", "no"].index)


@pytest.mark.parametrize("name", TASKS)
def test_a_row_of_the_table_of_tasks_fits(name: str) -> None:
    """Every column has room for its words."""
    line = next(line for line in guide.tasks() if line.startswith(name))
    assert len(line) <= 80 and TASKS[name].good_for + " " in line and line.endswith(TASKS[name].not_for)


def test_words_mean_one_task() -> None:
    """What people call a task is said of one alone, and is no command."""
    words = [word for task in TASKS.values() for word in task.also]
    assert len(words) == len(set(words)) and not set(words) & set(TASKS)
    assert all(meant(name) == name for name in TASKS) and meant("Grain") == "denoise" and meant("x") is None


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (["denoise", "in", "out dir"], "irsde restore in 'out dir' --task denoise"),
        (["upscale"], "irsde restore photos/ restored/ --task sr4"),
        (["noise", "in", "out", "--steps"], "irsde restore in out --task denoise"),
        (["."], "irsde restore . --task ..."),
    ],
)
def test_a_task_or_a_place_instead_of_a_command(words: list[str], right: str) -> None:
    """The right command is said."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and right in result.stderr


def test_a_misspelt_command_still_gets_its_neighbour() -> None:
    """As before."""
    result = CliRunner().invoke(app, ["restor", "in", "out"])
    assert result.exit_code == 2 and "restore" in result.output


def test_a_word_for_a_task_is_understood_as_a_question() -> None:
    """`--task noise` is an error that says the task's name."""
    result = CliRunner().invoke(app, ["restore", ".", "out", "--task", "noise"])
    assert result.exit_code == 2 and "Did you mean 'denoise'?" in result.output


def test_weights_alone_imply_their_task(tmp_path: Path) -> None:
    """And the run's first line says what is done, to what, where it goes and by what."""
    stub = save_stub(tmp_path / "stub.safetensors")
    picture(tmp_path / "in" / "a.png")
    words = ["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(stub), "--steps", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    first = result.stderr.splitlines()[0]
    assert first == (
        f"Remove noise: 1 picture of '{tmp_path / 'in'}' into '{tmp_path / 'out'}', with stub.safetensors on cpu."
    )
    assert "training steps" not in result.stderr and (tmp_path / "out" / "a.png").is_file()
    again = CliRunner().invoke(app, [*words, "--task", "denoise"])
    assert again.exit_code == 0 and "1 up to date" in again.stderr


def test_weights_for_another_task_are_refused(tmp_path: Path) -> None:
    """They would make pictures worse."""
    stub = save_stub(tmp_path / "stub.safetensors")
    picture(tmp_path / "in" / "a.png")
    result = Program(stub)(tmp_path / "in", tmp_path / "out", task="deblur", code=2)
    assert "is to remove noise (denoise), and --task says deblur" in result.stderr
    assert not (tmp_path / "out").exists()


def test_weights_that_say_no_task_need_one(tmp_path: Path) -> None:
    """An old or foreign checkpoint says nothing: the user does."""
    stub = save_stub(tmp_path / "stub.safetensors")
    loaded = checkpoint.load(stub)
    checkpoint.save(tmp_path / "mute.safetensors", loaded.restorer)
    picture(tmp_path / "in" / "a.png")
    words = ["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(tmp_path / "mute.safetensors")]
    assert "does not say what it undoes" in CliRunner().invoke(app, words).stderr
    result = CliRunner().invoke(app, [*words, "--task", "deblur", "--steps", "2"])
    assert result.exit_code == 0 and result.stderr.startswith("Remove motion blur: ")


def test_a_bench_says_seconds_for_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each task that has a network here; how fast is the machine's."""
    monkeypatch.setattr("irsde_cli.engine.forecast.SIDE", 32)
    result = CliRunner().invoke(app, ["env", "--bench"])
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == [name for name, task in TASKS.items() if task.weights]
    assert all(float(row[1]) > 0 and row[2:] == ["s", "per", "megapixel"] for row in rows)
