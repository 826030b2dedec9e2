"""What lies between a clean and a degraded image: one file and one row each; docs/processes.md tells them apart."""

from irsde_cli.registry import Entry, Registry

PROCESSES = Registry(
    "process",
    {
        "mean-reverting": Entry(
            "irsde_cli.processes.mean_reverting:MeanRevertingSDE",
            paper="2301.11699",
            checked="code",
            evidence="tests/processes/test_tables.py::test_tables_equal_the_reference",
        ),
        "denoising": Entry(
            "irsde_cli.processes.denoising:DenoisingSDE",
            paper="2301.11699",
            checked="code",
            evidence="tests/processes/test_tables.py::test_start_of_denoising_equals_the_published_table",
        ),
        "goub": Entry(
            "irsde_cli.processes.bridge:MeanRevertingBridge",
            paper="2312.10299",
            checked="code",
            evidence="tests/processes/test_published.py::test_published_samplers_of_bridges",
        ),
        "rddm": Entry(
            "irsde_cli.processes.rddm:ResidualDenoising",
            paper="2308.13712",
            checked="code",
            evidence="tests/processes/test_published.py::test_rddm",
        ),
        "diffuir": Entry(
            "irsde_cli.processes.diffuir:SelectiveHourglass",
            paper="2403.11157",
            checked="code",
            evidence="tests/processes/test_published.py::test_diffuir",
        ),
        "resshift": Entry(
            "irsde_cli.processes.resshift:ResidualShift",
            paper="2307.12348",
            checked="code",
            evidence="tests/processes/test_published.py::test_resshift",
        ),
        "i2sb": Entry(
            "irsde_cli.processes.i2sb:SchroedingerBridge",
            paper="2302.05872",
            checked="code",
            evidence="tests/processes/test_published.py::test_i2sb",
        ),
        "brownian-bridge": Entry(
            "irsde_cli.processes.straight:BrownianBridge",
            paper="2302.05872",
            checked="properties",
            evidence="tests/processes/test_gaussian.py::test_ends_are_those_of_the_closed_forms",
        ),
        "straight-flow": Entry(
            "irsde_cli.processes.straight:StraightFlow",
            paper="2410.00418",
            checked="code",
            evidence="tests/processes/test_published.py::test_pmrf",
        ),
        "rectified-flow": Entry(
            "irsde_cli.processes.rectified_flow:RectifiedFlow",
            paper="2410.04811",
            checked="properties",
            evidence="tests/processes/test_rectified_flow.py::test_even_indices_are_the_published_times",
        ),
        "driftrec": Entry(
            "irsde_cli.processes.driftrec:DriftingSDE",
            paper="2211.06757",
            checked="code",
            evidence="tests/processes/test_rdbm.py::test_driftrec",
        ),
        "fod": Entry(
            "irsde_cli.processes.fod:ForwardOnly",
            paper="2505.16733",
            checked="code",
            evidence="tests/processes/test_forward_only.py::test_samplers",
        ),
    },
)
