"""What can be undone: one row a task."""

from dataclasses import dataclass
from typing import Any

from irsde_cli.errors import UsageError
from irsde_cli.registry import unknown_name


@dataclass(frozen=True)
class Task:
    """A restoration task.

    Attributes:
        summary: completes "restore images: ...".
        good_for: what it helps with, in a photographer's words.
        not_for: what looks alike and is none of its work.
        also: what people call it besides its name.
        weights: the shipped network, a row of `irsde_cli.weights.SHIPPED`; `None` where none ships.
        fast: the shipped network for at most four evaluations; `None` where `weights` is the better one there too.
        sampled: the shipped network for samplers and several evaluations, where `weights` restores in one pass.
        dataset: the data set that the field reports.
        operator: what is known of the damage where weights ask for that: a row of `irsde_cli.operators.OPERATORS` and
            its settings.
        needs_mask: whether `--mask` must say which pixels are known.
    """

    summary: str
    good_for: str
    not_for: str = ""
    also: tuple[str, ...] = ()
    weights: str | None = None
    fast: str | None = None
    sampled: str | None = None
    dataset: str | None = None
    operator: tuple[str, dict[str, Any]] | None = None
    needs_mask: bool = False


EACH = "auto"  # of pictures that each have their own

TASKS = {
    "denoise": Task(
        "remove noise",
        "grain and specks of dim light",
        "blocks of JPEG, scans of film",
        also=("noise", "grain", "clean"),
        weights="denoise-photo",
        sampled="denoise-small",
        dataset="cbsd68",
        operator=("identity", {}),
    ),
    "deblur": Task(
        "remove motion blur",
        "shaken or moving pictures",
        "a lens out of focus",
        also=("sharpen", "unblur", "shake"),
        weights="deblur-small",
        fast="deblur-fast",
        dataset="gopro",
        operator=("blur", {}),
    ),
    "derain": Task(
        "remove rain streaks",
        "streaks of falling rain",
        "drops on the lens",
        also=("rain",),
        weights="derain-small",
        dataset="rain100h",
    ),
    "dehaze": Task(
        "remove haze",
        "fog and haze by day",
        "night, smoke, dull light",
        also=("haze", "fog", "defog"),
        weights="dehaze-photo",
        sampled="dehaze-small",
        dataset="sots-indoor",
    ),
    "inpaint": Task(
        "fill holes",
        "scratches that --mask marks",
        "large objects: it invents",
        also=("fill", "remove", "scratches"),
        weights="inpaint-small",
        dataset="celeba-hq",
        operator=("mask", {}),
        needs_mask=True,
    ),
    "sr2": Task(
        "upscale twice",
        "small, clean pictures",
        "noisy or blocky ones",
        dataset="set5",
        operator=("bicubic", {"factor": 2}),
    ),
    "sr3": Task(
        "upscale three times",
        "small, clean pictures",
        "noisy or blocky ones",
        dataset="set5",
        operator=("bicubic", {"factor": 3}),
    ),
    "sr4": Task(
        "upscale four times",
        "small, clean pictures",
        "noisy or blocky ones",
        also=("upscale", "enlarge", "super-resolution", "sr"),
        weights="sr4-small",
        dataset="set5",
        operator=("bicubic", {"factor": 4}),
    ),
    "jpeg": Task(
        "remove JPEG artefacts",
        "blocks and rings of JPEG",
        "noise, blur",
        also=("artifacts", "artefacts", "dejpeg", "compression"),
        weights="jpeg-photo",
        dataset="live1",
    ),
    "lowlight": Task(
        "brighten dark photographs",
        "pictures taken far too dark",
        "well lit pictures",
        also=("brighten", "dark", "low-light"),
        weights="lowlight-small",
        dataset="lol-v1",
    ),
    "retouch": Task(
        "set tones and colours as an expert would",
        "dull tones and colours",
        "damage of any kind",
        also=("enhance", "colours", "colors"),
    ),
    EACH: Task("undo what is seen of each picture", "damage that you cannot name", "a kind named above"),
    "deshadow": Task(
        "remove shadows", "hard shadows on plain ground", "dark pictures", also=("shadow",), dataset="istd"
    ),
    "raindrop": Task("remove raindrops on glass", "drops on lens or window", "falling rain", dataset="raindrop"),
    "desnow": Task("remove snow", "falling flakes", "snow on the ground", also=("snow",), dataset="snow100k"),
}


def meant(word: str) -> str | None:
    """The task that a word names, by its name or by what people call it; `None` where it names none."""
    plain = word.casefold()
    return next((name for name, task in TASKS.items() if plain in (name, *task.also)), None)


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return TASKS[name]
    except KeyError:
        if (known := meant(name)) is not None:
            raise UsageError(
                f"unknown task '{name}'. Did you mean '{known}'?", hint=f"Known: {', '.join(TASKS)}."
            ) from None
        error: UsageError = unknown_name("task", name, TASKS)
        raise error from None
