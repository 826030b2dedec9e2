"""Networks of others, filled by a rule, give what the published code gave."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.conversions.dialects import DIALECTS
from irsde_cli.networks.acl_style import Lama, linear_attention
from irsde_cli.networks.adm import ADM
from irsde_cli.networks.airnet import AirNet
from irsde_cli.networks.da_rcot import DARCOT
from irsde_cli.networks.deblurgan_v2 import Backbone, DeblurGANv2
from irsde_cli.networks.edsr import EDSR, Shift
from irsde_cli.networks.layers import pixels
from irsde_cli.networks.mair import MaIR, MaIRUNet, ways
from irsde_cli.networks.mambair_v2 import MambaIRv2, StateSpace
from irsde_cli.networks.moce_ir import Adapter, MoCEIR
from irsde_cli.networks.mpmf_net import MPMFNet
from irsde_cli.networks.mprnet import MPRNet
from irsde_cli.networks.ncsnpp import NCSNpp
from irsde_cli.networks.plain_nafnet import PlainNAFNet
from irsde_cli.networks.prenet import PReNet
from irsde_cli.networks.promptir import PromptIR
from irsde_cli.networks.restormer import Restormer
from irsde_cli.networks.swinir import SwinIR
from irsde_cli.networks.uformer import Uformer
from irsde_cli.networks.vlu_net import VLUNet
from tests.fingerprints import Rule, check, fill, fingerprint, image

SYSTEMS = "systems1_fingerprints"
PRENETS = {
    "prenet": {},
    "prenet_r": {"shared": True},
    "prn": {"memory": False},
    "prn_r": {"memory": False, "shared": True},
}


@pytest.mark.parametrize("name", PRENETS)
def test_prenet(shared: Path, name: str) -> None:
    """Names, shapes and each pass of the whole family."""
    recorded = fingerprint(shared, SYSTEMS, name)
    network = PReNet(**PRENETS[name]).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == recorded["params"]
    if "keys" in recorded:
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == recorded["keys"]
    fill(network, "H")
    with torch.inference_mode():
        results = list(network.results(image(48, 56)))
    for index, result in enumerate(results[:-1]):
        check(result, recorded["outputs_hash"][f"iteration{index}"])
    check(results[-1], recorded["outputs_hash"]["restored"])


@pytest.mark.parametrize("name", ["edsr_baseline_x2", "edsr_baseline_x3", "edsr_baseline_x4", "edsr_x2"])
def test_edsr(shared: Path, name: str) -> None:
    """Names, shapes and pixels; the mean colour is not filled. The published code counts in 0..255."""
    recorded = fingerprint(shared, SYSTEMS, name)
    config = recorded["config"]
    network = EDSR(scale=config["scale"], width=config["n_feats"], blocks=config["n_resblocks"]).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == recorded["params"]
    if "keys" in recorded:
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == recorded["keys"]
    rules: dict[Rule, str] = {"H": "outputs_hash", "A": "outputs"}
    for rule, outputs in rules.items():
        fill(network, rule)
        network.sub_mean, network.add_mean = Shift(-1), Shift(1)
        with torch.inference_mode():
            check(255 * network(image(16, 20)), recorded[outputs]["restored"])


def keys_of(network: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("biased", [True, False])
def test_restormer(shared: Path, biased: bool) -> None:
    """Names, shapes and pixels of the two forms of its normalisation."""
    recorded = fingerprint(shared, SYSTEMS, f"restormer_{'withbias' if biased else 'biasfree'}")
    network = Restormer(biased=biased).eval()
    assert keys_of(network) == recorded["keys"]
    fill(network, "H")
    with torch.inference_mode():
        check(network(image(64, 72)), recorded["outputs_hash"]["restored"])


def test_restormer_of_dcpt(shared: Path) -> None:
    """ReLU in place of the softmax. Filled by rule A, float32 and float64 differ by 2.4e-3 of its range."""
    recorded = fingerprint(shared, "systems2_fingerprints", "dcpt_restormer")
    network = Restormer(biased=False, rectified=True).eval()
    assert keys_of(network) == recorded["keys"]
    fill(network, "A")
    with torch.inference_mode():
        check(network(image(64, 80)), recorded["outputs"]["restored"], 5e-3)


def test_promptir(shared: Path) -> None:
    """Names, shapes and pixels, in the form that DCPT released."""
    recorded = fingerprint(shared, "systems2_fingerprints", "dcpt_promptir")
    network = PromptIR().eval()
    assert keys_of(network) == recorded["keys"]
    fill(network, "A")
    with torch.inference_mode():
        check(network(image(64, 80)), recorded["outputs"]["restored"])


NOISE = "mambairv2_denoise"
MAMBAS = ["mambairv2_light_x3", "mambairv2_light_x4", "mambairv2_small_x2"]


def mamba(recorded: dict[str, Any], *, gated: bool) -> MambaIRv2:
    config = dict(recorded["config"])
    for name in ("in_chans", "img_size", "img_range", "resi_connection"):
        config.pop(name, None)
    return MambaIRv2(gated=gated, **config).eval()


@pytest.mark.parametrize("name", MAMBAS)
def test_mambair_v2(shared: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, shapes and outputs; the class of each pixel is given, as the draw of the published code cannot be.

    With weights by rule H float32 and float64 differ by 4e-3 of the largest value in our own code, so that A, where
    they hardly do, is the one that tells.
    """
    recorded = fingerprint(shared, SYSTEMS, name)
    network = mamba(recorded, gated="light" in name)
    keys = recorded.get("keys")
    if keys is not None:
        keys.pop("relative_position_index_SA")  # made anew from the size of the window
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == keys
    calls = 0

    def chosen(self: StateSpace, scores: Tensor, randn_like: object) -> Tensor:
        nonlocal calls
        tokens = scores.shape[-1]
        given = (7 * torch.arange(scores.shape[1]) + 3 * calls) % tokens
        calls += 1
        return F.one_hot(given, tokens)[None].to(scores)

    monkeypatch.setattr(StateSpace, "chosen", chosen)
    rules: dict[Rule, tuple[str, float]] = {"A": ("outputs", 1e-5), "H": ("outputs_hash", 1e-3)}
    for rule, (outputs, tolerance) in rules.items():
        if outputs in recorded:
            fill(network, rule)
            calls = 0
            with torch.inference_mode():
                check(network(image(24, 40)), recorded[outputs]["restored_assigned"], tolerance)


