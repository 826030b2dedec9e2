"""What `irsde evaluate` was asked for, option by option, and what that means. No torch."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from irsde_cli.config import assignment
from irsde_cli.content import missing
from irsde_cli.datasets import DATASETS, dataset_name, get_dataset
from irsde_cli.datasets.pairing import check_template
from irsde_cli.degradations import DEGRADATIONS, DegradationConfig
from irsde_cli.engine.settings import Engine
from irsde_cli.errors import UsageError
from irsde_cli.metrics import OPTIONAL_METRICS, SET_METRICS
from irsde_cli.metrics.protocols import PROTOCOLS, get_protocol
from irsde_cli.needs import AUTO, JUDGED
from irsde_cli.option import option
from irsde_cli.registry import unknown_name
from irsde_cli.samplers.settings import Sampling, amount, check_sampler
from irsde_cli.tasks import get_task
from irsde_cli.weights import ZERO_SHOT, find_weights, stored_path
from irsde_cli.workflows.evaluate.baselines import BASELINES
from irsde_cli.workflows.evaluate.options import Contender, EvaluateOptions

MORE = (*OPTIONAL_METRICS, *SET_METRICS)
OWN = "own"  # a way: all as the weights have it
ONE_PASS = "one-pass"  # in a way: as the weights themselves sample
WHAT, HOW, WRITTEN = "What is measured", "How", "Output"


@dataclass(frozen=True)
class Request:
    """The options of `irsde evaluate`."""

    dataset: str | None = option("pixels", "A data set; see --list.", panel=WHAT, complete=lambda: DATASETS)
    clean: Path | None = option("pixels", "Folder of clean pictures, in place of --dataset.", panel=WHAT, flag="--gt")
    degraded: Path | None = option("pixels", "Folder of degraded ones; paired by name.", panel=WHAT, flag="--lq")
    pairs: str = option("names", 'Stem of a degraded file, like "{stem}x4".', default="{stem}", panel=WHAT)
    result_pairs: tuple[str, ...] = option(
        "names",
        'Stem of a picture of --from, like "{stem}_out"; once, or for each.',
        default=(),
        panel=WHAT,
        flag="--from-pairs",
    )
    models: tuple[str, ...] = option(
        "pixels", "Weights as of restore; several are compared.", default=(), panel=WHAT, flag="--model", short="-n"
    )
    folders: tuple[Path, ...] = option(
        "pixels",
        "Pictures that any tool restored; several are compared.",
        default=(),
        panel=WHAT,
        flag="--from",
    )
    baselines: tuple[str, ...] = option(
        "pixels",
        f"Classical methods, with commas between: {', '.join(BASELINES)}. Some need irsde[classical].",
        default=(),
        panel=WHAT,
        flag="--baseline",
    )
    ways: tuple[str, ...] = option(
        "pixels",
        "SAMPLER:STEPS, or SAMPLER:STEPSxDRAWS for the mean of draws, or own, as the weights have it; behind it "
        ",realism=A and ,strength=W, numbers or maps, or strength=auto; several are compared.",
        default=(),
        panel=WHAT,
        flag="--way",
    )
    task: str = option(
        "pixels", "What is undone; with --dataset, what it is for if not given.", default="", panel=WHAT, short="-t"
    )
    degradation: str | None = option(
        "pixels", f"Damage clean pictures on the fly: {', '.join(DEGRADATIONS)}.", panel=WHAT
    )
    change: tuple[str, ...] = option(
        "pixels", "A setting of the damage.", default=(), panel=WHAT, flag="--set", metavar="KEY=VALUE", variable="-"
    )
    choices: tuple[str, ...] = option(
        "pixels",
        "What --set of restore is to --model zero-shot; the damage that is made here, it knows.",
        default=(),
        panel=WHAT,
        flag="--zero-shot",
        metavar="KEY=VALUE",
        variable="-",
    )
    mask: str | None = option(
        "pixels",
        "What is known (white): a file, a folder paired by name, or a mask set of the data set.",
        panel=WHAT,
    )
    data_root: tuple[Path, ...] = option(
        "names", "Folders that hold data sets; IRSDE_DATA if not given.", default=(), panel=WHAT, variable="-"
    )
    limit: int | None = option("names", "Only the first so many pairs.", panel=WHAT, minimum=1)
    partial: bool = option("names", "Go on with an incomplete data set.", default=False, panel=WHAT)
    protocol: str | None = option(
        "pixels", f"How to measure: {', '.join(PROTOCOLS)}; the data set's own if not given.", panel=HOW
    )
    lpips: Path | None = option(
        "pixels",
        "Weights of LPIPS, on AlexNet or SqueezeNet; those of 'irsde download lpips' if not given.",
        panel=HOW,
    )
    metrics: tuple[str, ...] = option(
        "pixels",
        f"Further ones: {', '.join(MORE)}. They need irsde[piq], irsde[torchmetrics] or irsde[fid].",
        default=(),
        panel=HOW,
        flag="--metric",
    )
    draws: int = option(
        "pixels",
        "Draws of each picture, to measure their spread and whether it fits the error; the first is scored.",
        default=1,
        panel=HOW,
        minimum=1,
        maximum=1000,
    )
    seed: int = option("pixels", "Of damage and noise.", default=0, panel=HOW, minimum=0, maximum=2**31)
    device: str = option("machine", "auto, cpu, cuda, cuda:1, xpu, mps.", default="auto", panel=HOW, short="-d")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "pixels", "Of the network; auto is bf16 on GPUs.", default="auto", panel=HOW
    )
    engine: Engine = option("pixels", "What evaluates the network, as of restore.", default="torch", panel=HOW)
    figures: Path | None = option("machine", "Write everything as JSON; - is a pipe.", panel=WRITTEN)
    csv: Path | None = option("machine", "Write a row an image; - is a pipe.", panel=WRITTEN)
    markdown: Path | None = option("machine", "Write the table as Markdown; - is a pipe.", panel=WRITTEN)
    report: Path | None = option("machine", "Write a page with all pictures into this folder.", panel=WRITTEN)
    save: Path | None = option(
        "machine", "Write degraded and restored pictures into this new folder, as 8-bit PNG.", panel=WRITTEN
    )
    listing: bool = option(
        "machine",
        "Name data sets and protocols, and stop; with --dataset, say all of that one.",
        default=False,
        flag="--list",
        variable="-",
    )


def resolved(request: Request) -> EvaluateOptions:
    """What is to be measured, checked as far as it can be without opening a picture.

    Raises:
        UsageError: options contradict each other, or name what is not there.
        WeightsError: there are no such weights.
    """
    dataset, task = request.dataset, request.task
    if (dataset is None) == (request.clean is None):
        raise UsageError("--dataset or --gt, and not both.", hint="'irsde evaluate --list' names the data sets.")
    if request.protocol is not None:
        get_protocol(request.protocol)
    for metric in request.metrics:
        if metric not in MORE:
            raise unknown_name("metric", metric, MORE)
    if dataset is not None:
        dataset = dataset_name(dataset)
        task = task or get_dataset(dataset).task
    _check_damage(request, dataset)
    templates = request.result_pairs
    if request.pairs != "{stem}" and request.degraded is None and dataset is None and not templates:
        templates = (request.pairs,)  # there are no degraded files that it could be for
    contenders = _contenders(request, templates)
    contenders = tuple(
        replace(one, sampling=replace(one.sampling, choices=request.choices)) if one.model == ZERO_SHOT else one
        for one in contenders
    )
    if request.choices and not any(one.model == ZERO_SHOT for one in contenders):
        raise UsageError("--zero-shot belongs to --model zero-shot.")
    if any(one.learnt for one in contenders):
        if not task:
            raise UsageError("--task is missing.")
        get_task(task)
        for one in contenders:
            if one.learnt:
                find_weights(one.model, task, prior=one.sampling.prior)
            if one.sampling.is_judged and task not in JUDGED:
                raise UsageError(
                    f"strength=auto does not know the task '{task}'.", hint=f"It does: {', '.join(JUDGED)}."
                )
    lpips = request.lpips
    if lpips is not None and not lpips.is_file():
        raise missing(lpips, "file")
    if lpips is None and stored_path("lpips").is_file():
        lpips = stored_path("lpips")
    roots = request.data_root or [Path(part) for part in os.environ.get("IRSDE_DATA", "").split(os.pathsep) if part]
    return EvaluateOptions(
        contenders=contenders,
        dataset=dataset,
        roots=tuple(roots),
        clean=request.clean,
        degraded=request.degraded,
        pairs=request.pairs,
        task=task,
        protocol=request.protocol,
        degradation=_damage(request, dataset),
        mask=request.mask,
        seed=request.seed,
        partial=request.partial,
        limit=request.limit,
        lpips=lpips,
        metrics=tuple(dict.fromkeys(request.metrics)),
        draws=request.draws,
        save=request.save,
        engine=request.engine,
    )


def _check_damage(request: Request, dataset: str | None) -> None:
    """Whether one thing alone makes the degraded pictures."""
    if request.degraded is not None and (dataset is not None or request.degradation is not None):
        other = "--dataset has" if dataset is not None else "--degradation makes"
        raise UsageError(f"--lq names degraded pictures, and {other} others.")
    if request.mask is not None and (request.degradation is not None or request.change):
        raise UsageError("--mask makes the damage; --degradation and --set would make another.")
    own = dataset is not None and get_dataset(dataset).degradation is not None
    if request.change and request.degradation is None and not own:
        raise UsageError("--set belongs to --degradation.")


def _damage(request: Request, dataset: str | None) -> DegradationConfig | None:
    """The damage that is asked for; `None` is the data set's own, or none."""
    if request.degradation is not None:
        DEGRADATIONS.check(request.degradation)
        return DegradationConfig(request.degradation, _settings(request.change))
    if request.change and dataset is not None:
        name, options = get_dataset(dataset).degradation or ("", {})
        return DegradationConfig(name, options | _settings(request.change))
    return None


