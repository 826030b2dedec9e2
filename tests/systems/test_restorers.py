"""What every row of the table of systems promises, and what each one promises besides."""

import math
from dataclasses import is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli.centres.exposed import USUAL, exposed
from irsde_cli.centres.filled import filled
from irsde_cli.centres.lifted import lifted
from irsde_cli.config import to_mapping
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.errors import UsageError
from irsde_cli.images import in_unit
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Looker, Mapper
from irsde_cli.networks.tiling import Evaluated, Ragged, Tiles
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, RandnLike, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers import SAMPLERS
from irsde_cli.samplers.fit import refusal
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS, build_restorer
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.systems.noise import estimate_noise
from irsde_cli.systems.one_pass import UNTOLD, OnePass, OnePassConfig
from irsde_cli.systems.parts import NOWHERE, NetworkConfig, ProcessConfig, PublishedSampling, build_network
from tests.extras import rows

OF_OTHER_PROCESSES = ("fod-mc", "fod-nmc", "fod-euler", "noiseless")
DIFFUSIONS = tuple(name for name in SYSTEMS if issubclass(SYSTEMS.load(name), Diffusion))

FLUX_NET, KL_AUTOENCODER = (NetworkConfig(**SYSTEMS["flux-ir"].example[part]) for part in ("network", "autoencoder"))


def build(name: str, **settings: Any) -> Restorer:
    """The example of a system, with other settings."""
    torch.manual_seed(0)
    plain = {key: to_mapping(value) if is_dataclass(value) else value for key, value in settings.items()}
    restorer = build_restorer(name, {**SYSTEMS[name].example, **plain}, name)
    for parameter in restorer.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return restorer.eval().requires_grad_(False)


def noise(seed: int = 0, count: int = 1, sizes: list[tuple[int, int]] | None = None) -> ImageNoise:
    return ImageNoise([generator_for(seed, str(index).encode()) for index in range(count)], sizes)


def run(
    restorer: Restorer, degraded: Tensor | Observation, randn_like: ImageNoise, evaluate: Any = None, **asked: Any
) -> Tensor:
    sampling = restorer.resolve(Sampling(**asked))
    extra = (evaluate,) if evaluate else ()
    seen = degraded if isinstance(degraded, Observation) else Observation(degraded)
    return last(restorer.steps(seen, randn_like, sampling, *extra))


@pytest.mark.parametrize("system", rows(DIFFUSIONS))
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in OF_OTHER_PROCESSES])
def test_any_sampler_any_size(system: str, sampler: str) -> None:
    """Each system runs with each sampler, counts evaluations honestly and gives the size back."""
    restorer = build(system)
    assert isinstance(restorer, Diffusion)
    if why := refusal(sampler, restorer.path(NOWHERE)):
        with pytest.raises(UsageError, match=why):
            restorer.resolve(Sampling(sampler=sampler))
        return
    degraded = torch.rand(1, 3, 9, 14)
    sampling = restorer.resolve(Sampling(sampler=sampler, steps=3, noise_level=40 if system == "denoising" else None))
    states = list(restorer.steps(Observation(degraded), noise(), sampling))
    assert len(states) == sampling.steps == 3
    assert states[-1].shape == degraded.shape
    assert torch.isfinite(states[-1]).all()


@pytest.mark.parametrize("system", rows(DIFFUSIONS))
@pytest.mark.parametrize("sampler", OF_OTHER_PROCESSES)
def test_a_sampler_of_another_process_is_refused(system: str, sampler: str) -> None:
    """With the reason, and the samplers that can run."""
    with pytest.raises(UsageError, match="cannot run here: ") as raised:
        build(system).resolve(Sampling(sampler=sampler))
    assert "ode-2" in str(raised.value.hint)


ONE_PASS = sorted(set(SYSTEMS) - {*DIFFUSIONS, "two-heads"})


