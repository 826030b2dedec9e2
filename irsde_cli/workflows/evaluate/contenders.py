"""What is compared: weights that restore, or folders of pictures that some tool made."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from irsde_cli.datasets.pairing import Pair, find_masks, pair_results
from irsde_cli.engine.loading import load
from irsde_cli.engine.restoration import Draws, Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.errors import InputError
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.images.maps import read_map
from irsde_cli.observation import Observation
from irsde_cli.operators.operator import Operator
from irsde_cli.samplers.settings import Sampling
from irsde_cli.weights import find_weights
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


class Restored:
    """A contender that is ready to give pictures."""

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
    ) -> None:
        self.contender = contender
        self.facts: dict[str, Any] = {"from": str(contender.folder)}
        self.scale: int | None = None
        if contender.folder is not None:
            self.files = pair_results(contender.folder, [pair.key for pair in pairs], contender.pairs)
            self.facts |= {"pairs": contender.pairs} if contender.pairs != "{stem}" else {}
            return
        weights = find_weights(
            contender.model, task, sampled=contender.sampling.is_sampled, prior=contender.sampling.prior
        )
        loaded = load(weights, task, contender.sampling, told)
        if not loaded.restorer.takes_sampler:  # of its ways, strength counts, and draws and realism where it draws
            realism = contender.sampling.realism if loaded.restorer.takes_realism else None
            asked = Sampling(strength=contender.sampling.strength, realism=realism)
            count = contender.draws if loaded.restorer.draws else 1
            way = contender.way if asked != Sampling() or count > 1 else ""
            self.contender = contender = Contender(contender.name, way, contender.model, sampling=asked, draws=count)
        estimate: Literal["sample", "mean"] = "mean" if contender.draws > 1 else "sample"
        samples = contender.draws if contender.draws > 1 else draws if loaded.restorer.draws else 1
        settings = Settings(contender.sampling, seed, samples=samples, estimate=estimate, spread=samples > 1)
        self.restoration = Restoration(loaded, settings, device, dtype)
        self.restoration.stopped = stopped
        self.scale = loaded.restorer.scale
        sampling = self.restoration.sampling
        self.facts = {
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
        self.maps = {name: find_masks(place, pairs) for name, place in sampling.maps.items()}

    @property
    def is_folder(self) -> bool:
        """Whether its pictures are files of another tool."""
        return self.contender.folder is not None

    def __call__(self, loaded: Loaded) -> tuple[Tensor, Draws | None]:
        """The restored picture (1, 3, H, W) on the CPU, and all of its draws together if there are several.

        Raises:
            InputError: there is none.
            StoppedError: the run was asked to stop.
        """
        if self.contender.folder is not None:
            return self._read(loaded), None
        height, width = loaded.degraded.shape[-2:]
        scale = self.restoration.restorer.scale
        if (height * scale, width * scale) != tuple(loaded.clean.shape[-2:]):
            raise InputError(sizes(loaded.degraded, loaded.clean, scale))
        pair, maps = loaded.pair, {}
        for name, places in self.maps.items():
            if pair.key not in places:
                raise InputError(f"it has no map of {name}.", hint="Maps have the pictures' names.")
            maps[name] = torch.from_numpy(read_map(places[pair.key], pair.key, (height, width)))
        subject = _Subject(pair.key, os.fsencode(pair.key + pair.degraded.suffix), loaded.observation, maps)
        *_, outputs = self.restoration.sample([subject])
        assert isinstance(outputs, list), "the last thing that a batch yields is its outputs"
        image = outputs[0].images[""][None]
        whole = image if loaded.known is None else torch.where(loaded.known, loaded.degraded, image)
        return whole, outputs[0].draws

    def _read(self, loaded: Loaded) -> Tensor:
        if loaded.pair.key not in self.files:
            raise InputError(
                f"'{self.contender.folder}' has no picture of that name.", hint="--from-pairs says how names differ."
            )
        path = self.files[loaded.pair.key]
        picture = read_picture(path, path.name)
        shown = shown_of(picture)
        if shown is not None and shown.shape[-2:] == loaded.clean.shape[-2:]:
            hidden = ~shown if loaded.shown is None else loaded.shown & ~shown
            if hidden.float().mean() > MOST_HIDDEN:
                raise InputError("it is transparent where the clean picture is not.")
        return to_tensor(picture)[None]
