"""Strategies whose parts learn beside the network: critics, a head, a classifier; and what tells damages apart."""

import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli import checkpoint
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.errors import UsageError
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Predictor
from irsde_cli.systems.one_pass import OnePass, OnePassConfig
from irsde_cli.systems.parts import NetworkConfig, build_network
from irsde_cli.training import OBJECTIVES
from irsde_cli.training.adversarial import Adversarial, AdversarialConfig, Critic, relativistic
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import load_pairs
from irsde_cli.training.degradation_classification import (
    Classifier,
    DegradationClassification,
    DegradationClassificationConfig,
    focal,
)
from irsde_cli.training.estimate import estimate
from irsde_cli.training.features import tapped, widths
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.strategy import NETWORK, Samples
from irsde_cli.training.task_uncertainty import TaskUncertainty, TaskUncertaintyConfig, uncertainty_head, weighed
from irsde_cli.training.trainer import Trainer
from irsde_cli.workflows.train import run as workflow
from irsde_cli.workflows.train.beginning import find_source
from irsde_cli.workflows.train.options import RunConfig
from tests import fingerprints

CPU = torch.device("cpu")
POCKET = {"name": "pocket-unet", "options": {"widths": [8, 8], "blocks": [1, 1], "time_dim": 8}}
BOTH = [
    {"name": "gaussian-noise", "options": {"sigma_min": 10, "sigma_max": 10}},
    {"name": "gaussian-noise", "options": {"sigma_min": 60, "sigma_max": 60}},
]
TINY = TrainConfig(
    task="denoise",
    system="one-pass",
    model={"network": POCKET},
    degradation=DegradationConfig("mixture", {"parts": BOTH}),
    steps=8,
    crop=16,
    batch_size=4,
    accumulate=2,
    warm_up=2,
)
HELPED = [name for name in OBJECTIVES if getattr(OBJECTIVES.load(name), "follows_paths", True) is False]


def settings(objective: str) -> TrainConfig:
    return replace(TINY, objective=objective, objective_options=dict(OBJECTIVES[objective].example))


def one_pass(name: str = "pocket-unet", **options: Any) -> OnePass:
    torch.manual_seed(0)
    return OnePass(OnePassConfig(NetworkConfig(name, options or dict(NETWORKS[name].example))))


def samples(x0: Tensor, mu: Tensor, tasks: Tensor) -> Samples:
    ones = torch.ones(len(x0))
    return Samples(x0, mu, ones, x0, ones, ones, tasks)


def test_the_strategies_with_helpers_are_known() -> None:
    assert HELPED == ["adversarial", "task-uncertainty", "transport", "degradation-classification"]


