"""Where a run of `irsde train` reads and writes, and how often."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from irsde_cli.option import option

PLACES, OFTEN = "Data and results", "How often"


@dataclass(frozen=True)
class RunConfig:
    """Where a run reads and writes, and how often; none of it changes what is learnt.

    Attributes:
        data: folder of clean pictures, or one with the folders `GT` and `LQ` of pairs.
        out: folder of the run.
        validation: a folder like `data`, to measure on.
        pairs: how the stem of a degraded file follows from that of its clean one.
        init: weights to begin with: all that `--model` of restore takes, or a file of the reference's.
        skip_bad: go on without pictures that cannot be used.
        workers: threads that make batches.
        report_every: steps between two `Progress`.
        validate_every: steps between two validations.
        validation_crop: side of the central crop that is measured, in pixels.
        save_every: steps between two checkpoints.
        keep: how many of the newest are kept, beside the best.
        tracker: where figures go beside the log and TensorBoard.
        data_name: what the checkpoint says it was trained on.
        licence: the terms of the data, for the checkpoint.
    """

    VARIABLES: ClassVar[str] = "IRSDE_TRAIN_"

    data: str = option(
        "names", "Folder of clean pictures, or one with GT/ and LQ/.", default="", panel=PLACES, kind=Path
    )
    out: str = option("names", "Folder of the run; run again to go on.", default="", panel=PLACES, kind=Path)
    validation: str | None = option("names", "A folder like --data, to measure on.", panel=PLACES, kind=Path)
    pairs: str = option("names", 'Stem of a degraded file, like "{stem}x4".', default="{stem}", panel=PLACES)
    init: str | None = option("pixels", "Begin with these weights: a name, a file, an id of the Hub.", panel=PLACES)
    skip_bad: bool = option("names", "Go on without unusable pictures.", default=False, panel=PLACES)
    workers: int = option("machine", "Threads that make batches.", default=1, panel=OFTEN, minimum=1)
    report_every: int = option("machine", "Steps between reports.", default=100, panel=OFTEN, minimum=1)
    validate_every: int = option("machine", "Steps between validations.", default=2000, panel=OFTEN, minimum=1)
    validation_crop: int = option("machine", default=256, shown=False)
    save_every: int = option("machine", "Steps between checkpoints.", default=1000, panel=OFTEN, minimum=1)
    keep: int = option("machine", "Newest checkpoints to keep, beside the best.", default=2, panel=OFTEN, minimum=1)
    tracker: Literal["none", "wandb"] = option(
        "machine", "Also send figures there; WANDB_MODE=offline keeps them in --out.", default="none", panel=OFTEN
    )
    data_name: str = option("names", "What the checkpoint says it was trained on.", default="", panel=PLACES)
    licence: str = option("names", "The terms of the data, for the checkpoint.", default="", panel=PLACES)

    def __post_init__(self) -> None:
        for name in ("workers", "report_every", "validate_every", "validation_crop", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}")
