"""The networks against the reference: golden outputs, and the formula-weight fixtures of the study of the reference."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from irsde_cli.networks.daclip import DaClip
from irsde_cli.networks.daclip_unet import DaClipUNet
from irsde_cli.networks.latent_unet import LatentUNet
from irsde_cli.networks.nafnet import NAFNet
from irsde_cli.networks.unet import UNet
from tests.golden import load_golden

NAF_TEST = {"width": 16, "enc_blk_nums": (1, 2), "middle_blk_num": 1, "dec_blk_nums": (1, 1)}
UNCONDITIONAL = {"conditional": False, "full_attention": True}


def set_formula_weights(network: nn.Module) -> None:
    """Weights from a hash of name rank and element index, so that any implementation can make them."""
    state = {}
    for rank, (name, tensor) in enumerate(sorted(network.state_dict().items())):
        # 32 bits wrap as the formula wants, and large networks are quick to fill.
        h = np.arange(tensor.numel(), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(40503 * rank + 1)
        for shift, factor in ((16, 2246822519), (13, 3266489917), (16, 1)):
            h ^= h >> np.uint32(shift)
            h *= np.uint32(factor)
        u = h * 2.0**-32
        u -= 0.5
        last = name.rsplit(".", 1)[-1]
        if last == "g":
            value = 1 + 0.2 * u
        elif last in ("beta", "gamma"):
            value = 0.5 + 0.2 * u
        elif tensor.ndim >= 2:
            u *= math.sqrt(12 * tensor.shape[0] / tensor.numel())
            value = u
        else:
            value = 0.2 * u
        state[name] = torch.from_numpy(value.astype(np.float32)).reshape(tensor.shape)
    network.load_state_dict(state)


def formula_images(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    j = torch.arange(channels * height * width, dtype=torch.float64)
    shape = (1, channels, height, width)
    x = (0.5 + 0.5 * torch.sin(0.11 * j)).float().reshape(shape)
    return x, (0.5 + 0.5 * torch.cos(0.07 * j)).float().reshape(shape)


def summary(out: Tensor) -> list[float]:
    flat = out.flatten()
    picked = [flat[0], flat[1], flat[len(flat) // 2], flat[-1]]
    return [float(value) for value in (out.mean(), out.std(), *picked)]


@pytest.mark.parametrize(
    ("build", "options", "size", "t", "expected"),
    [
        (UNet, {"nf": 16, "depth": 3}, (3, 20, 28), 50, [0.588828, 1.376446, 0.651463, 0.633264, 1.329042, -0.751305]),
        (UNet, {"nf": 16, "depth": 3}, (3, 20, 28), 7, [0.409353, 1.433797, 0.656187, 0.336888, 1.078020, -0.828642]),
        (
            UNet,
            {"nf": 16, "depth": 3, **UNCONDITIONAL},
            (3, 20, 28),
            21,
            [0.921493, 1.254650, -0.305410, -0.689215, 0.741692, 1.075835],
        ),
        (
            UNet,
            {"nf": 16, "ch_mult": (1, 2, 4)},
            (3, 20, 28),
            50,
            [0.377814, 1.371995, -0.381181, -0.477768, -0.755361, 0.444263],
        ),
        (NAFNet, NAF_TEST, (3, 18, 22), 50, [0.043003, 1.900636, 1.701846, -2.257158, -1.037271, 2.902070]),
        (
            NAFNet,
            {**NAF_TEST, "conditional": False},
            (3, 18, 22),
            21,
            [0.594499, 1.867691, 1.348859, 0.212465, -0.045559, 2.407339],
        ),
        (
            NAFNet,
            {**NAF_TEST, "img_channel": 8, "long_skip": True},
            (8, 18, 22),
            50,
            [0.291373, 2.080851, 1.472289, -0.108557, 1.360769, 2.147365],
        ),
    ],
)
def test_formula_fixture(
    build: type[nn.Module], options: dict[str, Any], size: tuple[int, int, int], t: int, expected: list[float]
) -> None:
    """With weights from the formula, the output's statistics are those of the reference."""
    network = build(**options)
    set_formula_weights(network)
    x, cond = formula_images(*size)
    with torch.no_grad():
        assert summary(network(x, cond, torch.tensor([t]))) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("build", "options", "size", "t", "expected"),
    [
        (UNet, {}, (3, 20, 28), 50, [-0.103225, 1.095833, -0.587226, -0.638151, 0.062146, -0.657846]),
        (UNet, UNCONDITIONAL, (3, 20, 28), 21, [-1.123512, 1.275866, -1.283928, -2.009044, 1.300260, -1.319504]),
        (NAFNet, {}, (3, 20, 28), 50, [-0.333471, 5.044806, 0.156163, 0.395681, 1.586357, 3.668195]),
    ],
)
def test_formula_fixture_at_published_size(
    build: type[nn.Module], options: dict[str, Any], size: tuple[int, int, int], t: int, expected: list[float]
) -> None:
    """The same at the sizes of the released networks."""
    test_formula_fixture(build, options, size, t, expected)


