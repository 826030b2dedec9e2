"""Options that a TOML file can hold as well."""

from pathlib import Path

import typer

from irsde_cli.config import read_toml
from irsde_cli.registry import unknown_name


def from_file(context: typer.Context, path: Path | None) -> Path | None:
    """Take defaults from a TOML file: flags and the environment come before it. Keys are the options' names.

    Raises:
        UsageError: the file cannot be read, or holds a key that is no option.
    """
    if path is None:
        return None
    known = {
        next((word for word in parameter.opts if word.startswith("--")), parameter.name).lstrip("-"): parameter.name
        for parameter in context.command.params
        if parameter.name
    }
    values = {}
    for key, value in read_toml(path).items():
        name = key.replace("_", "-")
        if name not in known:
            error = unknown_name("key", key, known)
            error.message = f"'{path}': {error.message}"
            raise error
        values[known[name]] = ",".join(map(str, value)) if isinstance(value, list) else value
    context.default_map = {**(context.default_map or {}), **values}
    return path
