"""Networks told by their tensors, where others' names are near."""

import torch

from irsde_cli.conversions.networks import recognise
from irsde_cli.networks.mpmf_net import MPMFNet


def test_an_mpmf_net_is_no_transformer_that_no_release_uses() -> None:
    """It has the bias by which that one is refused."""
    with torch.device("meta"):
        state = MPMFNet(depths=(4, 2, 4, 1, 1, 1)).state_dict()
    assert recognise(state, "a file").name == "mpmf-net"
