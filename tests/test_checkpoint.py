import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import irsde_cli
from irsde_cli import checkpoint
from irsde_cli.config import to_mapping
from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.systems import build_restorer
from tests.extras import rows
from tests.systems.test_restorers import DIFFUSIONS, build


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, build("mean-reverting"), task="deblur", step=7, data="photos", licence="free")
    return path


def rewrite(path: Path, header: dict[str, Any] | str, change: Any = None) -> Path:
    tensors = checkpoint.load(path).restorer.state_dict()
    if change:
        change(tensors)
    text = header if isinstance(header, str) else json.dumps(header)
    other = path.with_name("other.safetensors")
    save_file(tensors, other, metadata={"irsde": text})
    return other


def header_of(path: Path) -> dict[str, Any]:
    return vars(checkpoint.read_header(path))


@pytest.mark.parametrize("system", rows(DIFFUSIONS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_checkpoint_rebuilds_its_restorer(tmp_path: Path, system: str, dtype: torch.dtype) -> None:
    """One file holds all that is needed; in half precision the weights are rounded once and computed in float32."""
    restorer = build(system)
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, restorer, dtype=dtype, task="denoise", step=3)
    loaded = checkpoint.load(path)
    assert type(loaded.restorer) is type(restorer)
    written, read = (json.loads(json.dumps(to_mapping(one.config))) for one in (restorer, loaded.restorer))
    assert read == written
    assert (loaded.header.task, loaded.header.step) == ("denoise", 3)
    for name, tensor in restorer.state_dict().items():
        assert torch.equal(loaded.restorer.state_dict()[name], tensor.to(dtype).float()), name


def test_a_system_that_was_called_otherwise_is_known(tmp_path: Path) -> None:
    """`direct` became `one-pass`: a file of then gives what the same weights give now."""
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, build("one-pass"), task="denoise")
    assert header_of(path)["system"] == "one-pass"
    older = rewrite(path, header_of(path) | {"system": "direct"})
    image = torch.rand(3, 9, 14)
    now, then = (checkpoint.load(one) for one in (path, older))
    assert then.header == now.header and torch.equal(then.restorer(image), now.restorer(image))


def test_a_header_says_whether_pixels_depend_on_tiles(tmp_path: Path) -> None:
    """Attention, pooling and grids look at the whole image; a bounded neighbourhood does not care."""
    for name, depends in (("dncnn", False), ("maxim", True)):
        network = {"name": name, "options": dict(NETWORKS[name].example)}
        path = tmp_path / f"{name}.safetensors"
        checkpoint.save(path, build("one-pass", network=network), task="derain")
        assert checkpoint.read_header(path).depends_on_tiles is depends


def test_load_takes_a_path(saved: Path) -> None:
    """From Python, a file works where a task's name does."""
    assert irsde_cli.load(str(saved))(torch.rand(3, 8, 8)).shape == (3, 8, 8)


def test_damaged_files_are_refused(saved: Path, tmp_path: Path) -> None:
    """Truncated, empty, junk, pickles under any name, and an absurd header length: one sentence each."""
    whole = saved.read_bytes()
    payloads = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "junk": b"not weights at all, but long enough to be read",
        "absurd": (1 << 40).to_bytes(8, "little") + b"{}",
    }
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickle.safetensors")
    payloads["pickle"] = (tmp_path / "pickle.safetensors").read_bytes()
    for name, data in payloads.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=name):
            checkpoint.load(path)


def test_misfits_are_named(saved: Path) -> None:
    """The first tensor that lacks, exceeds or differs from what the header asks for is named."""
    header = header_of(saved)

    def lacking(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["network.intro.weight"]

    def extra(tensors: dict[str, torch.Tensor]) -> None:
        tensors["surplus"] = torch.zeros(1)

    def reshaped(tensors: dict[str, torch.Tensor]) -> None:
        tensors["network.intro.weight"] = torch.zeros(1, 2, 3, 3)

    def retyped(tensors: dict[str, torch.Tensor]) -> None:
        tensors["network.intro.weight"] = tensors["network.intro.weight"].to(torch.int32)

    def poisoned(tensors: dict[str, torch.Tensor]) -> None:
        tensors["network.intro.weight"] = tensors["network.intro.weight"] * float("nan")

    for change, words in [
        (lacking, "lacks the tensor 'network.intro.weight'"),
        (extra, "'surplus'"),
        (reshaped, "shape"),
        (retyped, "type"),
        (poisoned, "not finite"),
    ]:
        with pytest.raises(WeightsError, match=words):
            checkpoint.load(rewrite(saved, header, change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "newer irsde"),
        ({"system": "mean-revertin"}, "Did you mean 'mean-reverting'"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"step": "many"}, "'step' must be int"),
        ({"config": {}}, "'network' is missing"),
        (
            {"config": {"network": {"name": "pocket-unet", "options": {"widths": [-3], "blocks": [1]}}}},
            "cannot be built",
        ),
        ({"config": {"network": {"name": "pocket-unet"}, "process": {"options": {"eps": -1.0}}}}, "eps must lie"),
        ({"config": {"network": {"name": "pocket-unet"}, "process": {"name": "gobu"}}}, "Did you mean 'goub'"),
        ({"format": 0}, "which there never was"),
    ],
)
def test_headers_are_checked(saved: Path, change: dict[str, Any], words: str) -> None:
    """A header is trusted in nothing."""
    with pytest.raises(WeightsError, match=words):
        checkpoint.load(rewrite(saved, header_of(saved) | change))


def test_headers_that_are_no_headers(saved: Path) -> None:
    """Another program's file, or a header that is not JSON, is refused."""
    with pytest.raises(WeightsError, match="not JSON"):
        checkpoint.load(rewrite(saved, "{"))
    save_file({"a": torch.zeros(1)}, saved)
    with pytest.raises(WeightsError, match="no header"):
        checkpoint.load(saved)
    with pytest.raises(WeightsError, match="no weight file"):
        checkpoint.load(saved.with_name("absent.safetensors"))


def test_loading_makes_no_fresh_weights(saved: Path) -> None:
    """Values that the file replaces are never drawn: it would take longer than reading, and the memory twice."""
    before = torch.get_rng_state()
    checkpoint.load(saved)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_loading_is_reading(tmp_path: Path) -> None:
    """The U-Net of 137 million parameters takes less than 1.5 times the time and 1.2 times the memory of its file."""
    path = tmp_path / "large.safetensors"
    restorer = build_restorer("mean-reverting", {"network": {"name": "unet", "options": {}}}, "here")
    checkpoint.save(path, restorer)
    del restorer
    size = path.stat().st_size
    assert size > 520 * 2**20
    script = (
        "import resource, statistics, sys, time\nfrom pathlib import Path\nimport torch\n"
        "from irsde_cli import checkpoint\nfrom irsde_cli.systems import SYSTEMS\nSYSTEMS.load('mean-reverting')\n"
        "path = Path(sys.argv[1])\npeak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        "def load(): return [t.sum() for t in checkpoint.load(path).restorer.state_dict().values()]\n"
        "def seconds(job):\n    times = []\n    for _ in range(5):\n        since = time.perf_counter()\n"
        "        job()\n        times.append(time.perf_counter() - since)\n    return statistics.median(times)\n"
        "loading = seconds(load)\nmemory = peak() - before\nprint(memory, loading, seconds(path.read_bytes))\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    memory, loading, reading = map(float, result.stdout.split())
    assert memory < 1.2 * size, memory / size
    assert loading < 1.5 * reading, (loading, reading)
