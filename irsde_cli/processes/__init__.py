"""What lies between a clean and a degraded image: one file and one row each; docs/processes.md tells them apart."""

from irsde_cli.registry import Registry

PROCESSES = Registry(
    "process",
    {
        "mean-reverting": "irsde_cli.processes.mean_reverting:MeanRevertingSDE",
        "denoising": "irsde_cli.processes.denoising:DenoisingSDE",
        "goub": "irsde_cli.processes.bridge:MeanRevertingBridge",
        "rddm": "irsde_cli.processes.rddm:ResidualDenoising",
        "diffuir": "irsde_cli.processes.diffuir:SelectiveHourglass",
        "resshift": "irsde_cli.processes.resshift:ResidualShift",
        "i2sb": "irsde_cli.processes.i2sb:SchroedingerBridge",
        "brownian-bridge": "irsde_cli.processes.straight:BrownianBridge",
        "straight-flow": "irsde_cli.processes.straight:StraightFlow",
        "rectified-flow": "irsde_cli.processes.rectified_flow:RectifiedFlow",
        "driftrec": "irsde_cli.processes.driftrec:DriftingSDE",
        "fod": "irsde_cli.processes.fod:ForwardOnly",
    },
)
