"""`irsde restore`."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from irsde_cli.cli import options as files
from irsde_cli.cli.reporting import Interruption, as_json, complain, data, data_path, printable
from irsde_cli.config import read_paths
from irsde_cli.errors import IrsdeError, MachineError, UsageError
from irsde_cli.samplers import SAMPLERS
from irsde_cli.tasks import TASKS
from irsde_cli.weights import BETTER_WEIGHTS, SHIPPED, find_weights
from irsde_cli.weights.catalogue import CATALOGUE

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from irsde_cli.report.page import Report
    from irsde_cli.workflows.restore.options import Options

T = TypeVar("T")
MOST_DIGITS = 18


class Precision(StrEnum):
    """Of the network."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Metadata(StrEnum):
    """Of the pictures."""

    KEEP = "keep"
    STRIP = "strip"


class Collision(StrEnum):
    """What happens when two pictures want one name."""

    REFUSE = "refuse"
    RENAME = "rename"


class Estimate(StrEnum):
    """What is written."""

    SAMPLE = "sample"
    MEAN = "mean"


class Film(StrEnum):
    """How states are shown."""

    STRIP = "strip"
    GIF = "gif"


def _panel(*names: str, panel: str, **settings: Any) -> Any:
    variable = "IRSDE_" + names[0].lstrip("-").replace("-", "_").upper()
    return typer.Option(*names, rich_help_panel=panel, envvar=variable, show_envvar=False, **settings)


def _complete_task(incomplete: str) -> list[tuple[str, str]]:
    return [(name, task.summary) for name, task in TASKS.items() if name.startswith(incomplete)]


def _complete_sampler(incomplete: str) -> list[str]:
    return [name for name in SAMPLERS if name.startswith(incomplete)]


def _complete_model(incomplete: str) -> list[str]:
    return [name for name in (*SHIPPED, *CATALOGUE) if name.startswith(incomplete)]


def _config(context: typer.Context, value: Path | None) -> Path | None:
    try:
        return files.from_file(context, value)
    except IrsdeError as error:
        complain(error.message, error.hint)
        raise typer.Exit(error.exit_code) from None