@pytest.mark.parametrize("name", [*MAMBAS, "mambairv2_light_x2", *(f"mambairv2_base_x{n}" for n in (2, 3, 4)), NOISE])
def test_every_size_of_mambair_v2_has_its_parameters(shared: Path, name: str) -> None:
    """As many as published, in as many tensors."""
    recorded = fingerprint(shared, SYSTEMS, name)
    recorded["config"].setdefault("upsampler", "none")
    with torch.device("meta"):
        network = mamba(recorded, gated="light" in name)
    assert sum(parameter.numel() for parameter in network.parameters()) == recorded["params"]
    assert len(network.state_dict()) + 1 == recorded["tensors"]  # one is made anew of the size of the window


def test_mambair_v2_draws_the_class_of_a_pixel_by_its_probability() -> None:
    """From our own source of noise, the same for the same seed; without a source the likeliest is taken."""
    space = StateSpace(4, 4, 1, 2, 3)
    scores = torch.tensor([0.7, 0.2, 0.1]).log().expand(1, 20_000, 3)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        drawn = space.chosen(scores, noise)
        torch.testing.assert_close(drawn.mean((0, 1)), torch.tensor([0.7, 0.2, 0.1]), atol=0.015, rtol=0)
        assert torch.equal(drawn, space.chosen(scores, noise))
        assert torch.equal(space.chosen(scores, None).argmax(-1), torch.zeros(1, 20_000, dtype=torch.long))
    learnt = scores.clone().requires_grad_()
    space.chosen(learnt, noise)[..., 0].sum().backward()  # type: ignore[no-untyped-call]
    assert learnt.grad is not None and learnt.grad.abs().sum() > 0


ADMS: dict[str, dict[str, Any]] = {
    "cm_unet_imagenet_64_cc": {
        "widths": (192, 384, 576, 768),
        "blocks": 3,
        "attention": (1, 2, 3),
        "time_width": 192,
        "classes": 1000,
        "label": 7,
    },
    "cm_unet_lsun_bedroom_256": {"scale_shift": False},
}


