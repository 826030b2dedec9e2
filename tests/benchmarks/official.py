"""Our networks beside their authors' code, same picture, same weights: processor time of one thread, in turns.

    python -m tests.benchmarks.official FOLDER [NETWORK ...] [--side 64] [--rounds 3] [--scan]

FOLDER holds the authors' repositories by the names in `ROWS`; einops must be installed. Prints the shortest time of
their code and of ours as `restore` runs it (frozen), the ratio, above 1 where ours is faster, and how far the results
differ. What their files import and no forward pass needs is replaced; MambaIRv2's scan, an operator for GPUs, by ours.
With `--scan` our scan is compared with loops over its steps: that of our test, and Mamba's own of FOLDER/mamba.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.scan import selective_scan
from tests.fingerprints import image
from tests.networks.test_scan import by_definition, inputs


@dataclass(frozen=True)
class Official:
    """The authors' class of a network.

    Attributes:
        module: its module, below the folder that has the row's name.
        name: of the class.
        options: of the class.
        network: a row of ours.
        ours: its options.
    """

    module: str
    name: str
    options: dict[str, Any]
    network: str
    ours: dict[str, Any] = field(default_factory=dict)


MAMBA: dict[str, Any] = {
    "depths": [5] * 4,
    "num_heads": [4] * 4,
    "mlp_ratio": 1.0,
    "upscale": 3,
    "upsampler": "pixelshuffledirect",
}
NAF: dict[str, Any] = {"width": 32, "enc_blk_nums": [1, 1, 1, 28], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1, 1]}
CHAIN: dict[str, Any] = {"in_nc": 3, "out_nc": 3, "act_mode": "R"}
ROWS = {
    "kair": Official("models.network_dncnn", "DnCNN", {**CHAIN, "nb": 20}, "dncnn"),
    "basicsr": Official("basicsr.archs.rrdbnet_arch", "RRDBNet", {"num_in_ch": 3, "num_out_ch": 3}, "rrdbnet"),
    "restormer": Official("basicsr.models.archs.restormer_arch", "Restormer", {}, "restormer", {"biased": True}),
    "promptir": Official("net.model", "PromptIR", {"decoder": True}, "promptir"),
    "nafnet": Official("basicsr.models.archs.NAFNet_arch", "NAFNet", NAF, "plain-nafnet", NAF),
    "mprnet": Official(
        "Deraining.MPRNet", "MPRNet", {}, "mprnet", {"n_feat": 40, "scale_unetfeats": 20, "scale_orsnetfeats": 16}
    ),
    "mambair": Official("basicsr.archs.mambairv2light_arch", "MambaIRv2Light", MAMBA, "mambair-v2"),
}
REPLACED = (
    "torchvision",
    "torchvision.ops",
    "basicsr.ops",
    "basicsr.ops.dcn",
    "basicsr.utils",
    "mamba_ssm",
    "mamba_ssm.ops",
)


def scan_last(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, **more: Any) -> Tensor:
    """What `mamba_ssm` offers, by our scan."""
    delta = delta if more.get("delta_bias") is None else delta + more["delta_bias"][:, None]
    delta = torch.nn.functional.softplus(delta) if more.get("delta_softplus") else delta
    return selective_scan(u.mT, delta.mT, a, b.permute(0, 3, 1, 2), c.permute(0, 3, 1, 2), d).mT


def theirs(folder: Path, row: Official) -> Any:
    """The authors' network; of their packages no more is run than this needs."""
    tops = ("basicsr", "models", "net", "Deraining", *REPLACED)
    for name in [name for name in sys.modules if name.split(".")[0] in tops]:
        del sys.modules[name]
    for name in REPLACED:
        sys.modules[name] = MagicMock()
    registry: Any = ModuleType("basicsr.utils.registry")
    registry.ARCH_REGISTRY = MagicMock()
    registry.ARCH_REGISTRY.register = lambda: lambda cls: cls
    operator: Any = ModuleType("mamba_ssm.ops.selective_scan_interface")
    operator.selective_scan_fn = operator.selective_scan_ref = scan_last
    sys.modules |= {"basicsr.utils.registry": registry, "mamba_ssm.ops.selective_scan_interface": operator}
    parts = row.module.split(".")
    for count in range(1, len(parts)):
        package = ModuleType(".".join(parts[:count]))
        package.__path__ = [str(folder.joinpath(*parts[:count]))]
        sys.modules[package.__name__] = package
    made: Any = getattr(import_module(row.module), row.name)(**row.options)
    return made


