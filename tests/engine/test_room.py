"""Images that are larger than any that is read lie in files; nothing of a result changes by that."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from irsde_cli import room
from irsde_cli.centres import centre as centres
from irsde_cli.engine import gating
from irsde_cli.engine.memory import held_bytes
from irsde_cli.needs.interval import Interval
from irsde_cli.networks.tiling import Tiles
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import last
from irsde_cli.samplers import sampler
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig, ProcessConfig, PublishedSampling
from tests.engine.test_memory import CPU, GPU, Sized

FILED = room.is_large(room.LARGE + 1, CPU)
INTERVAL = Interval({"change near": 2.0, "change": 1.0, "detail far": 1.0, "constant": 1.0}, 2.0, 1, 1, "", "")
needs_files = pytest.mark.skipif(not FILED, reason="this system cannot give up the memory of a file")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Everything is large; the sizes of the files that are made."""
    made: list[int] = []
    in_file = room._in_file

    def counted(count: int, dtype: torch.dtype) -> Any:
        made.append(count)
        return in_file(count, dtype)

    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "PIECE", 100)
    monkeypatch.setattr(room, "_in_file", counted)
    return made


@needs_files
def test_what_was_written_stays_when_its_memory_is_given_up(files: list[int]) -> None:
    values = torch.arange(3000.0).view(1, 3, 20, 50)
    kept = room.copy(values)
    room.rest()
    assert torch.equal(kept, values)
    kept.add_(1)
    room.rest()
    assert torch.equal(kept, values + 1)
    assert not room.zeros((2, 2), values).any()
    assert files == [3000, 4]


@needs_files
def test_files_go_with_their_images(files: list[int]) -> None:
    before = len(room._mapped)
    image = room.zeros((3, 8, 8), torch.zeros(1))
    assert len(room._mapped) == before + 1
    del image
    assert len(room._mapped) == before


@needs_files
def test_a_full_disk_leaves_them_in_memory(
    files: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    assert room.zeros((3, 8), torch.zeros(1)).shape == (3, 8)
    assert "stays in memory" in caplog.text


@needs_files
@pytest.mark.parametrize("upsampling", ["bicubic", "nearest"])
@pytest.mark.usefixtures("files")
def test_enlarging_in_bands_changes_no_bit(upsampling: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centres, "ROWS", 8)
    image = torch.rand(1, 3, 37, 21)
    with torch.inference_mode():
        bands = centres.centre(Observation(image), 4, upsampling)
    assert torch.equal(bands, centres.enlarged(image, 4, upsampling))


def gated(observation: Observation, mean: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    height, width = observation.samples.shape[-2:]
    scale = mean.shape[-1] // width
    return gating.Gate(0.7, INTERVAL, observation, [(height, width)], scale)(mean, draw)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_gate_that_looks_at_bands_says_the_same(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the order in which the mean of the whole picture is summed."""
    generator = torch.Generator().manual_seed(0)
    small = F.interpolate(torch.rand(1, 3, 6, 4, generator=generator), (90, 20), mode="bilinear") * 0.4 + 0.3
    mean = F.interpolate(small, scale_factor=scale, mode="bilinear")
    rising = torch.linspace(0, 0.1, mean.shape[-1])
    draw = (mean + rising * torch.randn(mean.shape, generator=generator)).clamp_(0, 1)
    known = torch.rand(1, 1, 90, 20, generator=generator) > 0.3 if scale == 1 else None
    observation = Observation(small, known)
    whole = gated(observation, mean, draw)
    monkeypatch.setattr(gating, "PIXELS", 20 * scale**2 * 7)
    bands = gated(observation, mean, draw)
    assert float(whole.std()) > 0.02, "it doubts some places and not others"
    torch.testing.assert_close(bands, whole, atol=1e-6, rtol=0)


@needs_files
def test_a_large_result_is_that_of_memory(files: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start, tiles, steps and the blend with the mean, bit for bit."""
    config = MeanRevertingConfig(
        NetworkConfig("unet", {"nf": 4, "depth": 1}),
        ProcessConfig(prediction="clean"),
        scale=2,
        sampling=PublishedSampling("posterior", 3, realism=0.5),
    )
    torch.manual_seed(0)
    system = MeanReverting(config)
    system.freeze()
    image = torch.rand(1, 3, 24, 17)
    monkeypatch.setattr(sampler, "BAND_ELEMENTS", 100)

    def restored() -> torch.Tensor:
        noise = ImageNoise([generator_for(0, b"a")])
        sampling = system.resolve(Sampling())
        with torch.inference_mode():
            return last(system.steps(Observation(image), noise, sampling, Tiles(16, 4)))

    filed = restored()
    assert files.count(filed.numel()) >= 5, "the centre, the start, and an estimate of each step"
    monkeypatch.setattr(room, "LARGE", 1 << 40)
    assert torch.equal(filed, restored())


@needs_files
def test_what_lies_in_files_counts_once() -> None:
    """An enlargement to 195 megapixels asks for less memory than 4 GB, and on a GPU for all of its states."""
    restorer = Sized(100, 8, 4, local=True)
    assert held_bytes(restorer, (3000, 4000), CPU, filed_images=5) < 3.5e9
    assert held_bytes(restorer, (3000, 4000), GPU, filed_images=5) > 20e9
    assert held_bytes(restorer, (3000, 2000), CPU, filed_images=5) > 10e9
