"""Networks told by their tensors, where others' names are near."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
from torch import Tensor

from irsde_cli.conversions.networks import recognise
from irsde_cli.errors import WeightsError
from irsde_cli.networks import NETWORKS
from irsde_cli.networks.mpmf_net import MPMFNet
from irsde_cli.networks.prenet import PReNet
from tests.networks.test_contract import build_small


def test_an_mpmf_net_is_no_transformer_that_no_release_uses() -> None:
    """It has the bias by which that one is refused."""
    with torch.device("meta"):
        state = MPMFNet(depths=(4, 2, 4, 1, 1, 1)).state_dict()
    assert recognise(state, "a file").name == "mpmf-net"


def test_of_a_network_that_is_not_known_the_nearest_is_named() -> None:
    """With the first name that is in the one and not in the other; where none is near, with what the file holds."""
    state = PReNet().state_dict()
    more = {**{key: value for key, value in state.items() if key != "conv.0.weight"}, "extra.7.bias": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"the nearest is prenet, which has no 'extra\.7\.bias'"):
        recognise(more, "a file")
    del more["extra.7.bias"]
    with pytest.raises(WeightsError, match=r"the nearest is prenet, of which 'conv\.0\.weight' is missing"):
        recognise(more, "a file")
    with pytest.raises(WeightsError, match=r"its first tensors are 'a', 'b'"):
        recognise({"a": torch.zeros(1), "b": torch.zeros(1)}, "a file")


CHANGES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda tensor: tensor.new_zeros(()),
    lambda tensor: tensor.new_zeros(0),
    lambda tensor: tensor[None],
    lambda tensor: tensor.new_zeros((*tensor.shape[:1], 0, *tensor.shape[2:])),
    lambda tensor: tensor.new_zeros(1).expand((1 << 20, *tensor.shape[1:])),
)


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if row.marks])
def test_a_tensor_that_tells_a_network_may_be_anything(name: str) -> None:
    """It is refused as weights that do not fit, or told by the others, whose shapes are compared later."""
    with torch.device("meta"):
        state = build_small(name).state_dict()
    for mark in NETWORKS[name].marks:
        rest = {key: value for key, value in state.items() if key != mark}
        with pytest.raises(WeightsError) if len(NETWORKS[name].marks) == 1 else suppress(WeightsError):
            recognise(rest, "a file")
        for change in CHANGES:
            with suppress(WeightsError):
                recognise(rest | {mark: change(state[mark])}, "a file")
