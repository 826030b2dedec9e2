"""Programs that draw curves of a training, beside the lines of its log."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from irsde_cli.errors import MachineError
from irsde_cli.extras import load

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Takes figures until it is closed."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Figures of a step; steps may go back, where a run does."""

    def close(self) -> None:
        """Nothing more comes."""


class TensorBoard:
    """TensorBoard's files in `folder`.

    Raises:
        ImportError: it is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        self._begin: Any = SummaryWriter
        self._writer: Any = None

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """See `Tracker.log`."""
        if self._writer is None:
            self._writer = self._begin(str(self._folder))
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """See `Tracker.close`."""
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases that goes on where this folder's training does.

    Its own settings (`WANDB_MODE`, `WANDB_PROJECT`, ...) say where figures go; offline they stay in the folder.

    Raises:
        MachineError: wandb is missing, or cannot begin.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        wandb = load("wandb", "--tracker wandb")
        known = folder / "wandb.id"
        identity = known.read_text(encoding="utf-8") if known.exists() else ""
        quiet = wandb.Settings(silent=True, console="off")
        try:
            self._run: Any = wandb.init(
                name=folder.resolve().name,
                id=identity or None,
                resume="allow",
                dir=folder,
                config=dict(settings),
                settings=quiet,
            )
        except wandb.Error as error:
            raise MachineError(
                f"wandb cannot begin: {error}.", hint="'wandb login' once, or WANDB_MODE=offline keeps figures here."
            ) from None
        known.write_text(self._run.id, encoding="utf-8")
        logger.info("wandb: %s", self._run.url or self._run.dir)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """See `Tracker.log`; its own count of steps never goes back, so the step is a figure."""
        self._run.log({**figures, "step": step})

    def close(self) -> None:
        """See `Tracker.close`."""
        self._run.finish()
