"""Zero-shot methods: one file and one row each. What was seen, a known operator and a denoiser give the image."""

from typing import TYPE_CHECKING, Any

from irsde_cli.config import from_mapping
from irsde_cli.registry import Entry, Registry

if TYPE_CHECKING:
    from irsde_cli.inverse.method import Method

METHODS = Registry(
    "zero-shot method",
    {
        "dpir": Entry(
            "irsde_cli.inverse.dpir:DPIR",
            paper="2008.13751",
            checked="properties",
            evidence="tests/inverse/test_methods.py::test_a_gaussian_prior_gives_the_posterior_mean",
        ),
        "diffpir": Entry(
            "irsde_cli.inverse.diffpir:DiffPIR",
            paper="2305.08995",
            checked="properties",
            evidence="tests/inverse/test_methods.py::test_draws_spread_around_the_posterior_mean",
        ),
        "ddrm": Entry(
            "irsde_cli.inverse.ddrm:DDRM",
            paper="2201.11793",
            checked="code",
            evidence="tests/inverse/test_ddrm.py::test_whole_runs_are_those_of_the_authors_code",
        ),
        "cm4ir": Entry(
            "irsde_cli.inverse.cm4ir:CM4IR",
            paper="2412.20596",
            checked="properties",
            evidence="tests/inverse/test_cm4ir.py::test_noise_levels_are_those_of_the_authors",
        ),
        "rdmd": Entry(
            "irsde_cli.inverse.rdmd:RDMD",
            paper="2503.01288",
            checked="code",
            evidence="tests/inverse/test_rdmd.py::test_whole_runs_are_those_of_the_authors_code",
        ),
    },
)
DEFAULT = "dpir"


def build_method(name: str, options: dict[str, Any]) -> "Method":
    """A method with its settings.

    Raises:
        UsageError: the name or a setting is unknown or impossible.
    """
    method: Method = from_mapping(METHODS.load(name), options, f"method '{name}'")
    return method
