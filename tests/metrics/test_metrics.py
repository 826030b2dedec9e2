import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from irsde_cli.errors import WeightsError
from irsde_cli.metrics import METRICS
from irsde_cli.metrics.lpips import Lpips, LpipsAlex, LpipsSqueeze
from irsde_cli.metrics.luma import grey, luma
from irsde_cli.metrics.protocols import PROTOCOLS
from irsde_cli.metrics.psnr import psnr
from irsde_cli.metrics.scoring import Scorer
from irsde_cli.metrics.ssim import ssim
from tests.golden import load_golden


def pictures(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255


def test_psnr_and_ssim_equal_the_reference(shared: Path) -> None:
    """RGB and luma, as IR-SDE's evaluation computes them, without its crop of the border."""
    golden = load_golden(shared, "metrics")
    expected = json.loads(golden.metadata["values"])
    a, b = (golden[name].permute(2, 0, 1)[None].double() / 255 for name in ("image_a", "image_b"))
    found = {
        "psnr_rgb": psnr(a, b),
        "ssim_rgb": ssim(a, b),
        "psnr_y": psnr(luma(a), luma(b)),
        "ssim_y": ssim(luma(a), luma(b)),
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, abs=1e-6)


def test_psnr_of_equal_images_is_infinite() -> None:
    image = pictures(2, 3, 8, 8)
    assert psnr(image, image).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_each_image_of_a_batch_has_its_own_number(metric: object) -> None:
    assert callable(metric)
    a, b = pictures(3, 3, 16, 19), pictures(3, 3, 16, 19, seed=1)
    one_by_one = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(metric(a, b), one_by_one)
    assert metric(a, b).dtype == torch.float64


def test_ssim_equals_scikit_image_with_the_papers_window() -> None:
    a = pictures(1, 3, 40, 31)
    b = (a + 0.2 * pictures(1, 3, 40, 31, seed=1)).clamp(0, 1)
    _, similarity = structural_similarity(  # type: ignore[no-untyped-call]
        a[0].double().numpy(),
        b[0].double().numpy(),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert ssim(a, b).item() == pytest.approx(similarity[:, 5:-5, 5:-5].mean(), abs=1e-9)


def test_ssim_of_equal_images_is_one() -> None:
    image = pictures(1, 3, 11, 11)
    assert ssim(image, image).item() == pytest.approx(1)


def test_ssim_refuses_images_below_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, not 10 x 12"):
        ssim(pictures(1, 3, 12, 10), pictures(1, 3, 12, 10))


def test_luma_goes_from_16_to_235() -> None:
    grey = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1)
    assert (luma(grey) * 255).flatten().tolist() == pytest.approx([16, 235])


def test_grey_is_of_full_range() -> None:
    """Unlike luma: black is 0 and white 1, so a ratio of means is a ratio of brightness."""
    ends = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1)
    assert grey(ends).flatten().tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("name", [name for name, row in PROTOCOLS.items() if row.reference])
def test_what_a_protocol_rounds(name: str) -> None:
    """PSNR is that of files of 8 bits; IR-SDE takes LPIPS before rounding, the others after."""

    class Mean(LpipsAlex):
        def forward(self, restored: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
            return restored.mean()[None]

    clean, image = torch.full((1, 3, 40, 40), 0.5), torch.full((1, 3, 40, 40), 100.4 / 255)
    scorer = Scorer(PROTOCOLS[name], None)
    scorer.lpips = Mean()
    figures, rounded = scorer.score(image, clean), scorer.score(image.mul(255).round().div(255), clean)
    assert figures["psnr"] == rounded["psnr"]
    assert (figures["lpips"] == rounded["lpips"]) == (not name.startswith("irsde"))


def test_the_clean_mean_is_borrowed_as_the_field_does(shared: Path) -> None:
    """On the LOL pair, with the arithmetic of the field's scripts on files of 8 bits: 16.33 dB, and 8.88 without."""
    folder = shared / "data/testsets/lol"
    dark, clean = (np.asarray(Image.open(folder / side / "778.png").convert("RGB"), float) for side in ("LQ", "GT"))
    weights = np.array((0.299, 0.587, 0.114))
    scaled = (dark * ((clean @ weights).mean() / (dark @ weights).mean())).clip(0, 255)
    expected = 10 * np.log10(255**2 / ((scaled - clean) ** 2).mean())
    images = [read(folder / side / "778.png") for side in ("LQ", "GT")]
    assert Scorer(PROTOCOLS["lol-gt-mean"], None).score(*images)["psnr"] == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx(16.33, abs=0.005)
    assert Scorer(PROTOCOLS["lol"], None).score(*images)["psnr"] == pytest.approx(8.877, abs=1e-3)


@pytest.fixture(scope="module", params=["alex", "squeeze"])
def lpips(shared: Path, request: pytest.FixtureRequest) -> Lpips:
    metric: Lpips = METRICS.load(f"lpips-{request.param}").load(shared / f"weights/lpips_{request.param}.safetensors")
    return metric


@pytest.mark.parametrize(
    ("pair", "alex", "squeeze"),
    [
        ("rain100l/001", 0.3761, 0.2377),
        ("rain100l/002", 0.1681, 0.1305),
        ("rain100h/02", 0.3407, 0.2641),
        ("sots_indoor/1400_1", 0.0861, 0.0651),
        ("lol/778", 0.6142, 0.4317),
    ],
)
def test_lpips_equals_the_published_network(lpips: Lpips, shared: Path, pair: str, alex: float, squeeze: float) -> None:
    """On real pairs, to the four digits recorded beside the weights."""
    folder, name = pair.split("/")
    clean, degraded = (read(shared / "data/testsets" / folder / side / f"{name}.png") for side in ("GT", "LQ"))
    expected = alex if isinstance(lpips, LpipsAlex) else squeeze
    assert lpips(degraded, clean).item() == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("cls", [LpipsAlex, LpipsSqueeze])
def test_lpips_is_a_distance_of_each_pair(cls: type[Lpips]) -> None:
    """Zero for equal images, one number a pair, down to the smallest size."""
    metric = cls().eval()
    a, b = pictures(2, 3, cls.smallest, cls.smallest + 3), pictures(2, 3, cls.smallest, cls.smallest + 3, seed=1)
    assert metric(a, a).tolist() == [0, 0]
    torch.testing.assert_close(metric(a, b)[:1], metric(a[:1], b[:1]))


@pytest.mark.parametrize("cls", [LpipsAlex, LpipsSqueeze])
def test_lpips_refuses_images_that_its_network_cannot_take(cls: type[Lpips]) -> None:
    small = pictures(1, 3, cls.smallest - 1, 40)
    with pytest.raises(ValueError, match="at least"):
        cls()(small, small)


def test_lpips_weights_that_do_not_fit_are_refused(tmp_path: Path, shared: Path) -> None:
    """Missing, damaged and foreign files are errors for people that name the file."""
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 20)
    foreign = shared / "weights/lpips_squeeze.safetensors"
    for path in (tmp_path / "none.safetensors", tmp_path / "cut.safetensors", foreign):
        with pytest.raises(WeightsError, match=path.name):
            LpipsAlex.load(path)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_tells_damaged_from_clean(name: str) -> None:
    """Each row takes (restored, clean) in batches."""
    metric = METRICS.load(name)
    metric = metric() if isinstance(metric, type) else metric
    clean = pictures(2, 3, 32, 32)
    with torch.no_grad():
        assert metric(clean.flip(-1), clean).shape == (2,)