def adm(name: str) -> ADM:
    """Without values, of which it has up to half a thousand million."""
    with torch.device("meta"):
        made = ADM(**{"legacy": False, "variance": False, "preconditioning": "consistency", **ADMS[name]})
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("name", ADMS)
def test_adm_is_named_as_published(shared: Path, name: str) -> None:
    """Names and shapes of the U-Nets of consistency models."""
    recorded = fingerprint(shared, "systems2_fingerprints", name)
    network = adm(name)
    assert keys_of(network) == recorded["keys"]
    assert sum(parameter.numel() for parameter in network.parameters()) == recorded["params"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "lsun" in name else name for name in ADMS]
)
def test_adm(shared: Path, name: str) -> None:
    """What the U-Nets of consistency models give before preconditioning; recorded with rule A alone."""
    recorded = fingerprint(shared, "systems2_fingerprints", name)
    network = adm(name).to_empty(device="cpu")
    fill(network, "A")
    with torch.inference_mode():
        output = network.raw(2 * image(64, 64) - 1, torch.tensor([250 * math.log(0.5)]))
    check(output, recorded["outputs"]["raw_network"])


def degraded(height: int, width: int) -> Tensor:
    """The degraded picture that went with `image`, (1, 3, H, W)."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    return torch.stack([0.5 + 0.4 * torch.sin(0.13 * y + 0.05 * x * (c + 1) + 1) for c in range(3)])[None]


def test_ncsnpp_of_driftrec(shared: Path) -> None:
    """Names, shapes and pixels; the release divides by the noise's standard deviation and has another sign."""
    recorded = fingerprint(shared, SYSTEMS, "driftrec_ncsnpp")
    network = NCSNpp().eval()
    holder = nn.Module()
    holder.backbone = network
    assert keys_of(holder) == recorded["keys"]
    assert sum(parameter.numel() for parameter in network.parameters()) == recorded["params"]
    fill(holder, "H")
    with torch.inference_mode():
        for name, std in (("score", recorded["sigma"]), ("score_sigma_0p02", 0.02)):
            noise = network(image(64, 64), degraded(64, 64), torch.tensor([std]))
            check(-noise / std, recorded["outputs_hash"][name])


def test_nafnet_of_dcpt(shared: Path) -> None:
    """NAFNet as published; DCPT's files number their decoders in another way."""
    recorded = fingerprint(shared, "systems2_fingerprints", "dcpt_nafnetbaseline")
    network = PlainNAFNet().eval()

    def named(name: str) -> str:
        return name.replace("decoders.", "decoder")

    assert {named(key): shape for key, shape in keys_of(network).items()} == recorded["keys"]
    fill(network, "A", named)
    with torch.inference_mode():
        check(network(image(64, 80)), recorded["outputs"]["restored"])


def test_swinir_of_dcpt(shared: Path) -> None:
    """Windows that go around the image, and no biases."""
    recorded = fingerprint(shared, "systems2_fingerprints", "dcpt_swinir")
    network = SwinIR().eval()
    assert keys_of(network) == recorded["keys"]
    fill(network, "A")
    with torch.inference_mode():
        check(network(image(64, 80)), recorded["outputs"]["restored"])


def without(recorded: dict[str, Any], dialect: str) -> dict[str, list[int]]:
    """Names and shapes of a file, but for what a dialect leaves out."""
    return DIALECTS[dialect].renamed(recorded["keys"])  # type: ignore[return-value]


def test_da_rcot(shared: Path) -> None:
    """What its second pass gives; layers of its files that nothing calls are left out."""
    recorded = fingerprint(shared, "systems2_fingerprints", "da_rcot_mrcnet")
    network = DARCOT().eval()
    assert keys_of(network) == without(recorded, "transport")
    fill(network, "A")
    with torch.inference_mode():
        check(network(image(64, 72)), recorded["outputs"]["restored"])


@pytest.mark.parametrize(
    ("dim", "noise"),
    [
        (48, "formula"),
        (32, "zero"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((48, "zero"), (32, "formula"))),
    ],
)
def test_moce_ir(shared: Path, dim: int, noise: str) -> None:
    """Names, shapes, every expert's adapter and pixels, without noise in the choice and with the recorded one."""
    recorded = fingerprint(shared, SYSTEMS, f"moceir_dim{dim}")
    network = MoCEIR(dim=dim, draws=noise == "formula").eval()
    assert keys_of(network) == without(recorded, "moce-ir")
    calls = 0

    def drawn(like: Tensor) -> Tensor:
        nonlocal calls
        index = torch.arange(1, like.numel() + 1, dtype=torch.float64)
        calls += 1
        return (math.sqrt(2) * torch.sin(12.9898 * index + calls - 1)).reshape(like.shape).to(like)

    adapted: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, Adapter):
            module.register_forward_hook(lambda _module, _given, out: adapted.append(out))
    fill(network, "H")
    with torch.inference_mode():
        restored = network(image(64, 72), drawn)
    for index, out in enumerate(adapted):
        check(out, recorded["outputs_hash"][f"adapter{index}_noise_{noise}"])
    check(restored, recorded["outputs_hash"][f"restored_noise_{noise}"])


