"""Metrics of whole sets of pictures, through features that are kept on disk."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from irsde_cli.metrics import SET_METRICS

FEW = 2000


class FeatureSets:
    """The features of restored pictures and of their clean ones, by contender, in files of a temporary folder.

    Args:
        network: gives features (B, D) of images (B, 3, H, W) in [0, 1].
        metrics: rows of `irsde_cli.metrics.SET_METRICS`.
    """

    def __init__(self, network: nn.Module, metrics: Sequence[str]) -> None:
        self.network = network
        self.metrics = metrics
        self.counts: dict[str, int] = {}
        self._folder = TemporaryDirectory(prefix="irsde-features-")
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, images: dict[str, Tensor], clean: Tensor) -> None:
        """Note a clean picture (1, 3, H, W), and what each contender made of it."""
        with torch.inference_mode():
            ours = self._features(clean)
            for label, image in images.items():
                number = list(self.counts).index(label) if label in self.counts else len(self.counts)
                self.counts[label] = self.counts.get(label, 0) + 1
                for side, features in (("clean", ours), ("restored", self._features(image))):
                    with self._file(number, side).open("ab") as stream:
                        stream.write(features)

    def measure(self) -> dict[str, dict[str, float]]:
        """The metrics of each contender that has at least two pictures."""
        found = {}
        for number, (label, count) in enumerate(self.counts.items()):
            if count > 1:
                sides = [self._rows(number, side, count) for side in ("restored", "clean")]
                found[label] = {name: SET_METRICS.load(name)(*sides) for name in self.metrics}
        return found

    def _features(self, image: Tensor) -> bytes:
        features = self.network(image).float().cpu().numpy()
        self._size = features.shape[1]
        return bytes(features.tobytes())

    def _file(self, number: int, side: str) -> Path:
        return Path(self._folder.name) / f"{number}.{side}"

    def _rows(self, number: int, side: str, count: int) -> NDArray[np.float32]:
        return np.memmap(self._file(number, side), np.float32, "r", shape=(count, self._size))