def _contenders(request: Request, templates: tuple[str, ...]) -> tuple[Contender, ...]:
    models, folders, ways = request.models, request.folders, request.ways
    for template in templates:
        check_template(template)
    if len(templates) > 1 and len(templates) != len(folders):
        raise UsageError(f"--from-pairs comes once, or once for each of the {len(folders)} --from.")
    each = templates if len(templates) > 1 else (templates or ("{stem}",)) * len(folders)

    found = []
    baselines = tuple(dict.fromkeys(name for text in request.baselines for name in text.split(",")))
    for name in baselines:
        if name not in BASELINES:
            raise unknown_name("baseline", name, BASELINES)
    chosen: list[str | None] = [*models] or ([None] if ways or not folders else [])
    for model in chosen:
        name = Path(model).stem if model is not None else ""
        if not ways:
            found.append(Contender(name, model=model))
        for way in ways:
            sampling, draws = sampling_of(way)
            found.append(Contender(name, way, model, None, sampling, draws))
    found += [
        Contender(folder.name or str(folder), folder=folder, pairs=template)
        for folder, template in zip(folders, each, strict=True)
    ]
    found += [Contender(name, baseline=name) for name in baselines]
    labels = [one.label for one in found]
    for label in ("input", "clean"):
        if label in labels:
            raise UsageError(f"a contender cannot be called '{label}': other pictures are.", hint="Rename its folder.")
    if len(set(labels)) < len(labels):
        raise UsageError(f"two contenders are called '{max(labels, key=labels.count)}'.", hint="Name files apart.")
    return tuple(found)


