"""What every network says of its memory and of how far it looks, measured."""

import math
from typing import Any

import pytest
import torch

from irsde_cli.networks import NETWORKS
from irsde_cli.networks.network import Network
from tests.accounting import peak_bytes
from tests.extras import rows
from tests.networks.test_contract import IMAGE_NETWORKS, build_small, enlarged, evaluate

# Wide enough that the first levels decide, as they do in networks that are used; narrow enough to be quick. The others'
# examples are.
USUAL: dict[str, list[dict[str, Any]]] = {
    "unet": [{"nf": 16, "depth": 3}, {"nf": 64, "depth": 2}],
    "nafnet": [{"width": 16}, {"width": 64, "enc_blk_nums": (1,), "dec_blk_nums": (1,)}],
    "latent-unet": [{}, {"ch": 16, "ch_mult": (1, 2)}],
    "pocket-unet": [{}, {"widths": (32, 48, 64, 96), "blocks": (1, 1, 2, 4)}],
    "quarter-unet": [
        {},
        {"widths": (96, 128), "blocks": (2, 2), "state": False},
        {"widths": (96, 128), "blocks": (2, 2), "state": False, "heads": 2, "drawing": 2},
        {"widths": (64, 96, 128), "blocks": (2, 2, 1), "state": False, "patch": 2},
        {"widths": (64, 96, 128), "blocks": (2, 2, 1), "state": False, "patch": 2, "heads": 2, "drawing": 2},
    ],
    "daclip-unet": [{"nf": 32, "ch_mult": (1, 1), "context_dim": 8}],
    "dncnn": [{}],
    "ffdnet": [{}],
    "rrdbnet": [{"blocks": 1}, {"scale": 2, "width": 8, "growth": 4, "blocks": 1}],
    "maxim": [{"num_groups": 1}],
}


# Where every pixel is two tokens of an attention, time grows with the square of them.
SMALL = ("flux2",)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", rows(IMAGE_NETWORKS))
def test_working_bytes_are_what_an_evaluation_takes(name: str, frozen: bool) -> None:
    """Never less, so that what is planned fits; before `freeze` at most twice as much, so that memory is used."""
    for options in USUAL.get(name, [NETWORKS[name].example]):
        network = NETWORKS.load(name)(**options).eval().requires_grad_(False)
        if frozen and isinstance(network, Network):
            network.freeze()
        side = 48 if name in SMALL else 128
        x = torch.rand(1, network.facts.channels[0], side, side)
        pixels = math.prod(enlarged(network, (side, side)))

        def work(network: Any = network, x: torch.Tensor = x) -> Any:
            return evaluate(network, x, torch.ones(1), x)

        with torch.inference_mode():
            work()  # a first evaluation may keep weights in another form
            taken = peak_bytes(work) / pixels
        assert taken <= network.facts.working_bytes, options
        assert frozen or network.facts.working_bytes <= 2 * taken, options


@pytest.mark.parametrize("name", rows(name for name in IMAGE_NETWORKS if issubclass(NETWORKS.load(name), Network)))
def test_nothing_beyond_the_reach_matters(name: str) -> None:
    """A network with a reach sees no farther in any direction, and nearly as far; one without sees across the image."""
    network = build_small(name)
    reach = network.facts.reach or (8 if name in SMALL else 40)
    side = 4 * reach // 16 * 16 + 48
    x = torch.rand(1, network.facts.channels[0], side, side)
    before = evaluate(network, x, torch.ones(1), x)
    farthest = 0
    for place in (side // 2, side // 2 + 1, side // 2 + 7):
        other = x.clone()
        other[..., place, place] += 1
        changed = (evaluate(network, other, torch.ones(1), other) != before)[0].any(0)
        for axis in (0, 1):
            places = changed.any(axis).nonzero() // network.facts.scale
            farthest = max(farthest, int((places - place).abs().max()))
        if network.facts.reach is None and farthest > reach:
            break
    assert farthest > reach if network.facts.reach is None else reach // 2 <= farthest <= reach
