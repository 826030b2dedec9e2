"""Where training pictures come from: pairs of files, or clean files that are degraded on the fly.

A sample depends on its generator alone, so that any worker can make it and a resumed run repeats nothing.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.datasets.discovery import pictures_below
from irsde_cli.datasets.halves import check_clean
from irsde_cli.datasets.pairing import pair_folders
from irsde_cli.degradations.degradation import Degradation
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import read_picture, to_tensor
from irsde_cli.observation import Observation
from irsde_cli.randomness import damage_for
from irsde_cli.runtime import free_memory
from irsde_cli.training.lines import with_lines

NAMED_FAULTS = 10
PICTURES_SHARE = 0.4  # of the free memory, for decoded pictures; the others are read again for each crop


class Pictures:
    """Decoded pictures, uint8 (3, H, W), kept in memory while they fit.

    Pictures that are smaller than `smallest` are mirrored at their right and lower border.
    """

    def __init__(self, paths: Sequence[Path], *, root: Path, smallest: int, memory: int, device: torch.device) -> None:
        self.paths = paths
        self._root = root
        self.sizes: list[tuple[int, int]] = []
        self._smallest = smallest
        self._device = device
        self._kept: list[Tensor | None] = []
        self._memory = memory

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        kept = self._kept[index] if index < len(self._kept) else None
        return mirrored(_read(self.paths[index]), self._smallest) if kept is None else kept

    def name(self, index: int) -> str:
        """The relative path of a picture without suffix."""
        return self.paths[index].relative_to(self._root).with_suffix("").as_posix()

    def load(self) -> list[str]:
        """Read every picture once; what is wrong with those that cannot be used."""
        faults = []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as readers:
            for path, (picture, fault) in zip(self.paths, readers.map(_try, self.paths), strict=True):
                if picture is None:
                    faults.append(f"'{path}': {fault}")
                    self.sizes.append((0, 0))
                    self._kept.append(None)
                    continue
                self.sizes.append((picture.shape[-2], picture.shape[-1]))
                picture = mirrored(picture, self._smallest)
                self._memory -= picture.numel()
                self._kept.append(picture.to(self._device) if self._memory > 0 else None)
        return faults


@dataclass(frozen=True, eq=False)
class Batch:
    """What is learnt from at a time.

    Attributes:
        clean: (B, 3, H * scale, W * scale), RGB in [0, 1], float32.
        observation: what is seen of it, (B, 3, H, W).
        tasks: which of `Source.tasks` damaged each, (B,) integers on the CPU; `None` where there is but one.
    """

    clean: Tensor
    observation: Observation
    tasks: Tensor | None = None

    @classmethod
    def of(cls, samples: "Sequence[Batch]") -> "Batch":
        """Samples of one size together."""
        images = torch.cat([one.observation.image for one in samples])
        masks = [one.observation.known for one in samples]
        known = None
        if any(mask is not None for mask in masks):
            like = images[:1, :1]
            known = torch.cat([torch.ones_like(like, dtype=torch.bool) if mask is None else mask for mask in masks])
        tasks = [one.tasks for one in samples if one.tasks is not None]
        clean = torch.cat([one.clean for one in samples])
        return cls(clean, Observation(images, known), torch.cat(tasks) if tasks else None)

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        image, known = self.observation.image, self.observation.known
        seen = Observation(
            image.to(device, non_blocking=True), None if known is None else known.to(device, non_blocking=True)
        )
        return Batch(self.clean.to(device, non_blocking=True), seen, self.tasks)


class Source(ABC):
    """Samples for training and pairs for validation."""

    @abstractmethod
    def sample(self, crop: int, generator: torch.Generator) -> Batch:
        """One clean crop of `crop` pixels a side and its degraded version, in one of eight symmetries."""

    @property
    @abstractmethod
    def files(self) -> Sequence[Path]:
        """All files that samples come from."""

    @property
    @abstractmethod
    def tasks(self) -> Sequence[str]:
        """Names of the damages that samples come from; empty where nothing tells one from another."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def pair(self, index: int, crop: int, seed: int) -> tuple[str, Batch]:
        """Picture `index`: its name, and its central crop of at most `crop` pixels with the degraded version of that.

        The name is the relative path without suffix. The damage is that of the name and the seed: the same every time,
        whatever other pictures there are.
        """


