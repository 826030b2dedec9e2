"""What can be undone: one row a task."""

from dataclasses import dataclass

from irsde_cli.errors import UsageError
from irsde_cli.registry import unknown_name


@dataclass(frozen=True)
class Task:
    """A restoration task.

    Attributes:
        summary: completes "restore images: ...".
        weights: the shipped network, a row of `irsde_cli.weights.SHIPPED`; `None` where none ships.
        fast: the shipped network for at most four evaluations; `None` where `weights` is the better one there too.
        sampled: the shipped network for samplers and several evaluations, where `weights` restores in one pass.
        dataset: the data set that the field reports.
        needs_mask: whether `--mask` must say which pixels are known.
    """

    summary: str
    weights: str | None = None
    fast: str | None = None
    sampled: str | None = None
    dataset: str | None = None
    needs_mask: bool = False


TASKS = {
    "denoise": Task("remove noise", weights="denoise-photo", sampled="denoise-small", dataset="cbsd68"),
    "deblur": Task("remove motion blur", weights="deblur-small", fast="deblur-fast", dataset="gopro"),
    "derain": Task("remove rain streaks", weights="derain-small", dataset="rain100h"),
    "dehaze": Task("remove haze", weights="dehaze-small", dataset="sots-indoor"),
    "inpaint": Task("fill holes", weights="inpaint-small", dataset="celeba-hq", needs_mask=True),
    "sr2": Task("upscale twice", dataset="set5"),
    "sr3": Task("upscale three times", dataset="set5"),
    "sr4": Task("upscale four times", weights="sr4-small", dataset="set5"),
    "jpeg": Task("remove JPEG artefacts", weights="jpeg-small", dataset="live1"),
    "lowlight": Task("brighten dark photographs", weights="lowlight-small", dataset="lol-v1"),
    "retouch": Task("set tones and colours as an expert would"),
    "auto": Task("undo what a network that looks first finds"),
    "deshadow": Task("remove shadows", dataset="istd"),
    "raindrop": Task("remove raindrops on glass", dataset="raindrop"),
    "desnow": Task("remove snow", dataset="snow100k"),
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return TASKS[name]
    except KeyError:
        error: UsageError = unknown_name("task", name, TASKS)
        raise error from None
