"""How a picture is cut so that it fits, decided before it is begun: on a CPU memory that ends is a kill, no exception.

What is restored must not depend on what else the machine is doing. So a network that sees a bounded neighbourhood works
on a CPU in tiles of a size of its own, `TILE_BYTES`, beyond which larger ones gain nothing; free memory has a say only
where it is short. A network that sees the whole picture gets it whole where that fits; one for which a distance means
another thing in a picture of another size has tiles of its own size for all large ones.
"""

import logging
import math

import torch

from irsde_cli import room
from irsde_cli.errors import InputError
from irsde_cli.networks.facts import Facts, round_up
from irsde_cli.restorer import Restorer
from irsde_cli.runtime import free_memory

logger = logging.getLogger(__name__)

TILE_BYTES = 3 << 27
# Of networks with a tile of their own: larger pictures are cut.
WHOLE_PIXELS = 1 << 20
MEMORY_SHARE = 0.5
# Of networks that look at the whole picture.
USUAL_OVERLAP = 64
SIDES = (4096, 3072, 2048, 1536, 1280, 1024, 768, 512, 384, 256, 192, 128, 64)
# The centre, a state, its successor and the clean estimate in float32, with what is decoded and encoded beside them.
STATE_BYTES = 4 * 12 + 12
# The same where images lie in files: one of them, with what is encoded.
FILED_BYTES = 12 + 4


class TooLargeError(InputError):
    """A picture does not fit into memory, even in the smallest tiles."""


def choose_tile(
    restorer: Restorer,
    size: tuple[int, int],
    device: torch.device,
    *,
    extra_images: int = 0,
    filed_images: int = 0,
    share: float = MEMORY_SHARE,
) -> int:
    """The side of tiles, 0 for the whole, of a degraded picture of that height and width.

    Args:
        restorer: what works on it.
        size: of the degraded picture.
        device: where the states lie.
        extra_images: see `held_bytes`.
        filed_images: likewise.
        share: what part of free memory one evaluation may take, `MEMORY_SHARE` for a process that is alone.

    Raises:
        TooLargeError: not even the smallest tiles fit.
    """
    facts = restorer.facts
    free = free_memory(device) * share / MEMORY_SHARE
    held = held_bytes(restorer, size, device, extra_images, filed_images)
    canvas = _canvas(facts, restorer.scale, size)
    sides = [round_up(side, facts.multiple) for side in SIDES if side >= 2 * facts.multiple]
    smallest = _working(facts, canvas, sides[-1])
    if free < held + smallest:
        raise TooLargeError(
            f"it takes {(held + smallest) / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free.",
            hint=more_memory(device),
        )
    affordable = MEMORY_SHARE * (free - held)
    own = TILE_BYTES if device.type == "cpu" else math.inf
    whole = own if facts.reach is not None else math.inf
    if facts.tile:
        own, whole = facts.working_bytes * facts.tile**2, facts.working_bytes * WHOLE_PIXELS
    if _working(facts, canvas, max(canvas)) <= min(affordable, whole):
        return 0

    def largest(budget: float) -> int:
        return next((side for side in sides if _working(facts, canvas, side) <= budget), sides[-1])

    tile = largest(min(affordable, own))
    if tile < largest(own):
        logger.warning("memory is short: tiles of %d pixels instead of %d", tile, largest(own))
    return tile


def more_memory(device: torch.device) -> str:
    """What people can do where a device has too little."""
    return "Free some, or make the picture smaller." if device.type == "cpu" else "Try --device cpu."


def choose_overlap(restorer: Restorer, tile: int, asked: int | None = None) -> int:
    """How many pixels tiles share, at most half of one: as asked, as the network says, or half of its reach.

    What lies farther hardly matters; docs/performance.md has what was measured.
    """
    facts = restorer.facts
    usual = facts.overlap or (USUAL_OVERLAP if facts.reach is None else (facts.reach + 1) // 2)
    return min(usual if asked is None else asked, tile // 2)


def held_bytes(
    restorer: Restorer, size: tuple[int, int], device: torch.device, extra_images: int = 0, filed_images: int = 0
) -> int:
    """What a picture takes whatever its tiles are.

    Args:
        restorer: what works on it.
        size: height and width of the degraded picture.
        device: where the states lie.
        extra_images: how many images in float32 are kept besides.
        filed_images: how many more of those that lie in files where that is done; see `irsde_cli.room`.
    """
    pixels = size[0] * size[1] * restorer.scale**2
    state = STATE_BYTES + 12 * filed_images
    if room.is_large(3 * pixels, device):
        state = FILED_BYTES
    return pixels * (state + 12 * extra_images) + size[0] * size[1] * restorer.whole_bytes


def largest_batch(restorer: Restorer, size: tuple[int, int], device: torch.device, share: float = MEMORY_SHARE) -> int:
    """How many pictures of that height and width fit at once, at least one."""
    canvas = _canvas(restorer.facts, restorer.scale, size)
    each = held_bytes(restorer, size, device) + _working(restorer.facts, canvas, max(canvas))
    return max(int(share * free_memory(device) / each), 1)


def _canvas(facts: Facts, scale: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of what tiles are cut from: the restored picture, padded."""
    return facts.padded_size(size[0] * scale, size[1] * scale)


def _working(facts: Facts, canvas: tuple[int, int], side: int) -> int:
    """Peak memory of one evaluation on a tile."""
    height, width = (min(length, side) for length in canvas)
    return height * width * facts.working_bytes
