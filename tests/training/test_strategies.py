"""Trajectory learning: what is explored, what is learnt from it, and what is left alone."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from irsde_cli.config import to_mapping
from irsde_cli.degradations import DegradationConfig
from irsde_cli.errors import UsageError
from irsde_cli.observation import Observation
from irsde_cli.samplers.costs import cheapest, jump_costs
from irsde_cli.samplers.multistep import multistep
from irsde_cli.samplers.nodes import even_nodes, times_from
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.flux import FluxRestorer
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig, PublishedSampling
from irsde_cli.training.clean_matching import clean_matching
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.consistency import Consistency, ConsistencyConfig
from irsde_cli.training.data import Batch
from irsde_cli.training.distill import Distill, DistillConfig
from irsde_cli.training.ranks import Ranks
from irsde_cli.training.reinforce import Reinforce, ReinforceConfig
from irsde_cli.training.strategy import Samples
from irsde_cli.training.trainer import Trainer
from irsde_cli.training.trajectory import Trajectory, predictor
from tests.extras import needs_diffusers, rows
from tests.systems.test_restorers import build

NETWORK = NetworkConfig("pocket-unet", {"widths": (8, 8), "blocks": (1, 1), "time_dim": 8})


def tiny(**settings: Any) -> MeanReverting:
    torch.manual_seed(0)
    system = MeanReverting(MeanRevertingConfig(NETWORK, ProcessConfig(prediction="clean"), **settings))
    for parameter in system.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return system


def samples(x0: Tensor, mu: Tensor, t: Tensor, noise: Tensor, seeds: Tensor) -> Samples:
    return Samples(x0, mu, t, noise, torch.ones(len(t)), seeds, torch.zeros_like(t))


def batch(count: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.rand(count, 3, 16, 16, generator=generator) * 0.8 + 0.1
    mu = (x0 + 0.1 * torch.randn(x0.shape, generator=generator)).clamp(0, 1)
    t = torch.randint(1, 101, (count,), generator=generator)
    return x0, mu, t, torch.randn(x0.shape, generator=generator)


SEEDS = torch.tensor([3, 4, 5])


def gradient(strategy: Any, system: MeanReverting, seeds: Tensor = SEEDS) -> Tensor:
    system.zero_grad()
    strategy(system, samples(*batch(), seeds)).mean().backward()
    return torch.cat([p.grad.flatten() for p in system.parameters() if p.grad is not None])


@pytest.mark.parametrize("rollout", ["step", "path"])
@pytest.mark.parametrize("change", [{"paths": 0}, {"margin": math.inf}])
def test_without_improvement_only_the_base_is_learnt(rollout: Any, change: dict[str, Any]) -> None:
    system = tiny()
    found = gradient(Reinforce(system, ReinforceConfig(steps=4, base_weight=0.7, rollout=rollout, **change)), system)
    system.zero_grad()
    (0.7 * clean_matching(system, *batch()).mean()).backward()  # type: ignore[no-untyped-call]
    expected = torch.cat([p.grad.flatten() for p in system.parameters() if p.grad is not None])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rollout", ["step", "path"])
def test_more_paths_are_never_worse(rollout: Any) -> None:
    """The best of the first paths stays among those of more; the ODE is the same; rewards are in decibels."""
    system = tiny()
    facts = []
    for paths in (1, 4, 8):
        strategy = Reinforce(system, ReinforceConfig(steps=5, paths=paths, rollout=rollout))
        strategy(system, samples(*batch(), SEEDS))
        facts.append(strategy.facts)
    assert len({one["reward"] for one in facts}) == 1
    assert facts[0]["gap"] <= facts[1]["gap"] <= facts[2]["gap"] and facts[2]["gap"] > 0
    assert all(one["best"] == pytest.approx(one["reward"] + one["gap"], rel=1e-5) for one in facts)


def test_the_reward_is_that_of_the_sampler() -> None:
    """The deterministic path starts from the batch's noise and ends where the sampler does."""
    system = tiny()
    x0, mu, t, noise = batch()
    strategy = Reinforce(system, ReinforceConfig(nodes=(100, 60, 30), paths=1))
    strategy(system, samples(x0, mu, t, noise, SEEDS))
    start = mu + 10 / 255 * noise
    with torch.no_grad():
        *_, end = multistep(
            predictor(system, mu), start, system.process.path(mu), times_from((100, 60, 30)), torch.randn_like, order=1
        )
    error = (end.clamp(0, 1) - x0).square().flatten(1).mean(1)
    assert strategy.facts["reward"] == pytest.approx(float((-10 * error.log10()).mean()), rel=1e-5)


