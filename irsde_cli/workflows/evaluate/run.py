"""Evaluating as an iterable of events: pairs in, figures out, scored beside the sampler."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.datasets import get_dataset
from irsde_cli.datasets.dataset import mask_folder
from irsde_cli.datasets.pairing import Pair, find_masks
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.engine import openvino
from irsde_cli.engine.restoration import Draws, StoppedError, explained
from irsde_cli.errors import InputError, MachineError, UsageError, WeightsError
from irsde_cli.metrics import ALONE, OPTIONAL_METRICS, SET_METRICS
from irsde_cli.metrics.inception import Inception
from irsde_cli.metrics.protocols import get_protocol
from irsde_cli.metrics.scoring import Scorer
from irsde_cli.metrics.sets import FeatureSets
from irsde_cli.needs.interval import within
from irsde_cli.storage import digests
from irsde_cli.version import __version__
from irsde_cli.workflows.evaluate.contenders import Classical, Given, Learnt, Made, Ready
from irsde_cli.workflows.evaluate.events import Drawn, Event, Planned, Problem, Scored
from irsde_cli.workflows.evaluate.options import INPUT, Contender, EvaluateOptions
from irsde_cli.workflows.evaluate.pairs import (
    Loaded,
    Source,
    common_part,
    enlarged,
    find_pairs,
    is_cropped,
    load,
    nothing,
    sizes,
)
from irsde_cli.workflows.evaluate.saved import Saved
from irsde_cli.workflows.evaluate.summary import (
    costs,
    cropped,
    hidden,
    named,
    spreads,
    summarise,
    timed,
    ways,
    with_sets,
    worst,
)

BEHIND = 2
KNOWN = "known"


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
    task, pairing, synthetic, expected, folder = find_pairs(options)
    masks = None if options.mask is None else find_masks(mask_folder(options.mask, folder), pairing.pairs)
    pairs = pairing.pairs[: options.limit]
    if not pairs:
        raise nothing(pairing)
    if expected is not None and len(pairing.pairs) < expected and not options.partial and options.limit is None:
        raise UsageError(
            f"the data set '{options.dataset}' has {len(pairing.pairs)} of {expected} pairs here.",
            hint="--partial measures those, and says so.",
        )
    name = options.protocol or (get_dataset(options.dataset).protocol if options.dataset else "plain-rgb")
    protocol = get_protocol(name)
    damaged = synthetic is not None or masks is not None or any(pair.clean != pair.degraded for pair in pairs)
    if not protocol.reference:
        _check_alone(options)
    elif options.dataset is not None and not damaged:
        raise UsageError(f"the data set '{options.dataset}' has no clean pictures: its protocol is 'no-reference'.")
    more, sets, lacking = _metrics(options.metrics)
    scorer = Scorer(protocol, options.lpips, more)
    degradation = build_degradation(synthetic) if synthetic is not None else None
    where = device or torch.device("cpu")
    told = None if degradation is None else ("identity", degradation.scale)

    def ready(contender: Contender) -> Ready:
        if contender.folder is not None:
            return Given(contender, contender.folder, pairs)
        if contender.baseline:
            return Classical(contender)
        return Learnt(contender, task, where, dtype, options.seed, stopped, pairs, options.draws, told, options.engine)

    contenders = list({one.contender.label: one for one in map(ready, options.contenders)}.values())
    made_here = [INPUT, KNOWN, *(one.contender.label for one in contenders if one.made_here)]
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
        "engine": options.engine if options.engine == "torch" else f"{options.engine} {openvino.version()}",
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
        "" if sets is None else f", {named(sets.metrics)} on Inception v3 (TensorFlow's of 2015, 299 x 299, 8-bit)"
    )
    caption = f"{title}, {count}, {made}{measured}, seed {options.seed}, irsde {__version__}, {where}"
    yield Planned(len(pairs), expected, caption, facts)
    yield from lacking
    for path in (*pairing.clean_alone, *pairing.degraded_alone):
        yield Problem(str(path), "it has no partner.")
    scored: list[Scored] = []
    scale = next((one.scale for one in contenders if one.scale is not None), None)
    source = Source(degradation, masks, options.seed, scale)
    measure = _Measure(scorer, sets, saved)
    with sets or nullcontext():
        for event in _score_all(pairs, contenders, measure, source, shown, stopped):
            if isinstance(event, Scored):
                scored.append(event)
            yield event
        result = summarise(scored, [INPUT, *(one.contender.label for one in contenders)], damaged=damaged)
        paid = costs(scored, contenders)
        notes = (
            *ways(contenders, facts["precision"], facts["engine"]),
            *hidden(scored),
            *cropped(scored),
            *worst(result),
        )
        result = replace(result, notes=(*notes, *spreads(scored), *timed(paid)), costs=paid)
        yield result if sets is None else with_sets(result, sets)


def _check_alone(options: EvaluateOptions) -> None:
    """Whether anything of what was asked for can be measured without clean pictures."""
    others = [name for name in options.metrics if name not in ALONE]
    if others:
        raise UsageError(f"{named(others)} would need clean pictures, and there are none.", hint="--metric brisque.")
    if options.lpips is None and not options.metrics:
        raise UsageError(
            "without clean pictures nothing can be measured here.",
            hint="Give --metric brisque, or the weights of LPIPS: 'irsde download lpips'.",
        )


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


def _score_all(
    pairs: tuple[Pair, ...],
    contenders: list[Ready],
    measure: "_Measure",
    source: Source,
    shown: Callable[[str, dict[str, Tensor]], None] | None,
    stopped: Callable[[], bool],
) -> Iterator[Scored | Problem]:
    """Read one pair ahead, restore, and score in a thread beside; results come in order."""
    behind: deque[tuple[str, Future[Scored]]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "score") as thread:
        ahead = [reader.submit(load, pair, source) for pair in pairs[:1]]
        for index, pair in enumerate(pairs):
            future = ahead.pop()
            if index + 1 < len(pairs):
                ahead.append(reader.submit(load, pairs[index + 1], source))
            try:
                with explained():
                    loaded = future.result()
            except InputError as error:
                yield Problem(pair.key, error.message)
                continue
            images: dict[str, Tensor] = {INPUT: enlarged(loaded)}
            seconds: dict[str, float] = {}
            made: dict[str, Made] = {}
            for one in contenders:
                since = time.perf_counter()
                try:
                    with explained():
                        found = one(loaded)
                    image = found.image
                    if image.shape != loaded.clean.shape and (one.made_here or not is_cropped(image, loaded.clean)):
                        raise InputError(sizes(image, loaded.clean, 1))
                except InputError as error:
                    yield Problem(pair.key, f"{one.contender.label}: {error.message}")
                    continue
                except StoppedError:
                    break
                # Draws that are made to see their spread are one result each; a mean takes all of its own.
                results = found.draws.count if found.draws is not None and one.contender.draws == 1 else 1
                seconds[one.contender.label] = (time.perf_counter() - since) / results
                images[one.contender.label] = image
                made[one.contender.label] = found
            if stopped():
                break
            behind.append((pair.key, thread.submit(measure, loaded, images, seconds, made)))
            if shown is not None:
                inner, parts = common_part(loaded, images)
                shown(pair.key, {"clean": inner.clean, **parts})
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

    def __call__(
        self, loaded: Loaded, images: dict[str, Tensor], seconds: dict[str, float], made: dict[str, Made]
    ) -> Scored:
        inner, parts = common_part(loaded, images)
        figures = {
            label: self.scorer.score(image, inner.clean, inner.known, one_channel=inner.one_channel, shown=inner.shown)
            for label, image in parts.items()
        }
        if self.sets is not None:
            shown = inner.shown
            seen = {
                label: image if shown is None else torch.where(shown, image, inner.clean)
                for label, image in parts.items()
            }
            self.sets.add(seen, inner.clean)
        if self.saved is not None:
            for label, image in images.items():
                self.saved.write(loaded.pair.key, label, loaded.degraded if label == INPUT else image)
            if loaded.known is not None:
                self.saved.write(loaded.pair.key, KNOWN, loaded.known.float().expand_as(loaded.clean))
        cropped = tuple(label for label, image in images.items() if image.shape != loaded.clean.shape)
        megapixels = loaded.clean.shape[-2] * loaded.clean.shape[-1] / 1e6
        drawn = {label: _drawn(one.draws, inner) for label, one in made.items() if one.draws is not None}
        for label, one in made.items():
            if one.half is not None:
                figures[label] |= _held(one.half, parts[label], inner)
        return Scored(loaded.pair.key, figures, seconds, loaded.shown is not None, cropped, megapixels, drawn)


def _drawn(draws: Draws, inner: Loaded) -> Drawn:
    """Draws against the clean picture, where it is seen, and where there are holes in these alone."""
    height, width = inner.clean.shape[-2:]
    counted = _counted(inner)
    error = (draws.mean[:, :height, :width] - inner.clean[0]).square()[counted]
    variance = draws.variance[:, :height, :width][counted]
    return Drawn(float(variance.double().mean()), float(error.double().mean()), draws.count)


def _held(half: Tensor, image: Tensor, inner: Loaded) -> dict[str, float | None]:
    """The share of values that intervals hold, and how wide these are, in 8-bit units."""
    height, width = inner.clean.shape[-2:]
    coverage, wide = within(inner.clean[0], image[0], half[:height, :width], _counted(inner))
    return {"coverage": coverage, "width": 255 * wide}


def _counted(inner: Loaded) -> Tensor:
    """(3, H, W) of booleans: what is seen, and where there are holes these alone."""
    height, width = inner.clean.shape[-2:]
    counted = torch.ones(1, 1, height, width, dtype=torch.bool) if inner.shown is None else inner.shown
    if inner.known is not None and not inner.known.all():
        counted = counted & ~inner.known
    return counted[0].expand(3, -1, -1)


def _settings(config: DegradationConfig) -> str:
    options = config.options.items()
    texts = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in options)
    return ", ".join(texts)
