"""Parts of a folder, for several machines. No torch."""

import hashlib
from dataclasses import dataclass

from irsde_cli.errors import UsageError

LONGEST = 40


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`; a file's part depends on its own relative path alone."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"the shard {self.index}/{self.count} is none.", hint="Count from 1: --shard 1/4 to 4/4.")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "i/n"."""
        index, slash, count = text.partition("/")
        digits = index + count
        if not (slash and index and count and digits.isascii() and digits.isdigit() and len(digits) <= LONGEST):
            raise UsageError(f"'{text}' is no shard.", hint="Write it as i/n, for instance --shard 2/8.")
        return cls(int(index), int(count))

    def holds(self, key: bytes) -> bool:
        """Whether the file of that relative path belongs to this part."""
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    @property
    def label(self) -> str:
        """For file names."""
        return f"{self.index}-of-{self.count}"
