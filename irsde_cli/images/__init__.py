"""Pictures: one reader, one writer, and the way between pixels and tensors."""

from irsde_cli.images.libraries import LIBRARIES
from irsde_cli.images.parts import KINDS, Metadata, Part
from irsde_cli.images.picture import (
    INSTEAD,
    SUFFIXES,
    WRITTEN,
    Limits,
    Picture,
    in_bytes,
    in_unit,
    looks_like_picture,
    samples_of,
    suffix_for,
    to_tensor,
    with_restored,
)
from irsde_cli.images.reading import read_picture, read_size
from irsde_cli.images.writing import encode_picture, losses, no_codec, output_format, unknown_format

__all__ = [
    "INSTEAD",
    "KINDS",
    "LIBRARIES",
    "SUFFIXES",
    "WRITTEN",
    "Limits",
    "Metadata",
    "Part",
    "Picture",
    "encode_picture",
    "in_bytes",
    "in_unit",
    "looks_like_picture",
    "losses",
    "no_codec",
    "output_format",
    "read_picture",
    "read_size",
    "samples_of",
    "suffix_for",
    "to_tensor",
    "unknown_format",
    "with_restored",
]