@pytest.mark.parametrize("system", ONE_PASS)
def test_one_pass_systems_have_nothing_to_choose(system: str) -> None:
    """One evaluation, the same whatever the noise; settings of samplers are refused."""
    restorer, degraded = build(system), torch.rand(1, 3, 9, 14)
    assert restorer.resolve(Sampling(steps=1)).steps == restorer.resolve(Sampling()).steps == 1
    assert len(list(restorer.steps(Observation(degraded), noise(), restorer.resolve(Sampling())))) == 1
    assert run(restorer, degraded, noise(1)).shape == degraded.shape
    assert torch.equal(run(restorer, degraded, noise(1)), run(restorer, degraded, noise(2)))
    for asked in ({"steps": 8}, {"sampler": "ode-2"}, {"noise_level": 5.0}, {"nodes": (9,)}, {"eta": 1.0}):
        with pytest.raises(UsageError, match=next(iter(asked)).replace("_", "-")):
            restorer.resolve(Sampling(**asked))


def test_a_network_that_can_be_told_of_noise_is_asked_with_its_level() -> None:
    """Told and untold are two questions; a level that was not learnt is refused, as it is by networks without one."""
    restorer = build("one-pass", noise_level_max=50.0)
    assert isinstance(restorer, OnePass)
    for parameter in restorer.network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    degraded, asked = torch.rand(1, 3, 9, 14), []
    restorer.network.register_forward_pre_hook(lambda _, given: asked.append(given[2].tolist()))
    told, untold = (run(restorer, degraded, noise(), noise_level=level) for level in (25.0, None))
    assert asked == [[25.0], [UNTOLD]]
    assert not torch.equal(told, untold)
    for level in (0.0, 51.0):
        with pytest.raises(UsageError, match="not what these weights remove"):
            restorer.resolve(Sampling(noise_level=level))
    with pytest.raises(UsageError, match="sampler"):
        restorer.resolve(Sampling(sampler="ode-2", noise_level=25))
    with pytest.raises(UsageError, match="noise_level_max"):
        build("one-pass", noise_level_max=30000.0)


def test_direct_regression_upscales() -> None:
    assert run(build("one-pass", scale=4), torch.rand(1, 3, 5, 6), noise()).shape == (1, 3, 20, 24)


class Enlarging(Mapper):
    """Doubles an image and blurs it, with noise where it is told to."""

    def __init__(self, *, draws: bool = False) -> None:
        super().__init__()
        self.facts = Facts(scale=2, multiple=2, reach=1, working_bytes=64, draws=draws)
        self.blur = torch.nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        height, width = image.shape[-2:]
        out: Tensor = torch.nn.functional.pixel_shuffle(self.blur(self.padded(image)), 2)
        out = out[..., : 2 * height, : 2 * width]
        assert (randn_like is not None) == self.facts.draws
        return out if randn_like is None else out + randn_like(out)


def one_pass(network: Mapper, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> OnePass:
    torch.manual_seed(0)
    monkeypatch.setattr("irsde_cli.systems.one_pass.build_network", lambda _: network)
    return OnePass(OnePassConfig(NetworkConfig("enlarging"), **settings)).eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(20, 31), (9, 40), (33, 16)])
