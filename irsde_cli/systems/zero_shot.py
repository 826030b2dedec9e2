"""Zero-shot restoration: a system that takes out noise is the prior, and the damage is known.

Nothing is trained for the task. What the operator is, the settings say, or whoever made the damage.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from irsde_cli.config import assignment, from_mapping, put, to_mapping
from irsde_cli.errors import UsageError
from irsde_cli.inverse import DEFAULT, METHODS, build_method
from irsde_cli.inverse.method import Problem
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import ToldMapper
from irsde_cli.networks.tiling import Evaluate, whole
from irsde_cli.observation import Observation
from irsde_cli.operators import OPERATORS, OperatorConfig, build_recipe
from irsde_cli.operators.blur import Blur
from irsde_cli.operators.operator import Operator
from irsde_cli.randomness import RandnLike
from irsde_cli.registry import unknown_name
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.digests import sha256
from irsde_cli.systems.noise import estimate_noise
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.systems.parts import check_strength

USUAL_NOISE = 1.0  # of 255, where it cannot be told from the picture
LEAST_NOISE = 0.25
SPECTRUM_BYTES = 600  # for each pixel of the restored image
CELL = 4  # pixels, of which means are looked at: noise is a quarter there, and what a wrong kernel leaves is as large
MIDDLE = 512  # pixels of each side that are looked at
MISFIT = 3.0  # times what noise explains: see docs/zero-shot.md


@dataclass(frozen=True)
class ZeroShotConfig:
    """What is known of the damage, and how the method goes about it.

    Attributes:
        prior: the weights that know what photographs look like; whoever loads them reads it.
        operator: the damage; a table with the key `name`, or without it for that of the task.
        noise: standard deviation of the noise, of 255; if not given it is estimated where the damage is a blur or
            noise alone, and taken for 1 elsewhere.
        method: settings of the method.
    """

    prior: str = ""
    operator: dict[str, Any] = field(default_factory=dict)
    noise: float | None = None
    method: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.noise is not None and not 0 <= self.noise <= 255:
            raise ValueError(f"the noise lies between 0 and 255, and is not {self.noise:g}")


def read_choices(choices: Iterable[str], usual: tuple[str, dict[str, Any]] | None) -> ZeroShotConfig:
    """The settings that a command line gives as KEY=VALUE, over the usual operator of the task.

    Raises:
        UsageError: a key is unknown, or has a value that it cannot have.
    """
    values: dict[str, Any] = {}
    for text in choices:
        put(values, *assignment(text, "noise=2"))
    for key in ("operator", "method"):
        if not isinstance(values.get(key, {}), dict):
            raise UsageError(f"'--set {key}' is a table.", hint=f"Like --set {key}.name=...")
    config = from_mapping(ZeroShotConfig, values, "'--set'")
    name, options = usual or ("", {})
    asked = dict(config.operator)
    chosen = asked.pop("name", name)
    if not isinstance(chosen, str) or chosen not in OPERATORS:
        if chosen:
            raise unknown_name("operator", str(chosen), OPERATORS)
        raise UsageError("what is known of the damage?", hint=f"--set operator.name=, one of {', '.join(OPERATORS)}.")
    return replace(config, operator={"name": chosen, **(options if chosen == name else {}), **asked})


class ZeroShot(Restorer):
    """A method, an operator and a prior.

    Args:
        config: what is known; its operator has a name.
        prior: a restorer that takes out noise of any level.
        scale: of the damage, where it is told with each image; the operator's own if not given.
        own: whether the settings' operator counts, even for an image that comes with its own.
    """

    config: ZeroShotConfig
    max_batch = 1
    takes_sampler = True

    def __init__(self, config: ZeroShotConfig, prior: Restorer, scale: int | None = None, own: bool = False) -> None:
        super().__init__()
        if prior.largest_noise <= 0:
            raise UsageError(
                "these weights cannot be the prior of zero-shot restoration: they cannot be told of white noise.",
                hint="Those of --model zero-shot without '--set prior' can.",
            )
        self.config = config
        self.prior = prior
        told = isinstance(prior, OnePass) and isinstance(prior.network, ToldMapper)
        self.evaluated = () if told else tuple(f"prior.{name}" for name in prior.evaluated)
        options = dict(config.operator)
        self.recipe = build_recipe(OperatorConfig(options.pop("name"), options))
        self.whole_bytes = SPECTRUM_BYTES * (scale or self.recipe.scale) ** 2
        self._scale = scale or self.recipe.scale
        self._told = scale is not None
        self._own = own
        self._operators: dict[Any, Operator] = {}
        self._draws = build_method(DEFAULT, {}).draws
        self._doubts: list[str] = []

    @property
    def facts(self) -> Facts:
        """See `Restorer.facts`: the prior's, on the canvas of the restored image."""
        return replace(self.prior.facts, scale=self._scale)

    @property
    def draws(self) -> bool:
        """See `Restorer.draws`: what the method last asked for does."""
        return self._draws

    @property
    def doubts(self) -> list[str]:
        """See `Restorer.doubts`: the kernel does not fit."""
        return self._doubts

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`; the sampler is the method."""
        name = asked.sampler or DEFAULT
        if name not in METHODS:
            raise UsageError(
                f"zero-shot restoration has no sampler '{name}'.", hint=f"Its methods: {', '.join(METHODS)}."
            )
        for setting in ("nodes", "eta", "realism", "clip"):
            if getattr(asked, setting) is not None:
                raise UsageError(
                    f"--{setting} means nothing to zero-shot restoration.", hint="--set method.KEY=VALUE is for that."
                )
        check_strength(asked)
        method = build_method(name, self.config.method)
        if not self._told:
            self.recipe.check()
            method.check(self.recipe)
        steps = method.usual(sparse=self.recipe.sparse(self._scale)) if asked.steps is None else asked.steps
        if steps < method.each or steps % method.each:
            raise UsageError(
                f"the method '{name}' takes {method.each} evaluations a round: --steps {steps} is no number of rounds."
            )
        level = self.config.noise if asked.noise_level is None else asked.noise_level
        self._draws = method.draws
        known = [f"{key}={value}" for key, value in sorted(_flat(to_mapping(replace(self.config, noise=level))))]
        digests = [f"{path}={_digest(path)}" for path in self.recipe.files]
        return replace(asked, sampler=name, steps=steps, noise_level=level, choices=(*known, *digests))

    def steps(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate = whole
    ) -> Iterator[Tensor]:
        """See `Restorer.steps`; the data step is one of the whole image, whatever its tiles."""
        assert sampling.sampler is not None and sampling.steps is not None, "a resolved Sampling"
        operator = self.operator(observation)
        method = build_method(sampling.sampler, self.config.method)
        method.check(operator)
        problem = Problem(operator.seen(observation.image), operator, self._noise(observation, operator, sampling))
        for state in method.steps(problem, _Prior(self.prior, evaluate), sampling.steps, randn_like):
            yield state
        self._doubts = misfit(problem, state)

    def operator(self, observation: Observation) -> Operator:
        """The operator of an image: as told with it, or by the settings."""
        if observation.operator is not None and not self._own:
            return observation.operator
        height, width = (self._scale * side for side in observation.image.shape[-2:])
        if observation.known is not None:
            return self.recipe.build((height, width), observation.known)
        if (height, width) not in self._operators:
            self._operators = {(height, width): self.recipe.build((height, width))}  # the next image may be as large
        return self._operators[height, width]

    def _noise(self, observation: Observation, operator: Operator, sampling: Sampling) -> float:
        if sampling.noise_level is not None:
            return sampling.noise_level / 255
        if observation.noise_std is not None:
            return observation.noise_std
        if operator.scale == 1 and observation.known is None and operator.alike:
            return max(estimate_noise(observation.image), LEAST_NOISE / 255)
        return USUAL_NOISE / 255


def misfit(problem: Problem, restored: Tensor) -> list[str]:
    """Whether the restored image, blurred again, differs from what was seen by more than noise, in words."""
    blur = problem.operator
    if not isinstance(blur, Blur):
        return []
    sides = [min(side, MIDDLE + 2 * blur.radius) for side in problem.y.shape[-2:]]
    top, left = ((long - side) // 2 for long, side in zip(problem.y.shape[-2:], sides, strict=True))
    seen, image = (one[..., top : top + sides[0], left : left + sides[1]] for one in (problem.y, restored))
    again = Blur(blur.kernels, (sides[0], sides[1]), blur.border).forward(image.to(seen).clamp(0, 1))
    inside = [slice(blur.radius, side - blur.radius) for side in sides]
    missed = (again.clamp(0, 1) - seen)[..., inside[0], inside[1]]
    if min(missed.shape[-2:]) < 4 * CELL:
        return []
    found = 255 * float(F.avg_pool2d(missed, CELL).square().mean().sqrt())
    explained = max(255 * problem.noise_std, USUAL_NOISE) / CELL
    if found <= MISFIT * explained:
        return []
    return [
        f"blurred again it differs from the input by {found:.1f} of 255, where noise explains {explained:.1f}: "
        "the kernel does not fit"
    ]


class _Prior:
    """A `Denoiser`: the prior on the canvas, in tiles where they are asked for."""

    def __init__(self, prior: Restorer, evaluate: Evaluate) -> None:
        self._prior = prior
        self._evaluate = evaluate
        self.largest = prior.largest_noise

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self._prior.denoised(x, min(sigma, self.largest), self._evaluate)


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value not in (None, ""):
            yield f"{above}{key}", value


def _digest(path: Any) -> str:
    try:
        return sha256(path)[:16]
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror or error}.") from None
