"""What a GPU is spared, with a stub in its place: the same results with less to do."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.engine import sparing
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.engine.sparing import CAST, MOST_RECORDED, Halved, Replay, Replayed, Spared, replay
from irsde_cli.images import Picture, in_bytes, in_unit, with_restored
from irsde_cli.randomness import ImageNoise, Prefetched, generator_for
from irsde_cli.runtime import received
from irsde_cli.weights import shipped_path
from tests.networks.test_contract import build_small, evaluate

OF_EACH_KIND = ("nafnet", "unet", "pocket-unet", "quarter-unet", "restormer", "uformer", "prenet")


class Recordings:
    """Records as CUDA graphs do: the work runs once, and each replay fills the tensor of that time."""

    def __init__(self) -> None:
        self.made = self.replays = 0
        self.error: RuntimeError | None = None

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        if self.error is not None:
            raise self.error
        self.made += 1
        made = work()

        def again() -> None:
            self.replays += 1
            made.copy_(work())

        return again, made


@pytest.fixture
def recordings() -> Recordings:
    return Recordings()


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_weights_in_half_precision_give_what_autocast_gives(name: str) -> None:
    """Its own cast of them, once instead of in each evaluation; and they come back bit by bit."""
    network, x, t = build_small(name), torch.rand(1, 3, 32, 32), torch.tensor([32])
    before = copy.deepcopy(network.state_dict())
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = evaluate(network, x, t).float()
    halved = Halved(network, torch.bfloat16)
    cast = [layer for layer in network.modules() if type(layer) in CAST]
    assert cast and all(layer.weight.dtype == torch.bfloat16 for layer in cast)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        made = evaluate(network, x, t).float()
    assert float((made - expected).norm() / expected.norm()) < 0.02
    halved.undo()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_of_plain_layers_not_a_bit_changes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 3, 1)).eval()
    x = torch.rand(1, 3, 9, 9)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = network(x)
        Halved(network, torch.bfloat16)
        assert torch.equal(network(x), expected)


def test_a_size_is_recorded_when_it_comes_again(recordings: Recordings) -> None:
    """Each result is its own tensor, and follows its inputs."""
    layer = nn.Conv2d(3, 3, 3, padding=1)
    faster = Replayed(layer.forward, recordings, "cpu")
    made = []
    with torch.inference_mode():
        for size in [(8, 8), (8, 8), (8, 8), (4, 8), (8, 8), (4, 8)]:
            x = torch.rand(1, 3, *size)
            made.append((layer(x), faster(x)))
        for expected, found in made:
            assert torch.equal(expected, found)
    assert recordings.made == 2
    assert recordings.replays == 4


@pytest.mark.parametrize("size", [(1, 3, 2048, 1024), (3, 8, 8)])
def test_what_is_large_or_no_image_runs_as_it_is(size: tuple[int, ...], recordings: Recordings) -> None:
    faster = Replayed(lambda x: x + 1, recordings, "cpu")
    with torch.inference_mode():
        for _ in range(3):
            assert faster(torch.zeros(size)).shape == size
    assert not recordings.made


def test_gradients_and_other_devices_are_left_alone(recordings: Recordings) -> None:
    layer = nn.Conv2d(3, 3, 1)
    for _ in range(3):
        Replayed(layer.forward, recordings, "cpu")(torch.rand(1, 3, 4, 4)).sum().backward()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            Replayed(layer.forward, recordings)(torch.rand(1, 3, 4, 4))
    assert not recordings.made and layer.weight.grad is not None


def test_only_so_many_sizes_are_kept(recordings: Recordings) -> None:
    faster = Replayed(lambda x: x + 1, recordings, "cpu")
    with torch.inference_mode():
        for _ in range(2):
            for width in range(1, MOST_RECORDED + 4):
                faster(torch.zeros(1, 1, 1, width))
    assert recordings.made == MOST_RECORDED + 3
    assert len(faster._kept) == MOST_RECORDED
    faster.forget()
    assert not faster._kept


def test_what_cannot_be_recorded_runs_as_it_is(recordings: Recordings) -> None:
    """It is tried once; autocast keeps its cache again."""
    recordings.error = RuntimeError("operation not permitted when stream is capturing")
    faster = Replayed(lambda x: x + 1, recordings, "cpu")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(4):
            assert bool((faster(torch.zeros(1, 1, 2, 2)) == 1).all())
        recordings.error = None
        faster(torch.zeros(1, 1, 2, 2))
        assert torch.is_autocast_cache_enabled()
    assert not recordings.made


def test_precisions_are_recorded_apart(recordings: Recordings) -> None:
    layer = nn.Conv2d(3, 3, 1)
    faster, x = Replayed(layer.forward, recordings, "cpu"), torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        for half in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                for _ in range(3):
                    assert faster(x).dtype == (torch.bfloat16 if half else torch.float32)
    assert recordings.made == 2


def test_a_graph_is_made_as_cuda_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Graph:
        def replay(self) -> None:
            calls.append("replay")

    class Capture:
        def __init__(self, graph: Graph) -> None:
            assert isinstance(graph, Graph)

        def __enter__(self) -> None:
            calls.append("begin")

        def __exit__(self, *_: Any) -> None:
            calls.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    again, made = sparing.recorded(lambda: calls.append("work") or torch.ones(1))  # type: ignore[func-returns-value]
    again()
    assert calls == ["begin", "work", "end", "replay"] and made == 1


def test_a_network_is_replayed_as_a_whole(recordings: Recordings) -> None:
    """Within a system, and none of its parts by itself."""
    network, x, t = build_small("unet"), torch.rand(1, 3, 16, 16), torch.tensor([7])
    with torch.inference_mode():
        expected = network(x, x, t)
        made = replay(nn.ModuleList([network]), recordings, "cpu")
        for _ in range(3):
            assert torch.equal(network(x, x, t), expected)
    assert len(made) == 1 and recordings.made == 1 and recordings.replays == 2


def test_a_gpu_is_spared_and_a_cpu_is_not() -> None:
    """Until a result is not finite in half precision: then weights are whole again."""
    network, x, t = build_small("unet"), torch.rand(1, 3, 16, 16), torch.tensor([7])
    first = next(layer for layer in network.modules() if type(layer) in CAST)
    for device, dtype in (("cpu", torch.bfloat16), ("cuda", None)):
        Spared(build_small("unet"), torch.device(device), dtype)
        assert first.weight.dtype == torch.float32
    spared = Spared(network, torch.device("cuda"), torch.bfloat16)
    assert first.weight.dtype == torch.bfloat16 and isinstance(network.forward, Replayed)
    spared.forget()
    spared.whole_again()
    spared.whole_again()
    assert first.weight.dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(network(x, x, t), build_small("unet")(x, x, t))


class Painted:
    """A subject of one of the three channels alike, or of colour."""

    name, key, flat, known, operator, noise_std, need = "a", b"a", False, None, None, None, None
    maps: ClassVar[dict[str, Tensor]] = {}

    def __init__(self, samples: Tensor) -> None:
        self.samples = samples
        self.size = (samples.shape[1], samples.shape[2])

    def degraded(self) -> Tensor:
        return self.samples


@pytest.mark.parametrize("grey", [False, True])
def test_results_in_bytes_are_those_that_are_written(grey: bool) -> None:
    """The pixels of a file are the same where they become whole numbers where they are made."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randint(0, 256, (3, 24, 33), generator=generator, dtype=torch.uint8)
    samples = samples[:1].expand(3, -1, -1) if grey else samples
    denoiser, made = checkpoint.load(shipped_path("denoise-photo")), {}
    for in_whole_numbers in (False, True):
        restoration = Restoration(denoiser, Settings(), torch.device("cpu"))
        restoration.in_bytes = in_whole_numbers
        *_, outputs = restoration.sample([Painted(samples)])
        assert isinstance(outputs, list)
        image = outputs[0].images[""]
        assert (image.dtype == torch.uint8) == in_whole_numbers
        pixels = samples[: 1 if grey else 3].permute(1, 2, 0).contiguous().numpy()
        made[in_whole_numbers] = torch.from_numpy(with_restored(Picture(pixels), image).pixels)
    assert torch.equal(made[False], made[True])


