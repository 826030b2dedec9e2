"""The machine: devices, precision and memory. Nothing here sets anything; a command chooses and hands it down."""

import os
import sys
from pathlib import Path
from typing import Literal

import torch

from irsde_cli.errors import MachineError, UsageError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
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
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device '{name}'.", hint="Known: auto, cpu, cuda, cuda:1 and so on, mps.")
    count = torch.cuda.device_count() if device.type == "cuda" else int(torch.backends.mps.is_available())
    if device.type != "cpu" and (device.index or 0) >= count:
        raise MachineError(
            f"this machine has no device '{name}' that this torch can use.", hint="'irsde env' lists the devices."
        )
    return device


def choose_precision(name: Precision, device: torch.device) -> torch.dtype | None:
    """The dtype in which networks run, `None` for float32; `auto` is bf16 where a GPU has it."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None
    return DTYPES.get(name)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, or of the machine within the limits of its control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
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
    """What each version of control groups leaves, where there is a limit."""
    root = Path("/sys/fs/cgroup")
    pairs = [
        (root / "memory.max", root / "memory.current"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes"),
    ]
    free = []
    for limit, used in pairs:
        try:
            free.append(max(int(limit.read_text()) - int(used.read_text()), 0))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return free


def _free_on_windows() -> int:
    import ctypes

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
