"""How long pictures will take, guessed from one small evaluation: before the first of them has begun."""

import time
from dataclasses import replace

import torch

from irsde_cli.engine.memory import TooLargeError, choose_overlap, held_bytes
from irsde_cli.engine.restoration import Restoration, without_gradients
from irsde_cli.networks.tiling import Reduced, Tiles, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for

SIDE = 256  # of the restored picture that is measured


class Forecast:
    """What pictures take, with the settings of a restoration, on so many devices like its own.

    Reading, writing and larger batches are left out, and small tiles are a bit slower than large ones.
    """

    def __init__(self, restoration: Restoration, devices: int = 1) -> None:
        self._restoration = restoration
        self._devices = devices
        self._measured = 0.0

    def seconds(self, size: tuple[int, int]) -> float:
        """For a degraded picture of that height and width; 0 for one that cannot fit into memory."""
        restoration = self._restoration
        scale = restoration.restorer.scale
        height, width = size[0] * scale, size[1] * scale
        try:
            tile = restoration.tile_for(size)
        except TooLargeError:
            return 0.0
        pixels = height * width
        if tile:
            overlap = choose_overlap(restoration.restorer, tile, restoration.options.tile_overlap)
            pixels = Tiles(tile, overlap).pixels(height, width, replace(restoration.restorer.facts, scale=1))
        return pixels * self._pace() * (restoration.sampling.steps or 1) * restoration.draws / self._devices

    @property
    def scale(self) -> int:
        """How many times larger results are."""
        return self._restoration.restorer.scale

    def bytes(self, size: tuple[int, int]) -> int:
        """The memory that a degraded picture of that height and width takes whatever its tiles are."""
        return held_bytes(self._restoration.restorer, size, self._restoration.device)

    def _pace(self) -> float:
        """Seconds that an evaluation takes for each pixel that comes out."""
        if not self._measured:
            restorer, device = self._restoration.restorer, self._restoration.device
            side = max(SIDE // restorer.scale, 1)
            image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
            observation = Observation(image.to(device))
            evaluate = Reduced(self._restoration.dtype) if self._restoration.dtype else whole
            taken: list[float] = []
            while len(taken) < 2:  # the first evaluation also prepares
                noise = ImageNoise([generator_for(0, b"")])
                since = time.monotonic()
                for state in without_gradients(
                    restorer.steps(observation, noise, self._restoration.sampling, evaluate)
                ):
                    state.cpu()  # a GPU has only now finished
                    taken.append(time.monotonic() - since)
                    since = time.monotonic()
                    if len(taken) == 2:
                        break
            self._measured = max(taken[-1], 1e-9) / (side * restorer.scale) ** 2
        return self._measured