@pytest.mark.parametrize("rollout", ["step", "path"])
@pytest.mark.parametrize("block", [0, 8])
def test_reinforcing_raises_the_reward(rollout: Any, block: int) -> None:
    """On one batch, the deterministic path's end gets closer to the clean image."""
    system = tiny()
    config = ReinforceConfig(steps=4, paths=4, base_weight=0.0, refresh=5, decay=0.0, rollout=rollout, block=block)
    strategy = Reinforce(system, config)
    optimiser = torch.optim.Adam(system.parameters(), 1e-3)
    rewards = []
    for step in range(40):
        optimiser.zero_grad()
        strategy(system, samples(*batch(), SEEDS + 3 * step)).mean().backward()
        optimiser.step()
        rewards.append(strategy.facts["reward"])
    assert rewards[-1] > rewards[0] + 0.2


def test_the_exploring_copy_is_refreshed_from_the_average() -> None:
    system = tiny()
    strategy = Reinforce(system, ReinforceConfig(steps=4, paths=1, refresh=2, decay=0.5))
    first = [p.detach().clone() for p in system.parameters()]
    moved = []
    for _ in range(3):
        for parameter in system.parameters():
            parameter.data.add_(1e-3)
        strategy(system, samples(*batch(), SEEDS))
        moved.append(float((next(iter(strategy.reference.system.parameters())) - first[0]).mean()))
    # The average goes 1, 1.5, 2.25 steps; the copy begins as the first batch is seen, and takes it over at the third.
    assert moved == pytest.approx([1e-3, 1e-3, 2.25e-3], rel=1e-3)


