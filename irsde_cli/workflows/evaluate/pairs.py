"""What is measured on: which pairs there are, and their pictures in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.datasets import get_dataset
from irsde_cli.datasets.dataset import clean_alone, locate
from irsde_cli.datasets.halves import find_halves
from irsde_cli.datasets.pairing import Pair, Pairing, pair_folders
from irsde_cli.degradations import DegradationConfig
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import Picture, read_picture, to_tensor
from irsde_cli.images.masks import known_by
from irsde_cli.observation import Observation
from irsde_cli.randomness import damage_for
from irsde_cli.workflows.evaluate.classical import bicubic
from irsde_cli.workflows.evaluate.options import EvaluateOptions


@dataclass(frozen=True)
class Source:
    """How a pair's pictures come about: files, damage made of the clean one, or holes by a mask."""

    degradation: Degradation | None
    masks: Mapping[str, Path] | None
    seed: int
    scale: int | None


@dataclass(frozen=True)
class Loaded:
    """A pair in memory; images (1, 3, H, W) in [0, 1], whether the clean file has one channel, and which of its pixels
    are seen where some are transparent.
    """

    pair: Pair
    clean: Tensor
    observation: Observation
    one_channel: bool
    shown: Tensor | None

    @property
    def degraded(self) -> Tensor:
        """What is seen, with white holes."""
        return self.observation.painted()

    @property
    def known(self) -> Tensor | None:
        """Where that is not a hole, (1, 1, H, W)."""
        return self.observation.known


