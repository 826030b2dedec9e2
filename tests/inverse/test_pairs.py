"""Any prior with any method with any operator: each works, or is refused in a sentence."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch

from irsde_cli.errors import UsageError
from irsde_cli.inverse import METHODS, build_method
from irsde_cli.inverse.method import Method
from irsde_cli.observation import Observation
from irsde_cli.operators import OperatorConfig, build_recipe
from irsde_cli.operators.operator import Recipe
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.denoising import Denoising, DenoisingConfig
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.systems.zero_shot import ZeroShot, ZeroShotConfig
from tests.inverse.problems import Noise, seeded
from tests.operators.test_operators import KINDS

SIZE = (32, 32)  # of the restored image: a power of two in pixels, and larger than each kernel
ADM: dict[str, Any] = {"widths": (32, 64), "blocks": 1, "attention": (1,), "time_width": 32}


def quarter() -> OnePass:
    network = NetworkConfig("quarter-unet", {"widths": (8, 8), "blocks": (1, 1), "state": False})
    return OnePass(OnePassConfig(network, noise_level_max=255, blind=False))


def published(preconditioning: str, most: float) -> OnePass:
    network = NetworkConfig("adm", {**ADM, "preconditioning": preconditioning})
    return OnePass(OnePassConfig(network, noise_level_max=most, blind=False))


PRIORS: dict[str, Callable[[], Restorer]] = {
    "one that is told": quarter,
    "a told mapper": lambda: OnePass(OnePassConfig(NetworkConfig("ffdnet", {"depth": 3, "width": 8, "sigma": 25.0}))),
    "a denoising process": lambda: Denoising(
        DenoisingConfig(NetworkConfig("pocket-unet", {"widths": (8, 8), "blocks": (1, 1), "time_dim": 8}))
    ),
    "guided diffusion": lambda: published("vp", 20069.43),
    "a consistency model": lambda: published("consistency", 10200),
}


@cache
def prior(name: str) -> Restorer:
    torch.manual_seed(0)
    return PRIORS[name]().eval()


def impossible(method: Method, recipe: Recipe) -> bool:
    """What the documentation says cannot be: singular values of a blur with a border that is not circular."""
    return method == build_method("ddrm", {}) and not recipe.spectral


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRIORS)
def test_every_combination_works_or_is_refused(name: str, kind: str) -> None:
    """A result is finite and as large as it should be; what cannot be is known before a picture is there."""
    operator, options = KINDS[kind]
    recipe = build_recipe(OperatorConfig(operator, options))
    side = SIZE[0] // recipe.scale  # a factor of 3 leaves a little less
    system = ZeroShot(ZeroShotConfig(operator={"name": operator, **options}, noise=2.0), prior(name))
    image = torch.rand(1, 3, side, side, generator=seeded())
    for each in METHODS:
        if impossible(build_method(each, {}), recipe):
            with pytest.raises(UsageError, match="singular values"):
                system.resolve(Sampling(each))
            continue
        sampling = system.resolve(Sampling(each, 4))
        with torch.inference_mode():
            restored = last(system.steps(Observation(image), Noise(), sampling))
        assert restored.shape == (1, 3, side * recipe.scale, side * recipe.scale), each
        assert torch.isfinite(restored).all(), each


def test_what_is_sparse_gets_more_evaluations() -> None:
    """Holes, and three times larger, take twice the evaluations of a blur, unless told otherwise."""

    def steps(asked: int | None, name: str, **options: object) -> int | None:
        system = ZeroShot(ZeroShotConfig(operator={"name": name, **options}), prior("one that is told"))
        return system.resolve(Sampling(steps=asked)).steps

    assert steps(None, "bicubic", factor=3) == 2 * 8
    assert steps(None, "mask", share=0.5) == 2 * 8
    assert steps(None, "bicubic", factor=2) == steps(None, "identity") == 8
    assert steps(5, "bicubic", factor=3) == 5
