"""What a user can act on.

An `IrsdeError` is printed as one sentence, with a hint, and ends the program with its exit code.
Any other exception is a bug of ours and keeps its traceback.
"""

from typing import ClassVar


class IrsdeError(Exception):
    """A message for people: what, where, and in `hint` what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(IrsdeError):
    """The command line or a configuration file asks for something impossible."""

    exit_code = 2


class NothingError(UsageError):
    """There is no picture, yet."""


class InputError(IrsdeError):
    """One picture cannot be read, restored or written; the others can."""

    exit_code = 3


class DivergedError(IrsdeError):
    """Training lost its way again and again."""

    exit_code = 3


class WeightsError(IrsdeError):
    """A checkpoint is missing, damaged, refused or does not fit."""

    exit_code = 4


class MachineError(IrsdeError):
    """The machine stops the run: disk, permission, lock, device or memory."""

    exit_code = 5
