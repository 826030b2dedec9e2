"""What is compared: weights that restore, folders of pictures that some tool made, and classical methods."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from irsde_cli.datasets.pairing import Pair, find_masks, pair_results
from irsde_cli.engine.loading import load
from irsde_cli.engine.restoration import Draws, Restoration
from irsde_cli.engine.settings import Engine, Settings
from irsde_cli.errors import InputError
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.images.maps import read_map
from irsde_cli.needs import Need, need
from irsde_cli.observation import Observation
from irsde_cli.operators.operator import Operator
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import find_weights
from irsde_cli.workflows.evaluate import baselines
from irsde_cli.workflows.evaluate.options import Contender
from irsde_cli.workflows.evaluate.pairs import Loaded, shown_of, sizes

MOST_HIDDEN = 0.01  # of the pixels, that a result may hide: alpha that was resized differs along its edges


@dataclass(frozen=True, eq=False)
class _Subject:
    """A degraded picture as a batch takes it."""

    name: str
    key: bytes
    observation: Observation
    maps: Mapping[str, Tensor]
    need: Need | None = None

    @property
    def size(self) -> tuple[int, int]:
        return (self.observation.image.shape[-2], self.observation.image.shape[-1])

    @property
    def flat(self) -> bool:
        return bool(self.observation.image.max() == self.observation.image.min())

    @property
    def known(self) -> Tensor | None:
        return None if self.observation.known is None else self.observation.known[0, 0]

    @property
    def operator(self) -> Operator | None:
        return self.observation.operator

    @property
    def noise_std(self) -> float | None:
        return self.observation.noise_std

    def degraded(self) -> Tensor:
        return self.observation.image[0]


class Made(NamedTuple):
    """What a contender made of a picture.

    Attributes:
        image: the restored picture (1, 3, H, W), on the CPU.
        draws: all of its draws together, where there are several.
        half: (H, W), half the width of the interval around the picture, where its weights are calibrated.
    """

    image: Tensor
    draws: Draws | None = None
    half: Tensor | None = None


class Ready(ABC):
    """A contender that is ready to give pictures.

    Attributes:
        contender: what was asked for.
        facts: what must be known to have the same figures again.
        scale: how many times larger it makes pictures; `None` where that is not known beforehand.
        made_here: whether its pictures are no files yet, so that they take time and can be saved.
        single: whether its pictures are of one evaluation of a network.
    """

    made_here = True
    single = False
    scale: int | None = None

    def __init__(self, contender: Contender, facts: dict[str, Any]) -> None:
        self.contender = contender
        self.facts = facts

    @property
    def how(self) -> str:
        """What made the pictures, in words; empty where nobody knows."""
        return ""

    @abstractmethod
    def __call__(self, loaded: Loaded) -> Made:
        """The restored picture.

        Raises:
            InputError: there is none.
            StoppedError: the run was asked to stop.
        """


class Given(Ready):
    """Pictures that another tool made."""

    made_here = False

    def __init__(self, contender: Contender, folder: Path, pairs: Sequence[Pair]) -> None:
        renamed = {"pairs": contender.pairs} if contender.pairs != "{stem}" else {}
        super().__init__(contender, {"from": str(folder)} | renamed)
        self.folder = folder
        self.files = pair_results(folder, [pair.key for pair in pairs], contender.pairs)

    def __call__(self, loaded: Loaded) -> Made:
        """See `Ready.__call__`."""
        if loaded.pair.key not in self.files:
            raise InputError(
                f"'{self.folder}' has no picture of that name.", hint="--from-pairs says how names differ."
            )
        path = self.files[loaded.pair.key]
        picture = read_picture(path, path.name)
        shown = shown_of(picture)
        if shown is not None and shown.shape[-2:] == loaded.clean.shape[-2:]:
            hidden = ~shown if loaded.shown is None else loaded.shown & ~shown
            if hidden.float().mean() > MOST_HIDDEN:
                raise InputError("it is transparent where the clean picture is not.")
        return Made(to_tensor(picture)[None])


class Classical(Ready):
    """A method that learnt nothing.

    Raises:
        MissingError: its library is not installed.
    """

    def __init__(self, contender: Contender) -> None:
        self.source = baselines.BASELINES[contender.baseline].source
        super().__init__(contender, {"baseline": contender.baseline, "source": self.source})
        self.restore = baselines.load(contender.baseline)

    @property
    def how(self) -> str:
        """See `Ready.how`."""
        return self.source

    def __call__(self, loaded: Loaded) -> Made:
        """See `Ready.__call__`."""
        image = self.restore(loaded.observation, (loaded.clean.shape[-2], loaded.clean.shape[-1]))
        return Made(kept(image, loaded))


class Learnt(Ready):
    """Weights.

    Raises:
        WeightsError: they cannot be loaded.
    """

    def __init__(
        self,
        contender: Contender,
        task: str,
        device: torch.device,
        dtype: torch.dtype | None,
        seed: int,
        stopped: Callable[[], bool],
        pairs: Sequence[Pair],
        draws: int = 1,
        told: tuple[str, int] | None = None,
        engine: Engine = "torch",
    ) -> None:
        self.task = task
        weights = find_weights(
            contender.model, task, sampled=contender.sampling.is_sampled, prior=contender.sampling.prior
        )
        loaded = load(weights, task, contender.sampling, told)
        if not loaded.restorer.takes_sampler:  # of its ways, strength counts, and draws and realism where it draws
            realism = contender.sampling.realism if loaded.restorer.takes_realism else None
            asked = Sampling(strength=contender.sampling.strength, realism=realism)
            count = contender.draws if loaded.restorer.draws else 1
            way = contender.way if asked != Sampling() or count > 1 else ""
            contender = Contender(contender.name, way, contender.model, sampling=asked, draws=count)
        estimate: Literal["sample", "mean"] = "mean" if contender.draws > 1 else "sample"
        samples = contender.draws if contender.draws > 1 else draws if loaded.restorer.draws else 1
        around: Literal["result", "mean"] = "mean" if estimate == "mean" else "result"
        known = loaded.header.interval(around) is not None and (samples == 1 or estimate == "mean")
        usual = replace(contender.sampling, strength=None).is_usual
        spread = samples > 1 or (known and usual)
        settings = Settings(contender.sampling, seed, samples=samples, estimate=estimate, spread=spread, engine=engine)
        self.restoration = Restoration(loaded, settings, device, dtype)
        self.restoration.stopped = stopped
        self.scale = loaded.restorer.scale
        sampling = self.restoration.sampling
        facts = {
            "weights": weights.name,
            "sha256": loaded.sha256,
            "sampler": sampling.sampler,
            "steps": sampling.steps,
            "nodes": sampling.nodes,
            "draws": contender.draws,
            "realism": str(sampling.realism) if "realism" in sampling.maps else sampling.realism,
            "strength": str(sampling.strength) if "strength" in sampling.maps else sampling.strength,
            **({"choices": sampling.choices} if sampling.choices else {}),
        }
        super().__init__(contender, facts)
        self.single = sampling.sampler == "one-pass"
        self.maps = {name: find_masks(place, pairs) for name, place in sampling.maps.items()}

    @property
    def how(self) -> str:
        """See `Ready.how`."""
        steps, draws = self.facts["steps"], self.contender.draws
        mean = f", mean of {draws} draws" if draws > 1 else ""
        weights = f"{self.facts['weights']} (SHA-256 {self.facts['sha256'][:12]})"
        return f"{weights}, {self.facts['sampler']}, {steps} step{'s' * (steps != 1)}{mean}"

    def __call__(self, loaded: Loaded) -> Made:
        """See `Ready.__call__`."""
        height, width = loaded.degraded.shape[-2:]
        scale = self.restoration.restorer.scale
        if (height * scale, width * scale) != tuple(loaded.clean.shape[-2:]):
            raise InputError(sizes(loaded.degraded, loaded.clean, scale))
        pair, maps = loaded.pair, {}
        for name, places in self.maps.items():
            if pair.key not in places:
                raise InputError(f"it has no map of {name}.", hint="Maps have the pictures' names.")
            maps[name] = torch.from_numpy(read_map(places[pair.key], pair.key, (height, width)))
        judged = self.contender.sampling.is_judged
        needed = need(self.task, loaded.observation.image[0]) if judged else None
        subject = _Subject(pair.key, os.fsencode(pair.key + pair.degraded.suffix), loaded.observation, maps, needed)
        *_, outputs = self.restoration.sample([subject])
        assert isinstance(outputs, list), "the last thing that a batch yields is its outputs"
        output = outputs[0]
        return Made(kept(output.images[""][None], loaded), output.draws, output.half)


def kept(image: Tensor, loaded: Loaded) -> Tensor:
    """The image, with what is known of it as it was."""
    return image if loaded.known is None else torch.where(loaded.known, loaded.degraded, image)