def test_tiles_of_a_network_that_enlarges(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are cut in what comes in, blended in what comes out, and give the untiled result."""
    restorer, degraded = one_pass(Enlarging(), monkeypatch), torch.rand(1, 3, *size)
    seen: list[int] = []

    def watched(network: Any, *inputs: Tensor) -> Tensor:
        seen.append(max(inputs[0].shape[-2:]))
        out: Tensor = network(*inputs)
        return out

    untiled = run(restorer, degraded, noise())
    assert restorer.scale == 2 and untiled.shape == (1, 3, 2 * size[0], 2 * size[1])
    tiled = run(restorer, degraded, noise(), Tiles(24, 12, watched))
    assert (tiled - untiled).abs().max() < 0.5 / 255
    assert max(seen) == 12 and len(seen) > 2


def test_an_image_may_be_enlarged_before_and_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scales multiply, and what the system says of itself follows."""
    restorer = one_pass(Enlarging(), monkeypatch, scale=3)
    assert restorer.facts == Facts(scale=6, multiple=4, smallest=2, reach=2, working_bytes=64)
    assert run(restorer, torch.rand(1, 3, 5, 7), noise()).shape == (1, 3, 30, 42)


def test_a_network_that_draws_gets_the_image_s_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed decides, and nothing else."""
    restorer, degraded = one_pass(Enlarging(draws=True), monkeypatch), torch.rand(1, 3, 8, 8)
    assert restorer.draws and not restorer.takes_sampler
    assert not one_pass(Enlarging(), monkeypatch).draws
    assert torch.equal(run(restorer, degraded, noise(1)), run(restorer, degraded, noise(1)))
    assert not torch.equal(run(restorer, degraded, noise(1)), run(restorer, degraded, noise(2)))


@pytest.mark.parametrize("name", ["pocket-unet", "dncnn", "ffdnet", "aod-net"])
def test_one_pass_gives_what_it_gave_as_direct(name: str) -> None:
    """mu and what leads from it to the clean image, by the networks as they were."""
    torch.manual_seed(0)
    restorer = build("one-pass", network={"name": name, "options": dict(NETWORKS[name].example)})
    network, mu = restorer.get_submodule("network"), torch.rand(1, 3, 9, 14)
    expected = mu + (network(mu, mu, torch.ones(1)) if name == "pocket-unet" else network(mu) - mu)
    found = run(restorer, mu, noise())
    assert torch.equal(found, expected) or (name != "pocket-unet" and (found - expected).abs().max() < 1e-6)


@pytest.mark.parametrize("system", rows(DIFFUSIONS))
def test_the_seed_decides(system: str) -> None:
    """The same noise gives the same image; other noise gives another."""
    restorer, degraded = build(system), torch.rand(1, 3, 8, 8)
    settings: dict[str, Any] = {"sampler": "ddim" if system == "pmrf" else "posterior", "steps": 3}
    assert torch.equal(run(restorer, degraded, noise(1), **settings), run(restorer, degraded, noise(1), **settings))
    assert not torch.equal(run(restorer, degraded, noise(1), **settings), run(restorer, degraded, noise(2), **settings))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"steps": 101}, "101 steps"),
        ({"steps": 0}, "0 steps"),
        ({"sampler": "posteriro"}, "Did you mean 'posterior'"),
        ({"nodes": (50, 60)}, "must fall"),
        ({"nodes": (120, 60)}, "must fall"),
        ({"nodes": (100, 50), "steps": 3}, "2 nodes"),
        ({"sampler": "posterior", "eta": 0.5}, "no eta"),
        ({"sampler": "ode-2", "eta": -1.0}, "at least 0"),
    ],
)
def test_impossible_sampling_is_refused(asked: dict[str, Any], words: str) -> None:
    """What the weights cannot do is said before anything runs."""
    with pytest.raises(UsageError, match=words):
        build("mean-reverting").resolve(Sampling(**asked))


def test_settings_come_from_the_checkpoint_unless_given() -> None:
    """A checkpoint's sampler, steps and nodes hold until one of them is asked for."""
    published = PublishedSampling("ode-2", 4, nodes=(100, 70, 40, 10))
    restorer = build("mean-reverting", sampling=published)
    assert restorer.resolve(Sampling()).nodes == (100, 70, 40, 10)
    asked = restorer.resolve(Sampling(steps=6))
    assert (asked.sampler, asked.steps, asked.nodes) == ("ode-2", 6, None)


def test_estimates_are_clipped_for_pixels_only() -> None:
    """Clean estimates stay in [0, 1] for pixels, unless parity is asked for; latents are never clipped."""
    restorer = build("mean-reverting")
    degraded = torch.cat((torch.zeros(1, 3, 8, 4), torch.ones(1, 3, 8, 4)), dim=-1)
    clipped = run(restorer, degraded, noise(), sampler="ode-1", steps=1)
    assert clipped.min() >= 0 and clipped.max() <= 1
    free = run(restorer, degraded, noise(), sampler="ode-1", steps=1, clip=False)
    assert free.min() < 0 or free.max() > 1
    assert build("latent").resolve(Sampling()).clip is False


def test_a_canvas_changes_nothing() -> None:
    """Images of unequal size that share a padded canvas come out as they do alone."""
    restorer = build("mean-reverting")
    images = [torch.rand(1, 3, 7, 6), torch.rand(1, 3, 8, 5)]
    sizes = [(7, 6), (8, 5)]
    canvas = torch.zeros(2, 3, 8, 8)
    for index, image in enumerate(images):
        canvas[index, :, : image.shape[-2], : image.shape[-1]] = image
    settings: dict[str, Any] = {"sampler": "sde-2", "steps": 4}
    together = run(restorer, canvas, noise(0, 2, sizes), Ragged(sizes), **settings)
    for index, (image, (height, width)) in enumerate(zip(images, sizes, strict=True)):
        generators = ImageNoise([generator_for(0, str(index).encode())])
        alone = run(restorer, image, generators, **settings)
        torch.testing.assert_close(together[index : index + 1, :, :height, :width], alone, atol=1e-5, rtol=0)


def test_holes_are_filled_before_the_process_begins() -> None:
    """In training and in sampling alike the process is about the filled image; no canvas is shared."""
    restorer = build("mean-reverting", centre="filled")
    clean = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(1))
    degraded = FreeFormMask().observe(clean, torch.Generator().manual_seed(2))
    mu = restorer.endpoints(clean, degraded)[1]
    assert torch.equal(mu, filled(degraded.image, degraded.known)) and not torch.equal(mu, degraded.image)
    white = build("mean-reverting")
    settings: dict[str, Any] = {"sampler": "ode-1", "steps": 2}
    whole = run(restorer, degraded, noise(0, 2), **settings)
    torch.testing.assert_close(whole, run(white, mu, noise(0, 2), **settings))
    assert (run(restorer, degraded, noise(0, 2), Tiles(32, 24), **settings) - whole).abs().max() < 0.5 / 255
    assert white.ragged and not restorer.ragged


