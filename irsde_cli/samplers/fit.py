"""Which samplers can run on which process."""

from irsde_cli.processes.driftrec import DriftingPath
from irsde_cli.processes.fod import ForwardPath
from irsde_cli.processes.path import Path
from irsde_cli.samplers import SAMPLERS

# Images that those for parity hold, or those whose network says two, beside a state, its successor and an estimate.
MORE_HELD = {"rddm": 1, "fod-variance": 2, "sde-noise-1": 2, "sde-noise-2": 5}
PAIRED = {"rddm": "noise", "fod-variance": "variance"}
DRAWING = ("sde-1", "sde-2", "sde-noise-1", "sde-noise-2", "posterior", "ancestral", "euler-maruyama")


def refusal(sampler: str, path: Path) -> str:
    """Why a sampler of the table cannot run on a path; empty if it can."""
    if sampler.startswith("fod-") != isinstance(path, ForwardPath):
        return "FoD's samplers are for FoD alone, and it for them"
    if sampler == "driftrec" and not isinstance(path, DriftingPath):
        return "it is for DriftRec's process alone"
    if sampler in PAIRED and path.second != PAIRED[sampler]:
        return f"its network says no {PAIRED[sampler]} beside the clean image"
    if sampler.startswith("euler") and path.pull is None:
        return "nobody publishes the rates that Euler's method needs"
    if sampler == "ancestral" and bool((path.s.diff() < 0).any()):
        return "its noise must grow with time, and this one's falls again"
    if sampler in DRAWING and not path.drawn:
        return "its network does not see what it starts from, so no SDE has its marginals"
    if sampler == "noiseless" and float(path.s[-1]) > 0:
        return "only a bridge can be walked without noise"
    return ""


def fitting(path: Path) -> list[str]:
    """The samplers of the table that can run on a path."""
    return [name for name in SAMPLERS if not refusal(name, path)]
