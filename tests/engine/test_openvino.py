"""Networks and systems in OpenVINO: what torch makes of them, at any size, and conversions that are kept."""

import logging
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.checkpoint import Checkpoint
from irsde_cli.engine import openvino
from irsde_cli.errors import UsageError
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, Predictor
from irsde_cli.networks.tiling import Tiles
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, RandnLike, generator_for
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.parts import NetworkConfig
from tests.cli.stub import save_stub
from tests.extras import rows
from tests.networks.test_contract import IMAGE_NETWORKS, build_small, evaluate
from tests.systems.test_restorers import build

if find_spec("openvino") is None:
    pytest.skip("the extra 'openvino' is not installed", allow_module_level=True)

# With time and without, of several levels, of another size of what comes out.
FEW = ["pocket-unet", "quarter-unet", "unet", "nafnet", "srvgg"]
RUN = [name for name in SYSTEMS if name in ("mean-reverting", "denoising", "latent", "pmrf", "two-heads", "one-pass")]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for conversions."""
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path / "store"))
    return tmp_path / "store" / "openvino"


def in_bfloat16(network: Any, *inputs: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return evaluate(network, *inputs).float()


def apart(one: Tensor, other: Tensor) -> float:
    """By the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def stand_in(network: Mapper | Predictor) -> Mapper | Predictor:
    converted = openvino.Converted(network.facts, openvino.convert(network))
    if isinstance(network, Mapper):
        return openvino.ConvertedMapper(converted)
    return openvino.ConvertedPredictor(converted)


def check_alike(network: Any, other: Any, *, half: bool = True) -> None:
    """At sizes that need padding and those that do not, two at once and at two times, in both precisions."""
    for size in ((16, 16), (13, 22), (1, 40)):
        x = torch.rand(2, network.facts.channels[0], *size)
        with torch.inference_mode():
            expected = evaluate(network, x)
            found = evaluate(other, x)
            assert found.shape == expected.shape and found.dtype == torch.float32
            assert apart(found, expected) < 1e-4, size
            if half and "bf16" in network.facts.half:
                rough = apart(in_bfloat16(network, x), expected)
                assert apart(in_bfloat16(other, x), expected) < 3 * rough + 0.01, size


@pytest.mark.parametrize("name", FEW)
def test_networks_are_alike(name: str) -> None:
    network = build_small(name)
    check_alike(network, stand_in(network))


@pytest.mark.slow
@pytest.mark.parametrize("name", rows([name for name in IMAGE_NETWORKS if name not in FEW]))
def test_each_network_is_alike_or_refused(name: str) -> None:
    """What becomes a number of the one size that was followed is noticed, and no picture is made with it."""
    network = build_small(name)
    if not isinstance(network, Mapper | Predictor) or network.facts.draws:
        pytest.skip("no system evaluates it by its forward alone")
    try:
        other = stand_in(network)
    except UsageError as error:
        assert error.exit_code == 2 and error.hint.startswith("Leave out --engine")
        pytest.skip(f"refused: {error.message}")
    check_alike(network, other, half=name != "ncsnpp")


def test_digits_that_half_precision_loses_are_noticed(tmp_path: Path) -> None:
    """The embedding of time of NCSN++, in bfloat16, is another time: it runs in float32 alone."""
    restorer = build("mean-reverting", network=NetworkConfig("ncsnpp", dict(NETWORKS["ncsnpp"].example)))
    checkpoint.save(tmp_path / "w.safetensors", restorer, task="denoise")
    with pytest.raises(UsageError, match="loses too many digits of this network in bf16"):
        openvino.take_over(checkpoint.load(tmp_path / "w.safetensors"), torch.bfloat16)
    openvino.take_over(checkpoint.load(tmp_path / "w.safetensors"), None)


class OfOneSize(Mapper):
    """A number of its input's size that no graph follows."""

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        return image + float(image.shape[-1])


class Broken(Mapper):
    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        raise RuntimeError("cannot be followed")


@pytest.mark.parametrize(
    ("network", "reason"), [(OfOneSize(), "one size alone"), (Broken(), "cannot convert the network")]
)
def test_what_cannot_be_converted_is_refused(network: Mapper, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        openvino.convert(network)
    assert caught.value.exit_code == 2


@pytest.fixture(params=RUN)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Restorer, Checkpoint]]:
    """A system as it is, and its checkpoint."""
    restorer = build(request.param)
    checkpoint.save(tmp_path / "w.safetensors", restorer, task="denoise")
    yield restorer, checkpoint.load(tmp_path / "w.safetensors")


def restored(restorer: Restorer, image: Tensor, tile: int = 0) -> Tensor:
    noise = ImageNoise([generator_for(0, str(index).encode()) for index in range(len(image))])
    asked = Sampling(steps=2) if restorer.takes_sampler else Sampling()
    ways = (Tiles(tile, 8),) if tile else ()
    with torch.inference_mode():
        return last(restorer.steps(Observation(image), noise, restorer.resolve(asked), *ways))


