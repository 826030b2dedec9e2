"""Commands made of what their options declare; see `irsde_cli.option`."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import MISSING
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from irsde_cli.option import Declared, built, declared

Given = dict[str, Any]


def command(run: Callable[..., None], **partial: type) -> Callable[..., None]:
    """A function with an argument for each option, that calls `run` with the dataclasses of its annotations.

    Args:
        run: its parameters are dataclasses of options.
        partial: for parameters of `run` that are dictionaries, the dataclass of which the command line may give some
            fields and a file the others; only what was given is in them.

    The dataclasses are `parts` of what is returned.
    """
    hints = {name: hint for name, hint in get_type_hints(run).items() if name != "return"}
    parts: dict[str, type] = {name: partial.get(name, hint) for name, hint in hints.items()}
    options = {
        name: [
            _open(one) if name in partial else one for one in declared(cls, partly=name in partial) if one.option.shown
        ]
        for name, cls in parts.items()
    }

    @functools.wraps(run)
    def call(**values: Any) -> None:
        made: dict[str, Any] = {}
        for name, cls in parts.items():
            read = {one.name: _read(one, values[one.name]) for one in options[name]}
            given = {key: value for key, value in read.items() if value is not None and value is not False}
            made[name] = given if name in partial else built(cls, read)
        run(**made)

    parameters = [_parameter(one) for some in options.values() for one in some]
    # `wraps` leads a reader of signatures to the function inside.
    del call.__wrapped__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.parts = tuple(parts.values())  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _open(one: Declared) -> Declared:
    """The same without a default."""
    return dataclasses.replace(one, type=one.type | None, default=None)


def _parameter(one: Declared) -> inspect.Parameter:
    kind, default = _type(one), one.default
    if one.option.parse is not None:
        default = one.option.text
    if one.default is MISSING:
        default = inspect.Parameter.empty
    info: Any
    if one.is_argument:
        info = typer.Argument(metavar=one.option.flag, help=one.option.help, autocompletion=_completion(one))
    else:
        info = typer.Option(
            one.flag,
            *filter(None, [one.option.short]),
            help=one.option.help,
            metavar=one.option.metavar,
            rich_help_panel=one.option.panel or None,
            envvar=one.variable,
            show_envvar=False,
            min=one.option.minimum,
            max=one.option.maximum,
            autocompletion=_completion(one),
            callback=one.option.callback,
            is_eager=one.option.callback is not None,
        )
    annotation = Annotated[kind, info]  # type: ignore[valid-type]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _type(one: Declared) -> Any:
    """The type that the command line shows and checks."""
    if one.option.parse is not None:
        return str if one.option.text is not None else str | None
    bare, optional = one.type, False
    if one.option.kind is not None:
        return one.option.kind | None
    if get_origin(bare) in (Union, types.UnionType):
        optional = type(None) in get_args(bare)
        bare = next(kind for kind in get_args(bare) if kind is not type(None))
    if get_origin(bare) is tuple:
        bare = list[get_args(bare)[0]]  # type: ignore[misc]
    return bare | None if optional else bare


def _read(one: Declared, value: Any) -> Any:
    """A value as the dataclass has it."""
    if one.option.parse is not None and value is not None:
        return one.option.parse(value)
    return tuple(value) if isinstance(value, list) else value


def _completion(one: Declared) -> Callable[[str], list[Any]] | None:
    complete = one.option.complete
    if complete is None:
        return None

    def offered(incomplete: str) -> list[Any]:
        return [row for row in complete() if (row if isinstance(row, str) else row[0]).startswith(incomplete)]

    return offered
