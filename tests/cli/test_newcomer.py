"""What somebody meets who has just installed the program: a terminal of 80 columns, and no idea."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from irsde_cli.cli.program import app
from tests.cli.stub import Program, picture
from tests.reliability.processes import Terminal, start

COLUMNS = 80
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def shown(place: Path, *words: str, code: int) -> list[str]:
    """The lines of a terminal, without colours."""
    terminal = Terminal(COLUMNS)
    plain = {"COLUMNS": None, "TERMINAL_WIDTH": None, "TERM": "xterm"}
    ended = start(*words, cwd=place, terminal=terminal.name, environment=plain).wait()
    terminal.finish()
    text = terminal.shown.decode()
    assert ended.code == code and "Traceback" not in text, text
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()


def named(text: str) -> set[tuple[str, str]]:
    """Commands and options that a text tells somebody to type."""
    lines = re.findall(r"irsde ([a-z]+)\b([^`'\n│]*)", text)
    return {(command, option) for command, rest in lines for option in re.findall(r"--[a-z-]+", rest) or [""]}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--help"], 0),
        (["restore"], 2),
        (["restore", "photos", "restored"], 2),
        (["restore", "--help"], 0),
        (["denoise", "photos", "restored"], 2),
        (["env"], 0),
        (["restore", "photos", "restored", "--task", "noise"], 2),
        (["restore", "photos", "restored", "--task", "auto"], 2),
        (["restore", "photos", "restored", "--task", "denoise", "--crop", "9x9"], 2),
        (["train"], 2),
        (["train", "--list"], 0),
        (["evaluate", "--list"], 0),
        (["download", "--list"], 0),
    ],
    ids=lambda given: " ".join(given) or "alone" if isinstance(given, list) else "",
)
def test_each_first_step_fits_a_terminal_and_can_be_followed(tmp_path: Path, words: list[str], code: int) -> None:
    """No line but a sentence is cut or wrapped, and what it says to type exists."""
    (tmp_path / "photos").mkdir()
    lines = shown(tmp_path, *words, code=code)
    assert lines
    assert all(len(line) <= COLUMNS for line in lines)
    check_commands("\n".join(lines))


def test_a_sentence_is_broken_between_words_and_commands_stay_whole(tmp_path: Path) -> None:
    """On a terminal; a pipe gets one line, whatever its length."""
    picture(tmp_path / "a.png")
    words = ["restore", "a.png", "out/", "--task", "raindrop"]
    piped = start(*words, cwd=tmp_path).wait().stderr.splitlines()
    assert len(piped) == 2 and max(map(len, piped)) > COLUMNS
    lines = shown(tmp_path, *words, code=4)
    assert " ".join(lines) == " ".join(piped) and max(map(len, lines)) <= COLUMNS
    assert sum("'irsde download --list'" in line for line in lines) == 1


def test_commands_of_the_readme_exist() -> None:
    """With their options."""
    assert {command for command, _ in named(README)} >= {"restore", "evaluate", "train", "download"}
    check_commands(README)


def check_commands(text: str) -> None:
    commands: Any = typer.main.get_command(app)
    for command, option in named(text):
        assert command in commands.commands, command
        options = {name for parameter in commands.commands[command].params for name in parameter.opts} | {"--help"}
        assert not option or option in options, (command, option)


def test_a_pipe_is_called_a_pipe(restore: Program, tmp_path: Path) -> None:
    """In the first line of a run, which is for people."""
    done = restore("-", "-", input=picture(tmp_path / "a.png").read_bytes())
    assert "1 picture of a pipe into a pipe, with " in done.stderr.splitlines()[0]