@dataclass(frozen=True)
class Augmentation:
    """How crops change before they are degraded; those that change their size draw a factor, evenly in the logarithm.

    Attributes:
        enlarged_share: share of the crops that are enlarged, as the pixels of a camera are softer than those of a
            picture that was made smaller.
        enlarged_max: how far at most, at least 1.
        reduced_share: share of the crops that are cut larger and reduced, to show whole scenes.
        reduced_max: how far at most, at least 1, and no further than the picture is large.
        lined_share: share of the crops that get lines: see `irsde_cli.training.lines`.
    """

    enlarged_share: float = 0.0
    enlarged_max: float = 1.0
    reduced_share: float = 0.0
    reduced_max: float = 1.0
    lined_share: float = 0.0

    def side(self, crop: int, largest: int, generator: torch.Generator) -> int:
        """The side of what is cut and becomes `crop` pixels; `largest` is the shorter side of the picture."""
        if not self.enlarged_share and not self.reduced_share:
            return crop
        chosen, place = torch.rand(2, generator=generator).tolist()
        if chosen < self.enlarged_share:
            return math.ceil(crop / math.pow(self.enlarged_max, place))
        if chosen < self.enlarged_share + self.reduced_share:
            return min(math.floor(crop * math.pow(self.reduced_max, place)), largest)
        return crop

    def lined(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """The crop (1, 3, H, W), with lines or without."""
        if not self.lined_share or float(torch.rand((), generator=generator)) >= self.lined_share:
            return clean
        return with_lines(clean, generator)


@dataclass(frozen=True)
class CleanSource(Source):
    """Clean pictures, degraded on the fly."""

    pictures: Pictures
    degradation: Degradation
    device: torch.device
    augmentation: Augmentation = Augmentation()

    @property
    def files(self) -> Sequence[Path]:
        """See `Source.files`."""
        return self.pictures.paths

    @property
    def tasks(self) -> Sequence[str]:
        """See `Source.tasks`: what the degradation chooses among."""
        return self.degradation.tasks

    def __len__(self) -> int:
        return len(self.pictures)

    def sample(self, crop: int, generator: torch.Generator) -> Batch:
        """See `Source.sample`; what the degradation reads beyond the crop is cut from the picture too."""
        margin, scale = self.degradation.margin, self.degradation.scale
        wanted = crop + 2 * margin
        picture = self.pictures[_below(len(self.pictures), generator)]
        size = self.augmentation.side(wanted, min(picture.shape[-2:]), generator)
        top, left = (_below(length - size + 1, generator) for length in picture.shape[-2:])
        cut = _turned(picture[:, top : top + size, left : left + size], _below(8, generator))
        clean = cut[None].to(self.device).float() / 255
        if size != wanted:
            clean = F.interpolate(clean, (wanted, wanted), mode="bicubic", antialias=size > wanted).clamp(0, 1)
        clean = self.augmentation.lined(clean, generator)
        (seen, tasks), border = self.degradation.draw(clean, _on(self.device, generator)), margin // scale
        known = None if seen.known is None else _inside(seen.known, border)
        tasks = None if tasks is None else tasks.cpu()
        return Batch(_inside(clean, margin), Observation(_inside(seen.image, border), known), tasks)

    def pair(self, index: int, crop: int, seed: int) -> tuple[str, Batch]:
        """See `Source.pair`."""
        picture, scale = self.pictures[index], self.degradation.scale
        height, width = (min(crop, length) // scale * scale for length in picture.shape[-2:])
        top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
        clean = picture[None, :, top : top + height, left : left + width].float() / 255
        name, clean = self.pictures.name(index), clean.cpu()
        return name, Batch(clean, self.degradation.observe(clean, damage_for(seed, name)))


@dataclass(frozen=True)
class PairedSource(Source):
    """Pairs of files; a degraded one is `scale` times smaller than its clean one."""

    clean: Pictures
    degraded: Pictures
    scale: int

    @property
    def files(self) -> Sequence[Path]:
        """See `Source.files`."""
        return [*self.clean.paths, *self.degraded.paths]

    @cached_property
    def tasks(self) -> Sequence[str]:
        """See `Source.tasks`: the folders in which the pairs lie, where these are several."""
        found = sorted({self._folder(index) for index in range(len(self.clean))})
        return found if len(found) > 1 else []

    def __len__(self) -> int:
        return len(self.clean)

    def sample(self, crop: int, generator: torch.Generator) -> Batch:
        """See `Source.sample`."""
        return self.sample_of(_below(len(self.clean), generator), crop, generator)

    def sample_of(self, index: int, crop: int, generator: torch.Generator) -> Batch:
        """A sample of the pair of that number."""
        small = crop // self.scale
        clean, degraded = self.clean[index], self.degraded[index]
        top, left = (_below(length - small + 1, generator) for length in degraded.shape[-2:])
        symmetry = _below(8, generator)
        pair = (_cut(clean, top * self.scale, left * self.scale, crop), _cut(degraded, top, left, small))
        one, other = (_turned(cut, symmetry)[None].float() / 255 for cut in pair)
        tasks = torch.tensor([self.tasks.index(self._folder(index))]) if self.tasks else None
        return Batch(one, Observation(other), tasks)

    def _folder(self, index: int) -> str:
        """The first folder of a pair's name; empty without."""
        return self.clean.name(index).rpartition("/")[0].partition("/")[0]

    def pair(self, index: int, crop: int, seed: int) -> tuple[str, Batch]:
        """See `Source.pair`."""
        clean, degraded = self.clean[index], self.degraded[index]
        small = crop // self.scale
        top, left = (max(0, length - small) // 2 for length in degraded.shape[-2:])
        one = clean[None, :, top * self.scale :, left * self.scale :][..., :crop, :crop].float() / 255
        other = degraded[None, :, top:, left:][..., :small, :small].float() / 255
        return self.clean.name(index), Batch(one, Observation(other))


def load_clean(
    folder: Path,
    degradation: Degradation,
    *,
    crop: int,
    device: torch.device,
    skip_bad: Callable[[str], None] | None,
    augmentation: Augmentation = Augmentation(),
) -> CleanSource:
    """All pictures of a folder, at any depth.

    Args:
        folder: of clean pictures.
        degradation: what to do to them.
        crop: the side of the crops to come.
        device: where pictures are kept and degraded.
        skip_bad: told of pictures that cannot be used, which are then left out; `None` refuses them.
        augmentation: how crops change before they are degraded.

    Raises:
        UsageError: there are no pictures.
        InputError: some cannot be used; the first of them are named, all at once.
    """
    paths = pictures_below(folder)
    check_clean(folder, paths)

    def load(paths: Sequence[Path]) -> tuple[Pictures, list[str]]:
        pictures = Pictures(
            paths,
            root=folder,
            smallest=crop + 2 * degradation.margin,
            memory=_budget(device),
            device=_keeping(device),
        )
        return pictures, pictures.load()

    pictures, faults = load(paths)
    if faults:
        _refuse(faults, f"pictures of '{folder}' cannot be used", skip_bad)
        pictures, _ = load([path for path, size in zip(paths, pictures.sizes, strict=True) if size != (0, 0)])
    if not len(pictures):
        raise UsageError(f"no pictures in '{folder}'.")
    return CleanSource(pictures, degradation, device, augmentation)


def load_pairs(
    clean: Path,
    degraded: Path,
    *,
    template: str,
    crop: int,
    scale: int,
    device: torch.device,
    skip_bad: Callable[[str], None] | None,
) -> PairedSource:
    """All pairs of two folders; see `load_clean` and `irsde_cli.datasets.pairing`.

    Raises:
        UsageError: there are no pairs.
        InputError: files without a partner, unreadable ones, and pairs whose sizes do not fit, all at once.
    """
    pairing = pair_folders(clean, degraded, template)
    alone = [*pairing.clean_alone, *pairing.degraded_alone]
    faults = [f"'{path}' has no partner" for path in alone]
    pairs = list(pairing.pairs)

    def load() -> tuple[Pictures, Pictures]:
        memory, kept = _budget(device) // 2, _keeping(device)
        ones = Pictures([p.clean for p in pairs], root=clean, smallest=crop, memory=memory, device=kept)
        others = Pictures(
            [p.degraded for p in pairs], root=degraded, smallest=crop // scale, memory=memory, device=kept
        )
        return ones, others

    ones, others = load()
    faults += [*ones.load(), *others.load()]
    bad = set()
    for index, (one, other) in enumerate(zip(ones.sizes, others.sizes, strict=True)):
        if (0, 0) in (one, other):
            bad.add(index)
        elif one != (other[0] * scale, other[1] * scale):
            bad.add(index)
            expected = "the same" if scale == 1 else f"{scale} times smaller"
            faults.append(
                f"'{others.paths[index]}' is {other[1]} x {other[0]} and its partner {one[1]} x {one[0]}: "
                f"it should be {expected}"
            )
    if faults:
        _refuse(faults, f"files of '{clean}' and '{degraded}' cannot be used", skip_bad)
        pairs = [pair for index, pair in enumerate(pairs) if index not in bad]
        ones, others = load()
        ones.load()
        others.load()
    if not pairs:
        raise UsageError(
            f"no pairs in '{clean}' and '{degraded}'.", hint="Names must agree but for the suffix; else see --pairs."
        )
    return PairedSource(ones, others, scale)


def batches(source: Source, crop: int, generators: Iterator[list[torch.Generator]], workers: int) -> Iterator[Batch]:
    """Batches of samples, one a generator, made ahead by threads."""

    def make(batch: list[torch.Generator]) -> Batch:
        return Batch.of([source.sample(crop, generator) for generator in batch])

    with ThreadPoolExecutor(workers, "data") as pool:
        pending = [pool.submit(make, batch) for batch in islice(generators, 2 * workers)]
        try:
            while pending:
                yield pending.pop(0).result()
                upcoming = next(generators, None)
                if upcoming is not None:
                    pending.append(pool.submit(make, upcoming))
        finally:
            for task in pending:
                task.cancel()


def mirrored(image: Tensor, smallest: int) -> Tensor:
    """An image (C, H, W), continued by its mirror image to at least `smallest` pixels on each side."""
    for axis in (-2, -1):
        size = image.shape[axis]
        if size < smallest:
            # Borders are doubled: so a mirrored pair of different scales stays a pair.
            index = torch.arange(smallest) % (2 * size)
            image = image.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
    return image


def _try(path: Path) -> tuple[Tensor | None, str]:
    try:
        return _read(path), ""
    except InputError as error:
        return None, error.message


def _read(path: Path) -> Tensor:
    return (to_tensor(read_picture(path, path.name)) * 255).round().to(torch.uint8)


def _refuse(faults: list[str], what: str, skip_bad: Callable[[str], None] | None) -> None:
    shown = "; ".join(fault.rstrip(".") for fault in faults[:NAMED_FAULTS])
    more = f"; and {len(faults) - NAMED_FAULTS} more" if len(faults) > NAMED_FAULTS else ""
    message = f"{len(faults)} {what}: {shown}{more}."
    if skip_bad is None:
        raise InputError(message, hint="Repair or remove them, or go on without them: --skip-bad.")
    skip_bad(message)


def _budget(device: torch.device) -> int:
    return int(PICTURES_SHARE * free_memory(device))


def _keeping(device: torch.device) -> torch.device:
    return device if device.type == "cuda" else torch.device("cpu")


def _on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on the device where images are degraded; on a CPU the same one."""
    if device.type != "cuda":
        return generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def _cut(picture: Tensor, top: int, left: int, size: int) -> Tensor:
    return picture[:, top : top + size, left : left + size]


def _turned(picture: Tensor, symmetry: int) -> Tensor:
    turned = torch.rot90(picture, symmetry % 4, dims=(-2, -1))
    return turned.flip(-1) if symmetry >= 4 else turned


def _inside(images: Tensor, border: int) -> Tensor:
    return images[..., border : images.shape[-2] - border, border : images.shape[-1] - border]


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