def sampling_of(text: str) -> tuple[Sampling, int]:
    """What `--way` says: how to sample, and of how many draws the mean counts."""
    match = re.fullmatch(rf"(?:{OWN}|([A-Za-z0-9-]+):(\d+)(?:x(\d+))?)((?:,(?:realism|strength)=[^,]+)*)", text)
    if match is None:
        raise UsageError(
            f"--way takes SAMPLER:STEPS, SAMPLER:STEPSxDRAWS or {OWN}, not '{text}'.",
            hint="Like posterior:8x8, or with more: posterior:8,realism=0.5,strength=0.8; or own,strength=auto.",
        )
    sampler, steps, draws, more = match.groups()
    chosen = None if sampler in (None, ONE_PASS) else sampler
    if chosen is not None:
        check_sampler(chosen)
    if draws == "0":
        raise UsageError(f"--way {text}: at least one draw.")
    said = {name: value for name, _, value in (one.partition("=") for one in more.split(",")[1:])}
    judged = said.get("strength") == AUTO
    blends = {name: _amount(text, value) for name, value in said.items() if not (judged and name == "strength")}
    strength = AUTO if judged else blends.get("strength")
    sampling = Sampling(chosen, int(steps) if steps else None, realism=blends.get("realism"), strength=strength)
    return sampling, int(draws or 1)


def _amount(way: str, text: str) -> float | Path:
    found = amount("--way")(text)
    if isinstance(found, Path) and not found.exists():
        raise UsageError(f"--way {way}: '{text}' is neither a number nor a picture or folder that is there.")
    return found


def _settings(change: tuple[str, ...]) -> dict[str, Any]:
    return dict(assignment(text, "sigma_min=50") for text in change)