def test_a_student_begins_on_its_teacher_s_path() -> None:
    """With the teacher's nodes and no update, its states are those of the teacher's first-order path, bit for bit."""
    system = tiny()
    nodes = (100, 70, 35)
    strategy = Distill(system, DistillConfig(steps=(3,), teacher_steps=1, truth_weight=0.0))
    strategy.set_extra_state([list(nodes)])
    x0, mu, t, noise = batch()
    strategy(system, samples(x0, mu, t, noise, SEEDS))
    start = system.process.start(mu, 100, lambda x: noise)
    path = system.process.path(mu)
    with torch.no_grad():
        first = list(multistep(predictor(system, mu), start, path, times_from(nodes), torch.randn_like, order=1))
        teacher = predictor(strategy.reference.system, mu)
        again = list(multistep(teacher, start, path, times_from(nodes), torch.randn_like, order=1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    taught = strategy.teach(start, mu, nodes)
    assert [*taught] == [70, 35, 0]
    torch.testing.assert_close(taught[70], first[0])  # the second order begins with the second step


def test_distilling_brings_the_student_to_its_teacher() -> None:
    """The one-jump student's end comes closer to that of the teacher, which stays as it was."""
    system = tiny()
    strategy = student(system, (100, 40))
    optimiser = torch.optim.Adam(system.parameters(), 1e-3)
    ends = []
    for _ in range(60):
        optimiser.zero_grad()
        strategy(system, samples(*batch(), SEEDS)).mean().backward()
        optimiser.step()
        ends.append(strategy.facts["end"])
    assert ends[-1] < 0.8 * ends[0]
    torch.testing.assert_close(
        torch.cat([p.flatten() for p in strategy.reference.system.parameters()]),
        torch.cat([p.flatten() for p in tiny().parameters()]),
    )


def test_the_student_s_nodes_come_from_the_model_or_are_the_cheapest() -> None:
    """What the sampler knows is kept; others get the cheapest way on the first batch, and states keep it."""
    _, mu, _, noise = batch()
    system = tiny(sampling=PublishedSampling("ode-1", 2, (100, 30)))
    strategy = Distill(system, DistillConfig(steps=(1, 2, 4)))
    strategy.prepare(system, mu, noise, lambda values: values)
    times = times_from(even_nodes(100, 25))
    costs = jump_costs(
        predictor(system, mu), system.process.start(mu, 100, lambda x: noise), system.process.path(mu), times
    )
    cheap = cheapest(costs, times, 4)
    assert strategy.students == {2: (100, 30), 1: (100,), 4: cheap}
    assert strategy.sampling == PublishedSampling("ode-1", 2, (100, 30), ((100,), cheap))
    other = Distill(tiny(), DistillConfig())
    other.load_state_dict(strategy.state_dict())
    assert other.students == strategy.students
    for nodes in ((30, 60), (101, 2), (50, 0)):
        with pytest.raises(ValueError, match="nodes must fall"):
            Distill(tiny(sampling=PublishedSampling("ode-1", 2, nodes)), DistillConfig())


def test_a_student_may_begin_late() -> None:
    """Its first time is the start of both walks, the student's and the teacher's: for damage that needs no more."""
    system = tiny()
    nodes = (60, 30)
    strategy = student(system, nodes)
    x0, mu, t, noise = batch()
    strategy(system, samples(x0, mu, t, noise, SEEDS))
    start = system.process.start(mu, 60, lambda x: noise)
    with torch.no_grad():
        taught = strategy.teach(start, mu, nodes)
        walk = multistep(
            predictor(system, mu), start, system.process.path(mu), times_from(nodes), torch.randn_like, order=1
        )
        *_, end = walk
    assert max(taught) < 60 and 30 in taught
    missed = float((end - taught[0]).square().mean().sqrt())
    assert strategy.facts["end"] == pytest.approx(missed, rel=1e-4) and missed > 0


def test_one_network_is_the_student_of_each_number_of_steps() -> None:
    """Batches differ in how often the network is asked with a gradient: as often as one of the students asks."""
    system = tiny()
    _, mu, _, noise = batch()
    strategy = Distill(system, DistillConfig(steps=(1, 2, 4), teacher_steps=4))
    strategy.prepare(system, mu, noise, lambda values: values)
    asked: list[int] = []
    system.network.register_forward_hook(lambda *_: asked.append(1))
    counts = []
    for seed in range(12):
        asked.clear()
        strategy(system, samples(*batch(), SEEDS + seed))
        counts.append(len(asked))
    assert set(counts) == {1, 2, 4}


def test_a_trained_student_is_sampled_where_it_was_trained() -> None:
    """The checkpoint's sampler has the nodes that training chose, for each number of steps; so has a resumed run's."""
    settings = replace(config("distill", steps=[1, 2, 4], teacher_steps=4), steps=1)
    model = {**settings.model, "sampling": {"sampler": "ode-1", "steps": 2}}
    trainer = Trainer(replace(settings, model=model), Ranks(torch.device("cpu")))
    next(trainer.train(Photos(), workers=1))  # type: ignore[arg-type]
    students = trainer.objective.students
    assert [*students] == [1, 2, 4] and all(len(nodes) == count for count, nodes in students.items())
    resumed = Trainer(replace(settings, model=model), Ranks(torch.device("cpu")))
    resumed.load_state(trainer.state())
    for kept in (trainer.kept, resumed.kept):
        for count, nodes in students.items():
            assert kept.resolve(Sampling(steps=count)).nodes == nodes
        assert kept.resolve(Sampling()).nodes == students[2]
        assert kept.resolve(Sampling(steps=3)).nodes is None
        assert kept.resolve(Sampling(sampler="posterior", steps=2)).nodes is None


def test_consistency_agrees_with_the_teacher_at_the_end() -> None:
    """With one node the student is its teacher, and has nothing to learn; with more, and the truth, it learns."""
    system = tiny()
    strategy = Consistency(system, ConsistencyConfig(steps=1))
    x0, mu, t, noise = batch()
    assert float(strategy(system, samples(x0, mu, t, noise, SEEDS)).detach().abs().max()) < 1e-4
    moved = Consistency(system, ConsistencyConfig(steps=10, truth_weight=1.0))
    optimiser = torch.optim.Adam(system.parameters(), 1e-3)
    losses = []
    for step in range(40):
        optimiser.zero_grad()
        loss = moved(system, samples(x0, mu, t, noise, SEEDS + step % 4)).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


class Photos:
    def sample(self, crop: int, generator: torch.Generator) -> Batch:
        x0, mu, *_ = batch(1, seed=int(torch.randint(4, (), generator=generator)))
        return Batch(x0, Observation(mu))


def config(objective: str, **options: Any) -> TrainConfig:
    model = {"network": {"name": "pocket-unet", "options": dict(NETWORK.options)}, "process": {"prediction": "clean"}}
    return TrainConfig(
        task="denoise", model=model, degradation=DegradationConfig("gaussian-noise"), objective=objective,
        objective_options=options, steps=4, crop=16, batch_size=2, warm_up=1, accumulate=2,
    )  # fmt: skip


@pytest.mark.parametrize("system", rows(["mean-reverting", "flux-ir"]))
@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("reinforce", {"steps": 4, "paths": 2}),
        ("distill", {"steps": [1, 2], "teacher_steps": 4}),
        ("consistency", {"steps": 4}),
    ],
)
def test_a_resumed_run_is_the_unbroken_one(objective: str, options: dict[str, Any], system: str) -> None:
    """A strategy's copies and count are part of a run's state."""
    settings = config(objective, **options)
    if system == "flux-ir":
        settings = replace(settings, system=system, model=to_mapping(build(system).config))

    def run(trainer: Trainer, steps: int) -> list[float]:
        found = []
        for step in trainer.train(Photos(), workers=1):  # type: ignore[arg-type]
            found.append(step.loss)
            if len(found) == steps:
                break
        return found

    whole = Trainer(settings, Ranks(torch.device("cpu")))
    losses = run(whole, 4)
    broken = Trainer(settings, Ranks(torch.device("cpu")))
    begun = run(broken, 2)
    other = Trainer(settings, Ranks(torch.device("cpu")))
    other.load_state(broken.state())
    assert begun + run(other, 2) == losses


