"""Libraries for what Pillow does not read: optional parts of the package, imported when a picture needs them."""

from dataclasses import dataclass
from typing import Any

from irsde_cli import extras
from irsde_cli.images.container import DamagedError


@dataclass(frozen=True)
class Library:
    """A row of `LIBRARIES`.

    Attributes:
        extra: the part of this package that brings it, a row of `irsde_cli.extras.EXTRAS`.
        suffixes: of the files that it reads, the usual one first.
    """

    extra: str
    suffixes: tuple[str, ...]

    @property
    def here(self) -> bool:
        """Whether it is installed; nothing is imported."""
        return extras.EXTRAS[self.extra].here

    @property
    def how(self) -> str:
        """How to get it."""
        return extras.how(self.extra)


RAW = "dng nef nrw cr2 cr3 crw arw srf sr2 raf orf rw2 pef rwl srw raw 3fr iiq kdc dcr mef mos mrw x3f erf fff"
LIBRARIES = {
    "heic": Library("heif", (".heic", ".heif", ".hif")),
    "jxl": Library("jxl", (".jxl",)),
    "exr": Library("hdr", (".exr",)),
    "irc": Library("codec", (".irc",)),
    "raw": Library("raw", tuple(f".{kind}" for kind in RAW.split())),
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
        return extras.load(library.extra)
    except extras.MissingError as error:
        raise DamagedError(
            f"{what}, which needs {error.package}, and that {error.reason}", f"Run: {library.how}."
        ) from None
