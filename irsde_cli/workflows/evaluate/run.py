"""Evaluating as an iterable of events: pairs in, figures out, scored beside the sampler."""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli import checkpoint
from irsde_cli.datasets import get_dataset
from irsde_cli.datasets.dataset import clean_alone, locate, mask_folder
from irsde_cli.datasets.pairing import Pair, Pairing, find_masks, pair_folders, pictures_of
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.degradations.free_form_mask import FreeFormMask
from irsde_cli.errors import InputError, MachineError, UsageError, WeightsError
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.images.holes import cut
from irsde_cli.metrics import OPTIONAL_METRICS, SET_METRICS
from irsde_cli.metrics.inception import Inception
from irsde_cli.metrics.protocols import get_protocol
from irsde_cli.metrics.scoring import Scorer
from irsde_cli.metrics.sets import FEW, FeatureSets
from irsde_cli.metrics.statistics import Mean, bootstrap
from irsde_cli.storage import digests
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.version import __version__
from irsde_cli.weights import find_weights
from irsde_cli.workflows.evaluate.options import (
    INPUT,
    Contender,
    EvaluateOptions,
    Event,
    Planned,
    Problem,
    Result,
    Scored,
)
from irsde_cli.workflows.evaluate.saved import Saved
from irsde_cli.workflows.restore.plan import Options
from irsde_cli.workflows.restore.run import Restoration, StoppedError, explained

BEHIND = 2
KNOWN = "known"


@dataclass(frozen=True)
class _Source:
    """How a pair's pictures come about: files, damage made of the clean one, or holes by a mask."""

    degradation: Degradation | None
    masks: Mapping[str, Path] | None
    seed: int
    scale: int | None


@dataclass(frozen=True)
class _Loaded:
    """A pair in memory; images (1, 3, H, W) in [0, 1], for holes which pixels are known, and whether the clean file has
    one channel.
    """

    pair: Pair
    clean: Tensor
    degraded: Tensor
    known: Tensor | None
    one_channel: bool


@dataclass(frozen=True, eq=False)
class _Subject:
    """A degraded picture as `restore` takes it."""

    name: str
    key: bytes
    image: Tensor

    @property
    def size(self) -> tuple[int, int]:
        return (self.image.shape[-2], self.image.shape[-1])

    @property
    def flat(self) -> bool:
        return bool(self.image.max() == self.image.min())

    def degraded(self) -> Tensor:
        return self.image[0]


class _Restored:
    """A contender that is ready to give pictures."""

    def __init__(
        self,
        contender: Contender,
        task: str,
        device: torch.device,
        dtype: torch.dtype | None,
        seed: int,
        stopped: Callable[[], bool],
    ) -> None:
        self.contender = contender
        self.facts: dict[str, Any] = {"from": str(contender.folder)}
        self.scale: int | None = None
        if contender.folder is not None:
            self.files = pictures_of(contender.folder)
            return
        weights = find_weights(contender.model, task)
        loaded = checkpoint.load(weights.path)
        if not isinstance(loaded.restorer, Diffusion):  # ways of sampling say nothing to one pass
            self.contender = contender = Contender(contender.name, model=contender.model)
        estimate: Literal["sample", "mean"] = "mean" if contender.draws > 1 else "sample"
        options = Options("", None, task, contender.sampling, seed, samples=contender.draws, estimate=estimate)
        self.restoration = Restoration(loaded, options, device, dtype)
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
        }

    def __call__(self, loaded: _Loaded) -> Tensor:
        """The restored picture (1, 3, H, W) on the CPU.

        Raises:
            InputError: there is none.
            StoppedError: the run was asked to stop.
        """
        if self.contender.folder is not None:
            return self._read(loaded.pair)
        height, width = loaded.degraded.shape[-2:]
        scale = self.restoration.restorer.scale
        if (height * scale, width * scale) != tuple(loaded.clean.shape[-2:]):
            raise InputError(_sizes(loaded.degraded, loaded.clean, scale))
        pair = loaded.pair
        subject = _Subject(pair.key, os.fsencode(pair.key + pair.degraded.suffix), loaded.degraded)
        *_, outputs = self.restoration.sample([subject])
        assert isinstance(outputs, list), "the last thing that a batch yields is its outputs"
        image = outputs[0].images[""][None]
        return image if loaded.known is None else torch.where(loaded.known, loaded.degraded, image)

    def _read(self, pair: Pair) -> Tensor:
        if pair.key not in self.files:
            raise InputError(f"'{self.contender.folder}' has no picture of that name.")
        return _tensor(self.files[pair.key])