def test_dark_images_are_exposed_each_by_itself() -> None:
    """Each reaches the usual mean, bright ones and black ones stay, and the process is about the result."""
    images = torch.rand(4, 3, 20, 30, generator=torch.Generator().manual_seed(3))
    images *= torch.tensor([0.05, 0.3, 1.0, 0.0])[:, None, None, None]
    bright = exposed(images)
    torch.testing.assert_close(bright.mean(dim=(1, 2, 3))[:2], torch.full((2,), USUAL), atol=2e-3, rtol=0)
    assert torch.equal(bright[2:], images[2:])
    assert torch.equal(exposed(images[:1]), bright[:1])
    restorer = build("mean-reverting", centre="exposed")
    assert torch.equal(restorer.endpoints(images, Observation(images))[1], bright)
    assert not restorer.ragged


def test_dark_images_are_lifted_without_a_channel_that_clips() -> None:
    """Each reaches the usual mean by a curve that keeps order, white and hue; bright ones and black ones stay."""
    images = torch.rand(4, 3, 20, 30, generator=torch.Generator().manual_seed(3))
    images *= torch.tensor([0.02, 0.3, 1.0, 0.0])[:, None, None, None]
    images[:2, :, 0, 0] = torch.tensor([1.0, 0.5, 0.25])
    bright = lifted(images)
    torch.testing.assert_close(bright.mean(dim=(1, 2, 3))[:2], torch.full((2,), USUAL), atol=2e-3, rtol=0)
    assert torch.equal(bright[2:], images[2:])
    assert torch.equal(lifted(images[:1]), bright[:1])
    assert not ((bright >= 1) & (images < 1)).any() and bool((bright >= images - 1e-6).all())
    torch.testing.assert_close(bright[0, :, 0, 0], images[0, :, 0, 0])
    dark = images[0].amax(0).flatten().argsort()
    assert bool((bright[0].amax(0).flatten()[dark].diff() >= -1e-6).all())
    torch.testing.assert_close(bright[0] / bright[0].amax(0), images[0] / images[0].amax(0))
    even = images[1:2] * 0 + torch.linspace(0.05, 0.3, 30)
    torch.testing.assert_close(lifted(even), even * (USUAL / even.mean()), atol=1e-4, rtol=0)
    large = torch.rand(1, 3, 1100, 1200, generator=torch.Generator().manual_seed(4)) * 0.1
    torch.testing.assert_close(lifted(large).mean(), torch.tensor(USUAL), atol=5e-3, rtol=0)
    restorer = build("one-pass", centre="lifted")
    assert torch.equal(restorer.endpoints(images, Observation(images))[1], bright)
    assert not restorer.ragged


