"""A glance at a small copy: what goes wrong there is treated as what goes wrong in a restoration."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.engine.memory import TooLargeError
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.errors import MachineError
from irsde_cli.needs import SIGNS, need
from irsde_cli.weights import shipped_path
from tests.benchmarks.trust import One

HAZY = One("hazy", torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.6)


@pytest.fixture
def restoration(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bool], Tensor]], Restoration]:
    """Of haze, in bfloat16; its small copies become what a function of "in half precision" says."""

    def build(result: Callable[[bool], Tensor]) -> Restoration:
        built = Restoration(
            checkpoint.load(shipped_path("dehaze-photo")), Settings(), torch.device("cpu"), torch.bfloat16
        )
        monkeypatch.setattr(built, "_plain", lambda image, key, dtype: result(dtype is not None))
        return built

    return build


def raising(error: Exception) -> Callable[[bool], Tensor]:
    def result(half: bool) -> Tensor:
        raise error

    return result


def test_what_is_not_finite_in_half_precision_is_looked_at_in_float32(
    restoration: Callable[[Callable[[bool], Tensor]], Restoration],
) -> None:
    whole = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(1))
    built = restoration(lambda half: torch.full((3, 48, 64), torch.nan) if half else whole)
    assert torch.equal(built.plain(HAZY.image, b"key"), whole)


def test_a_figure_that_is_no_number_leaves_the_result_to_be_judged(
    restoration: Callable[[Callable[[bool], Tensor]], Restoration],
) -> None:
    """No picture is filled with what is no number, nor left alone in silence."""
    assert all(sign.weight(float("nan")) == 1 for sign in SIGNS.values())
    built = restoration(lambda half: torch.full((3, 48, 64), torch.nan))
    settled = built.settled(replace(HAZY, need=need("dehaze", HAZY.image)))
    assert settled is not None and settled.weight == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), MachineError),
        (MemoryError(), TooLargeError),
    ],
)
def test_a_lost_device_and_short_memory_are_said(
    error: Exception, kind: type[Exception], restoration: Callable[[Callable[[bool], Tensor]], Restoration]
) -> None:
    with pytest.raises(kind):
        restoration(raising(error)).plain(HAZY.image, b"key")
