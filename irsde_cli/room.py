"""Room for images of more values than any picture that is read: those of enlarged ones.

Where the system can, it is a file without a name. Of such a file it keeps in memory what it has room for, and `rest`
says that nothing of it is needed just now, so that several images cost the memory of the bands that are worked on.
"""

import logging
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from threading import Lock
from weakref import WeakSet

import torch
from torch import Tensor

logger = logging.getLogger(__name__)
LARGE = 3 * 120_000_000  # values: 1.4 GB in float32
PIECE = 1 << 24
# What POSIX has for files that are large and temporary; the usual place of others may itself be memory.
PLACE = "/var/tmp"

_mapped: "WeakSet[mmap.mmap]" = WeakSet()
_lock = Lock()


def is_large(count: int, device: torch.device) -> bool:
    """Whether an image of so many values is given a file."""
    return count > LARGE and device.type == "cpu" and hasattr(os, "posix_fallocate") and hasattr(mmap.mmap, "madvise")


def zeros(shape: Sequence[int], like: Tensor) -> Tensor:
    """Zeros of a shape, of the dtype and on the device of `like`."""
    count = math.prod(shape)
    if is_large(count, like.device):
        try:
            return _in_file(count, like.dtype).view(*shape)
        except OSError as error:
            logger.warning("a large image stays in memory, as no file can take it: %s", error.strerror or error)
    return like.new_zeros(*shape)


def copy(image: Tensor) -> Tensor:
    """A copy of its own."""
    if not is_large(image.numel(), image.device):
        return image.clone()
    result = zeros(image.shape, image)
    values, wanted = result.view(-1), image.reshape(-1)
    for first in range(0, len(values), PIECE):
        values[first : first + PIECE].copy_(wanted[first : first + PIECE])
        rest()
    return result


def rest() -> None:
    """What was worked on until now is not needed for the moment; it stays as it is."""
    if not _mapped:
        return
    with _lock:
        mapped = list(_mapped)
    for memory in mapped:
        memory.madvise(mmap.MADV_DONTNEED)


def _in_file(count: int, dtype: torch.dtype) -> Tensor:
    size = count * dtype.itemsize
    place = None if os.environ.get("TMPDIR") or not os.access(PLACE, os.W_OK) else PLACE
    with tempfile.TemporaryFile(dir=place) as file:
        os.posix_fallocate(file.fileno(), 0, size)  # a disk that is full must say so now, and not to a write
        memory = mmap.mmap(file.fileno(), size)
    with _lock:
        _mapped.add(memory)
    return torch.frombuffer(memory, dtype=dtype)