def test_bytes_become_the_samples_that_they_were() -> None:
    """And of colours they are the pixels of a file where they lie."""
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    samples = in_bytes(in_unit(every))
    assert torch.equal(samples, every)
    pixels = with_restored(Picture(np.zeros((16, 16, 3), np.uint8)), samples).pixels
    assert np.shares_memory(pixels, samples.numpy())
    assert np.array_equal(pixels[..., 1], every[1])


def test_noise_and_results_of_a_gpu_lie_in_memory_that_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are not waited for on the way there."""
    asked: list[tuple[str, Any]] = []
    empty = torch.empty

    class OnGpu:
        """A tensor that says that it lies there."""

        shape, dtype, device, ndim = torch.Size((1, 3, 4, 4)), torch.float32, torch.device("cuda"), 4

        def numel(self) -> int:
            return 48

    class Stream:
        def synchronize(self) -> None:
            asked.append(("waited", None))

    def fresh(*size: Any, pin_memory: bool = False, **more: Any) -> Tensor:
        if pin_memory:
            asked.append(("pinned", True))
        return empty(*size, **more)

    def to(self: Tensor, **how: Any) -> Tensor:
        asked.append(("sent", how["non_blocking"]))
        return self

    def copied(self: Tensor, source: Any, *, non_blocking: bool) -> Tensor:
        asked.append(("copied", non_blocking))
        return self

    monkeypatch.setattr(torch, "empty", fresh)
    monkeypatch.setattr(Tensor, "to", to)
    noise = ImageNoise([generator_for(0, b"a")])
    first = noise(OnGpu())  # type: ignore[arg-type]
    assert asked == [("pinned", True), ("sent", True)]
    with Prefetched(ImageNoise([generator_for(0, b"a")])) as ahead:
        assert torch.equal(ahead(OnGpu()), first)  # type: ignore[arg-type]
    assert asked.count(("pinned", True)) == 3, "the draw before, this one, and the next, which is drawn ahead"
    asked.clear()
    monkeypatch.setattr(Tensor, "copy_", copied)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream())
    assert received(OnGpu()).shape == (1, 3, 4, 4)  # type: ignore[arg-type]
    assert asked == [("pinned", True), ("copied", True), ("waited", None)]