@pytest.mark.parametrize("degradations", [7, pytest.param(5, marks=pytest.mark.slow)])
def test_vlu_net(shared: Path, degradations: int) -> None:
    """Pixels for a given vector of damage; CLIP stands beside what was recorded."""
    recorded = fingerprint(shared, "systems2_fingerprints", f"vlu_net_dedim{degradations}")
    network = VLUNet(degradations=degradations, clip_layers=1).eval()
    keys = {key: shape for key, shape in keys_of(network).items() if not key.startswith(("clip_model.", "adapter."))}
    assert keys == without(recorded, "vlu-net")
    fill(network, "A")
    with torch.inference_mode():
        restored = network.restored(image(64, 72), torch.sin(0.3 * torch.arange(512.0))[None])
    check(restored, recorded["outputs"]["restored"])


def test_uformer_of_tur(shared: Path) -> None:
    """Uformer-B without TUR's head for uncertainty."""
    recorded = fingerprint(shared, "systems2_fingerprints", "tur_uformer_b")
    network = Uformer().eval()
    assert keys_of(network) == without(recorded, "tur")
    fill(network, "A")
    with torch.inference_mode():
        check(network(image(128, 128)), recorded["outputs"]["restored"])


def test_airnet_of_tur(shared: Path) -> None:
    """AirNet without what its training needs, by deformable convolutions of our own."""
    recorded = fingerprint(shared, "systems2_fingerprints", "tur_airnet")
    network = AirNet().eval()
    assert keys_of(network) == without(recorded, "tur")
    fill(network, "A")
    with torch.inference_mode():
        check(network(image(48, 56)), recorded["outputs"]["restored"])


@pytest.mark.parametrize(("size", "stripe"), [((20, 28), 8), ((20, 28), 4), ((9, 13), 4)])
def test_mair_walks_as_published(shared: Path, size: tuple[int, int], stripe: int) -> None:
    """The order of pixels in all four ways, and back, as whole numbers."""
    arrays = load_file(shared / "golden" / "systems1_golden.safetensors")
    for shifted, prefix in ((False, ""), (True, "shift_")):
        entry = f"mair_order/{size[0]}x{size[1]}_len{stripe}/{prefix}"
        walked, back = ways(*size, stripe, shifted=shifted)
        assert torch.equal(walked, arrays[f"{entry}scan"].long())
        assert torch.equal(back, arrays[f"{entry}inverse"].long())


# Those that no other one covers are slow.
MAIRS = [
    "mair_t_light_x2",
    *(
        pytest.param(f"mair_{name}", marks=pytest.mark.slow)
        for name in ("t_light_x3", "t_light_x4", "s_light_x2", "s_light_x3", "s_light_x4", "sr_x2", "sr_x4", "denoise")
    ),
]
LOCAL = ("in_chans", "img_range", "resi_connection", "img_size", "dynamic_ids", "batch_size")


@pytest.mark.parametrize("name", MAIRS)
def test_mair(shared: Path, name: str) -> None:
    """Names, shapes and pixels of every released form but the one that enlarges three times."""
    recorded = fingerprint(shared, SYSTEMS, name)
    config = {key: value for key, value in recorded["config"].items() if key not in LOCAL}
    config["upsampler"] = config["upsampler"] or "none"
    network = MaIR(**config).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == recorded["params"]
    if "keys" in recorded:
        assert keys_of(network) == recorded["keys"]
    rules: dict[Rule, str] = {"H": "outputs_hash", "A": "outputs"}
    for rule, outputs in rules.items():
        if outputs in recorded:
            fill(network, rule)
            with torch.inference_mode():
                check(network(image(20, 28)), recorded[outputs]["restored"])


