"""What is decided for a GPU, with a stub in its place."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.layers import LinearAttention
from irsde_cli.networks.tiling import Evaluated, Float32
from irsde_cli.randomness import PIECE, ImageNoise, generator_for
from irsde_cli.runtime import choose_precision, free_memory, is_lost_device, is_out_of_memory, sent

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


def test_float32_on_a_gpu_has_all_its_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 is off while a network is at work, and what the caller had is there again, also after an error."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    monkeypatch.setattr(convolutions, "allow_tf32", True)
    seen: list[tuple[bool, bool]] = []

    def noting(x: Tensor) -> Tensor:
        seen.append((products.allow_tf32, convolutions.allow_tf32))
        return x

    def failing(x: Tensor) -> Tensor:
        raise RuntimeError

    Float32()(Evaluated(Facts(), noting), torch.zeros(1, 3, 2, 2))
    with pytest.raises(RuntimeError):
        Float32()(Evaluated(Facts(), failing), torch.zeros(1, 3, 2, 2))
    assert seen == [(False, False)] and convolutions.allow_tf32


def test_what_goes_to_a_gpu_goes_through_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the copy need not be waited for; what stays on the CPU is not copied."""
    calls: list[object] = []
    image = torch.zeros(1, 3, 2, 2)
    assert sent(image, torch.device("cpu")) is image

    def pinned(self: Tensor) -> Tensor:
        calls.append("pinned")
        return self

    def to(self: Tensor, device: torch.device, **how: bool) -> Tensor:
        calls.append((device, how))
        return self

    monkeypatch.setattr(Tensor, "pin_memory", pinned)
    monkeypatch.setattr(Tensor, "to", to)
    sent(image, GPU)
    assert calls == ["pinned", (GPU, {"non_blocking": True})]


def test_noise_of_a_batch_is_that_of_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads draw it."""
    shape = (3, 3, 640, PIECE // 1600)
    drawn = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        drawn.append(ImageNoise([generator_for(0, bytes([index])) for index in range(3)]).draw(torch.empty(shape)))
    assert torch.equal(*drawn)
    assert len({float(image.sum()) for image in drawn[0]}) == 3


def test_linear_attention_of_many_pixels_does_not_vanish_in_float16() -> None:
    """Shares and values of a quarter of a megapixel are below what float16 can hold: they are not divided in it."""
    attention = LinearAttention(8).eval().requires_grad_(False)
    cast(Tensor, cast(nn.Conv2d, attention.to_out[0]).bias).zero_()
    x = torch.randn(1, 8, 512, 512, generator=torch.Generator().manual_seed(0))
    exact = attention(x)
    with torch.autocast("cpu", torch.float16):
        made = attention(x)
    assert float((made - exact).norm() / exact.norm()) < 0.05
