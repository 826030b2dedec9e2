"""`--nodes auto`: the times at which the network is asked, chosen by cost on the first pictures of a run."""

from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import in_unit
from irsde_cli.networks.tiling import Evaluate, Reduced, whole
from irsde_cli.observation import Observation
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.restorer import Restorer
from irsde_cli.samplers.costs import cheapest, mean_costs
from irsde_cli.samplers.nodes import times_from
from irsde_cli.workflows.restore.loading import loaded_images
from irsde_cli.workflows.restore.plan import Plan

CALIBRATED_ON = 8
SIDE = 256
WALK = 25


def calibrated(plan: Plan, restorer: Restorer, device: torch.device, dtype: torch.dtype | None) -> Plan:
    """The plan, with the nodes that cost least on the middle of its first eight pictures that can be read.

    They depend on those pictures, the seed and the weights alone.

    Raises:
        UsageError: the weights have no process, the run is a shard, whose first pictures are not the folder's, or no
            picture can be read.
    """
    options = plan.options
    if options.shard is not None:
        raise UsageError(
            "shards would choose different --nodes.",
            hint="Give all of them the nodes that one run without shards says.",
        )
    sampling = restorer.resolve(replace(options.sampling, nodes=None))
    assert sampling.steps is not None, "a resolved Sampling"
    one: Evaluate = Reduced(dtype) if dtype else whole
    restorer = restorer.to(device)
    tables = []
    walked: set[tuple[int, ...]] = set()
    for loaded in islice(loaded_images(plan), CALIBRATED_ON):
        noise = ImageNoise([generator_for(options.seed, loaded.key)])
        known = None if loaded.known is None else _middle(loaded.known)[None, None].to(device)
        with torch.inference_mode():
            seen = Observation(in_unit(_middle(loaded.degraded()))[None].to(device), known)
            walk = max(WALK, 2 * sampling.steps)
            nodes, costs = restorer.jump_costs(seen, noise, sampling, one, walk)
            walked.add(nodes)
            tables.append(costs)
    if not tables:
        raise InputError("no picture can be read to choose --nodes on.")
    if len(walked) > 1:
        raise UsageError(
            "each picture starts at its own time; --nodes auto has no answer for all.", hint="Give --noise-level."
        )
    nodes = walked.pop()
    chosen = cheapest(mean_costs(tables), times_from(nodes), min(sampling.steps, len(nodes)))
    return replace(plan, options=replace(options, sampling=replace(options.sampling, nodes=chosen)))


def _middle(image: Tensor) -> Tensor:
    """The central square of at most 256 pixels of an image (..., H, W)."""
    top, left = (max(0, (size - SIDE) // 2) for size in image.shape[-2:])
    return image[..., top : top + SIDE, left : left + SIDE]
