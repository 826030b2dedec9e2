"""The machine: devices, precision, memory.

Nothing here sets anything; a command chooses and hands it down.
"""

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from irsde_cli.errors import MachineError, UsageError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
UNKNOWN_MEMORY = 4 << 30


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU, or else the CPU.

    Raises:
        UsageError: no device is ever called that.
        MachineError: this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        if torch.xpu.is_available():
            return torch.device("xpu:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "xpu", "mps"):
        raise UsageError(f"unknown device '{name}'.", hint="Known: auto, cpu, cuda, cuda:1 and so on, xpu, mps.")
    count = 1
    if device.type == "mps":
        count = int(torch.backends.mps.is_available())
    elif device.type != "cpu":
        count = torch.cuda.device_count() if device.type == "cuda" else torch.xpu.device_count()
    if device.type != "cpu" and (device.index or 0) >= count:
        raise MachineError(
            f"this machine has no device '{name}' that this torch can use.", hint="'irsde env' lists the devices."
        )
    return device


def choose_precision(name: Precision, device: torch.device, *, measured: bool = False) -> torch.dtype | None:
    """The dtype in which networks run, `None` for float32.

    Args:
        name: as it was asked for; `auto` is bf16 where a GPU has its own, or a CPU has units for matrices of it.
        device: where they run.
        measured: whether what bf16 changes has been measured for these weights; on a CPU it is taken for such alone.
    """
    if name == "auto":
        own = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if own or (device.type == "cpu" and measured and has_matrix_units()) else None
    return HALVES.get(name)


def has_matrix_units() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 in units of their own (AMX): elsewhere float32 is faster."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return supported is not None and bool(supported())


NO_MEMORY = (
    "can't allocate memory",
    "out of memory",  # as MPS says it, and CUDA where torch's allocator was not asked
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ended: of Python, of a GPU or its libraries, or of torch on a CPU; some say so in words alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    )


def is_lost_device(error: BaseException) -> bool:
    """Whether an accelerator failed in a way that the next picture would meet too."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error) and not is_out_of_memory(error)


def give_back() -> None:
    """Return what was freed to the system, where the C library would keep it: glibc holds up to 32 MB a piece."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; to a GPU through memory that it reads by itself, while the CPU goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def received(tensor: Tensor) -> Tensor:
    """A tensor of a device on the CPU; from a GPU into memory that it writes by itself."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    place = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    place.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return place


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, with what torch keeps of it, or of the machine within its limits."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if sys.platform == "win32":
        return _free_on_windows()
    return min([_free_on_machine(), *_free_in_groups()])


def _free_on_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError):
        return UNKNOWN_MEMORY


def _free_in_groups() -> list[int]:
    """What this process's control group and those around it leave, where there is a limit."""
    free = []
    for place, limit, used, cache in _groups():
        try:
            taken = int((place / used).read_text()) - _statistic(place / "memory.stat", cache)
            free.append(max(int((place / limit).read_text()) - taken, 0))
        except (OSError, ValueError):  # gone, or its limit is
            continue
    return free


@lru_cache(maxsize=1)
def _groups() -> list[tuple[Path, str, str, str]]:
    """The groups that have a limit now, and what their files are called: to look for them takes longer than to ask."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, inner in lines:
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup") / controllers
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        # Within a container the path may be one of the host's; the root then has the limit.
        group = root / inner.strip("/")
        for place in (group, *(parent for parent in group.parents if parent.is_relative_to(root))):
            try:
                int((place / names[0]).read_text())
            except (OSError, ValueError):  # absent, or "max"
                continue
            found.append((place, *names))
    return found


def _statistic(path: Path, name: str) -> int:
    """A line of memory.stat; files that are merely cached count as used there, and are given back on demand."""
    return next((int(line.split()[1]) for line in path.read_text().splitlines() if line.split()[0] == name), 0)


def _free_on_windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "free_page", "virtual", "v", "x")),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    kernel = getattr(ctypes, "windll", None)
    if kernel is None or not kernel.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return UNKNOWN_MEMORY
    return int(status.free)
