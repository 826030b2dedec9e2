"""Where a run of `irsde train` reads and writes, and how often."""

from dataclasses import dataclass


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
        data_name: what the checkpoint says it was trained on.
        licence: the terms of the data, for the checkpoint.
    """

    data: str = ""
    out: str = ""
    validation: str | None = None
    pairs: str = "{stem}"
    init: str | None = None
    skip_bad: bool = False
    workers: int = 1
    report_every: int = 100
    validate_every: int = 2000
    validation_crop: int = 256
    save_every: int = 1000
    keep: int = 2
    data_name: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("workers", "report_every", "validate_every", "validation_crop", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}")