@pytest.mark.parametrize("size", [(40, 56), (33, 47), (16, 90)])
def test_tiles_equal_the_whole_for_a_local_network(size: tuple[int, int]) -> None:
    """With an overlap beyond the network's reach, tiles in each step give the untiled result."""
    restorer = build("mean-reverting")
    degraded = torch.rand(1, 3, *size)
    whole = run(restorer, degraded, noise(), sampler="sde-1", steps=3)
    tiled = run(restorer, degraded, noise(), Tiles(32, 24), sampler="sde-1", steps=3)
    assert (tiled - whole).abs().max() < 0.5 / 255


@pytest.mark.parametrize("system", rows(DIFFUSIONS))
def test_tiles_are_of_the_restored_image(system: str) -> None:
    """Each system takes tiles in pixels, those that work on latents too, and what they change is no seam."""
    restorer = build(system)
    seen: list[int] = []

    def watched(network: Any, *inputs: Tensor) -> Tensor:
        seen.append(max(inputs[0].shape[-2:]))
        out: Tensor = network(*inputs)
        return out

    degraded = torch.rand(1, 3, 48, 80)
    asked = {"noise_level": 40.0} if system == "denoising" else {}
    whole = run(restorer, degraded, noise(), watched, steps=2, **asked)
    factor, seen[:] = 80 // max(seen), []
    tiled = run(restorer, degraded, noise(), Tiles(32, 16, watched), steps=2, **asked)
    assert set(seen) == {32 // factor}
    assert torch.isfinite(tiled).all() and tiled.shape == whole.shape


def test_every_pixel_of_a_tiling_is_covered() -> None:
    """The blended prediction of a constant is that constant, for any size, tile and overlap."""

    constant = Evaluated(Facts(multiple=8), lambda x, mu, t: torch.ones_like(x))

    for height, width, tile, overlap in [
        (1, 1, 8, 0),
        (64, 65, 16, 8),
        (100, 9, 24, 15),
        (31, 200, 64, 32),
        (9, 9, 8, 7),
    ]:
        x = torch.zeros(1, 3, height, width)
        out = Tiles(tile, overlap)(constant, x, x, torch.ones(1))
        torch.testing.assert_close(out, torch.ones_like(x))


def test_upscaling_comes_from_the_checkpoint() -> None:
    """A network trained for four times larger images gives them, whichever way the degraded one is enlarged."""
    for upsampling in ("bicubic", "nearest"):
        restorer = build("mean-reverting", scale=4, upsampling=upsampling)
        assert run(restorer, torch.rand(1, 3, 5, 6), noise(), steps=2).shape == (1, 3, 20, 24)


@pytest.mark.parametrize("prediction", ["noise", "clean", "velocity", "flow"])
def test_a_perfect_network_is_perfect_in_any_parameterisation(prediction: str) -> None:
    """The output that stands for the true clean image gives that image and the true noise, at every t."""
    process = ProcessConfig(options={"stationary_std": 30 / 255}, prediction=prediction)  # type: ignore[arg-type]
    restorer = build("mean-reverting", process=process)
    assert isinstance(restorer, MeanReverting)
    parameterisation = restorer.parameterisation
    x0, mu, eps = (torch.rand(1, 3, 4, 4, dtype=torch.float64) for _ in range(3))
    path = restorer.process.path(mu)
    for t in (1, 30, 100):
        m, s = path.at(t)
        x = mu + m * (x0 - mu) + s * eps
        output = {
            "noise": eps,
            "velocity": (m * (x - mu) - (x0 - mu)) / s,
            "flow": eps - x0,
            "clean": (x0 - parameterisation.clean(torch.zeros_like(x), x, mu, m, s)) / parameterisation.open_std(m, s),
        }[prediction]
        torch.testing.assert_close(parameterisation.clean(output, x, mu, m, s), x0)
        torch.testing.assert_close(parameterisation.noise(output, x, mu, m, s), eps, atol=1e-6, rtol=1e-6)


def test_denoising_starts_where_the_noise_is() -> None:
    """Steps are limited by the noise level, given or estimated, and a level beyond the model is refused."""
    restorer = build("denoising")
    assert restorer.resolve(Sampling(noise_level=25)).steps == 21
    with pytest.raises(UsageError, match="noise level of 80"):
        restorer.resolve(Sampling(noise_level=80))
    with pytest.raises(UsageError, match="starts at t = 21"):
        restorer.resolve(Sampling(noise_level=25, nodes=(40, 10)))
    noisy = 0.5 + 25 / 255 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    sampling = restorer.resolve(Sampling(sampler="euler-ode", steps=100))
    states = list(restorer.steps(Observation(noisy), noise(), sampling))
    assert abs(len(states) - 21) <= 1


@pytest.mark.parametrize("level", [5, 15, 25, 50])
def test_noise_is_estimated(level: int) -> None:
    """On a smooth picture the estimate is within five per cent."""
    ramp = torch.linspace(0, 1, 128)[None, None, :, None] * torch.linspace(0, 1, 128)[None, None, None, :]
    noisy = ramp + level / 255 * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    assert math.isclose(estimate_noise(noisy) * 255, level, rel_tol=0.05)
    assert estimate_noise(torch.rand(1, 3, 1, 9)) == 0


def test_unknown_network_options_are_named() -> None:
    """A misspelt hyper-parameter names its neighbour; an impossible one names itself."""
    with pytest.raises(UsageError, match="Did you mean 'width'"):
        build_network(NetworkConfig("nafnet", {"witdh": 8}))
    with pytest.raises(UsageError, match="cannot be built"):
        build_network(NetworkConfig("pocket-unet", {"widths": (8,), "blocks": (1, 2)}))
    with pytest.raises(UsageError, match="unknown network"):
        build_network(NetworkConfig("nafnett", {}))


@pytest.mark.parametrize("system", rows(["mean-reverting", "latent", "flux-ir"]))
def test_forward_takes_one_image_or_a_batch(system: str) -> None:
    """From Python a restorer is a function of an image, which its neighbours in a batch do not reach."""
    restorer = build(system, sampling=PublishedSampling("ode-2", 2))
    images = torch.rand(2, 3, 8, 8)
    assert restorer(images[0]).shape == (3, 8, 8)
    torch.testing.assert_close(restorer(images)[0], restorer(images[0]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("tile", [None, Tiles(32, 8)], ids=["whole", "tiles"])
def test_samples_of_files_are_the_pictures_they_show(dtype: torch.dtype, tile: Tiles | None) -> None:
    """Whole numbers, which take a quarter of the memory, give the bits that they give in [0, 1]."""
    top = torch.iinfo(dtype).max
    pixels = torch.randint(0, top + 1, (1, 40, 56, 3), generator=torch.Generator().manual_seed(0))
    samples = pixels.to(dtype).permute(0, 3, 1, 2)
    assert torch.equal(in_unit(samples), pixels.permute(0, 3, 1, 2) / top)
    for name in ("one-pass", "mean-reverting", "denoising"):
        results = [run(build(name), Observation(one), noise(), tile) for one in (samples, in_unit(samples))]
        assert results[0].dtype == torch.float32
        assert torch.equal(*results)


class Grey(Mapper):
    """Takes one channel."""

    facts = Facts(channels=(1, 1))

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        assert image.shape[1] == 1
        self.calls += 1
        return image.square()


def test_a_network_of_one_channel_sees_each_by_itself() -> None:
    """And a grey picture, whose channels agree, once."""
    network = Grey()
    restorer = OnePass(OnePassConfig(NetworkConfig("dncnn", {})), network)
    colour = torch.rand(3, 5, 7)
    assert torch.equal(restorer(colour), colour.square()) and network.calls == 3
    grey = torch.rand(1, 5, 7).expand(3, 5, 7)
    assert torch.equal(restorer(grey), grey.square()) and network.calls == 4


class Mean(Looker):
    """Makes every pixel the mean of what it was shown."""

    def seen(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))

    def restored(self, image: Tensor, seen: Tensor) -> Tensor:
        return seen[..., None, None].expand_as(image)


def test_who_looks_first_sees_the_whole_picture_and_not_its_tiles() -> None:
    """So that all tiles are told the same; and never a canvas that others share."""
    restorer = OnePass(OnePassConfig(NetworkConfig("dncnn", {})), Mean())
    image = torch.rand(1, 3, 40, 64)
    tiled = restorer.predict(image, Tiles(16, 4))
    torch.testing.assert_close(tiled, image.mean((2, 3), keepdim=True).expand_as(image))
    assert not restorer.ragged
