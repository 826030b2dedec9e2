"""Our networks beside their authors' code, same picture, same weights: processor time of one thread, in turns.

    python -m tests.benchmarks.official FOLDER [NETWORK ...] [--side 64] [--rounds 3] [--scan]

FOLDER holds the authors' repositories by the names in `ROWS`; einops must be installed. Prints the shortest time of
their code and of ours as `restore` runs it (frozen), the ratio, above 1 where ours is faster, and how far the results
differ. What their files import and no forward pass needs is replaced; the scan of MambaIRv2 and MaIR, an operator for
GPUs, and AirNet's bent convolution by ours. FOLDER/pretrainedmodels holds the file of DeblurGAN-v2's Inception.
With `--scan` our scan is compared with loops over its steps: two of ours, and Mamba's own of FOLDER/mamba.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor, nn

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.airnet import TAPS, Bent
from irsde_cli.networks.deblurgan_v2 import BLOCK
from irsde_cli.networks.scan import selective_scan
from tests.benchmarks.turns import in_turns
from tests.fingerprints import image
from tests.networks.test_scan import by_definition, inputs


@dataclass(frozen=True)
class Official:
    """The authors' class of a network.

    Attributes:
        folder: of the authors' repository.
        module: its module, below the folder.
        name: of the class.
        options: of the class.
        network: a row of ours.
        ours: its options.
        shown: what their network makes of a picture in [0, 1].
        drawn: whether it draws something, so that results differ.
        side: the picture has that many pixels or more.
    """

    folder: str
    module: str
    name: str
    options: dict[str, Any]
    network: str
    ours: dict[str, Any] = field(default_factory=dict)
    shown: Callable[[Any, Tensor], Any] = lambda network, picture: network(picture)
    drawn: bool = False
    side: int = 0


def signed(network: Any, picture: Tensor) -> Tensor:
    """By DeblurGAN-v2, as its authors run it: in [-1, 1], as if it were taught, and always padded."""
    height, width = picture.shape[-2:]
    padding = (0, BLOCK - width % BLOCK, 0, BLOCK - height % BLOCK)
    made: Tensor = network.train()(nn.functional.pad(2 * picture - 1, padding))
    return (made[..., :height, :width] + 1) / 2


def unmoved(network: Any, picture: Tensor) -> Any:
    """By MoCE-IR, without the noise in its choice of experts."""
    for router in network.modules():
        if hasattr(router, "noise_std"):
            router.noise_std = 0.0
    return network(picture)


def here(network: Any, picture: Tensor) -> Any:
    """By MPMF-Net, which asks for a GPU."""
    with patch.object(Tensor, "cuda", lambda tensor: tensor):
        return network(picture)


MAMBA: dict[str, Any] = {
    "depths": [5] * 4,
    "num_heads": [4] * 4,
    "mlp_ratio": 1.0,
    "upscale": 3,
    "upsampler": "pixelshuffledirect",
}
NAF: dict[str, Any] = {"width": 32, "enc_blk_nums": [1, 1, 1, 28], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1, 1]}
CHAIN: dict[str, Any] = {"in_nc": 3, "out_nc": 3, "act_mode": "R"}
MAIR: dict[str, Any] = {"d_state": 1, "ssm_ratio": 1.1, "scan_len": 8}
RAIN: dict[str, Any] = {"n_feat": 40, "scale_unetfeats": 20, "scale_orsnetfeats": 16}
MOCE: dict[str, Any] = {
    "dim": 48,
    "num_blocks": [4, 6, 6, 8],
    "num_dec_blocks": [2, 4, 4],
    "heads": [1, 2, 4, 8],
    "num_refinement_blocks": 4,
    "depth_type": "constant",
    "stage_depth": [1, 1, 1],
    "rank_type": "spread",
}
EDSR = SimpleNamespace(n_resblocks=16, n_feats=64, scale=[4], rgb_range=255, n_colors=3, res_scale=1)
INSTANCE = partial(nn.InstanceNorm2d, affine=False, track_running_stats=True)
UFORMER: dict[str, Any] = {
    "img_size": 128,
    "depths": [1, 2, 8, 8, 2, 8, 8, 2, 1],
    "modulator": True,
    "if_uncertainty": False,
}
ROWS = {
    "dncnn": Official("kair", "models.network_dncnn", "DnCNN", {**CHAIN, "nb": 20}, "dncnn"),
    "ffdnet": Official(
        "kair",
        "models.network_ffdnet",
        "FFDNet",
        {**CHAIN, "nc": 96, "nb": 12},
        "ffdnet",
        shown=lambda network, picture: network(picture, torch.full((1, 1, 1, 1), 25 / 255)),
    ),
    "rrdbnet": Official(
        "basicsr", "basicsr.archs.rrdbnet_arch", "RRDBNet", {"num_in_ch": 3, "num_out_ch": 3}, "rrdbnet"
    ),
    "srvgg": Official("basicsr", "basicsr.archs.srvgg_arch", "SRVGGNetCompact", {}, "srvgg"),
    "edsr": Official(
        "edsr",
        "model.edsr",
        "EDSR",
        {"args": EDSR},
        "edsr",
        shown=lambda network, picture: network(255 * picture) / 255,
    ),
    "aod-net": Official("aod", "net", "dehaze_net", {}, "aod-net"),
    "prenet": Official("prenet", "networks", "PReNet", {"use_GPU": False}, "prenet"),
    "restormer": Official(
        "restormer", "basicsr.models.archs.restormer_arch", "Restormer", {}, "restormer", {"biased": True}
    ),
    "promptir": Official("promptir", "net.model", "PromptIR", {"decoder": True}, "promptir"),
    "da-rcot": Official("darcot", "model_res", "MRCNet", {"decoder": True}, "da-rcot"),
    "nafnet": Official("nafnet", "basicsr.models.archs.NAFNet_arch", "NAFNet", NAF, "plain-nafnet", NAF),
    "dcpt-swinir": Official("dcpt", "basicsr.archs.swinir_arch", "SwinIR", {}, "dcpt-swinir"),
    "mprnet": Official("mprnet", "Deraining.MPRNet", "MPRNet", {}, "mprnet", RAIN),
    "uformer": Official(
        "tur", "basicsr.archs.uformer_uncertainty_arch", "Uformer_uncertainty", UFORMER, "uformer", side=128
    ),
    "airnet": Official(
        "tur", "basicsr.archs.airnet_arch", "AirNet_uncertainty", {"if_uncertainty": False, "batch_size": 12}, "airnet"
    ),
    "moce-ir": Official("moce", "src.net.moce_ir", "MoCEIR", MOCE, "moce-ir", shown=unmoved),
    "mpmf-net": Official("mpmf", "model", "MPMFNet", {}, "mpmf-net", shown=here),
    "deblurgan-v2-mobilenet": Official(
        "deblurgan",
        "models.fpn_mobilenet",
        "FPNMobileNet",
        {"norm_layer": INSTANCE, "pretrained": False},
        "deblurgan-v2",
        {"backbone": "mobilenet"},
        shown=signed,
    ),
    "deblurgan-v2-inception": Official(
        "deblurgan",
        "models.fpn_inception",
        "FPNInception",
        {"norm_layer": INSTANCE},
        "deblurgan-v2",
        shown=signed,
        side=128,
    ),
    "mair": Official(
        "mair", "basicsr.archs.mair_arch", "MaIR", {**MAIR, "mlp_ratio": 1.6}, "mair", {**MAIR, "mlp_ratio": 1.6}
    ),
    "mambair-v2": Official(
        "mambair", "basicsr.archs.mambairv2light_arch", "MambaIRv2Light", MAMBA, "mambair-v2", drawn=True
    ),
}
REPLACED = (
    "basicsr.ops",
    "basicsr.ops.dcn",
    "basicsr.utils",
    "cv2",
    "fvcore",
    "fvcore.nn",
    "mamba_ssm",
    "mamba_ssm.ops",
    "mmcv",
    "timm",
    "timm.models",
    "torchsummary",
    "torchvision",
    "torchvision.ops",
    "torchvision.utils",
)
PACKAGES = ("basicsr", "models", "model", "model_res", "net", "networks", "src", "Deraining", "INR", *REPLACED)


def scan_last(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, **more: Any) -> Tensor:
    """What `mamba_ssm` offers, by our scan."""
    delta = delta if more.get("delta_bias") is None else delta + more["delta_bias"][:, None]
    delta = torch.nn.functional.softplus(delta) if more.get("delta_softplus") else delta
    return selective_scan(u.mT, delta.mT, a, b.permute(0, 3, 1, 2), c.permute(0, 3, 1, 2), d).mT


def deformed(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, *_: Any) -> Tensor:
    """What `mmcv` offers, by our AirNet."""
    with torch.device("meta"):
        bent = Bent(len(weight))
    taps = bent.taps(x, torch.unflatten(offset, 1, (TAPS, 2))) * mask[:, None]
    return torch.einsum("bcthw,oct->bohw", taps, weight.flatten(2))


def inception(folder: Path, **_: Any) -> Any:
    """What `pretrainedmodels` offers, by its own code, without the weights that it would fetch."""
    spec: Any = spec_from_file_location("inception", folder / "pretrainedmodels" / "inceptionresnetv2.py")
    found: Any = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.inceptionresnetv2(pretrained=None)


def module(name: str, **held: Any) -> ModuleType:
    """A module that holds these."""
    made = ModuleType(name)
    vars(made).update(held)
    return made


def theirs(folder: Path, row: Official) -> Any:
    """The authors' network; of their packages no more is run than this needs."""
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path).parent != folder.parent)]
    for name in REPLACED:
        sys.modules[name] = MagicMock()
    registered = MagicMock(register=lambda **_: lambda cls: cls)
    replaced = (
        module("basicsr.utils.registry", ARCH_REGISTRY=registered),
        module("mamba_ssm.ops.selective_scan_interface", selective_scan_fn=scan_last, selective_scan_ref=scan_last),
        module("pretrainedmodels", inceptionresnetv2=partial(inception, folder.parent)),
        module("mmcv.ops", modulated_deform_conv2d=deformed),
        module(
            "timm.models.layers",
            DropPath=nn.Identity,
            to_2tuple=lambda one: (one, one),
            trunc_normal_=nn.init.trunc_normal_,
        ),
    )
    sys.modules |= {made.__name__: made for made in replaced}
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


