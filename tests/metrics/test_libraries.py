"""Metrics of other packages: what is missing is said in one sentence, and what is fetched runs no code."""

import hashlib
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irsde_cli.errors import MachineError, WeightsError
from irsde_cli.metrics import OPTIONAL_METRICS
from irsde_cli.metrics.brisque import Brisque
from irsde_cli.metrics.dists import Dists
from irsde_cli.metrics.inception import Inception
from irsde_cli.metrics.libraries import fetched
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.metrics.scoring import Scorer
from irsde_cli.metrics.vif import Vif

PACKAGES = {"fid": ("torch_fidelity", Inception), "dists": ("piq", Dists), "brisque": ("piq", Brisque)}


@pytest.fixture(autouse=True)
def no_torchmetrics(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """DISTS is piq's where it is missing."""
    if "torchmetrics" not in request.node.name:
        forgotten("torchmetrics", monkeypatch)
        monkeypatch.setitem(sys.modules, "torchmetrics", None)


def forgotten(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_package_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, metric = PACKAGES[name]
    forgotten(package, monkeypatch)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MachineError, match=r"it needs \S+, which is not installed") as missing:
        metric()
    assert f"irsde[{'fid' if name == 'fid' else 'piq'}]" in missing.value.hint


@pytest.mark.parametrize("name", PACKAGES)
def test_torchvision_does_not_fit_torch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the registry's torchvision does on import beside a CPU build of torch, in one sentence."""
    package, metric = PACKAGES[name]
    broken = "from torch import library\nlibrary.register_fake('torchvision::nms')(lambda: None)\n"
    for module, text in (("torchvision", broken), (package, "import torchvision\n")):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text)
        forgotten(module, monkeypatch)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MachineError, match=r"does not load here \(RuntimeError: operator torchvision::nms does not"):
        metric()


@pytest.mark.parametrize("name", PACKAGES)
def test_the_real_package_loads_or_says_why_not(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to its weights, which are not here."""
    package, metric = PACKAGES[name]
    if find_spec(package) is None:
        pytest.skip(f"needs the package {package}")

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises((MachineError, WeightsError), match=r"does not load here|cannot be had: offline"):
        metric()


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def stored(home: Path, monkeypatch: pytest.MonkeyPatch, value: object, name: str = "weights-{}.pth") -> str:
    """The address of weights that were fetched before."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    folder = home / "hub/checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(value, folder / "new")
    name = name.format(hashlib.sha256((folder / "new").read_bytes()).hexdigest()[:8])
    (folder / "new").rename(folder / name)
    return f"https://example.invalid/{name}"


def test_weights_are_checked_and_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(WeightsError, match="which is code and no tensor"):
        fetched(stored(tmp_path, monkeypatch, {"gain": Evil(mark)}))
    assert not mark.exists()
    path = fetched(stored(tmp_path, monkeypatch, {"gain": torch.ones(3)}))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"weights-\w+.pth' are damaged"):
        fetched(f"https://example.invalid/{path.name}")


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="cannot be had") as missing:
        fetched("https://example.invalid/weights-01234567.pth")
    assert "Fetch https://example.invalid" in missing.value.hint
    assert not list(tmp_path.rglob("*.pth"))


def test_features_are_of_eight_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in with torch-fidelity's interface."""

    class Extractor(nn.Module):
        def __init__(self, name: str, wanted: list[str], feature_extractor_weights_path: str) -> None:
            super().__init__()
            self.gain = torch.load(feature_extractor_weights_path)["gain"]

        def forward(self, images: Tensor) -> tuple[Tensor]:
            assert images.dtype == torch.uint8
            return (images.float().mean((2, 3)) * self.gain,)

    module = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    url = stored(tmp_path, monkeypatch, {"gain": torch.tensor(2.0)})
    module.__dict__.update(FeatureExtractorInceptionV3=Extractor, URL_INCEPTION_V3=url)
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    network = Inception()
    assert network(torch.full((1, 3, 4, 4), 100.4 / 255)).tolist() == [[200.0] * 3]
    assert network(torch.full((1, 3, 4, 4), 1.5)).tolist() == [[510.0] * 3]