def test_systems_give_the_same_pictures(system: tuple[Restorer, Checkpoint]) -> None:
    """Of one evaluation and of several, in tiles and whole, one and several at once."""
    plain, loaded = system
    openvino.take_over(loaded, torch.float32)
    for name in loaded.restorer.evaluated:
        own = loaded.restorer.get_submodule(name)
        assert isinstance(own, openvino.ConvertedMapper | openvino.ConvertedPredictor)
    count = plain.max_batch or 2
    for shape, tile in (((count, 3, 37, 22), 0), ((1, 3, 48, 64), 32)):
        image = torch.rand(shape)
        torch.testing.assert_close(
            restored(loaded.restorer, image, tile), restored(plain, image, tile), atol=2e-4, rtol=0
        )


def test_other_systems_are_refused(tmp_path: Path) -> None:
    """Those whose networks do more than one thing."""
    for name in SYSTEMS:
        if name not in RUN and not SYSTEMS[name].extra:
            checkpoint.save(tmp_path / "w.safetensors", build(name), task="denoise")
            with pytest.raises(UsageError, match=f"'{name}'"):
                openvino.take_over(checkpoint.load(tmp_path / "w.safetensors"), None)


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return save_stub(tmp_path / "stub.safetensors")


def refused(*_: object) -> Any:
    raise AssertionError("it was kept")


def test_a_conversion_is_kept(stub: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file, with all constants in float32; the next run converts nothing and gives the same numbers."""
    loaded = checkpoint.load(stub)
    openvino.take_over(loaded, None)
    (path,) = store.glob("*.zip")
    assert {one.suffix for one in store.iterdir()} == {".zip", ".lock"}
    with zipfile.ZipFile(path) as archive:
        model = openvino.library().Core().read_model(*(archive.read(name) for name in archive.namelist()))
    constants = [one for one in model.get_ops() if one.get_type_name() == "Constant"]
    kinds = {one.get_element_type().get_type_name() for one in constants if one.get_element_type().is_real()}
    assert kinds == {"f32"}
    monkeypatch.setattr(openvino, "convert", refused)
    again = checkpoint.load(stub)
    openvino.take_over(again, None)
    image = torch.rand(1, 3, 20, 24)
    assert torch.equal(restored(again.restorer, image), restored(loaded.restorer, image))


def test_other_weights_are_another_conversion(stub: Path, store: Path, tmp_path: Path) -> None:
    openvino.take_over(checkpoint.load(stub), None)
    loaded = checkpoint.load(stub)
    checkpoint.save(tmp_path / "other.safetensors", loaded.restorer, task="deblur")
    openvino.take_over(checkpoint.load(tmp_path / "other.safetensors"), None)
    assert len(list(store.glob("*.zip"))) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_conversion_is_made_anew(
    stub: Path, store: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """It is said, and the file is whole again."""
    openvino.take_over(checkpoint.load(stub), None)
    (path,) = store.glob("*.zip")
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {"cut": whole[:middle], "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]}
    path.write_bytes({**damaged, "empty": b"", "other": b"PK other"}[damage])
    caplog.clear()
    openvino.take_over(checkpoint.load(stub), None)
    assert "is damaged, and made anew" in caplog.text
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_where_nothing_can_be_kept_it_is_said(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path / "file"))
    loaded = checkpoint.load(stub)
    openvino.take_over(loaded, None)
    assert "the conversion is not kept" in caplog.text
    assert restored(loaded.restorer, torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)


class Other:
    """OpenVINO on a CPU without the precision: it takes float32, and does not say so."""

    def compile_model(self, *_: object) -> "Other":
        return self

    def get_property(self, _: str) -> "Other":
        return self

    def get_type_name(self) -> str:
        return "f32"

    Core = __call__ = lambda self: self


def test_another_precision_than_was_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "library", Other())
    with pytest.raises(UsageError, match="takes f32 on this CPU, and not bf16"):
        openvino.Converted(Facts(), None).compiled(torch.bfloat16)


def test_memory_that_ends_is_what_torch_calls_so() -> None:
    """So that tiles become smaller."""

    class Full:
        def infer(self, _: object, **__: object) -> None:
            raise RuntimeError("std::bad_alloc")

    converted = openvino.Converted(Facts(), None)
    converted._requests[torch.float32] = Full()
    with pytest.raises(MemoryError):
        converted(torch.rand(1, 3, 8, 8))


def test_a_conversion_leaves_logging_as_it_was() -> None:
    """OpenVINO's own would leave the whole program without warnings."""
    root = logging.getLogger()
    before = root.level, [*root.handlers], [*root.filters]
    openvino.convert(build_small("srvgg"))
    assert (root.level, root.handlers, root.filters) == before


def test_nothing_is_told_to_its_maker() -> None:
    """OpenVINO reports each import over the internet, where the package that does so is found."""
    openvino.library()
    assert cast(dict[str, Any], sys.modules)["openvino_telemetry"] is None
