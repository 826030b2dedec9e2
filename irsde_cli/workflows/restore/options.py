"""What a run of `irsde restore` was asked for."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from irsde_cli.engine.settings import MEMORY, Settings
from irsde_cli.errors import UsageError
from irsde_cli.option import option, whole_or_auto
from irsde_cli.tasks import TASKS
from irsde_cli.weights import BEST, SHIPPED, ZERO_SHOT
from irsde_cli.weights.catalogue import CATALOGUE
from irsde_cli.workflows.restore.shard import Shard

if TYPE_CHECKING:
    from irsde_cli.images import Limits


QUALITY = 95


def parse_jobs(text: str) -> int | Literal["auto"]:
    """A number of processes, or `auto`."""
    jobs = whole_or_auto("--jobs")(text)
    if jobs == 0:
        raise UsageError("--jobs counts processes from 1.", hint="auto is one for each GPU.")
    return jobs


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """What `irsde restore` was asked for; the attributes are its options.

    `inputs` are files and folders, or "-"; `outputs` a folder, a file, "-" or `None` with `in_place`. `listed` holds
    the paths of the file `files_from`. With `opening` a codec's files become pictures, and no more is done.
    `jobs` `None` is one process, or with `ray` as many as `auto`.
    """

    inputs: tuple[str, ...] = option("names", "Pictures, folders, or - for a pipe.", default=(), flag="INPUT")
    outputs: str | None = option("names", "A folder, a file for a single picture, or - for a pipe.", flag="OUTPUT")
    task: str = option(
        "pixels",
        f"What to undo: {', '.join(name for name, row in TASKS.items() if row.weights)}; with weights of others: "
        f"{', '.join(name for name, row in TASKS.items() if not row.weights)}. --model alone says it too.",
        default="",
        panel="Model",
        short="-t",
        complete=lambda: [
            (name, task.summary + ("" if task.weights else " (with weights of others)")) for name, task in TASKS.items()
        ],
    )
    model: str | None = option(
        "pixels",
        "A name of 'irsde download --list', a .safetensors file, a folder with one, owner/name on the Hub, best: what "
        "is recommended and here, or zero-shot: what --set says of the damage; the task's own network if not given.",
        panel="Model",
        short="-n",
        complete=lambda: (BEST, ZERO_SHOT, *SHIPPED, *CATALOGUE),
        recorded="weights",
    )
    recursive: bool = option("names", "Read subfolders too and mirror them.", default=False, panel="Input", short="-r")
    files_from: str | None = option("names", "A list of files in INPUT, by line or NUL; - is a pipe.", panel="Input")
    listed: tuple[str, ...] | None = option("names", shown=False)
    opening: bool = option("pixels", default=False, shown=False)
    mask: Path | None = option(
        "pixels",
        "What is known (white), a file or a folder; paired by name.",
        panel="Input",
        recorded="of each picture",
    )
    max_pixels: int = option(
        "names", "Refuse larger pictures before decoding them.", default=120_000_000, panel="Input", minimum=1
    )
    allow_truncated: bool = option("pixels", "Take what a cut-off file still shows.", default=False, panel="Input")
    raw: Literal["rendered", "linear"] = option(
        "pixels",
        "Raw photographs, OpenEXR: as a screen shows them, or as light is.",
        default="rendered",
        panel="Input",
    )
    strict: bool = option("machine", "Fail where there would be a warning.", default=False, panel="Input")
    in_place: bool = option("names", "Replace the inputs themselves; takes no OUTPUT.", default=False, panel="Output")
    allow_loss: bool = option(
        "machine", "Also replace files that hold more than a result would.", default=False, panel="Output"
    )
    backup: bool = option(
        "machine", "With --in-place, keep each original beside it as NAME.orig.", default=False, panel="Output"
    )
    keep_times: bool = option(
        "machine", "Give results the file dates of their inputs, as --in-place does.", default=False, panel="Output"
    )
    format: str | None = option(
        "pixels",
        "keep, png, jpeg, webp, tiff, bmp, avif, jp2, and with their extras heic, jxl and irc.",
        panel="Output",
        short="-f",
    )
    quality: int = option(
        "pixels",
        "Of formats with loss: JPEG, WebP, AVIF, HEIC, JPEG 2000, JPEG XL, irc.",
        default=QUALITY,
        panel="Output",
        minimum=1,
        maximum=100,
    )
    png_level: int = option(
        "pixels",
        "Of PNG, whose pixels stay the same: 0 and 1 are fast, 9 is small.",
        default=1,
        panel="Output",
        minimum=0,
        maximum=9,
    )
    depth: int | None = option("pixels", "Bits per sample, 8 or 16; the input's if not given.", panel="Output")
    suffix: str = option("names", "Put behind the names of results.", default="", panel="Output")
    metadata: Literal["keep", "strip"] = option(
        "pixels", "Keep or strip EXIF, XMP and comments.", default="keep", panel="Output"
    )
    overwrite: bool = option("names", "Replace files that no earlier run made.", default=False, panel="Output")
    on_collision: Literal["refuse", "rename"] = option(
        "names", "When two results would have one name.", default="refuse", panel="Output"
    )
    c2pa: Path | None = option(
        "machine",
        "Sign results with what made them (C2PA): a PEM file with the chain of certificates and the private key.",
        panel="Output",
    )
    trajectory_format: Literal["strip", "gif"] = option(
        "pixels", "Side by side, or animated.", default="strip", panel="Output"
    )
    report: Path | None = option("machine", "Also write a page with all pictures into this folder.", panel="Output")
    device: str = option("machine", "auto, cpu, cuda, cuda:1, xpu, mps.", default="auto", panel=MEMORY, short="-d")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "pixels",
        "Of the network; auto is bf16 on GPUs, and on CPUs with AMX for networks that ship.",
        default="auto",
        panel=MEMORY,
        recorded="precision",
    )
    shard: Shard | None = option(
        "names", "Part i of n (i/n), for several machines or GPUs.", panel="Batch", parse=Shard.parse
    )
    jobs: int | Literal["auto"] | None = option(
        "machine", "Processes that restore; auto is one for each GPU.", panel="Batch", short="-j", parse=parse_jobs
    )
    ray: str | None = option(
        "machine", "Address of a Ray cluster that restores; auto, or local for a new one.", panel="Batch"
    )
    limit: int | None = option("names", "Only the first so many.", panel="Batch", minimum=1)
    fail_fast: bool = option("machine", "Stop at the first failure.", default=False, panel="Batch")
    dry_run: bool = option(
        "machine", "Say what would be done, and do nothing.", default=False, panel="Batch", variable="-"
    )

    @property
    def arranged(self) -> "Options":
        """The same with OUTPUT among the inputs where there is none: the last place that is given is OUTPUT.

        Raises:
            UsageError: there is no INPUT.
        """
        inputs, outputs = self.inputs, self.outputs
        if outputs is not None and (self.in_place or not inputs):
            inputs, outputs = (*inputs, outputs), None
        if not inputs:
            raise UsageError("INPUT is missing.", hint="Name a picture or a folder.")
        return replace(self, inputs=inputs, outputs=outputs)

    @property
    def given(self) -> str:
        """The inputs in words, as a name."""
        return self.inputs[0] if len(self.inputs) == 1 else f"{len(self.inputs)} inputs"

    @property
    def quoted(self) -> str:
        """The inputs in words, as a part of a sentence."""
        if self.inputs == ("-",):
            return "a pipe"
        return f"'{self.given}'" if len(self.inputs) == 1 else self.given

    @property
    def coding(self) -> int | None:
        """See `Settings.coding`."""
        return round((self.quality - 1) / 99 * 63) if self.format == "irc" else None

    @property
    def limits(self) -> "Limits":
        """What a file may cost."""
        from irsde_cli.images import Limits

        return Limits(max_pixels=self.max_pixels)


def companions(options: Options, output: PurePath) -> list[PurePath]:
    """The files that are written beside an output: further draws, the spread and the states."""
    draws = options.samples if options.estimate == "sample" else 1
    found = [beside(output, f".{draw}") for draw in range(1, draws)]
    if options.spread:
        found.append(beside(output, ".spread"))
    if options.trajectory:
        found.append(film(options, output))
    return found


def beside(output: PurePath, suffix: str) -> PurePath:
    """The output's name with something put before the extension."""
    return output.with_name(f"{output.stem}{suffix}{output.suffix}")


def film(options: Options, output: PurePath) -> PurePath:
    """Where an output's states are shown."""
    return output.with_name(f"{output.stem}.trajectory{'.png' if options.trajectory_format == 'strip' else '.gif'}")