@pytest.mark.parametrize("objective", HELPED)
def test_a_killed_run_goes_on_to_the_same_bytes(objective: str, photos: Path, tmp_path: Path) -> None:
    """Helpers and their optimisers are part of a run's state; the kept weights are those of the system alone."""

    def run(folder: str, until: int = 99) -> None:
        options = {"report_every": 1, "save_every": 2, "data": str(photos), "out": str(tmp_path / folder)}
        for event in workflow.train(settings(objective), RunConfig(**options)):  # type: ignore[arg-type]
            if getattr(event, "loss", None) is not None and event.step == until:  # type: ignore[union-attr]
                break

    run("whole")
    run("broken", until=5)  # a step after the last checkpoint: it is done again
    run("broken")
    for name in ("model.safetensors", "step-00000008/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
    one, other = (
        torch.load(tmp_path / name / "step-00000008" / "state.pt", weights_only=True) for name in ("whole", "broken")
    )
    assert one["helpers"].keys() == Trainer(settings(objective), Ranks(CPU)).parts.keys() - {NETWORK} != set()
    flat: list[Tensor] = []
    again: list[Tensor] = []
    for state, found in ((one, flat), (other, again)):
        torch.utils._pytree.tree_map_only(Tensor, found.append, state)
    assert len(flat) == len(again) > 0 and all(map(torch.equal, flat, again))
    fresh = Trainer(settings(objective), Ranks(CPU))
    moved = [
        not torch.equal(one["objective"][name], tensor)
        for name, tensor in fresh.objective.state_dict().items()
        if name.startswith("helpers.")
    ]
    assert sum(moved) > len(moved) / 2
    kept = checkpoint.load(tmp_path / "whole" / "model.safetensors").restorer
    assert kept.state_dict().keys() == one_pass(**POCKET["options"]).state_dict().keys()  # type: ignore[arg-type]


def test_a_state_without_helpers_is_read(tmp_path: Path) -> None:
    """As earlier versions wrote it."""
    config = replace(TINY, objective="direct-regression")
    trainer = Trainer(config, Ranks(CPU))
    state = trainer.state()
    del state["helpers"]
    Trainer(config, Ranks(CPU)).load_state(state)


@pytest.mark.parametrize("objective", HELPED)
def test_parts_take_turns(objective: str) -> None:
    """In a turn the named parts get gradients and no others, and the network's rate is not that of its critics."""
    trainer = Trainer(replace(settings(objective), clip_norm=0.0), Ranks(CPU))
    trainer.objective.helper_rate = 0.5
    image = torch.rand(4, 3, 16, 16)
    batch = samples(image, image + 0.1 * torch.randn_like(image), torch.tensor([0, 1, 0, 1]))
    for turn, names in enumerate(trainer.objective.turns):
        before = {name: [p.detach().clone() for p in part.parameters()] for name, part in trainer.parts.items()}
        trainer._learn(turn, batch, rate=1e-3)
        for name, part in trainer.parts.items():
            same = [torch.equal(p, old) for p, old in zip(part.parameters(), before[name], strict=True)]
            assert all(same) != (name in names)
        for name in names:
            rate = trainer._optimisers[name].param_groups[0]["lr"]
            assert rate == (1e-3 if name == NETWORK else 5e-4)


@pytest.mark.parametrize("objective", HELPED)
def test_the_helpers_cost_is_counted(objective: str) -> None:
    """Their weights, gradients and averages take memory too."""
    plain = estimate(replace(settings("direct-regression"), objective_options={}), CPU)
    helped = estimate(settings(objective), CPU)
    assert helped.parameters == plain.parameters
    assert helped.flops > plain.flops and helped.memory > plain.memory


def test_a_turn_that_is_no_number_ends_the_training(photos: Path) -> None:
    """The network is left alone when its critics have lost their way."""
    trainer = Trainer(settings("adversarial"), Ranks(CPU))
    with torch.no_grad():
        next(trainer.objective.helpers["critics"].parameters()).fill_(float("nan"))
    before = [p.detach().clone() for p in trainer.system.parameters()]
    source = find_source(photos, trainer.config, RunConfig(), CPU, False, None)
    (step,) = trainer.train(source)
    assert not step.finite and trainer.step == 0
    assert all(map(torch.equal, before, trainer.system.parameters()))


def test_relativistic_critics_compare_with_the_mean() -> None:
    """Scores that do not tell cost 1; one apart in the right order they cost nothing, in the wrong order 4."""
    low, high = torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3)
    assert float(relativistic(low, low)) == 1
    assert float(relativistic(high, low)) == 0
    assert float(relativistic(low, high)) == 4
    other = torch.tensor([0.0, 2.0])
    assert float(relativistic(other, low)) == pytest.approx(((1 + 1) / 2 + 0) / 2)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (5, 286)])
def test_a_critic_sees_patches_of_the_published_size(layers: int, field: int) -> None:
    """Three layers of stride two see 70 pixels; five more than a crop of 256."""
    critic = Critic(layers, 1)
    sizes = [(m.kernel_size[0], m.stride[0]) for m in critic if isinstance(m, nn.Conv2d)]
    seen = 1
    for kernel, stride in reversed(sizes):
        seen = (seen - 1) * stride + kernel
    assert seen == field
    assert critic(torch.rand(2, 3, 16, 16)).shape[:2] == (2, 1)


