"""A result, as far as its picture needs it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from irsde_cli.needs import AFTER, GLANCED, KEPT, SIGNS, Need, needed
from irsde_cli.needs.reduction import copy_of

UNSEEN = 0.4 / 255  # the root mean square of a difference that is none
GLANCE = 384 * 288  # pixels of the copy of a scene at which bounds were chosen


def glanced(samples: Tensor, need: Need, restore: Callable[[Tensor], Tensor]) -> Need:
    """What a picture needs, where its network's result for a small copy tells that; else what it needed.

    Args:
        samples: the picture's, (3, H, W).
        need: what stands before.
        restore: makes of a picture (3, h, w) in [0, 1] what the network makes of it.
    """
    if not need.open or need.task not in GLANCED:
        return need
    copy = copy_of(samples, GLANCE)
    return needed(need.task, GLANCED.load(need.task)(copy, restore(copy)))


def tempered(degraded: Tensor, restored: Tensor, need: Need) -> tuple[Tensor, Need]:
    """A restored picture (3, H, W) drawn back to the degraded one where that needed less, and what it needed after all.

    What is left where almost nothing was changed is the degraded picture itself, and the need is 0. A picture that was
    made larger is taken whole, and changed in place.
    """
    if need.task in KEPT:
        restored = KEPT.load(need.task)(degraded, restored)
    if need.weight == 1 and not need.open:
        return restored, need
    if need.open:
        figure, share = AFTER.load(need.task)(degraded, restored)
        weight = float(share.mean())
        need = replace(need, weight=weight, words=SIGNS[need.task].words.format(figure), open=False)
        restored = torch.lerp(degraded, restored, share)
    else:
        restored = torch.lerp(degraded, restored, need.weight)
    changes = [float((one - other).square().mean()) for one, other in zip(restored, degraded, strict=True)]
    if (sum(changes) / len(changes)) ** 0.5 < UNSEEN:
        return degraded, replace(need, weight=0.0)
    return restored, need
