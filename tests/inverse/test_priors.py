"""Diffusion and consistency models as priors: what their output is read as, and whole runs with a small one."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.conversions.published import convert
from irsde_cli.errors import WeightsError
from irsde_cli.inverse import METHODS
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.adm import ADM
from irsde_cli.networks.preconditioning import Preconditioned, Preconditioning, vp_levels
from irsde_cli.observation import Observation
from irsde_cli.restorer import last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.systems.zero_shot import ZeroShot, ZeroShotConfig
from irsde_cli.weights.catalogue import CATALOGUE
from tests.extras import needs_diffusers
from tests.inverse.problems import Noise, seeded

SMALL: dict[str, Any] = {"widths": (32, 64), "blocks": 1, "attention": (1,), "time_width": 32}
LEVELS = (1.0, 25.0, 255.0, 5000.0)


class Stub(Preconditioned):
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, preconditioning: Preconditioning, answer: Tensor) -> None:
        super().__init__(preconditioning)
        self.answer = answer
        self.asked: list[tuple[Tensor, Tensor]] = []

    def raw(self, x: Tensor, time: Tensor) -> Tensor:
        self.asked.append((x, time))
        return self.answer

    def denoised(self, x: Tensor, level: float) -> Tensor:
        """By a standard deviation of 255."""
        away: Tensor = self(x, x, torch.full((len(x),), level))
        return x + away


def images(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 4, 5, generator=seeded(seed))


@pytest.mark.parametrize("level", LEVELS)
def test_true_noise_leads_to_the_clean_image(level: float) -> None:
    """Of images in [-1, 1] that shrink as noise comes in, at any level; between steps of the schedule too."""
    clean, noise = images(), torch.randn(2, 3, 4, 5, generator=seeded(1))
    network = Stub("vp", noise)
    found = network.denoised(clean + level / 255 * noise, level)
    torch.testing.assert_close(found, clean, atol=1e-5 * max(level / 255, 1), rtol=0)
    share = 1 / (1 + (2 * level / 255) ** 2)
    shown = share**0.5 * (2 * clean - 1) + (1 - share) ** 0.5 * noise
    torch.testing.assert_close(network.asked[0][0], shown, atol=1e-5, rtol=0)


def test_the_time_of_a_level_is_its_step() -> None:
    """At the levels of the schedule it is whole; between, between; beyond, the first or the last."""
    network, known = Stub("vp", images()), 255 * vp_levels().float()
    for index in (0, 1, 250, 998, 999):
        network.denoised(images(), float(known[index]))
        torch.testing.assert_close(network.asked[-1][1], torch.full((2,), float(index)), atol=1e-2, rtol=0)
    for level, low, high in ((float(known[400:402].mean()), 400.4, 400.6), (0.0, 0, 0), (1e6, 999, 999)):
        network.denoised(images(), level)
        assert low <= float(network.asked[-1][1][0]) <= high


def test_a_consistency_model_ends_where_the_path_does() -> None:
    """Noise of its least level is left; elsewhere image and answer are mixed as published, and kept in the range."""
    answer = torch.randn(2, 3, 4, 5, generator=seeded(2)) / 10
    network, x = Stub("consistency", answer), images()
    torch.testing.assert_close(network.denoised(x, 0.001 * 255), x, atol=1e-6, rtol=0)
    found = 2 * network.denoised(x, 0.4 * 255) - 1
    sigma = 0.8
    kept, spread = 0.25 / ((sigma - 0.002) ** 2 + 0.25), (sigma**2 + 0.25) ** 0.5
    wanted = (kept * (2 * x - 1) + (sigma - 0.002) * 0.5 / spread * answer).clamp(-1, 1)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    shown, time = network.asked[-1]
    torch.testing.assert_close(shown, (2 * x - 1) / spread)
    torch.testing.assert_close(time, torch.full((2,), 250 * torch.tensor(sigma).log().item()))
    assert network.denoised(x + 100, 255).max() == 1


def test_karras_preconditioning_alone_is_the_mean_of_gaussian_pixels() -> None:
    """Of a spread of 0.5 in [-1, 1], about grey: a network that answers nothing is then right."""
    x = images()
    for level in LEVELS:
        wanted = 0.5 + (x - 0.5) * 0.25**2 / (0.25**2 + (level / 255) ** 2)
        torch.testing.assert_close(Stub("edm", torch.zeros(())).denoised(x, level), wanted)


def test_two_orders_of_attention_are_one_computation() -> None:
    """Guided diffusion's channels, put as consistency models have them, give the same."""
    torch.manual_seed(0)
    wide = {**SMALL, "widths": (32, 128)}
    old, new = ADM(**wide).eval(), ADM(**wide, legacy=False).eval()
    state = old.state_dict()
    for name, value in state.items():
        if ".qkv." in name:
            state[name] = value.unflatten(0, (2, 3, 64)).transpose(0, 1).flatten(0, 2)
    shapes = new.state_dict()
    new.load_state_dict({name: value.reshape(shapes[name].shape) for name, value in state.items()})
    x, time = torch.rand(1, 3, 16, 32), torch.tensor([3.5])
    with torch.inference_mode():
        torch.testing.assert_close(new.raw(x, time), old.raw(x, time))
        assert not torch.allclose(old.raw(x, time), old.raw(x, time + 100))