def load(pair: Pair, source: Source) -> Loaded:
    """The pair's pictures; the clean one loses what is beyond a multiple of the scale."""
    picture, degradation = read_picture(pair.clean, pair.clean.name), source.degradation
    clean, shown = to_tensor(picture)[None], shown_of(picture)
    if degradation is None:
        degraded = to_tensor(read_picture(pair.degraded, pair.degraded.name))[None]
        if source.masks is not None:
            known = _known(pair, degraded, source.masks)
            return Loaded(pair, clean, Observation(degraded, known), picture.grey, shown)
        for factor in filter(None, (source.scale, round(clean.shape[-1] / degraded.shape[-1]))):
            height, width = (size // factor * factor for size in clean.shape[-2:])
            if (degraded.shape[-2] * factor, degraded.shape[-1] * factor) == (height, width):
                clean, shown = clean[..., :height, :width], None if shown is None else shown[..., :height, :width]
                return Loaded(pair, clean, Observation(degraded), picture.grey, shown)
        raise InputError(sizes(degraded, clean, source.scale or 1))
    height, width = (size // degradation.scale * degradation.scale for size in clean.shape[-2:])
    clean, shown = clean[..., :height, :width], None if shown is None else shown[..., :height, :width]
    seen = degradation.observe(clean, damage_for(source.seed, pair.key))
    return Loaded(pair, clean, seen, picture.grey, shown)


def _known(pair: Pair, degraded: Tensor, masks: Mapping[str, Path]) -> Tensor:
    """(1, 1, H, W) of booleans: what its mask leaves."""
    if pair.key not in masks:
        raise InputError("it has no mask.", hint="Masks have the pictures' names, or are numbered from 0.")
    mask = read_picture(masks[pair.key], str(masks[pair.key]), depth=8)
    if mask.size != degraded.shape[-2:]:
        (height, width), (rows, columns) = mask.size, degraded.shape[-2:]
        raise InputError(f"its mask '{mask.name}' is {width} x {height}, and the picture {columns} x {rows}.")
    return torch.from_numpy(known_by(mask)[0])[None, None]


def shown_of(picture: Picture) -> Tensor | None:
    """(1, 1, H, W) of booleans, which pixels are seen; `None` is all of them.

    Raises:
        InputError: not one is.
    """
    if picture.alpha is not None and not picture.alpha.any():
        raise InputError(f"'{picture.name}' is entirely transparent.")
    return None if picture.shown is None else torch.from_numpy(picture.shown)[None, None]


MULTIPLES = (2, 3, 4, 6, 8, 12, 14, 16, 20, 24, 28, 32, 48, 56, 64, 128)


def is_cropped(image: Tensor, clean: Tensor) -> bool:
    """Whether an image has the size of the clean one, cropped to a multiple as many networks need."""
    size, whole = tuple(image.shape[-2:]), tuple(clean.shape[-2:])
    return size != whole and any(size == tuple(side // by * by for side in whole) for by in MULTIPLES)


def common_part(loaded: Loaded, images: dict[str, Tensor]) -> tuple[Loaded, dict[str, Tensor]]:
    """The upper left part that all of a pair's images have; those at hand where they are equally large."""
    height, width = (min(image.shape[axis] for image in images.values()) for axis in (-2, -1))
    if (height, width) == tuple(loaded.clean.shape[-2:]):
        return loaded, images

    seen, shown = loaded.observation, loaded.shown
    if seen.known is not None:
        seen = Observation(seen.image[..., :height, :width], seen.known[..., :height, :width])
    inner = replace(
        loaded,
        clean=loaded.clean[..., :height, :width],
        observation=seen,
        shown=None if shown is None else shown[..., :height, :width],
    )
    return inner, {label: image[..., :height, :width] for label, image in images.items()}


def enlarged(loaded: Loaded) -> Tensor:
    """The degraded picture at the clean one's size: bicubic, as the field's baseline."""
    if loaded.degraded.shape == loaded.clean.shape:
        return loaded.degraded
    return bicubic(loaded.observation, (loaded.clean.shape[-2], loaded.clean.shape[-1]))


def sizes(image: Tensor, clean: Tensor, scale: int) -> str:
    """Why two pictures cannot be compared, for people."""
    (height, width), (rows, columns) = image.shape[-2:], clean.shape[-2:]
    ratio = ""
    if (columns * height, rows * width) == (width * rows, height * columns) and columns != width:
        larger = "larger" if columns > width else "smaller"
        ratio = f", {max(columns, width) / min(columns, width):g} times {larger}"
    wanted = f"these weights make it {scale} times larger" if scale > 1 else "they should be equal"
    return f"the clean picture is {columns} x {rows}{ratio}, and the other {width} x {height}; {wanted}."


def find_pairs(
    options: EvaluateOptions,
) -> tuple[str, Pairing, DegradationConfig | None, int | None, Path | None]:
    """The task, the pairs, the damage to make, how many pairs a whole data set has, and its folder."""
    damaged = options.degradation is not None or options.mask is not None
    if options.dataset is not None:
        dataset = get_dataset(options.dataset)
        found = locate(options.dataset, dataset, list(options.roots), alone=damaged)
        synthetic = None
        if found.synthetic and options.mask is None:
            assert dataset.degradation is not None, "such a layout belongs to a set with damage of its own"
            synthetic = options.degradation or DegradationConfig(*dataset.degradation)
        elif options.degradation is not None:
            raise UsageError(
                f"the data set '{options.dataset}' has degraded pictures of its own.",
                hint=f"To damage its clean ones: --gt and their folder, in '{found.folder}'.",
            )
        return options.task, found.pairing, synthetic, dataset.count, found.folder
    if options.clean is None:
        raise UsageError("nothing to measure on.", hint="Give --dataset, or --gt with --lq or --degradation.")
    if options.degraded is None:
        if not damaged and any(one.learnt for one in options.contenders):
            raise UsageError("--lq is missing.", hint="Or give --degradation or --mask, to damage the clean pictures.")
        alone = clean_alone(options.clean)
        halves = find_halves(options.clean, [pair.clean for pair in alone.pairs]) if options.degradation else None
        if halves is not None:
            raise UsageError(
                f"'{options.clean}' holds damaged pictures, and clean ones are to be damaged: '{halves.damaged}' "
                f"belongs to '{halves.clean}'.",
                hint="Name the clean half with --gt; --lq with the other half measures the pairs.",
            )
        return options.task, alone, options.degradation, None, options.clean
    pairing = pair_folders(options.clean, options.degraded, options.pairs)
    return options.task, pairing, None, None, options.clean


def nothing(pairing: Pairing) -> UsageError:
    """The error for folders that hold no pair."""
    sides = [("clean", pairing.clean_alone), ("degraded", pairing.degraded_alone)]
    files = " and ".join(
        f"{len(paths)} {side} pictures" + (f" like '{paths[0].name}'" if paths else "") for side, paths in sides
    )
    return UsageError(
        f"there are no pairs to measure: {files}.", hint="Names must agree but for the suffix; else see --pairs."
    )