def restore(
    inputs: Annotated[str, typer.Argument(metavar="INPUT", help="A picture, a folder, or - for a pipe.")],
    outputs: Annotated[
        str | None, typer.Argument(metavar="OUTPUT", help="A folder, a file for a single picture, or - for a pipe.")
    ] = None,
    task: Annotated[
        str,
        _panel("--task", "-t", panel="Model", help=f"What to undo: {', '.join(TASKS)}.", autocompletion=_complete_task),
    ] = "",
    model: Annotated[
        str | None,
        _panel(
            "--model",
            "-n",
            panel="Model",
            help="A name of 'irsde download --list', a .safetensors file, a folder with one, or owner/name on the Hub; "
            "the task's own network if not given.",
            autocompletion=_complete_model,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        _panel(
            "--steps",
            panel="Model",
            min=1,
            help="Network evaluations; up to 4 take the task's -fast weights. Without it, the weights' own number.",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        _panel(
            "--sampler",
            panel="Model",
            help=f"How to sample: {', '.join(SAMPLERS)}.",
            autocompletion=_complete_sampler,
        ),
    ] = None,
    nodes: Annotated[
        str | None,
        _panel(
            "--nodes",
            panel="Model",
            help="Times to evaluate at, like 100,80,59,30,9; auto: chosen on the pictures.",
        ),
    ] = None,
    eta: Annotated[
        float | None, _panel("--eta", panel="Model", help="From 0, the ODE, to 1, the SDE, for the multistep samplers.")
    ] = None,
    noise_level: Annotated[
        float | None,
        _panel(
            "--noise-level", panel="Model", help="Noise to remove, of 255, where weights can be told; else estimated."
        ),
    ] = None,
    seed: Annotated[
        int, _panel("--seed", panel="Model", min=0, max=2**63 - 1, help="The same seed, the same image.")
    ] = 0,
    shared_noise: Annotated[
        bool, _panel("--shared-noise", panel="Model", help="The same noise for all pictures: frames do not flicker.")
    ] = False,
    samples: Annotated[int, _panel("--samples", panel="Model", min=1, help="Restorations of each picture.")] = 1,
    estimate: Annotated[
        Estimate, _panel("--estimate", panel="Model", help="Write a sample, or the mean of --samples (8) draws.")
    ] = Estimate.SAMPLE,
    spread: Annotated[
        bool,
        _panel("--spread", panel="Model", help="Also write how much the draws differ, in each pixel, times 8."),
    ] = False,
    recursive: Annotated[
        bool, _panel("--recursive", "-r", panel="Input", help="Read subfolders too and mirror them.")
    ] = False,
    files_from: Annotated[
        str | None,
        _panel("--files-from", panel="Input", help="A list of files in INPUT, by line or NUL; - is a pipe."),
    ] = None,
    mask: Annotated[
        Path | None,
        _panel("--mask", panel="Input", help="What is known (white), a file or a folder; paired by name."),
    ] = None,
    max_pixels: Annotated[
        int, _panel("--max-pixels", panel="Input", min=1, help="Refuse larger pictures before decoding them.")
    ] = 120_000_000,
    allow_truncated: Annotated[
        bool, _panel("--allow-truncated", panel="Input", help="Take what a cut-off file still shows.")
    ] = False,
    strict: Annotated[bool, _panel("--strict", panel="Input", help="Fail where there would be a warning.")] = False,
    in_place: Annotated[
        bool, _panel("--in-place", panel="Output", help="Replace the inputs themselves; takes no OUTPUT.")
    ] = False,
    format: Annotated[
        str | None, _panel("--format", "-f", panel="Output", help="keep, png, jpeg, webp, tiff or bmp.")
    ] = None,
    quality: Annotated[int, _panel("--quality", panel="Output", min=1, max=100, help="Of JPEG and WebP.")] = 95,
    depth: Annotated[
        int | None, _panel("--depth", panel="Output", help="Bits per sample, 8 or 16; the input's if not given.")
    ] = None,
    suffix: Annotated[str, _panel("--suffix", panel="Output", help="Put behind the names of results.")] = "",
    metadata: Annotated[
        Metadata, _panel("--metadata", panel="Output", help="Keep or strip EXIF and XMP.")
    ] = Metadata.KEEP,
    overwrite: Annotated[
        bool, _panel("--overwrite", panel="Output", help="Replace files that no earlier run made.")
    ] = False,
    on_collision: Annotated[
        Collision, _panel("--on-collision", panel="Output", help="When two results would have one name.")
    ] = Collision.REFUSE,
    trajectory: Annotated[
        int, _panel("--trajectory", panel="Output", min=0, help="Also write so many states of each picture.")
    ] = 0,
    trajectory_format: Annotated[
        Film, _panel("--trajectory-format", panel="Output", help="Side by side, or animated.")
    ] = Film.STRIP,
    device: Annotated[
        str, _panel("--device", "-d", panel="Memory and speed", help="auto, cpu, cuda, cuda:1, mps.")
    ] = "auto",
    precision: Annotated[
        Precision, _panel("--precision", panel="Memory and speed", help="Of the network; auto is bf16 on GPUs.")
    ] = Precision.AUTO,
    batch_size: Annotated[
        int, _panel("--batch-size", "-b", panel="Memory and speed", min=0, help="Pictures at once; 0 is what fits.")
    ] = 0,
    tile: Annotated[
        str, _panel("--tile", panel="Memory and speed", help="Side of tiles in pixels, 0 for none, or auto.")
    ] = "auto",
    tile_overlap: Annotated[
        int | None,
        _panel(
            "--tile-overlap",
            panel="Memory and speed",
            min=0,
            help="Pixels that tiles share, up to half a tile; if not given, by how far the network looks.",
        ),
    ] = None,
    shard: Annotated[
        str | None, _panel("--shard", panel="Batch", help="Part i of n (i/n), for several machines or GPUs.")
    ] = None,
    jobs: Annotated[
        str | None, _panel("--jobs", "-j", panel="Batch", help="Processes that restore; auto is one for each GPU.")
    ] = None,
    ray: Annotated[
        str | None,
        _panel("--ray", panel="Batch", help="Address of a Ray cluster that restores; auto, or local for a new one."),
    ] = None,
    limit: Annotated[int | None, _panel("--limit", panel="Batch", min=1, help="Only the first so many.")] = None,
    fail_fast: Annotated[bool, _panel("--fail-fast", panel="Batch", help="Stop at the first failure.")] = False,
    report: Annotated[
        Path | None, _panel("--report", panel="Output", help="Also write a page with all pictures into this folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel="Batch", help="Say what would be done, and do nothing.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            rich_help_panel="Batch",
            callback=_config,
            is_eager=True,
            help="Options in a TOML file; flags and IRSDE_* variables come before it.",
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", rich_help_panel="Diagnostics", help="Show what would apply, as JSON, and exit."),
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", rich_help_panel="Diagnostics", help="Print events as lines of JSON.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel="Diagnostics", help="Print results and errors alone.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", rich_help_panel="Diagnostics", help="Say more about what is done.")
    ] = False,
) -> None:
    """Restore pictures and write them to a folder.

    Examples: irsde restore photos/ restored/ --task denoise

    irsde restore shaken.jpg sharp.jpg --task deblur --steps 20
    """
    from irsde_cli.images import Limits
    from irsde_cli.samplers.settings import Sampling
    from irsde_cli.workflows.restore.items import Shard
    from irsde_cli.workflows.restore.options import Options
    from irsde_cli.workflows.restore.plan import plan

    if not task:
        raise UsageError("--task is missing.", hint=f"What to undo: {', '.join(TASKS)}.")
    if depth not in (None, 8, 16):
        raise UsageError(f"--depth is 8 or 16, not {depth}.")
    if sampler is not None:
        SAMPLERS.check(sampler)
    jobs = jobs or ("1" if ray is None else "auto")
    processes: int | Literal["auto"] = "auto" if jobs == "auto" else _whole(jobs, "--jobs")
    if processes == 0:
        raise UsageError("--jobs counts processes from 1.", hint="auto is one for each GPU.")
    if report is not None and (in_place or inputs == "-" or outputs == "-"):
        raise UsageError("--report needs the inputs beside the results: no pipe, and no --in-place.")
    if ray is not None:
        if find_spec("ray") is None or find_spec("pyarrow") is None:
            raise MachineError("--ray needs Ray Data, which is not installed.", hint="Run: pip install 'irsde[ray]'.")
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"with --ray the cluster chooses its devices, not --device {device}.")
        # Elsewhere another folder is the current one.
        inputs, outputs, mask = _absolute(inputs), outputs and _absolute(outputs), mask and mask.absolute()
    asked = Options(
        inputs=inputs,
        outputs=outputs,
        task=task,
        sampling=Sampling(sampler, steps, _nodes(nodes), eta, noise_level),
        seed=seed,
        shared_noise=shared_noise,
        recursive=recursive,
        listed=_listed(files_from),
        in_place=in_place,
        format=format,
        quality=quality,
        depth=depth,
        suffix=suffix,
        overwrite=overwrite,
        on_collision=on_collision.value,
        metadata=metadata.value,
        limits=Limits(max_pixels=max_pixels),
        allow_truncated=allow_truncated,
        strict=strict,
        limit=limit,
        fail_fast=fail_fast,
        shard=None if shard is None else Shard.parse(shard),
        batch_size=batch_size,
        tile="auto" if tile == "auto" else _whole(tile, "--tile"),
        tile_overlap=tile_overlap,
        mask=mask,
        samples=samples,
        estimate=estimate.value,
        spread=spread,
        trajectory=trajectory,
        trajectory_format=trajectory_format.value,
    )
    planned = plan(asked, lambda: _piped(asked.limits.max_file_bytes), touch=not (dry_run or print_config))
    short = asked.sampling.is_short and nodes is None and asked.estimate == "sample"
    weights = find_weights(model, task, short=short)

    from irsde_cli import checkpoint
    from irsde_cli.cli.progress import display
    from irsde_cli.engine.restoration import Restoration
    from irsde_cli.runtime import choose_device, choose_precision
    from irsde_cli.storage.journal import settings_id
    from irsde_cli.workflows.restore.cluster import Cluster
    from irsde_cli.workflows.restore.events import Done, Failed, Intended, Planned, Seen, Skipped, Warned
    from irsde_cli.workflows.restore.pool import Pool, Setup, places
    from irsde_cli.workflows.restore.resume import describe, preview
    from irsde_cli.workflows.restore.run import run

    chosen = choose_device(device)
    here = ray is None and planned.folder is not None
    devices = places(processes, device, chosen, planned.count) if here else [chosen]
    single = ray is None and len(devices) == 1
    dtype = choose_precision(precision.value, chosen)
    loaded = checkpoint.load(weights.path)
    if nodes == "auto":
        from irsde_cli.workflows.restore.calibrate import calibrated

        planned = calibrated(planned, loaded.restorer, chosen, dtype)
        asked = planned.options
    restoration = Restoration(loaded, asked, chosen if single else choose_device("cpu"), dtype)
    settings = describe(planned, loaded, restoration.sampling, dtype)
    if print_config:
        data(
            json.dumps({**asdict(asked), "sampling": asdict(restoration.sampling), "device": str(chosen)}, default=str)
        )
        return
    if not quiet:
        resolved = restoration.sampling
        at = f" at {','.join(map(str, resolved.nodes))}" if nodes == "auto" and resolved.nodes else ""
        seen = f", trained for {loaded.header.task}" if loaded.header.task != task else ""
        typer.echo(
            f"{weights.name} ({loaded.header.step} training steps{seen}) on {_placed(devices, ray)}, "
            f"{resolved.sampler}, {resolved.steps} step{'s' if resolved.steps != 1 else ''}{at}, seed {seed}. "
            f"Other weights: {BETTER_WEIGHTS}",
            err=True,
        )
    _log(verbose, quiet)
    failures: list[Failed] = []
    page = None if report is None or dry_run else _page(report, task)
    others: Pool | Cluster | None = None
    if not single:
        setup = Setup.of(restoration, asked, settings, weights.path)
        others = Pool(setup, planned, settings, devices)
        if ray is not None:
            others = Cluster(setup, planned, settings, ray, processes, gpus=device != "cpu")
    with Interruption() as interrupted, display(quiet=quiet) as shown:
        if dry_run:
            events = preview(planned, settings_id(settings))
        elif others is not None:
            others.stopped = interrupted
            events = others.run()
        else:
            restoration.stopped = interrupted
            events = run(restoration, planned)
        stopped: IrsdeError | None = None
        for event in _until_stopped(events):
            if isinstance(event, IrsdeError):
                stopped = event
                break
            shown.show(event)
            if json_lines and outputs != "-":
                data(as_json(event))
            if page is not None and isinstance(event, Done | Skipped) and event.output is not None:
                note = "restored by an earlier run" if isinstance(event, Skipped) else ""
                page.read(event.name, partial(_before_and_after, asked, event.name, event.output), note)
            match event:
                case Planned() if not quiet:
                    unsaid = event.left_out.losses if strict else []
                    for phrase in event.left_out.phrases:
                        if phrase not in unsaid:
                            shown.note(f"{printable(inputs)}: {phrase}.")
                case Done(data=bytes() as picture):
                    sys.stdout.buffer.write(picture)
                    sys.stdout.buffer.flush()
                case Done() if not json_lines:
                    for path in (event.output, *event.extra):
                        if path is not None:
                            data_path(path)
                case Seen() if not quiet:
                    likely = [f"{word} {share:.0%}" for word, share in event.damage.items() if share >= 0.05]
                    shown.note(f"{printable(event.name)}: {', '.join(likely)}")
                case Skipped() if verbose:
                    shown.note(f"up to date: {printable(event.name)}")
                case Warned() if not quiet:
                    shown.note(f"{printable(event.name)}: {printable(event.message)}")
                case Failed():
                    failures.append(event)
                case Intended() if not json_lines:
                    reason = f" ({event.reason})" if event.reason else ""
                    data(printable(f"{event.action}: {event.name} -> {event.output}{reason}"))
                case _:
                    pass
    if json_lines and outputs != "-":
        counts = {"done": shown.done, "failed": shown.failed, "skipped": shown.skipped}
        data(json.dumps({"event": "summary", **counts, "interrupted": interrupted()}))
    if not quiet and not dry_run:
        typer.echo(f"{shown.tally}.", err=True)
    if page is not None:
        caption = f"{weights.name}, {restoration.sampling.sampler}, {restoration.sampling.steps} steps, seed {seed}"
        written = page.write(caption, [(failed.name, failed.reason) for failed in failures])
        typer.echo(f"the page is {printable(written)}", err=True)
    for failed in failures:
        typer.echo(
            f"failed: {printable(failed.name)}: {printable(failed.reason)} {printable(failed.hint)}".rstrip(), err=True
        )
    if stopped is not None:
        raise stopped
    if interrupted.code:
        complain("interrupted.", "The same command goes on where it stopped.")
        raise typer.Exit(interrupted.code)
    if failures:
        raise typer.Exit(3)


def _absolute(place: str) -> str:
    return place if place == "-" else str(Path(place).absolute())


def _placed(devices: "Sequence[torch.device]", ray: str | None) -> str:
    """Where it runs, for people."""
    if ray is not None:
        return f"the Ray cluster '{ray}'"
    if len(devices) == 1:
        return str(devices[0])
    return f"{', '.join(dict.fromkeys(map(str, devices)))} in {len(devices)} processes"


def _piped(limit: int) -> bytes:
    """Standard input, up to a bit more than the limit; in parts, as a read takes the memory for all it may give."""
    data = bytearray()
    while len(data) <= limit and (part := sys.stdin.buffer.read(1 << 20)):
        data += part
    return bytes(data)


def _page(folder: Path, task: str) -> "Report":
    from irsde_cli.report.page import Report

    return Report(folder, f"irsde restore --task {task}")


def _before_and_after(asked: "Options", name: str, output: Path) -> "dict[str, Tensor]":
    """The input and what became of it, as the files hold them."""
    from irsde_cli.images import Limits, read_picture, to_tensor
    from irsde_cli.workflows.restore.options import beside

    source = Path(asked.inputs) / name if Path(asked.inputs).is_dir() else Path(asked.inputs)
    pictures = {"input": read_picture(source, name, limits=asked.limits, allow_truncated=asked.allow_truncated)}
    places = {"restored": output}
    draws = asked.samples if asked.estimate == "sample" else 1
    places |= {f"restored, draw {draw + 1}": Path(beside(output, f".{draw}")) for draw in range(1, draws)}
    if asked.spread:
        places["spread"] = Path(beside(output, ".spread"))
    ours = Limits(max_pixels=sys.maxsize)
    pictures |= {label: read_picture(path, path.name, limits=ours) for label, path in places.items()}
    return {label: to_tensor(picture) for label, picture in pictures.items()}


def _until_stopped(events: Iterator[T]) -> Iterator[T | IrsdeError]:
    """The events, and in the end the error that stopped them, so that what failed before it is still named."""
    try:
        yield from events
    except IrsdeError as error:
        yield error


def _nodes(text: str | None) -> tuple[int, ...] | None:
    if text is None or text == "auto":
        return None
    return tuple(_whole(part.strip(), "--nodes") for part in text.split(","))


def _whole(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise UsageError(f"{option} takes whole numbers, not '{text}'.")
    return int(text)


def _listed(place: str | None) -> tuple[str, ...] | None:
    """The paths of a list."""
    if place is None:
        return None
    try:
        raw = sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list '{place}': {error.strerror}.") from None
    return read_paths(raw, place)


def _log(verbose: bool, quiet: bool) -> None:
    import logging

    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    if os.environ.get("IRSDE_DEBUG"):
        level = logging.DEBUG
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("irsde_cli").setLevel(level)
