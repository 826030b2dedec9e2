"""What a run of `irsde evaluate` was asked for, known before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path

from irsde_cli.degradations import DegradationConfig
from irsde_cli.engine.settings import Engine
from irsde_cli.samplers.settings import Sampling

INPUT = "input"


@dataclass(frozen=True)
class Contender:
    """A way of restoring: weights with their sampling, a folder of pictures that some tool made, or a classical method.

    Attributes:
        name: what it is.
        way: how it samples, in words.
        model: as `--model` names it; `None` takes the task's own.
        folder: of restored pictures, instead of a model.
        baseline: a row of `irsde_cli.workflows.evaluate.baselines.BASELINES`, instead of a model.
        pairs: the stem of such a picture, given `{stem}`.
        sampling: what the weights leave open.
        draws: restorations whose mean counts.
    """

    name: str
    way: str = ""
    model: str | None = None
    folder: Path | None = None
    sampling: Sampling = Sampling()
    draws: int = 1
    pairs: str = "{stem}"
    baseline: str = ""

    @property
    def learnt(self) -> bool:
        """Whether it is weights."""
        return self.folder is None and not self.baseline

    @property
    def label(self) -> str:
        """Its column."""
        return " ".join(filter(None, (self.name, self.way))) or "restored"


@dataclass(frozen=True)
class EvaluateOptions:
    """What is measured.

    Attributes:
        contenders: what is compared; figures of the degraded pictures come with them.
        dataset: a row of `irsde_cli.datasets.DATASETS`, or `None` for two folders.
        roots: folders above the data sets.
        clean: folder of clean pictures, without a data set.
        degraded: folder of degraded ones; `None` where `degradation` makes them.
        pairs: the stem of a degraded file, given `{stem}`.
        task: what is undone.
        protocol: a row of `irsde_cli.metrics.protocols.PROTOCOLS`; the data set's own if `None`.
        degradation: damage made on the fly, in place of the data set's.
        mask: what is known (white), a file, a folder or a mask set of the data set; holes are made of it.
        seed: of damage and noise.
        partial: go on with an incomplete data set.
        limit: only the first so many pairs; the data set may be incomplete then.
        lpips: weights of LPIPS, on either backbone; without them the column is missing.
        metrics: rows of `OPTIONAL_METRICS` and `SET_METRICS` of `irsde_cli.metrics`.
        draws: of each picture, of which the first is scored and all together tell their spread.
        save: an empty folder for the degraded pictures, under `input`, masks, under `known`, and the restored ones, by
            contender.
        engine: what evaluates the networks.
    """

    contenders: tuple[Contender, ...]
    dataset: str | None = None
    roots: tuple[Path, ...] = ()
    clean: Path | None = None
    degraded: Path | None = None
    pairs: str = "{stem}"
    task: str = ""
    protocol: str | None = None
    degradation: DegradationConfig | None = None
    mask: str | None = None
    seed: int = 0
    partial: bool = False
    limit: int | None = None
    lpips: Path | None = None
    metrics: tuple[str, ...] = ()
    draws: int = 1
    save: Path | None = None
    engine: Engine = "torch"
