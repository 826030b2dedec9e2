"""Libraries for what Pillow does not read: optional parts of the package, imported when a picture needs them."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from irsde_cli.images.container import DamagedError


@dataclass(frozen=True)
class Library:
    """A row of `LIBRARIES`.

    Attributes:
        module: what is imported.
        package: what people call it.
        extra: the part of this package that brings it.
        suffixes: of the files that it reads, the usual one first.
    """

    module: str
    package: str
    extra: str
    suffixes: tuple[str, ...]

    @property
    def here(self) -> bool:
        """Whether it is installed; nothing is imported."""
        return find_spec(self.module) is not None

    @property
    def how(self) -> str:
        """How to get it."""
        return f"pip install 'irsde[{self.extra}]'"


RAW = "dng nef nrw cr2 cr3 crw arw srf sr2 raf orf rw2 pef rwl srw raw 3fr iiq kdc dcr mef mos mrw x3f erf fff"
LIBRARIES = {
    "heic": Library("pillow_heif", "pillow-heif", "heif", (".heic", ".heif", ".hif")),
    "jxl": Library("OpenImageIO", "OpenImageIO", "jxl", (".jxl",)),
    "exr": Library("OpenImageIO", "OpenImageIO", "hdr", (".exr",)),
    "raw": Library("rawpy", "rawpy", "raw", tuple(f".{kind}" for kind in RAW.split())),
}


def load(format: str, what: str) -> Any:
    """The module that a format needs.

    Args:
        format: a row of `LIBRARIES`.
        what: what the file is, to complete "'x.heic' ".

    Raises:
        DamagedError: it is not installed, or does not load.
    """
    library = LIBRARIES[format]
    try:
        return import_module(library.module)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError)
        reason = "is not installed" if missing else f"does not load here ({error})"
        raise DamagedError(
            f"{what}, which needs {library.package}, and that {reason}", f"Run: {library.how}."
        ) from None