def student(system: Diffusion, nodes: tuple[int, ...]) -> Distill:
    strategy = Distill(system, DistillConfig(steps=(len(nodes),), teacher_steps=8, truth_weight=0.0))
    strategy.set_extra_state([list(nodes)])
    return strategy


STRATEGIES: list[tuple[Callable[[Diffusion], Trajectory], str]] = [
    (lambda system: Reinforce(system, ReinforceConfig(steps=3, paths=3, base_weight=0.0, refresh=5)), "reward"),
    (lambda system: Reinforce(system, ReinforceConfig(steps=3, paths=2, refresh=5, rollout="path")), "reward"),
    (lambda system: student(system, (100, 40)), "end"),
    (lambda system: Consistency(system, ConsistencyConfig(steps=4, truth_weight=1.0)), ""),
]


@needs_diffusers
@pytest.mark.parametrize(("strategy", "figure"), STRATEGIES, ids=["step", "path", "distill", "consistency"])
def test_strategies_teach_a_latent_flow(strategy: Callable[[Diffusion], Trajectory], figure: str) -> None:
    """FLUX's ControlNet learns and nothing else does; the reward is that of the decoded picture."""
    system = build("flux-ir")
    assert isinstance(system, FluxRestorer)
    system.learnt.requires_grad_(True)
    frozen = {name: tensor.clone() for name, tensor in system.state_dict().items() if ".controlnet." not in name}
    before = [parameter.detach().clone() for parameter in system.learnt.parameters()]
    clean, degraded, t, _ = batch()
    x0, mu = system.endpoints(clean, Observation(degraded))
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    teaches = strategy(system)
    optimiser = torch.optim.Adam(system.learnt.parameters(), 3e-3)
    figures, losses = [], []
    for step in range(12):
        optimiser.zero_grad()
        loss = teaches(system, samples(x0, mu, t, noise, SEEDS + 3 * (step % 4))).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        figures.append(teaches.facts.get(figure, -losses[-1]))
    assert all(map(math.isfinite, losses))
    gained = sum(figures[-4:]) - sum(figures[:4])
    assert gained < 0 if figure == "end" else gained > 0
    assert all(torch.equal(system.state_dict()[name], tensor) for name, tensor in frozen.items())
    assert all(p.grad is None for name, p in system.named_parameters() if ".controlnet." not in name)
    moved = [not torch.equal(p, old) for p, old in zip(system.learnt.parameters(), before, strict=True)]
    assert sum(moved) > 0.8 * len(moved)  # what the last block says of the text goes nowhere
    if figure == "reward":
        start = system.process.start(mu, 100, lambda x: noise)
        nodes = Reinforce(system, ReinforceConfig(steps=3, paths=0)).nodes
        with torch.no_grad():
            teaches(system, samples(x0, mu, t, noise, SEEDS))
            explorer = teaches.reference.system
            *_, end = multistep(
                predictor(explorer, mu), start, system.process.path(mu), times_from(nodes), torch.randn_like, order=1
            )
            error = (explorer.picture(end) - explorer.picture(x0)).square().flatten(1).mean(1)
        assert teaches.facts["reward"] == pytest.approx(float((-10 * error.log10()).mean()), rel=1e-4)


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        ("clean-matching", {"paths": 2}, "has no settings"),
        ("reinforce", {"pats": 2}, "pats"),
        ("reinforce", {"eta_min": 2.0}, "eta must rise"),
        ("reinforce", {"nodes": [10, 20, 5]}, "nodes must fall"),
        ("reinforce", {"perceptual_weight": 1.0}, "needs the weights of LPIPS"),
        ("distill", {"steps": [0]}, "must be numbers from 1"),
        ("consistency", {"decay": 1.0}, "'decay'"),
    ],
)
def test_bad_settings(objective: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Trainer(config(objective, **options), Ranks(torch.device("cpu")))


@pytest.mark.parametrize("system", ["denoising", "latent"])
@pytest.mark.parametrize("objective", ["reinforce", "distill", "consistency"])
def test_systems_without_such_paths_are_refused(system: str, objective: str) -> None:
    """The Denoising-SDE learns around the clean image, and latents are no pixels."""
    network = {"name": "unet", "options": {"nf": 8, "depth": 2, "conditional": False}}
    model: dict[str, Any] = {"network": network}
    if system == "latent":
        inner = {"img_channel": 4, "width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1]}
        outer = {"ch": 8, "ch_mult": [1, 2], "embed_dim": 4}
        model = {
            "network": {"name": "nafnet", "options": inner},
            "autoencoder": {"name": "latent-unet", "options": outer},
        }
    with pytest.raises(UsageError, match=f"needs a system that samples as it learns, not '{system}'"):
        Trainer(replace(config(objective), system=system, model=model), Ranks(torch.device("cpu")))