def channels_first(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """A loop over steps that lie far from each other in memory: all is (B, D, N, L). Takes what our scan takes."""
    each = u.shape[-1] // b.shape[2]
    u, delta = u.mT.contiguous(), delta.mT.contiguous()
    b, c = (x.repeat_interleave(each, dim=2).permute(0, 2, 3, 1).contiguous() for x in (b, c))
    factors, added = (delta[:, :, None] * a[:, :, None]).exp(), (delta * u)[:, :, None] * b
    h, y = torch.zeros_like(added[..., 0]), torch.empty_like(u)
    for t in range(u.shape[-1]):
        h = factors[..., t] * h + added[..., t]
        y[..., t] = (h * c[..., t]).sum(-1) + d * u[..., t]
    return y.mT


def shortest(calls: dict[str, Callable[[], Tensor]], rounds: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Seconds of the processor of each, in turns after one call that counts for nothing, and what they gave."""
    made = {name: call() for name, call in calls.items()}
    return {name: min(times) for name, times in in_turns(calls, rounds).items()}, made


def compared(folder: Path, name: str, side: int, rounds: int) -> str:
    """A line of the table."""
    row = ROWS[name]
    torch.manual_seed(0)
    ours = NETWORKS.load(row.network)(**row.ours).eval().requires_grad_(False)
    other = theirs(folder / row.folder, row).eval().requires_grad_(False)
    held = {key: value for key, value in ours.state_dict().items() if key in other.state_dict()}
    if len(held) != len(ours.state_dict()):
        raise RuntimeError(f"'{name}': names of weights differ: {sorted({*ours.state_dict()} - {*held})[:3]}")
    other.load_state_dict({**other.state_dict(), **held})
    ours.freeze()
    side = max(side, row.side)
    shown = image(side, side)

    def first() -> Tensor:
        made = row.shown(other, shown)
        restored: Tensor = made[0] if isinstance(made, list | tuple) else made
        return restored

    times, made = shortest({"theirs": first, "ours": lambda: ours(shown)}, rounds)
    error = "" if row.drawn else f"{float((made['theirs'] - made['ours']).abs().max()):.1e}"
    ratio = times["theirs"] / times["ours"]
    return f"| `{name}`, {side} | {1e3 * times['theirs']:.0f} | {1e3 * times['ours']:.0f} | {ratio:.2f} | {error} |"


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
            calls = {
                "ours": lambda: selective_scan(*values),
                "steps together": lambda: by_definition(*values),
                "channels first": lambda: channels_first(*values),
            }
            if (asked.folder / "mamba").is_dir():
                last = [*(value.mT.contiguous() for value in values[:2]), values[2]]
                last += [*(value.permute(0, 2, 3, 1).contiguous() for value in values[3:5]), values[5]]
                loop = reference(asked.folder / "mamba")
                calls["their loop"] = lambda: loop(*last).mT
            times, made = shortest(calls, asked.rounds)
            for name, seconds in times.items():
                torch.testing.assert_close(made[name], made["ours"], atol=1e-3, rtol=1e-3)
                print(f"scan of {asked.side**2} steps, {name}: {seconds:.3f} s, {seconds / times['ours']:.1f}")
            return
        print("| network | their code, ms | ours, ms | times as fast | largest difference |\n|---|---:|---:|---:|---:|")
        for name in asked.networks:
            if not (asked.folder / ROWS[name].folder).is_dir():
                print(f"'{ROWS[name].folder}' is not in '{asked.folder}'", file=sys.stderr)
                continue
            print(compared(asked.folder, name, asked.side, asked.rounds), flush=True)


if __name__ == "__main__":
    main()