@pytest.mark.parametrize("name", ["dehaze", pytest.param("deblur", marks=pytest.mark.slow)])
def test_mair_unet(shared: Path, name: str) -> None:
    """The U-Net, which as published needs a GPU.

    Filled by rule H the large one is chaotic: a change of 1e-6 of the image makes one of 0.8.
    """
    recorded = fingerprint(shared, SYSTEMS, f"mair_unet_{name}")
    given = {"dim", "num_blocks", "ssm_ratio", "flp_ratio", "mlp_ratio", "scan_len"}
    config = {key: value for key, value in recorded["config"].items() if key in given}
    network = MaIRUNet(**config, refinement=recorded["config"]["num_refinement_blocks"]).eval()
    assert keys_of(network) == recorded["keys"]
    rules: dict[Rule, str] = {"A": "outputs"} if name == "deblur" else {"A": "outputs", "H": "outputs_hash"}
    for rule, outputs in rules.items():
        fill(network, rule)
        with torch.inference_mode():
            check(network(image(32, 40)), recorded[outputs]["restored"])


# Filled by rule A rain's grows to millions, and float32 is then 2e-5 off; the other two are of one form.
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deraining", {"n_feat": 40, "scale_unetfeats": 20, "scale_orsnetfeats": 16}),
        pytest.param("deblurring", {"n_feat": 96}, marks=pytest.mark.slow),
        pytest.param("denoising", {}, marks=pytest.mark.slow),
    ],
)
def test_mprnet(shared: Path, name: str, options: dict[str, Any]) -> None:
    """All three stages; the published activations share one parameter, whose last name decides."""
    recorded = fingerprint(shared, SYSTEMS, f"mprnet_{name}")
    network = MPRNet(**options).eval()
    assert keys_of(network) == recorded["keys"]
    fill(network, "H")
    state = network.state_dict()
    activations = [key for key in recorded["keys"] if recorded["keys"][key] == [1]]
    for key in activations:
        state[key].copy_(state[activations[-1]])
    with torch.inference_mode():
        made = network.stages_of(image(64, 72))
    for stage, output in zip((3, 2, 1), made, strict=True):
        check(output, recorded["outputs_hash"][f"stage{stage}"])


def test_mpmf_net(shared: Path) -> None:
    """The restored and the coarse image; distances of pixels are made anew."""
    recorded = fingerprint(shared, "systems2_fingerprints", "mpmf_net")
    network = MPMFNet().eval()
    assert keys_of(network) == without(recorded, "mpmf-net")
    fill(network, "A")
    with torch.inference_mode():
        restored, coarse = network.both(image(64, 72))
    check(coarse, recorded["outputs"]["inr"])
    check(restored, recorded["outputs"]["restored"])


@pytest.mark.parametrize(
    ("backbone", "size"), [("mobilenet", (64, 96)), pytest.param("inception", (128, 160), marks=pytest.mark.slow)]
)
def test_deblurgan_v2(shared: Path, backbone: Backbone, size: tuple[int, int]) -> None:
    """As its authors run it: each image by its own statistics, and no state changes."""
    recorded = fingerprint(shared, SYSTEMS, f"deblurganv2_{backbone}")
    network = DeblurGANv2(backbone=backbone).eval()
    assert keys_of(network) == without(recorded, "deblurgan-v2")
    fill(network, "H", lambda name: f"module.{name}")
    with torch.inference_mode():
        sharpened = network.sharpened(2 * image(*size) - 1)
    # Statistics of one image: float32 and float64 of the published code differ by 5e-5.
    check(sharpened, recorded["outputs_hash"]["restored_train_mode"], 5e-4)


def test_the_block_of_acl_style(shared: Path) -> None:
    """The block of MLLA without rotary embedding, as its authors' code computes it."""
    recorded = fingerprint(shared, SYSTEMS, "acl_lama_block")
    block = Lama(48, 4).eval()
    assert keys_of(block) == recorded["keys"]
    fill(block, "H")
    y, x = torch.arange(12)[:, None], torch.arange(12)
    shown = torch.stack([0.5 + 0.5 * torch.sin(0.1 * y * (c + 1) + 0.07 * x) for c in range(48)])[None]
    with torch.inference_mode():
        check(pixels(block(shown)), recorded["outputs_hash"]["block"])


def test_linear_attention_is_its_explicit_form() -> None:
    """All shares at once give the same."""
    q, k, v = (torch.rand(3, 2, 4, 30, 5, dtype=torch.float64)).unbind(0)
    shares = q @ k.mT
    shares = shares / (shares.sum(-1, keepdim=True) + 30e-6)
    torch.testing.assert_close(linear_attention(q, k, v), shares @ v)
