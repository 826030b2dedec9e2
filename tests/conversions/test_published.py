"""Files of the reference become checkpoints that give the reference's numbers, and go back."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.config import leaves, merged, to_mapping
from irsde_cli.conversions.dialects import DIALECTS
from irsde_cli.conversions.networks import recognise
from irsde_cli.conversions.published import Converted, convert, export
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.daclip import DaClip
from irsde_cli.networks.daclip_unet import DaClipUNet
from irsde_cli.networks.nafnet import NAFNet
from irsde_cli.observation import Observation
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig
from irsde_cli.tasks import TASKS
from irsde_cli.weights.catalogue import CATALOGUE, LAMBDA
from irsde_cli.weights.rows import File, Row, Unknown
from tests.golden import Golden, load_golden

EXAMPLE = {"depth": 3, "width": 8}
USABLE = {name: row for name, row in CATALOGUE.items() if not row.refused}
GOLDEN = {
    "conditional_unet": ("rain100h", {}),
    "conditional_nafnet": ("refusion-ntire-shadow", {}),
    "denoising_unet": ("gaussian-noise", {"conditional": False, "full_attention": True}),
}
AS_SAVED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda state: state,
    "module": lambda state: {f"module.{name}": value for name, value in state.items()},
    "ema": lambda state: {
        **{f"online_model.module.{name}": value + 1 for name, value in state.items()},
        **{f"ema_model.module.{name}": value for name, value in state.items()},
        "initted": torch.tensor(True),
        "step": torch.tensor(7),
    },
    "params": lambda state: {"params": {name: value.double() for name, value in state.items()}, "iter": 3},
}


def options(golden: Golden) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(golden.metadata.get("config") or golden.metadata["network"])
    return {name: value for name, value in config.items() if name not in ("variant", "kind")}


def saved(path: Path, state: dict[str, Tensor], how: str = "bare") -> Path:
    torch.save(AS_SAVED[how](state), path)
    return path


def small(name: str, settings: dict[str, Any] | None = None, **changes: Any) -> Row:
    """A row of the catalogue whose network has another size, and some other settings."""
    row = CATALOGUE[name]
    return replace(row, settings=merged(row.settings, settings or {}), **changes)


@pytest.mark.parametrize(
    ("what", "process"),
    [
        ("prediction", {"process": ProcessConfig(prediction="clean")}),
        ("process", {"process": ProcessConfig("goub")}),
        ("centre", {"centre": "filled"}),
    ],
)
def test_what_the_reference_would_misread_is_not_exported(tmp_path: Path, what: str, process: dict[str, Any]) -> None:
    """Its code predicts noise around the degraded image; weights of another process would be silently wrong there."""
    unet = NetworkConfig("unet", {"nf": 8, "depth": 2})
    with pytest.raises(WeightsError, match=f"the reference knows {what}"):
        export(MeanReverting(MeanRevertingConfig(unet, **process)), [tmp_path / "net.pth"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_rows_are_complete(name: str) -> None:
    """Every row names what exists, and says what is in doubt where a value is missing."""
    row = CATALOGUE[name]
    assert row.task in TASKS or row.refused
    assert row.system in SYSTEMS and row.protocol in PROTOCOLS and row.dialect in DIALECTS
    assert row.refused or (row.files and row.source and row.data and row.certainty)
    assert (row.checked is None) == (row.evidence == "")
    assert row.settings.get("sampling", {}).get("sampler", "ddim") in SAMPLERS
    assert not {one.key for one in row.unknown} & set(leaves(row.settings))
    assert all(one.values and one.why for one in row.unknown)
    assert not row.sized or row.sized in row.decidable
    assert all(file.sha256 is None or len(file.sha256) in (8, 64) for file in row.files)


@pytest.mark.parametrize("name", USABLE)
def test_the_network_is_recognised_from_names_and_shapes(name: str) -> None:
    """Of the published size; and the size of the file is that of its tensors."""
    row = USABLE[name]
    with torch.device("meta"):
        network = NETWORKS.load(row.network)(**row.options)
    state = network.state_dict()
    found = recognise(state, name)
    assert found.name == row.network
    assert row.options.items() <= found.options.items()
    file = next(file for file in row.files if file.part == "network")
    assert file.mib == pytest.approx(4 * sum(value.numel() for value in state.values()) / 2**20, rel=2e-3)


@pytest.mark.parametrize("how", AS_SAVED)
@pytest.mark.parametrize("golden_name", GOLDEN)
def test_a_converted_network_gives_the_references_numbers(
    shared: object, tmp_path: Path, golden_name: str, how: str
) -> None:
    """Bare, from several devices, averaged, or beside other things: the same network, through a file of ours."""
    name, extra = GOLDEN[golden_name]
    golden = load_golden(shared, golden_name)
    row = small(name, options=options(golden) | extra)
    converted = convert(name, row, [saved(tmp_path / "official.pth", golden.parameters(), how)])
    checkpoint.save(tmp_path / "ours.safetensors", converted.restorer, **converted.fields)
    loaded = checkpoint.load(tmp_path / "ours.safetensors")
    assert loaded.header.task == row.task and "official.pth" in loaded.header.origin
    x = golden["in.xt"] if "in.xt" in golden else golden["in.x"]
    network = loaded.restorer.get_submodule("network")
    with torch.no_grad():
        out = network(x, golden.get("in.cond", x), golden["in.time"])
    torch.testing.assert_close(out, golden["out.0"], atol=1e-4, rtol=0)


class Draws:
    """Recorded noise, draw by draw."""

    def __init__(self, *draws: Tensor) -> None:
        self.draws = iter(draws)

    def __call__(self, x: Tensor, /) -> Tensor:
        draw: Tensor = next(self.draws)
        return draw


@pytest.mark.parametrize(
    ("sampler", "key"),
    [("euler-maruyama", "reverse_sde"), ("euler-ode", "reverse_ode"), ("posterior", "reverse_posterior")],
)
def test_a_converted_system_runs_as_the_reference(shared: object, tmp_path: Path, sampler: str, key: str) -> None:
    """Start, steps and end equal the recorded run; lambda and T come from the row."""
    golden = load_golden(shared, "irsde_trajectories")
    settings = {"process": {"options": {"num_timesteps": 20}}, "sampling": {"steps": 20, "sampler": sampler}}
    row = small("rain100h", settings, options=options(golden))
    path = saved(tmp_path / "official.pth", golden.parameters())
    restorer = convert("rain100h", row, [path]).restorer
    mu = golden["mu"]
    start = (golden["xT"] - mu) / (10 / 255)
    sampling = restorer.resolve(Sampling())
    assert (sampling.sampler, sampling.steps, sampling.clip) == (sampler, 20, False)
    assert restorer.resolve(Sampling(steps=4)).clip and restorer.resolve(Sampling(sampler="ode-2")).clip
    with torch.inference_mode():
        x = last(restorer.steps(Observation(mu), Draws(start, *golden["noises"]), sampling))
    torch.testing.assert_close(x, golden[key], atol=1e-4, rtol=0)


def test_a_converted_denoiser_runs_as_the_reference(shared: object, tmp_path: Path) -> None:
    """The Denoising-ODE from the time of the picture's own noise."""
    golden = load_golden(shared, "denoising_trajectories")
    row = small("gaussian-noise", options=options(golden) | {"conditional": False, "full_attention": True})
    path = saved(tmp_path / "official.pth", golden.parameters())
    restorer = convert("gaussian-noise", row, [path]).restorer
    sampling = restorer.resolve(Sampling(noise_level=25))
    with torch.inference_mode():
        x = last(restorer.steps(Observation(golden["x_noisy"]), Draws(), sampling))
    torch.testing.assert_close(x, golden["reverse_ode"], atol=1e-4, rtol=0)


