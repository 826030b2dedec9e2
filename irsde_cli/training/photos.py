"""Clean photographs in memory, cropped and degraded on the fly."""

from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.degradations.degradation import Degradation
from irsde_cli.errors import InputError, UsageError
from irsde_cli.images import looks_like_picture, read_picture, to_tensor


def load_photos(folder: Path, *, smallest: int) -> list[Tensor]:
    """All pictures of a folder, uint8 (3, H, W), in the order of their names.

    Raises:
        UsageError: there are none, or some cannot be used; all of them are named.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: '{folder}'.")
    photos, faults = [], []
    for path in sorted(path for path in folder.rglob("*") if looks_like_picture(path)):
        try:
            photo = (to_tensor(read_picture(path, path.name)) * 255).round().to(torch.uint8)
        except InputError as error:
            faults.append(error.message)
            continue
        if min(photo.shape[-2:]) < smallest:
            faults.append(f"'{path}' is smaller than the crop of {smallest} pixels.")
        photos.append(photo)
    if faults:
        raise UsageError(f"{len(faults)} pictures of '{folder}' cannot be used: {' '.join(faults)}")
    if not photos:
        raise UsageError(f"no pictures in '{folder}'.")
    return photos


def training_pair(
    photos: list[Tensor], degradation: Degradation, crop: int, batch_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random crops, flipped and turned, and their degraded versions: twice (B, 3, crop, crop), float32.

    What the degradation reads beyond the crop is cut from the photograph too.
    """
    size = crop + 2 * degradation.margin
    crops = []
    for _ in range(batch_size):
        photo = photos[_below(len(photos), generator)]
        top = _below(photo.shape[-2] - size + 1, generator)
        left = _below(photo.shape[-1] - size + 1, generator)
        cut = photo[:, top : top + size, left : left + size]
        symmetry = _below(8, generator)
        cut = torch.rot90(cut, symmetry % 4, dims=(-2, -1))
        crops.append(cut.flip(-1) if symmetry >= 4 else cut)
    clean = torch.stack(crops).float() / 255
    degraded = degradation.apply(clean, generator)
    inner = (
        ...,
        slice(degradation.margin, size - degradation.margin),
        slice(degradation.margin, size - degradation.margin),
    )
    return clean[inner], degraded[inner]


def validation_pairs(
    photos: list[Tensor], degradation: Degradation, crop: int, seed: int
) -> list[tuple[Tensor, Tensor]]:
    """The central crop of each photograph with its degraded version, each (1, 3, crop, crop), the same every time."""
    pairs = []
    for index, photo in enumerate(photos):
        size = min(crop, *photo.shape[-2:])
        top, left = (photo.shape[-2] - size) // 2, (photo.shape[-1] - size) // 2
        clean = photo[None, :, top : top + size, left : left + size].float() / 255
        pairs.append((clean, degradation.apply(clean, torch.Generator().manual_seed(seed * 1000003 + index))))
    return pairs


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