@pytest.mark.parametrize("name", ["pocket-unet", "prenet", "mambair-v2"])
def test_critics_and_network_learn_against_each_other(name: str) -> None:
    """With any network of one pass: the critics learn to tell, and the network comes closer to the clean pictures."""
    system = one_pass(name)
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(4, 3, 4, 4, generator=generator)
    x0 = F.interpolate(small, scale_factor=2 * system.scale, mode="bilinear")
    mu = F.interpolate(x0, scale_factor=1 / system.scale) if system.scale > 1 else x0
    mu = mu + 0.15 * torch.randn(mu.shape, generator=generator)
    batch = samples(x0, mu, torch.zeros(4, dtype=torch.long))
    strategy = Adversarial(system, AdversarialConfig(layers=(1, 2), width=8))
    told, missed = [], []
    learn = [torch.optim.Adam(part.parameters(), 3e-3) for part in (strategy.helpers["critics"], system.learnt)]
    for _ in range(30):
        for turn, optimiser in enumerate(learn):
            strategy.zero_grad()
            system.zero_grad()
            strategy(system, batch, turn).mean().backward()
            optimiser.step()
        with torch.no_grad():
            missed.append(float((system.predict(mu) - x0).square().mean()))
        told.append(strategy.facts["critics"])
    assert min(told[:10]) < 0.9 * told[0]
    assert missed[-1] < 0.8 * missed[0]


def test_the_network_s_loss_is_the_published_sum(shared: Path) -> None:
    """Images count in [-1, 1]; what the critics say and LPIPS are added with their weights."""
    system, weights = one_pass(), str(shared / "weights" / "lpips_squeeze.safetensors")
    x0, mu = torch.rand(2, 2, 3, 32, 32)
    batch = samples(x0, mu, torch.zeros(2, dtype=torch.long))
    config = AdversarialConfig(layers=(1, 2), width=4, lpips=weights, perceptual_weight=0.25, adversarial_weight=0.5)
    strategy = Adversarial(system, config)
    with torch.no_grad():
        restored = system.predict(mu)
        pixels = 0.5 * 4 * (restored - x0).square().mean()
        critics = list(strategy.helpers["critics"].children())
        real = [relativistic(c(2 * restored - 1), c(2 * x0 - 1)) for c in critics]
        expected = pixels + 0.5 * sum(real) / 2 + 0.25 * strategy._lpips[0](restored, x0).mean()
        torch.testing.assert_close(strategy(system, batch, 1)[0], expected)
        fooled = [relativistic(c(2 * x0 - 1), c(2 * restored - 1)) for c in critics]
        torch.testing.assert_close(strategy(system, batch, 0)[0], sum(fooled) / 2)
    assert not any("lpips" in name for name in strategy.state_dict())


