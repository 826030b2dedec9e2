"""Other people's files: how they are written, one row each; a row is a function from a path to tensors by our names."""

from irsde_cli.registry import Registry

DIALECTS = Registry(
    "dialect",
    {
        "pytorch": "irsde_cli.conversions.official:read_state",
        "maxim": "irsde_cli.conversions.maxim:read_state",
        "ncnn": "irsde_cli.conversions.ncnn:read_state",
    },
)
