"""What is decided for a GPU, with a stub in its place."""

import pytest
import torch

from irsde_cli.runtime import choose_precision, free_memory, is_lost_device, is_out_of_memory

GPU = torch.device("cuda")


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: out of memory",
        "MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 1 GB, max allowed: 18.1 GB).",
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_libraries_that_lack_memory_lose_no_device(words: str) -> None:
    """Smaller batches and tiles help, whoever says that memory ended."""
    assert is_out_of_memory(RuntimeError(words))
    assert not is_lost_device(RuntimeError(words))


@pytest.mark.parametrize("words", ["CUDA error: an illegal memory access was encountered", "CUDA error: unspecified"])
def test_a_lost_device_is_no_lack_of_memory(words: str) -> None:
    """The next picture would meet it too."""
    assert is_lost_device(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError(words))


def test_what_torch_keeps_for_itself_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second picture of a run finds as much memory as the first, whose tensors torch has kept."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 << 30, 16 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 13 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 1 << 30)
    assert free_memory(GPU) == 14 << 30


def test_a_gpu_that_imitates_bfloat16_runs_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """An imitation is slower than float32."""

    def supported(including_emulation: bool = True) -> bool:
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision("auto", GPU) is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert choose_precision("auto", GPU) == torch.bfloat16
    assert choose_precision("bf16", torch.device("cpu")) == torch.bfloat16


def test_bfloat16_on_a_cpu_wants_units_for_it_and_weights_that_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert choose_precision("auto", cpu, measured=True) == torch.bfloat16
    assert choose_precision("auto", cpu) is None
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert choose_precision("auto", cpu, measured=True) is None
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert choose_precision("auto", cpu, measured=True) is None