def reference(folder: Path) -> Callable[..., Tensor]:
    """The loop by which the authors of Mamba say what their operator does."""
    names = ("selective_scan_cuda", "causal_conv1d", "causal_conv1d_cuda", "mamba_ssm.ops.triton")
    for name in (*names, "mamba_ssm.ops.triton.layer_norm"):
        sys.modules[name] = MagicMock()
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        package = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    found: Callable[..., Tensor] = import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_ref
    return found


def shortest(calls: dict[str, Callable[[], Tensor]], rounds: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Seconds of the processor of each, in turns after one call that counts for nothing, and what they gave."""
    times: dict[str, float] = {}
    made = {name: call() for name, call in calls.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            since = time.process_time()
            call()
            times[name] = min(times.get(name, float("inf")), time.process_time() - since)
    return times, made


def compared(folder: Path, row: Official, side: int, rounds: int) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    ours = NETWORKS.load(row.network)(**row.ours).eval().requires_grad_(False)
    other = theirs(folder, row).eval().requires_grad_(False)
    held = {key: value for key, value in ours.state_dict().items() if key in other.state_dict()}
    same = len(held) == len(ours.state_dict()) and row.network != "mambair-v2"  # whose classes are drawn
    other.load_state_dict({**other.state_dict(), **held}) if same else None
    ours.freeze()
    shown = image(side, side)

    def first() -> Tensor:
        made = other(shown)
        restored: Tensor = made[0] if isinstance(made, list | tuple) else made
        return restored

    times, made = shortest({"theirs": first, "ours": lambda: ours(shown)}, rounds)
    error = f"{float((made['theirs'] - made['ours']).abs().max()):.1e}" if same else ""
    ratio = times["theirs"] / times["ours"]
    return f"| `{row.network}` | {1e3 * times['theirs']:.0f} | {1e3 * times['ours']:.0f} | {ratio:.2f} | {error} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", default=[*ROWS])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scan", action="store_true")
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(48, 8, 1), help="channels, states and groups of the scan"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        if asked.scan:
            values = [value.float() for value in inputs(1, asked.side**2, *asked.shape)]
            calls = {"plain loop": lambda: by_definition(*values), "ours": lambda: selective_scan(*values)}
            if (asked.folder / "mamba").is_dir():
                last = [*(value.mT.contiguous() for value in values[:2]), values[2]]
                last += [*(value.permute(0, 2, 3, 1).contiguous() for value in values[3:5]), values[5]]
                loop = reference(asked.folder / "mamba")
                calls["their loop"] = lambda: loop(*last).mT
            times, made = shortest(calls, 1)
            for name, seconds in times.items():
                torch.testing.assert_close(made[name], made["ours"], atol=1e-3, rtol=1e-3)
                print(f"scan of {asked.side**2} steps, {name}: {seconds:.3f} s, {seconds / times['ours']:.0f}")
            return
        print("| network | their code, ms | ours, ms | times as fast | largest difference |\n|---|---:|---:|---:|---:|")
        for name in asked.networks:
            if not (asked.folder / name).is_dir():
                print(f"'{name}' is not in '{asked.folder}'", file=sys.stderr)
                continue
            print(compared(asked.folder / name, ROWS[name], asked.side, asked.rounds), flush=True)


if __name__ == "__main__":
    main()
