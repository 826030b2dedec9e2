"""Frozen dataclasses to and from plain mappings (TOML files, checkpoint headers).

Nested dataclasses, tuples, `X | None` and literals are understood; an unknown key, a missing key or a value of the
wrong type is an error that names the place.
"""

import codecs
import dataclasses
import json
import os
import tomllib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from irsde_cli.content import HEAD, JSON, TEXT, decoded, kind_of
from irsde_cli.errors import UsageError
from irsde_cli.registry import nearest

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: the file is missing, unreadable or not TOML.
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError among them
        kind = kind_of(text.encode())
        if kind is not None and kind != TEXT:
            raise UsageError(f"'{path}' is {kind.name}, not TOML.", hint=kind.hint) from None
        raise UsageError(f"'{path}' is not valid TOML: {error}.") from None


def read_json(path: Path) -> dict[str, Any]:
    """The table of a JSON file.

    Raises:
        UsageError: the file is missing, unreadable or no table in JSON.
    """
    text = read_text(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = kind_of(text.encode())
        if kind is not None and kind not in (TEXT, JSON):
            raise UsageError(f"'{path}' is {kind.name}, not JSON.", hint=kind.hint) from None
        raise UsageError(f"'{path}' is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise UsageError(f"'{path}' holds no table of settings.")
    return values


def read_text(path: Path) -> str:
    """A file's text, in UTF-8 or with the mark of UTF-16.

    Raises:
        UsageError: it is missing, unreadable or no text.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}.") from None
    try:
        return decoded(raw)
    except UnicodeDecodeError:
        kind = kind_of(raw)
        if kind is not None:
            raise UsageError(f"'{path}' is {kind.name}, not text.", hint=kind.hint) from None
        raise UsageError(f"'{path}' is no text in UTF-8.", hint="Save it as UTF-8.") from None


def read_paths(raw: bytes, name: str) -> tuple[str, ...]:
    """The paths of a list, each once: lines, or parted by NUL where there is one; other bytes than UTF-8's stay.

    Raises:
        UsageError: it is no list; `name` is what the message calls it.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        wide = decoded(raw, lambda _: "")
    except UnicodeDecodeError:
        raise UsageError(f"the list '{name}' is cut off or damaged: it is no whole UTF-16.") from None
    kind = None if wide else kind_of(raw)
    # A name may begin like a picture or like JSON, but no list has an empty name between two NULs.
    if kind is not None and (_is_json(raw) if kind == JSON else kind.hint or b"\0\0" in raw[:HEAD]):
        raise UsageError(f"'{name}' is {kind.name}, not a list of paths.", hint=kind.hint)
    raw = wide.encode() if wide else raw
    parts = raw.split(b"\0") if b"\0" in raw else raw.splitlines()
    return tuple(dict.fromkeys(os.fsdecode(part) for part in parts if part))


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` before `base`, table by table; a part that changes its name keeps none of the other's options."""
    if "name" in over and over["name"] != base.get("name"):
        return dict(over)
    together = dict(base)
    for key, value in over.items():
        earlier = base.get(key)
        if isinstance(earlier, Mapping) and isinstance(value, Mapping):
            together[key] = merged(earlier, value)
        else:
            together[key] = value
    return together


def assignment(text: str, example: str) -> tuple[str, Any]:
    """The dotted key and the value of one `--set KEY=VALUE`; the value is TOML, or else plain text.

    Raises:
        UsageError: there is none; it shows the example.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"'--set {text}' has no value.", hint=f"For example --set {example}")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key; tables on its way are made, or copied before they change.

    Raises:
        UsageError: what should be a table is a value.
    """
    *tables, last = key.split(".")
    for table in tables:
        inner = values.get(table) or {}
        if not isinstance(inner, Mapping):
            raise UsageError(f"'{key}': '{table}' is {inner!r}, not a table.")
        values[table] = dict(inner)
        values = values[table]
    values[last] = value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of all values that are no tables."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def to_mapping(settings: Any) -> dict[str, Any]:
    """A dataclass as plain values, ready for JSON; `None` stays."""
    plain: dict[str, Any] = dataclasses.asdict(settings)
    return plain


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from plain values; `where` names their origin in errors.

    Raises:
        UsageError: a key is unknown or missing, or a value has the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cast(Any, cls)) if field.init}
    hints = get_type_hints(cls)
    for key in values:
        if key not in fields:
            near = nearest(key, fields)
            guess = f" Did you mean '{near}'?" if near is not None else ""
            raise UsageError(f"{where}: unknown key '{key}'.{guess}", hint=f"Known: {', '.join(fields)}.")
    built = {key: _convert(hints[key], value, f"{where}: '{key}'") for key, value in values.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in built:
            raise UsageError(f"{where}: the key '{name}' is missing.")
    try:
        return cls(**built)
    except ValueError as error:
        raise UsageError(f"{where}: {error}.") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise UsageError(f"{where} is {value!r}; it can be {', '.join(map(repr, arguments))}.")
        return value
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} must be a table, not {value!r}.")
        return from_mapping(cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where} must be a list, not {value!r}.")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} must be a table, not {value!r}.")
        return dict(value)
    if hint is float and type(value) is int:
        return float(value)
    if hint is Any or type(value) is hint:
        return value
    raise UsageError(f"{where} must be {hint.__name__}, not {value!r}.")
