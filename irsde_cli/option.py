"""Options of commands, each declared once: on the field of the frozen dataclass that holds it.

From the declaration come the command line, the environment variable, the key of a `--config` file, what
`--print-config` shows, the record by which a run is resumed, and docs/reference.md.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from irsde_cli.errors import UsageError
from irsde_cli.registry import unknown_name

T = TypeVar("T")
Decides = Literal["pixels", "names", "machine"]
KEY = "option"
MOST_DIGITS = 18


@dataclass(frozen=True)
class Option:
    """What is said of an option beside its type and its default.

    Attributes:
        decides: `pixels`, what is in a result; `names`, which files are read and written; `machine`, how and with what
            the work is done, and what is shown of it.
        help: for people.
        panel: of `--help`.
        flag: `--` and the field's name if empty; `INPUT` and the like are arguments.
        short: a letter with its dash.
        metavar: what the help calls the value.
        minimum: the least value.
        maximum: the largest value.
        parse: makes the value of a text, where the type alone does not say how.
        text: the default as a person would give it, where `parse` is used.
        complete: values that a shell may offer.
        variable: of the environment; empty is `IRSDE_` and the flag's name, `-` is none.
        recorded: what stands for an option that decides pixels in a run's record; empty is itself.
        kind: what the command line takes it for, where that is not the field's type.
        shown: whether the command line has it; what it has not is decided by others that it has.
        callback: called with the command's context and the value before all other options are read.
    """

    decides: Decides
    help: str = ""
    panel: str = ""
    flag: str = ""
    short: str = ""
    metavar: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    parse: Callable[[str], Any] | None = None
    text: str | None = None
    complete: Callable[[], Iterable[str | tuple[str, str]]] | None = None
    variable: str = ""
    recorded: str = ""
    kind: type | None = None
    shown: bool = True
    callback: Callable[[Any, Any], Any] | None = None


def option(decides: Decides, help: str = "", *, default: Any = None, **more: Any) -> Any:
    """The field of a dataclass that is an option; `default=MISSING` makes it required, `more` are those of `Option`."""
    return dataclasses.field(default=default, metadata={KEY: Option(decides, help, **more)})


@dataclass(frozen=True)
class Declared:
    """A field that is an option, wherever in a dataclass of dataclasses it lies."""

    name: str
    type: Any
    default: Any
    option: Option
    prefix: str = "IRSDE_"

    @property
    def is_argument(self) -> bool:
        """Whether it is given by its place."""
        return bool(self.option.flag) and not self.option.flag.startswith("-")

    @property
    def flag(self) -> str:
        """As it is written, with its dashes."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """In a TOML file."""
        return self.flag.lstrip("-") if not self.is_argument else self.name

    @property
    def variable(self) -> str | None:
        """Of the environment."""
        if self.option.variable == "-" or self.is_argument:
            return None
        return self.option.variable or self.prefix + self.flag.lstrip("-").replace("-", "_").upper()


def declared(cls: type, *, partly: bool = False) -> list[Declared]:
    """All options of a dataclass, its own before those of its bases; those of its parts stand where the part does.

    Args:
        cls: the dataclass; `VARIABLES` of it is what the names of its variables begin with, if not with `IRSDE_`.
        partly: whether some fields are no options, but keys of a file alone.

    Raises:
        TypeError: a field is neither an option nor a part that has some.
    """
    found: list[Declared] = []
    hints = get_type_hints(cls)
    prefix = getattr(cls, "VARIABLES", "IRSDE_")
    for field in sorted(dataclasses.fields(cls), key=lambda one: one.name not in cls.__annotations__):
        if KEY in field.metadata:
            found.append(Declared(field.name, hints[field.name], field.default, field.metadata[KEY], prefix))
        elif partly:
            continue
        elif dataclasses.is_dataclass(hints[field.name]):
            found += declared(cast(type, hints[field.name]))
        else:
            raise TypeError(f"{cls.__name__}.{field.name} is not marked as deciding pixels, names or the machine")
    return found


def built(cls: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass, its parts too, of values by the names of options; others keep their defaults."""
    hints = get_type_hints(cls)
    made: dict[str, Any] = {}
    for field in dataclasses.fields(cast(Any, cls)):
        if KEY in field.metadata:
            if field.name in values:
                made[field.name] = values[field.name]
        else:
            made[field.name] = built(hints[field.name], values)
    return cls(**made)


def asked(cls: type[T], values: Mapping[str, Any]) -> T:
    """The same of values as Python gives them: a text where the command line would read one is read alike.

    Raises:
        UsageError: there is no option of that name, or it cannot have that value.
    """
    known = {one.name: one for one in declared(cls)}
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name("option", name, known)
        one = known[name]
        if isinstance(value, str) and one.option.parse is not None:
            value = one.option.parse(value)
        choices = get_args(one.type) if get_origin(one.type) is Literal else ()
        if choices and value not in choices:
            raise UsageError(f"'{name}' is {value!r}; it can be {', '.join(map(repr, choices))}.")
        read[name] = Path(value) if isinstance(value, str) and one.type in (Path, Path | None) else value
    for one in known.values():
        if one.default is MISSING and one.name not in read:
            raise UsageError(f"'{one.name}' is missing.")
    return built(cls, read)


def flat(settings: Any) -> Iterator[tuple[Declared, Any]]:
    """Each option of a dataclass with its value."""
    known = {one.name: one for one in declared(type(settings))}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if KEY in field.metadata:
            yield known[field.name], value
        else:
            yield from flat(value)


def record(settings: Any) -> dict[str, Any]:
    """What decides the pixels of a result, by name; without what something else stands for."""
    return {
        one.name: value for one, value in flat(settings) if one.option.decides == "pixels" and not one.option.recorded
    }


def whole(name: str) -> Callable[[str], int]:
    """What reads a whole number for the option of that name."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
            raise UsageError(f"{name} takes whole numbers, not '{text}'.")
        return int(text)

    return read


def whole_or_auto(name: str) -> Callable[[str], int | Literal["auto"]]:
    """The same, or `auto`."""

    def read(text: str) -> int | Literal["auto"]:
        return "auto" if text == "auto" else whole(name)(text)

    return read
