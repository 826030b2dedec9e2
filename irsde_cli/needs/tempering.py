"""A result, as far as its picture needs it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.images import in_unit
from irsde_cli.needs import AFTER, GLANCED, KEPT, SIGNS, Need, needed
from irsde_cli.needs.planes import Share, alike, bands
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
    """A restored picture, drawn back in place to the degraded one where that needed less; what it needed after all.

    What is left where almost nothing was changed are the values of the degraded picture, and the need is 0. A picture
    that was made larger is taken whole. All is done in bands, so that no other picture is held.

    Args:
        degraded: (3, H, W) in [0, 1], or samples that `irsde_cli.images.in_unit` makes so.
        restored: (3, H, W), or larger; it is what comes back.
        need: what stands before.
    """
    if need.task in KEPT:
        restored = KEPT.load(need.task)(degraded, restored)
    if need.weight == 1 and not need.open:
        return restored, need
    share: Share = partial(alike, restored.new_full((1, 1, 1), need.weight))
    if need.open:
        figure, share = AFTER.load(need.task)(degraded, restored)
        need = replace(need, words=SIGNS[need.task].words.format(figure), open=False)
    height = restored.shape[1]
    weight, change = 0.0, 0.0  # means
    for rows in bands(height):
        before, after, wanted = in_unit(degraded[:, rows]), restored[:, rows], share(rows)
        after.copy_(torch.lerp(before, after, wanted))
        part = (rows.stop - rows.start) / height
        weight += part * float(wanted.mean())
        change += part * float((after - before).square_().mean())
        room.rest()
    if change**0.5 < UNSEEN:
        for rows in bands(height):
            restored[:, rows] = in_unit(degraded[:, rows])
        return restored, replace(need, weight=0.0)
    return restored, replace(need, weight=min(weight, 1.0))