def evaluate(
    options: EvaluateOptions,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    shown: Callable[[str, dict[str, Tensor]], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Measure; a pair that fails is a `Problem` and the others go on.

    Args:
        options: what is measured.
        device: where; the CPU by default.
        dtype: of the networks.
        shown: is given every pair's pictures by name: `clean`, `input` and each contender's.
        stopped: asked after each pair.

    Raises:
        UsageError: there is nothing to measure, or the data set is incomplete without `partial`.
        WeightsError: a contender's weights cannot be loaded.
    """
    task, pairing, synthetic, expected, folder = _pairing(options)
    masks = None if options.mask is None else find_masks(mask_folder(options.mask, folder), pairing.pairs)
    pairs = pairing.pairs[: options.limit]
    if not pairs:
        raise _nothing(pairing)
    if expected is not None and len(pairing.pairs) < expected and not options.partial:
        raise UsageError(
            f"the data set '{options.dataset}' has {len(pairing.pairs)} of {expected} pairs here.",
            hint="--partial measures those, and says so.",
        )
    name = options.protocol or (get_dataset(options.dataset).protocol if options.dataset else "plain-rgb")
    protocol = get_protocol(name)
    more, sets, lacking = _metrics(options.metrics)
    scorer = Scorer(protocol, options.lpips, more)
    degradation = build_degradation(synthetic) if synthetic is not None else None
    where = device or torch.device("cpu")
    built = (_Restored(contender, task, where, dtype, options.seed, stopped) for contender in options.contenders)
    contenders = list({one.contender.label: one for one in built}.values())
    made_here = [INPUT, KNOWN, *(one.contender.label for one in contenders if one.contender.folder is None)]
    saved = None if options.save is None else Saved(options.save, made_here)
    whole_set = expected is None or (len(pairs) == expected)
    facts: dict[str, Any] = {
        "dataset": options.dataset,
        "clean": None if options.clean is None else str(options.clean),
        "task": task,
        "protocol": name,
        "protocol_says": protocol.caption,
        "degradation": None if synthetic is None else {"name": synthetic.name, "options": synthetic.options},
        "mask": options.mask,
        "pairs": len(pairs),
        "of": expected,
        "seed": options.seed,
        "version": __version__,
        "device": str(where),
        "precision": str(dtype or torch.float32).removeprefix("torch."),
        "lpips": None if options.lpips is None else digests.sha256(options.lpips),
        "contenders": {one.contender.label: one.facts for one in contenders},
    }
    count = f"{len(pairs)} pair{'s' * (len(pairs) != 1)}" if whole_set else f"{len(pairs)} of {expected} pairs"
    made = "" if synthetic is None else f"{synthetic.name} {_settings(synthetic) or 'with its defaults'}, "
    made += "" if options.mask is None else f"masks {options.mask}, "
    title = options.dataset or "folders"
    measured = f"protocol {name} ({protocol.caption})"
    measured += "" if scorer.lpips is None else f", LPIPS 0.1 on {scorer.lpips.backbone}"
    measured += (
        "" if sets is None else f", {_named(sets.metrics)} on Inception v3 (TensorFlow's of 2015, 299 x 299, 8-bit)"
    )
    caption = f"{title}, {count}, {made}{measured}, seed {options.seed}, irsde {__version__}, {where}"
    yield Planned(len(pairs), expected, caption, facts)
    yield from lacking
    for path in (*pairing.clean_alone, *pairing.degraded_alone):
        yield Problem(str(path), "it has no partner.")
    scored: list[Scored] = []
    scale = next((one.scale for one in contenders if one.scale is not None), None)
    source = _Source(degradation, masks, options.seed, scale)
    measure = _Measure(scorer, sets, saved)
    with sets or nullcontext():
        for event in _score_all(pairs, contenders, measure, source, shown, stopped):
            if isinstance(event, Scored):
                scored.append(event)
            yield event
        result = summarise(scored, [INPUT, *(one.contender.label for one in contenders)])
        result = replace(result, notes=_ways(contenders, facts["precision"]))
        yield result if sets is None else _with_sets(result, sets)


def _nothing(pairing: Pairing) -> UsageError:
    sides = [("clean", pairing.clean_alone), ("degraded", pairing.degraded_alone)]
    files = " and ".join(
        f"{len(paths)} {side} pictures" + (f" like '{paths[0].name}'" if paths else "") for side, paths in sides
    )
    return UsageError(
        f"there are no pairs to measure: {files}.", hint="Names must agree but for the suffix; else see --pairs."
    )


def summarise(scored: list[Scored], labels: list[str]) -> Result:
    """Means of each column, and differences from the first contender, which is the second label."""
    means: dict[str, dict[str, Mean]] = {}
    for label in labels:
        columns = sorted({name for row in scored for name in row.figures.get(label, {})})
        means[label] = {name: bootstrap(_column(scored, label, name)) for name in columns}
    first = labels[1] if len(labels) > 1 else labels[0]
    differences = {
        label: {name: bootstrap(_differences(scored, label, first, name)) for name in means[label]}
        for label in labels
        if label not in (first, INPUT)
    }
    return Result(means, differences)


def _metrics(names: Sequence[str]) -> tuple[dict[str, nn.Module], FeatureSets | None, list[Problem]]:
    """Metrics of other packages; without what one of them needs the other figures are still taken."""
    more: dict[str, nn.Module] = {}
    lacking: list[Problem] = []
    for name in names:
        if name in OPTIONAL_METRICS:
            try:
                more[name] = OPTIONAL_METRICS.load(name)()
            except (MachineError, WeightsError) as error:
                lacking.append(Problem(name, f"{error.message} {error.hint}"))
    of_sets = [name for name in names if name in SET_METRICS]
    try:
        return more, FeatureSets(Inception(), of_sets) if of_sets else None, lacking
    except (MachineError, WeightsError) as error:
        return more, None, [*lacking, *(Problem(name, f"{error.message} {error.hint}") for name in of_sets)]


def _with_sets(result: Result, sets: FeatureSets) -> Result:
    found = {
        label: {name: Mean(value, None, None, sets.counts[label]) for name, value in figures.items()}
        for label, figures in sets.measure().items()
    }
    means = {label: row | found.get(label, {}) for label, row in result.means.items()}
    count = min(sets.counts.values(), default=0)
    few = f"{_named(sets.metrics)} of {count} pictures: below {FEW} not to be compared with those of other sets."
    return replace(result, means=means, notes=(*result.notes, *([few] if count < FEW else [])))


def _ways(contenders: list[_Restored], precision: str) -> tuple[str, ...]:
    """Which weights gave what, and how, for who wants the same figures again."""
    ways = []
    for one in contenders:
        if one.contender.folder is None:
            weights, sha256, sampler = (one.facts[name] for name in ("weights", "sha256", "sampler"))
            steps = f"{one.facts['steps']} step{'s' * (one.facts['steps'] != 1)}"
            mean = f", mean of {one.contender.draws} draws" if one.contender.draws > 1 else ""
            ways.append(f"{one.contender.label}: {weights} (SHA-256 {sha256[:12]}), {sampler}, {steps}{mean}")
    return (f"{'; '.join(ways)}; {precision}.",) if ways else ()


def _named(metrics: Sequence[str]) -> str:
    return " and ".join(name.upper() for name in metrics)


def _column(scored: list[Scored], label: str, name: str) -> list[float]:
    values = (row.figures.get(label, {}).get(name) for row in scored)
    return [value for value in values if value is not None]


def _differences(scored: list[Scored], label: str, first: str, name: str) -> list[float]:
    found = []
    for row in scored:
        one, other = row.figures.get(label, {}).get(name), row.figures.get(first, {}).get(name)
        if one is not None and other is not None and math.isfinite(one) and math.isfinite(other):
            found.append(one - other)
    return found


def _score_all(
    pairs: tuple[Pair, ...],
    contenders: list[_Restored],
    measure: "_Measure",
    source: _Source,
    shown: Callable[[str, dict[str, Tensor]], None] | None,
    stopped: Callable[[], bool],
) -> Iterator[Scored | Problem]:
    """Read one pair ahead, restore, and score in a thread beside; results come in order."""
    behind: deque[tuple[str, Future[Scored]]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "score") as thread:
        load = [reader.submit(_load, pair, index, source) for index, pair in enumerate(pairs[:1])]
        for index, pair in enumerate(pairs):
            future = load.pop()
            if index + 1 < len(pairs):
                load.append(reader.submit(_load, pairs[index + 1], index + 1, source))
            try:
                with explained():
                    loaded = future.result()
            except InputError as error:
                yield Problem(pair.key, error.message)
                continue
            images: dict[str, Tensor] = {INPUT: _enlarged(loaded)}
            seconds: dict[str, float] = {}
            for one in contenders:
                since = time.perf_counter()
                try:
                    with explained():
                        image = one(loaded)
                    if image.shape != loaded.clean.shape:
                        raise InputError(_sizes(image, loaded.clean, 1))
                except InputError as error:
                    yield Problem(pair.key, f"{one.contender.label}: {error.message}")
                    continue
                except StoppedError:
                    break
                seconds[one.contender.label] = time.perf_counter() - since
                images[one.contender.label] = image
            if stopped():
                break
            behind.append((pair.key, thread.submit(measure, loaded, images, seconds)))
            if shown is not None:
                shown(pair.key, {"clean": loaded.clean, **images})
            while len(behind) > BEHIND:
                yield _finished(*behind.popleft())
        while behind:
            yield _finished(*behind.popleft())


def _finished(key: str, future: Future[Scored]) -> Scored | Problem:
    try:
        with explained():
            return future.result()
    except InputError as error:
        return Problem(key, f"cannot be measured: {error.message}")


@dataclass(frozen=True)
class _Measure:
    """What is done with a pair's pictures beside the sampler."""

    scorer: Scorer
    sets: FeatureSets | None
    saved: Saved | None

    def __call__(self, loaded: _Loaded, images: dict[str, Tensor], seconds: dict[str, float]) -> Scored:
        figures = {
            label: self.scorer.score(image, loaded.clean, loaded.known, one_channel=loaded.one_channel)
            for label, image in images.items()
        }
        if self.sets is not None:
            self.sets.add(images, loaded.clean)
        if self.saved is not None:
            for label, image in images.items():
                self.saved.write(loaded.pair.key, label, loaded.degraded if label == INPUT else image)
            if loaded.known is not None:
                self.saved.write(loaded.pair.key, KNOWN, loaded.known.float().expand_as(loaded.clean))
        return Scored(loaded.pair.key, figures, seconds)


def _load(pair: Pair, index: int, source: _Source) -> _Loaded:
    """The pair's pictures; the clean one loses what is beyond a multiple of the scale."""
    picture, degradation = read_picture(pair.clean, pair.clean.name), source.degradation
    clean = to_tensor(picture)[None]
    if degradation is None:
        degraded = _tensor(pair.degraded)
        if source.masks is not None:
            known = _known(pair, degraded, source.masks)
            return _Loaded(pair, clean, cut(degraded, known), known, picture.grey)
        for factor in filter(None, (source.scale, round(clean.shape[-1] / degraded.shape[-1]))):
            height, width = (size // factor * factor for size in clean.shape[-2:])
            if (degraded.shape[-2] * factor, degraded.shape[-1] * factor) == (height, width):
                return _Loaded(pair, clean[..., :height, :width], degraded, None, picture.grey)
        raise InputError(_sizes(degraded, clean, source.scale or 1))
    height, width = (size // degradation.scale * degradation.scale for size in clean.shape[-2:])
    clean = clean[..., :height, :width]

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(source.seed * 1000003 + index)

    holes = degradation.masks(1, height, width, generator()) if isinstance(degradation, FreeFormMask) else None
    return _Loaded(pair, clean, degradation.apply(clean, generator()), holes, picture.grey)


def _known(pair: Pair, degraded: Tensor, masks: Mapping[str, Path]) -> Tensor:
    """(1, 1, H, W) of booleans: what its mask leaves."""
    if pair.key not in masks:
        raise InputError("it has no mask.", hint="Masks have the pictures' names, or are numbered from 0.")
    mask = _tensor(masks[pair.key])
    if mask.shape != degraded.shape:
        (height, width), (rows, columns) = mask.shape[-2:], degraded.shape[-2:]
        raise InputError(f"its mask '{masks[pair.key]}' is {width} x {height}, and the picture {columns} x {rows}.")
    return mask.mean(1, keepdim=True) >= 0.5


def _tensor(path: Path) -> Tensor:
    return to_tensor(read_picture(path, path.name))[None]


def _enlarged(loaded: _Loaded) -> Tensor:
    """The degraded picture at the clean one's size: bicubic, as the field's baseline."""
    if loaded.degraded.shape == loaded.clean.shape:
        return loaded.degraded
    size = (loaded.clean.shape[-2], loaded.clean.shape[-1])
    # With antialias torch uses the field's kernel, a = -1/2; it makes no other difference when enlarging.
    return F.interpolate(loaded.degraded, size=size, mode="bicubic", antialias=True)


def _sizes(image: Tensor, clean: Tensor, scale: int) -> str:
    (height, width), (rows, columns) = image.shape[-2:], clean.shape[-2:]
    ratio = ""
    if (columns * height, rows * width) == (width * rows, height * columns) and columns != width:
        larger = "larger" if columns > width else "smaller"
        ratio = f", {max(columns, width) / min(columns, width):g} times {larger}"
    wanted = f"these weights make it {scale} times larger" if scale > 1 else "they should be equal"
    return f"the clean picture is {columns} x {rows}{ratio}, and the other {width} x {height}; {wanted}."


def _settings(config: DegradationConfig) -> str:
    options = config.options.items()
    texts = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in options)
    return ", ".join(texts)


def _pairing(
    options: EvaluateOptions,
) -> tuple[str, Pairing, DegradationConfig | None, int | None, Path | None]:
    """The task, the pairs, the damage to make, how many pairs a whole data set has, and its folder."""
    damaged = options.degradation is not None or options.mask is not None
    if options.dataset is not None:
        dataset = get_dataset(options.dataset)
        found = locate(options.dataset, dataset, list(options.roots), alone=damaged)
        synthetic = None
        if found.synthetic and options.mask is None:
            assert dataset.degradation is not None, "such a layout belongs to a set with damage of its own"
            synthetic = options.degradation or DegradationConfig(*dataset.degradation)
        elif options.degradation is not None:
            raise UsageError(
                f"the data set '{options.dataset}' has degraded pictures of its own.",
                hint=f"To damage its clean ones: --gt and their folder, in '{found.folder}'.",
            )
        return dataset.task, found.pairing, synthetic, dataset.count, found.folder
    if options.clean is None:
        raise UsageError("nothing to measure on.", hint="Give --dataset, or --gt with --lq or --degradation.")
    if options.degraded is None:
        if not damaged and any(one.folder is None for one in options.contenders):
            raise UsageError("--lq is missing.", hint="Or give --degradation or --mask, to damage the clean pictures.")
        return options.task, clean_alone(options.clean), options.degradation, None, options.clean
    pairing = pair_folders(options.clean, options.degraded, options.pairs)
    return options.task, pairing, None, None, options.clean