def test_the_best_uncertainty_is_half_of_the_error() -> None:
    """Held constant and optimised it is E / 2 of each damage, which leaves 2 + 2 ln(E / 2); errors of E weigh 2 / E."""
    tasks = torch.tensor([0, 1, 1])
    error = torch.tensor([0.02, 0.3, 0.1])[:, None, None, None].expand(3, 3, 4, 4).clone().requires_grad_()
    means = torch.tensor([0.02, 0.2])
    logs = torch.full((2,), -1.0, requires_grad=True)
    optimiser = torch.optim.Adam([logs], 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        loss = weighed(error.detach(), logs.exp()[tasks][:, None, None, None].expand_as(error), tasks, floor=1e-6)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    torch.testing.assert_close(logs.exp().detach(), means / 2, rtol=1e-3, atol=0)
    assert float(loss.detach()) == pytest.approx(float((2 + 2 * (means / 2).log()).mean()), abs=1e-4)
    held = logs.detach().exp()[tasks][:, None, None, None].expand_as(error)
    (gradient,) = torch.autograd.grad(weighed(error, held, tasks, floor=1e-6), error)
    weights = gradient.flatten(1).sum(1)
    torch.testing.assert_close(weights, torch.tensor([2 / 0.02 / 2, 2 / 0.2 / 4, 2 / 0.2 / 4]), rtol=1e-3, atol=0)


def test_the_leak_is_the_published_one() -> None:
    """A damage's errors are averaged with those before it, each by its own uncertainty; the first has none before."""
    tasks, error = torch.tensor([3, 3, 1]), torch.tensor([0.4, 0.2, 0.1])[:, None, None, None]
    uncertainty = torch.tensor([0.3, 0.1, 0.05])[:, None, None, None]
    one, three = 0.1 / 0.05, (0.4 + 0.2) / 0.2
    logs = 2 * math.log(0.05) + 2 * math.log(0.2)
    right = (one + three / 2 + logs) / 2
    leaking = (one + (one + three) / 3 + logs) / 2
    assert float(weighed(error, uncertainty, tasks, floor=1e-6)) == pytest.approx(right)
    assert float(weighed(error, uncertainty, tasks, floor=1e-6, leak=True)) == pytest.approx(leaking)
    floored = weighed(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.zeros(1), floor=1e-3)
    assert float(floored) == pytest.approx(2 * math.log(1e-3))


def test_the_head_is_the_published_one() -> None:
    """Its parameters, and what it says at first."""
    head = uncertainty_head(64)
    assert sum(parameter.numel() for parameter in head.parameters()) == 75_587
    with torch.no_grad():
        said = head(torch.zeros(1, 64, 4, 4))
    assert said.shape == (1, 3, 4, 4) and 0.02 < float(said.mean()) < 0.1


@pytest.mark.parametrize("name", ["pocket-unet", "quarter-unet", "nafnet", "unet"])
def test_uncertainty_fits_the_image(name: str) -> None:
    """Whatever the resolution of the last features, and where the image was padded."""
    system = one_pass(name)
    strategy = TaskUncertainty(system, TaskUncertaintyConfig())
    x0 = torch.rand(2, 3, 18, 23)
    assert strategy(system, samples(x0, x0 + 0.1, torch.tensor([0, 1]))).shape == (1,)
    assert 0 < strategy.facts["uncertainty"] < 1


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_go_from_fine_to_coarse(name: str) -> None:
    """Each that a network names halves the last one's sides; a classifier can look at all of them."""
    if NETWORKS[name].extra or NETWORKS[name].fills != "network":
        return
    network = build_network(NetworkConfig(name, dict(NETWORKS[name].example)))
    if not network.stages:
        return
    channels = network.facts.channels[0]
    side = 2 * network.facts.multiple
    with torch.no_grad(), tapped(network, network.stages) as found:
        image = torch.rand(1, channels, side, side)
        network(image, image.flip(-1), torch.ones(1)) if isinstance(network, Predictor) else network(image)
    sides = [found[stage].shape[-1] for stage in network.stages]
    assert all(fine == 2 * coarse for fine, coarse in pairwise(sides))
    Classifier([found[stage].shape[1] for stage in network.stages], 2)([found[stage] for stage in network.stages])
    assert not any(module._forward_hooks for module in network.modules())


def test_the_classifier_is_the_published_one(shared: Path) -> None:
    """Equal numbers at equal weights, in size and answer."""
    recorded = fingerprints.fingerprint(shared, "systems2_fingerprints", "dcpt_classifier_nafnet")
    classifier = Classifier([64, 128, 256, 512], 5).eval()
    assert sum(parameter.numel() for parameter in classifier.parameters()) == recorded["params"]
    shapes = {name: list(tensor.shape) for name, tensor in classifier.state_dict().items()}
    assert shapes == recorded["keys"]
    fingerprints.fill(classifier, "A")
    features = []
    for channels, side in zip((64, 128, 256, 512), (64, 32, 16, 8), strict=True):
        numbers = torch.arange(channels * side**2, dtype=torch.float64)
        features.append(torch.sin(0.01 * numbers).float().reshape(1, channels, side, side))
    with torch.no_grad():
        fingerprints.check(classifier(features), recorded["outputs"]["logits"])


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, tasks = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(focal(logits, tasks, 0.0), F.cross_entropy(logits, tasks, reduction="none"))
    sure = logits.softmax(1)[torch.arange(6), tasks]
    torch.testing.assert_close(focal(logits, tasks, 2.0), -((1 - sure) ** 2) * sure.log())


@pytest.mark.parametrize(("reconstruct", "seen"), [("clean", ["mu", "x0"]), ("degraded", ["mu"])])
def test_classification_learns_beside_reconstruction(reconstruct: Any, seen: list[str]) -> None:
    """The damage is told from the features alone; clean pictures are given back, or damaged ones restored."""
    system = one_pass(**POCKET["options"])  # type: ignore[arg-type]
    strategy = DegradationClassification(system, DegradationClassificationConfig(2, reconstruct))
    x0 = torch.rand(4, 3, 16, 16)
    tasks = torch.tensor([0, 1, 0, 1])
    mu = x0 + torch.tensor([0.02, 0.3])[tasks][:, None, None, None] * torch.randn_like(x0)
    asked: list[Tensor] = []
    hook = system.network.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    strategy(system, samples(x0, mu, tasks))
    hook.remove()
    assert [("mu" if torch.equal(one, mu) else "x0" if torch.equal(one, x0) else "") for one in asked] == seen
    optimiser = torch.optim.Adam([*strategy.parameters(), *system.parameters()], 3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        strategy(system, samples(x0, mu, tasks)).mean().backward()
        optimiser.step()
    assert strategy.facts["told"] == 1.0


def test_a_mixture_says_which_damage_each_picture_got() -> None:
    """By number, untouched pictures last; the pictures are those of a mixture that is not asked."""
    mixture = build_degradation(
        DegradationConfig("mixture", {"parts": [*BOTH, {"name": "jpeg"}], "untouched": 0.25, "shares": [1, 1, 0]})
    )
    assert mixture.tasks == ("gaussian-noise", "gaussian-noise", "jpeg", "untouched")
    clean = torch.full((64, 3, 16, 16), 0.5)
    seen, tasks = mixture.draw(clean, torch.Generator().manual_seed(0))
    assert tasks is not None and set(tasks.tolist()) == {0, 1, 3}
    spread = seen.image.flatten(1).std(1) * 255
    for task, expected in ((0, 10), (1, 60), (3, 0)):
        assert spread[tasks == task].mean().item() == pytest.approx(expected, rel=0.1)
    assert torch.equal(mixture.observe(clean, torch.Generator().manual_seed(0)).image, seen.image)
    alone = build_degradation(DegradationConfig("jpeg"))
    assert alone.tasks == () and alone.draw(clean[:1], torch.Generator())[1] is None


def pairs(root: Path, *folders: str) -> Path:
    for folder in folders:
        for half, value in (("GT", 100), ("LQ", len(folder))):
            (root / half / folder).mkdir(parents=True, exist_ok=True)
            for index in range(2):
                Image.new("RGB", (20, 20), (value,) * 3).save(root / half / folder / f"{index}.png")
    return root


def test_pairs_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """The first folder below GT/ names the damage; without several there is one."""

    def load(root: Path) -> Any:
        return load_pairs(root / "GT", root / "LQ", template="{stem}", crop=16, scale=1, device=CPU, skip_bad=None)

    several = load(pairs(tmp_path / "several", "rain", "haze/deep"))
    assert several.tasks == ["haze", "rain"]
    for seed in range(6):
        one = several.sample(16, torch.Generator().manual_seed(seed))
        folder = {len("rain"): "rain", len("haze/deep"): "haze"}[round(float(one.observation.image.mean()) * 255)]
        assert several.tasks[int(one.tasks)] == folder
    single = load(pairs(tmp_path / "single", "deep"))
    assert single.tasks == [] and single.sample(16, torch.Generator()).tasks is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"degradation": DegradationConfig("jpeg")}, "weighs several damages"),
        (
            {"objective": "degradation-classification", "objective_options": {"classes": 3}},
            "3 classes, but the data have 2 damages: gaussian-noise, gaussian-noise",
        ),
        ({"objective": "degradation-classification"}, "'classes'"),
        ({"model": {"network": {"name": "prenet"}}}, "'prenet' has no decoder"),
        ({"objective": "adversarial", "objective_options": {"perceptual_weight": 1.0}}, "needs the weights of LPIPS"),
        ({"objective": "adversarial", "objective_options": {"layers": [0]}}, "'layers' must be"),
        ({"objective": "reinforce"}, "samples as it learns, not 'one-pass'"),
        ({"objective": "clean-matching"}, "teaches nothing to the system 'one-pass'.*It is for .*mean-reverting"),
        (
            {"system": "mean-reverting", "model": {"network": POCKET}, "objective": "direct-regression"},
            "'direct-regression' teaches nothing to the system 'mean-reverting'.*It is for one-pass",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused(change: dict[str, Any], words: str, photos: Path, tmp_path: Path) -> None:
    """Before the first step, with what to do."""
    config = replace(TINY, **{"objective": "task-uncertainty", **change})
    with pytest.raises(UsageError) as caught:
        list(workflow.train(config, RunConfig(data=str(photos), out=str(tmp_path / "run"))))
    said = f"{caught.value.message} {caught.value.hint}"
    assert re.search(words, said), said


def test_widths_are_read_without_running_the_whole_image() -> None:
    assert widths(one_pass("nafnet")) == [8, 16]
    assert json.dumps(widths(one_pass("unet"))) == "[16, 32]"
