"""What tells one file from another."""

import hashlib
from pathlib import Path


def content_of(source: Path | bytes) -> str:
    """BLAKE2b of a file's bytes, 32 hexadecimal digits: the same wherever it lies and whatever it is called."""
    if isinstance(source, bytes):
        return hashlib.blake2b(source, digest_size=16).hexdigest()
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