@pytest.fixture
def piq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the interfaces of piq and torchvision, as far as they are used."""

    class Distance(nn.Module):
        _weights_url = stored(tmp_path, monkeypatch, {}, "dists_weights.pt")

        def __init__(self, reduction: str) -> None:
            super().__init__()
            assert reduction == "none"
            warnings.warn("The parameter 'pretrained' is deprecated", UserWarning, stacklevel=2)

        def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
            return (restored - clean).abs().mean((1, 2, 3))

    def brisque(x: Tensor, data_range: float, reduction: str) -> Tensor:
        assert x.std() > 0, "Expected image with non zero variance"
        return x.std((1, 2, 3))

    package, models = ModuleType("piq"), ModuleType("torchvision.models")
    package.__dict__.update(DISTS=Distance, brisque=brisque)
    vgg = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=stored(tmp_path, monkeypatch, {}, "vgg16-{}.pth")))
    models.__dict__["VGG16_Weights"] = vgg
    stored(tmp_path, monkeypatch, {}, "brisque_svm_weights.pt")
    for name, module in (("piq", package), ("torchvision", ModuleType("torchvision")), ("torchvision.models", models)):
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("piq")
def test_further_metrics_are_figures_beside_the_others() -> None:
    """They see what LPIPS sees; one that cannot be taken of a picture is left open."""
    more = {name: OPTIONAL_METRICS.load(name)() for name in ("dists", "brisque")}
    clean = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    scorer = Scorer(PROTOCOLS["plain-rgb"], None, more)
    figures = scorer.score(clean * 0.5, clean)
    eight = (clean * 0.5 * 255).round() / 255
    assert figures["dists"] == pytest.approx(float((eight - clean).abs().mean()), abs=1e-6)
    assert figures["brisque"] == pytest.approx(float(eight.std()), abs=1e-6)
    flat = scorer.score(torch.full_like(clean, 0.5), clean)
    assert flat["brisque"] is None and flat["dists"] is not None and flat["psnr"] is not None


def test_vif_is_that_of_torchmetrics_on_values_to_255() -> None:
    """1 for equal images, less for worse ones; of values to 1 it would see next to no noise. None below 41 pixels."""
    pytest.importorskip("torchmetrics", reason="the extra 'torchmetrics' is not installed")
    metric = Vif()
    generator = torch.Generator().manual_seed(0)
    clean = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=generator), 64, mode="bicubic").clamp(0, 1)
    noise = torch.randn(clean.shape, generator=generator)
    figures = [float(metric(clean + sigma / 255 * noise, clean)) for sigma in (0, 5, 25)]
    assert figures[0] == pytest.approx(1, abs=1e-4) and figures[0] > figures[1] > figures[2] and figures[2] < 0.5
    assert Vif()(clean[..., :40], clean[..., :40]).isnan().all()


def test_dists_of_torchmetrics_is_that_of_piq(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal features, both within 1e-4."""
    try:
        import piq  # noqa: F401
        import torchmetrics
        from torchvision import models
    except Exception as error:  # where torchvision's binary does not fit torch, anything is raised
        pytest.skip(f"torchmetrics and piq do not load here: {type(error).__name__}")
    torch.manual_seed(0)
    vgg = models.vgg16()
    for package in ("torchvision.models", "torchmetrics.functional.image.dists", "piq.perceptual"):
        monkeypatch.setattr(f"{package}.vgg16", lambda **_: vgg)
    monkeypatch.setattr("irsde_cli.metrics.dists.fetched", lambda url: Path(url))
    weights = torch.load(Path(torchmetrics.__file__).parent / "functional/image/dists_models/weights.pt")
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *_, **__: weights)
    clean = torch.rand(1, 3, 96, 96)
    degraded = (clean + 0.1 * torch.randn(clean.shape)).clamp(0, 1)
    ours = Dists()(degraded, clean)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    torch.testing.assert_close(ours, Dists()(degraded, clean), atol=1e-4, rtol=0)