def converted(name: str, folder: Path, decided: dict[str, Any] | None = None, **options: Any) -> Any:
    """A row's restorer from a file of a small network of its kind."""
    torch.manual_seed(0)
    row = CATALOGUE[name]
    options = {**row.options, **SMALL, **options}
    torch.save(ADM(**options).state_dict(), folder / "file.pt")
    return convert(name, replace(row, options=options), [folder / "file.pt"], decided or {}).restorer


@pytest.mark.parametrize("name", ["adm-imagenet256", "cm-bedroom256"])
def test_a_file_of_the_authors_is_a_prior_of_each_method(name: str, tmp_path: Path) -> None:
    """Recognised by names and shapes, up to the strongest noise; pictures of a size that it does not know."""
    prior = converted(name, tmp_path)
    assert prior.network.preconditioning == ("vp" if name.startswith("adm") else "consistency")
    assert prior.largest_noise == pytest.approx(float(vp_levels()[-1]) if name.startswith("adm") else 40, rel=1e-4)
    system = ZeroShot(ZeroShotConfig(operator={"name": "mean-pool", "factor": 2}, noise=2.0), prior)
    for method in METHODS:
        sampling = system.resolve(Sampling(method, 4))
        with torch.inference_mode():
            restored = last(system.steps(Observation(torch.rand(1, 3, 5, 11)), Noise(), sampling))
        assert restored.shape == (1, 3, 10, 22) and torch.isfinite(restored).all(), method


def test_the_class_of_the_pictures_is_asked_for(tmp_path: Path) -> None:
    """Nobody can guess it; with it the network is told."""
    with pytest.raises(WeightsError, match="1000 classes") as error:
        converted("cm-imagenet64", tmp_path, classes=3)
    assert "--set network.options.label=" in str(error.value.hint)
    restorers = [converted("cm-imagenet64", tmp_path, {"network.options.label": at}, classes=3) for at in (0, 2)]
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        one, other = (restorer.denoised(x, 0.2) for restorer in restorers)
    assert not torch.equal(one, other)
    with pytest.raises(WeightsError, match="class 3 is none of 3"):
        converted("cm-imagenet64", tmp_path, {"network.options.label": 3}, classes=3)


def test_a_denoiser_that_was_told_once_is_told_anew() -> None:
    """FFDNet's level belongs to its file; as a prior it is that of each step."""
    torch.manual_seed(0)
    options = {"depth": 3, "width": 16}
    prior = OnePass(OnePassConfig(NetworkConfig("ffdnet", options | {"sigma": 25.0}))).eval()
    other = OnePass(OnePassConfig(NetworkConfig("ffdnet", options | {"sigma": 10.0}))).eval()
    other.load_state_dict(prior.state_dict())
    x = torch.rand(1, 3, 9, 12)
    with torch.inference_mode():
        torch.testing.assert_close(prior.denoised(x, 10 / 255), other.network(x))
        assert not torch.equal(prior.denoised(x, 25 / 255), prior.denoised(x, 10 / 255))
    assert prior.largest_noise == pytest.approx(75 / 255)
    ZeroShot(ZeroShotConfig(operator={"name": "mean-pool", "factor": 2}), prior)


@needs_diffusers
def test_a_model_of_diffusers_is_a_prior(tmp_path: Path) -> None:
    """Built of its own configuration, with its own weights; and a checkpoint of it is whole."""
    torch.manual_seed(0)
    unet: Any = import_module("diffusers").UNet2DModel(**NETWORKS["diffusers-unet"].example["config"]).eval()
    network = NetworkConfig("diffusers-unet", {"config": dict(unet.config)})
    prior = OnePass(OnePassConfig(network, noise_level_max=20069.43, blind=False))
    prior.network.get_submodule("unet").load_state_dict(unet.state_dict())
    x, index = images().repeat(1, 1, 4, 4)[..., :16], 400
    level = float(vp_levels()[index])
    with torch.no_grad():
        noisy = 2 * x - 1
        predicted = unet(noisy / (1 + 4 * level**2) ** 0.5, torch.tensor(float(index))).sample
        wanted = x - level * predicted
        torch.testing.assert_close(prior.eval().denoised(x, level), wanted, atol=1e-4, rtol=0)
        checkpoint.save(tmp_path / "prior.safetensors", prior)
        again = checkpoint.load(tmp_path / "prior.safetensors").restorer
        assert torch.equal(again.denoised(x, level), prior.denoised(x, level))
