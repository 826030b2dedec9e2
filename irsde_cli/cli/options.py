"""What every command shows and where its options may come from; see `irsde_cli.option`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from irsde_cli.cli.reporting import complain
from irsde_cli.config import read_toml
from irsde_cli.errors import IrsdeError
from irsde_cli.option import option
from irsde_cli.registry import unknown_name


def from_file(context: typer.Context, path: Path | None) -> Path | None:
    """Take defaults from a TOML file: flags and the environment come before it. Keys are the options' names."""
    try:
        return path and _from_file(context, path)
    except IrsdeError as error:
        complain(error.message, error.hint)
        raise typer.Exit(error.exit_code) from None


def _from_file(context: typer.Context, path: Path) -> Path:
    known = {
        next((word for word in parameter.opts if word.startswith("--")), parameter.name).lstrip("-"): parameter
        for parameter in context.command.params
        if parameter.name
    }
    values: dict[str, Any] = {}
    for key, value in read_toml(path).items():
        name = key.replace("_", "-")
        if name not in known:
            error = unknown_name("key", key, known)
            error.message = f"'{path}': {error.message}"
            raise error
        parameter = known[name]
        joined = isinstance(value, list) and not getattr(parameter, "multiple", False)
        assert parameter.name is not None, "left out above"
        values[parameter.name] = ",".join(map(str, value)) if joined else value
    context.default_map = {**(context.default_map or {}), **values}
    return path


@dataclass(frozen=True)
class Printed:
    """How a command prints its results."""

    json: bool = option("machine", "Print lines of JSON.", default=False, panel="Diagnostics", variable="-")


@dataclass(frozen=True)
class Show(Printed):
    """What a command shows of its work, the same for all that work for long."""

    config: Path | None = option(
        "machine",
        "Options in a TOML file; flags and IRSDE_* variables come before it.",
        panel="Diagnostics",
        variable="-",
        callback=from_file,
    )
    print_config: bool = option(
        "machine", "Show what would apply, as JSON, and exit.", default=False, panel="Diagnostics", variable="-"
    )
    quiet: bool = option(
        "machine", "Print results and errors alone.", default=False, panel="Diagnostics", short="-q", variable="-"
    )
    verbose: bool = option(
        "machine", "Say more about what is done.", default=False, panel="Diagnostics", short="-v", variable="-"
    )