def latent(shared: object, folder: Path) -> tuple[Row, list[Path]]:
    golden = load_golden(shared, "latent_unet")
    torch.manual_seed(0)
    naf: dict[str, Any] = {"img_channel": 8, "width": 8, "enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1)}
    network = NAFNet(**naf, long_skip=True)
    state = golden.parameters()
    # The golden autoencoder has a latent of 4 channels; the published one has 8, by which its NAFNet is known.
    state["latent_conv.weight"] = state["latent_conv.weight"].repeat(2, 1, 1, 1)
    state["post_latent_conv.weight"] = state["post_latent_conv.weight"].repeat(1, 2, 1, 1)
    paths = [saved(folder / "refusion.pth", network.state_dict()), saved(folder / "unet.pth", state)]
    return small("latent-refusion-dehaze", options=naf | {"long_skip": True}), paths


def test_latent_refusion_is_two_files(shared: object, tmp_path: Path) -> None:
    """In any order, both needed; the system restores."""
    row, paths = latent(shared, tmp_path)
    restorer = convert("latent-refusion-dehaze", row, paths[::-1]).restorer
    assert restorer(torch.rand(3, 32, 40), sampling=Sampling(steps=2)).shape == (3, 32, 40)
    with pytest.raises(WeightsError, match=r"needs 'latent-dehazing\.pth'"):
        convert("latent-refusion-dehaze", row, paths[:1])
    with pytest.raises(WeightsError, match="both hold the network"):
        convert("latent-refusion-dehaze", row, [paths[0], paths[0]])


@pytest.mark.parametrize("kind", ["one", "latent"])
def test_there_and_back(shared: object, tmp_path: Path, kind: str) -> None:
    """What is exported has the reference's names and the very same bits, and converts to the same checkpoint."""
    if kind == "latent":
        row, paths = latent(shared, tmp_path)
    else:
        golden = load_golden(shared, "conditional_unet")
        row = small("rain100h", options=options(golden))
        paths = [saved(tmp_path / "in.pth", golden.parameters())]
    first = convert("rain100h", row, paths)
    back = [tmp_path / f"out-{index}.pth" for index in range(len(paths))]
    export(first.restorer, back)
    for old, new in zip(paths, back, strict=True):
        before, after = torch.load(old, weights_only=True), torch.load(new, weights_only=True)
        assert set(before) == set(after)
        assert all(torch.equal(before[name], after[name]) for name in before)
    second = convert("rain100h", row, back)
    assert same(first.restorer, second.restorer)
    with pytest.raises(WeightsError, match="files are named"):
        export(first.restorer, [*back, tmp_path / "more.pth"])


CLIP_B = {"embed_dim": 512, "patch_size": 32, "width": 768, "layers": 12, "text_width": 512, "text_heads": 8}
CLIP_L = {"embed_dim": 768, "patch_size": 14, "width": 1024, "layers": 24, "text_width": 768, "text_heads": 12}


@pytest.mark.parametrize(("options", "name"), [(CLIP_B, "universal"), (CLIP_L, "wild")])
def test_daclip_is_recognised(options: dict[str, Any], name: str) -> None:
    """ViT-B/32 and ViT-L/14; with their twins and Adam's two moments of the controller, the files have their size."""
    with torch.device("meta"):
        clip = DaClip(**options)
    found = recognise(clip.state_dict(), "file")
    assert found.name == "daclip" and options.items() <= found.options.items()
    with torch.device("meta"):
        assert DaClip(**found.options).state_dict().keys() == clip.state_dict().keys()
    learnt = [value for key, value in clip.named_parameters() if key.startswith("visual_control")]
    mib = 4 * (sum(v.numel() for v in clip.parameters()) + 2 * sum(v.numel() for v in learnt)) / 2**20
    file = next(file for file in CATALOGUE[name].files if file.part == "clip")
    assert file.mib == pytest.approx(mib, rel=2e-3)


def test_daclip_there_and_back(tmp_path: Path) -> None:
    """A training state of DA-CLIP and its U-Net become one checkpoint; the twin of the picture tower comes back."""
    torch.manual_seed(0)
    clip = DaClip(
        embed_dim=32, image_size=16, patch_size=8, width=64, layers=2, text_width=64, text_heads=1, text_layers=1
    )
    unet: dict[str, Any] = {"nf": 32, "ch_mult": (1, 1), "context_dim": 32}
    tensors = {name: value.detach() for name, value in clip.state_dict().items()}
    twins = {name.removeprefix("clip."): value for name, value in tensors.items() if name.startswith("clip.visual.")}
    held = {f"module.{name}": value for name, value in (tensors | twins).items()}
    moments = {"state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 2e-5}]}
    torch.save({"epoch": 50, "name": "daclip", "state_dict": held, "optimizer": moments}, tmp_path / "daclip.pt")
    network = saved(tmp_path / "unet.pth", DaClipUNet(**unet).state_dict())
    files = (File("u.pth", 1.0), File("d.pt", 1.0, "clip"))
    row = small("universal", files=files, options=unet)
    first = convert("universal", row, [tmp_path / "daclip.pt", network])
    assert first.restorer(torch.rand(3, 20, 24), sampling=Sampling(steps=2)).shape == (3, 20, 24)
    back = [tmp_path / "back-unet.pth", tmp_path / "back-daclip.pt"]
    export(first.restorer, back)
    written = torch.load(back[1], weights_only=True)
    assert written.keys() == (tensors | twins).keys()
    assert all(torch.equal(written[name], value) for name, value in (tensors | twins).items())
    assert same(first.restorer, convert("universal", row, back).restorer)
    torch.save(written | {"visual.proj": written["visual.proj"] + 1}, back[1])
    with pytest.raises(WeightsError, match="should be the same tensor"):
        convert("universal", row, back)
    with pytest.raises(WeightsError, match=r"needs 'd\.pt' \(clip\)"):
        convert("universal", row, [network])


def same(one: Restorer, other: Restorer) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return (
        to_mapping(one.config) == to_mapping(other.config)
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


@pytest.fixture
def unet(shared: object) -> tuple[Row, dict[str, Tensor]]:
    golden = load_golden(shared, "conditional_unet")
    return small("rain100h", options=options(golden)), golden.parameters()


def converted(row: Row, state: dict[str, Tensor], folder: Path, decided: dict[str, Any] | None = None) -> Converted:
    return convert("a-name", row, [saved(folder / "file.pth", state)], decided or {})


def test_what_does_not_fit_is_named(unet: tuple[Row, dict[str, Tensor]], tmp_path: Path) -> None:
    """The first difference, before anything is computed."""
    row, state = unet
    name = "downs.1.0.block1.proj.weight"
    changes: list[tuple[dict[str, Tensor | None], str]] = [
        ({name: None}, f"lacks the tensor 'network.{name}'"),
        ({"surplus": torch.zeros(1)}, "holds a tensor 'network.surplus'"),
        ({name: torch.zeros(4, 4)}, "has shape"),
        ({name: state[name] * float("nan")}, "not finite"),
        ({"final_conv.weight": None}, "part of a network only"),
        ({"x.cam_mlp.0.weight": torch.zeros(1)}, "bokeh"),
        ({"encoders.0.0.fusion.beta": torch.zeros(1)}, "two views"),
    ]
    for change, words in changes:
        changed = {key: value for key, value in (state | change).items() if value is not None}
        with pytest.raises(WeightsError, match=words):
            converted(row, changed, tmp_path)
    for strange in (torch.zeros(()), torch.zeros(0, 6, 7, 7), torch.zeros(3)):
        with pytest.raises(WeightsError, match="shapes are those of no unet"):
            converted(row, state | {"init_conv.weight": strange}, tmp_path)
    with pytest.raises(WeightsError, match="no network that is known"):
        converted(row, {"a": torch.zeros(1)}, tmp_path)


def test_doubt_ends_with_the_option_that_decides(unet: tuple[Row, dict[str, Tensor]], tmp_path: Path) -> None:
    """Lambda, the enlargement, or a network that is not the row's."""
    row, state = unet
    other = replace(row, options={"nf": 64, "depth": 4})
    unsure = Unknown("upsampling", ("nearest", "bicubic"), "nobody knows")
    for doubtful, key in [
        (replace(row, unknown=(Unknown(LAMBDA, (10 / 255, 30 / 255), "nobody knows"),)), LAMBDA),
        (replace(row, unknown=(unsure,)), "upsampling"),
        (other, LAMBDA),
    ]:
        with pytest.raises(WeightsError) as error:
            converted(doubtful, state, tmp_path)
        assert f"--set {key}=" in error.value.hint
        assert doubtful is other or " or " in error.value.hint
    decided = {LAMBDA: 30 / 255, "process.options.num_timesteps": 50, "sampling.steps": 50, "upsampling": "nearest"}
    config = to_mapping(converted(other, state, tmp_path, decided).restorer.config)
    assert config["process"]["options"]["stationary_std"] == 30 / 255
    assert config["process"]["options"]["num_timesteps"] == config["sampling"]["steps"] == 50
    assert config["upsampling"] == "nearest"


def test_a_row_lets_what_tensors_do_not_say_be_decided(tmp_path: Path) -> None:
    """FFDNet's noise level: 25 as the row says, or as a user knows it; a key of no row is refused."""
    row = replace(CATALOGUE["ffdnet-color"], options=EXAMPLE, files=(File("ffdnet.pth", 1.0),))
    path = saved(tmp_path / "ffdnet.pth", NETWORKS.load("ffdnet")(**EXAMPLE).state_dict())
    assert convert("ffdnet-color", row, [path]).restorer.config.network.options == {**EXAMPLE, "sigma": 25.0}
    key = "network.options.sigma"
    assert convert("ffdnet-color", row, [path], {key: 50.0}).restorer.config.network.options["sigma"] == 50
    with pytest.raises(UsageError, match=f"unknown setting of 'ffdnet-color' 'network.options.sigmas'.*'{key}'"):
        row.check("ffdnet-color", {"network.options.sigmas": 50.0})
    with pytest.raises(UsageError, match="means nothing to 'dncnn-color-blind'"):
        CATALOGUE["dncnn-color-blind"].check("dncnn-color-blind", {key: 50.0})


@pytest.mark.parametrize("name", ["ffdnet-color", "dncnn-color-blind", "aod-net"])
def test_the_same_tensors_are_known_in_any_file(name: str, shared: Path, tmp_path: Path) -> None:
    """Safetensors or a pickle, under wrappers or bare: by one digest of the tensors; one that changed is refused."""
    row = CATALOGUE[name]
    stem = {"aod-net": "aodnet_dehaze"}.get(name, name.replace("-", "_"))
    source = shared / "weights" / f"{stem}.safetensors"
    restorer = convert(name, row, [source]).restorer
    state = load_file(source)
    assert same(restorer, convert(name, row, [saved(tmp_path / "file.pth", state, "module")]).restorer)
    state[next(iter(state))] += 1
    with pytest.raises(WeightsError, match="does not hold the published weights"):
        convert(name, row, [saved(tmp_path / "file.pth", state)])


def test_another_rows_file_is_refused(unet: tuple[Row, dict[str, Tensor]], tmp_path: Path) -> None:
    """A U-Net is no NAFNet, a conditional network no denoiser, a changed file no release; no option helps."""
    row, state = unet
    for wrong, words in [
        (replace(row, network="nafnet", options={}), "holds a unet"),
        (replace(row, options={**row.options, "conditional": False}), "belongs to something else"),
        (replace(row, files=(File("file.pth", 1.0, sha256="0" * 64),)), "is not the published 'file.pth'"),
        (replace(row, files=(File("file.pth", 1.0, "autoencoder"),)), "has none of"),
    ]:
        with pytest.raises(WeightsError, match=words):
            converted(wrong, state, tmp_path, {LAMBDA: 10 / 255})


def test_a_small_file_cannot_ask_for_all_memory(unet: tuple[Row, dict[str, Tensor]], tmp_path: Path) -> None:
    """A tensor may repeat one stored number a billion times; it is refused before anybody looks at it."""
    row, state = unet
    huge = torch.zeros(1).expand(1 << 20, 1 << 20, 7, 7)
    with pytest.raises(WeightsError, match="which it does not hold"):
        converted(row, state | {"init_conv.weight": huge}, tmp_path)


class Payload:
    """What a hostile file would run."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("kind", ["zip", "pickle", "cut", "empty", "text", "absent", "tensor"])
def test_no_code_of_a_file_runs(unet: tuple[Row, dict[str, Tensor]], tmp_path: Path, kind: str) -> None:
    """Payloads, torn files and other things end in one sentence."""
    row, state = unet
    path, canary = tmp_path / "hostile.pth", tmp_path / "canary"
    if kind == "zip":
        torch.save({**state, "x": Payload(canary)}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"x": Payload(canary)}))
    elif kind == "cut":
        saved(path, state)
        path.write_bytes(path.read_bytes()[:-3000])
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind != "absent":
        path.write_bytes(b"" if kind == "empty" else b"<html>no weights</html>")
    with pytest.raises(WeightsError, match=r"hostile\.pth"):
        convert("a-name", row, [path])
    assert not canary.exists()