@pytest.mark.parametrize(
    ("options", "encoded", "decoded", "halved"),
    [
        (
            {"ch": 8, "ch_mult": (4, 8, 8, 16), "embed_dim": 8},
            [0.318773, 1.064563, -0.145107, 0.030474, 0.633612, 1.476683],
            [-0.580693, 0.997606, 0.072266, -0.017836, 0.240290, 0.540357],
            [-0.511808, 0.914119, 0.067935, -0.053334, 0.248642, 0.747091],
        ),
        (
            {"ch": 16, "ch_mult": (1, 2, 4), "embed_dim": 4},
            [0.041399, 0.913056, 0.810911, 0.209914, 0.058459, 0.286159],
            [-0.324226, 1.076481, -0.490624, -0.297177, -0.537353, 1.249625],
            None,
        ),
    ],
)
def test_latent_formula_fixture(
    options: dict[str, Any], encoded: list[float], decoded: list[float], halved: list[float] | None
) -> None:
    """The autoencoder's latent and images are those of the reference."""
    network = LatentUNet(**options)
    set_formula_weights(network)
    x, _ = formula_images(3, 36, 52)
    with torch.no_grad():
        latent, skips = network.encode(x)
        assert summary(latent) == pytest.approx(encoded, abs=1e-4)
        assert summary(network.decode(latent, skips, (36, 52))) == pytest.approx(decoded, abs=1e-4)
        if halved is not None:
            assert summary(network.decode(latent / 2, skips, (36, 52))) == pytest.approx(halved, abs=1e-4)


def renamed(config: dict[str, Any]) -> dict[str, Any]:
    config.pop("variant", None)
    return config


@pytest.mark.parametrize(
    ("name", "build", "extra"),
    [
        ("conditional_unet", UNet, {}),
        ("denoising_unet", UNet, UNCONDITIONAL),
        ("conditional_nafnet", NAFNet, {}),
        ("conditional_nafnet_latent", NAFNet, {"long_skip": True}),
    ],
)
def test_golden_network(shared: object, name: str, build: type[nn.Module], extra: dict[str, Any]) -> None:
    """The official parameter names load strictly and give the reference's output at an odd size."""
    golden = load_golden(shared, name)
    network = build(**renamed(json.loads(golden.metadata["config"])), **extra)
    network.load_state_dict(golden.parameters(), strict=True)
    x = golden["in.xt"] if "in.xt" in golden else golden["in.x"]
    with torch.no_grad():
        out = network(x, golden.get("in.cond", x), golden["in.time"])
    torch.testing.assert_close(out, golden["out.0"], atol=1e-4, rtol=0)


def test_golden_latent_unet(shared: object) -> None:
    """Latent, skips and decoded image equal the reference's."""
    golden = load_golden(shared, "latent_unet")
    network = LatentUNet(**json.loads(golden.metadata["config"]))
    network.load_state_dict(golden.parameters(), strict=True)
    with torch.no_grad():
        latent, skips = network.encode(golden["in.x"])
        decoded = network.decode(latent, skips, (37, 45))
    torch.testing.assert_close(latent, golden["out.latent"], atol=1e-4, rtol=0)
    for index, skip in enumerate(skips):
        torch.testing.assert_close(skip, golden[f"out.skip.{index}"], atol=1e-4, rtol=0)
    torch.testing.assert_close(decoded, golden["out.decoded"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["daclip_unet", "wild_ir_unet"])
def test_golden_daclip_unet(shared: object, name: str) -> None:
    """With both embeddings, or with one at half the resolution, the output is the reference's."""
    golden = load_golden(shared, name)
    config = json.loads(golden.metadata["config"])
    assert config.pop("use_image_context")
    network = DaClipUNet(
        degradation_context=config.pop("use_degra_context"), halved=config.pop("scale", 1) == 0.5, **config
    )
    network.load_state_dict(golden.parameters(), strict=True)
    with torch.no_grad():
        out = network(
            golden["in.xt"], golden["in.cond"], golden["in.time"], golden["in.image_context"], golden["in.text_context"]
        )
    torch.testing.assert_close(out, golden["out.0"], atol=1e-4, rtol=0)


def test_golden_daclip_controller(shared: object) -> None:
    """Both embeddings of pictures, that without control, and those of texts are the reference's."""
    golden = load_golden(shared, "daclip_controller")
    config = json.loads(golden.metadata["config"])
    text = {name.replace("width", "text_width"): value for name, value in config["text_cfg"].items()}
    text = {f"text_{name}" if name in ("heads", "layers") else name: value for name, value in text.items()}
    network = DaClip(embed_dim=config["embed_dim"], **config["vision_cfg"], **text)
    state = {name: value for name, value in golden.parameters().items() if not name.startswith("visual.")}
    network.load_state_dict(state, strict=True)
    with torch.no_grad():
        shown, damage = network(golden["in.image"])
        plain, texts = network.encode_image(golden["in.image"]), network.encode_text(golden["in.tokens"])
    for found, key in (
        (shown, "image_features"),
        (damage, "degradation_features"),
        (plain, "image_features_without_control"),
        (texts, "text_features"),
    ):
        torch.testing.assert_close(found, golden[f"out.{key}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 48_975_747), ({"context_dim": 768, "degradation_context": False, "halved": True}, 49_470_467)],
)
def test_daclip_unets_have_the_published_size(options: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in DaClipUNet(**options).parameters()) == count
