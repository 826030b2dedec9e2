"""Files of codecs as inputs: which weights open them, and their pixels."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from irsde_cli.datasets.discovery import suffix_of, walk
from irsde_cli.errors import InputError, WeightsError
from irsde_cli.images.container import DamagedError, TruncatedError
from irsde_cli.images.formats import irc
from irsde_cli.storage.digests import sha256
from irsde_cli.weights import BEST, SHIPPED, ZERO_SHOT, find_weights
from irsde_cli.weights.catalogue import CATALOGUE
from irsde_cli.workflows.restore.options import Options

if TYPE_CHECKING:
    from irsde_cli.checkpoint import Checkpoint
    from irsde_cli.images.reading import Opener

SUFFIX = ".irc"


def only_opens(options: Options) -> bool:
    """Whether all inputs are files of codecs, so that a run without a task makes pictures of them and no more."""
    return bool(options.inputs) and all(_all_coded(Path(place), options) for place in options.inputs)


def _all_coded(place: Path, options: Options) -> bool:
    if not place.is_dir():
        return suffix_of(place.name) == SUFFIX and place.is_file()
    names = [name for name, _ in walk(place, recursive=options.recursive)]
    return bool(names) and all(suffix_of(name) == SUFFIX for name in names)


def first_named(options: Options) -> str:
    """The weights that the first of the files names.

    Raises:
        WeightsError: they are none of those that have a name here.
        InputError: the file is damaged.
    """
    first = Path(options.inputs[0])
    if first.is_dir():
        first /= next(name for name, _ in walk(first, recursive=options.recursive))
    try:
        coded = irc.parsed(first.read_bytes())
    except TruncatedError:
        raise InputError(f"'{first}' is truncated.", hint="Find another copy.") from None
    except DamagedError as error:
        raise InputError(f"'{first}' {error}.", hint=error.hint) from None
    except OSError as error:
        raise InputError(f"'{first}' cannot be read: {error.strerror}.") from None
    if not _is_known(coded.name):
        raise WeightsError(f"'{first}' {_unknown(coded)}.", hint="Name them with --model.")
    return coded.name


def opener(options: Options) -> "Opener":
    """What makes pixels of a codec's file, with the weights of the run or with those that the file names."""
    from irsde_cli.images.picture import Pixels

    def opened(coded: irc.Coded) -> Pixels:
        import torch

        from irsde_cli.runtime import free_memory

        restorer = _loaded(_weights(coded, options)).restorer
        needed, free = coded.size[0] * coded.size[1] * restorer.facts.working_bytes, free_memory(torch.device("cpu"))
        if needed > free:
            raise InputError(f"to open it takes {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free.")
        image = restorer.opened(coded.latent, coded.quality, coded.size)
        image = image.mean(0, keepdim=True) if coded.grey else image
        pixels: Pixels = image.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return pixels

    return opened


def _weights(coded: irc.Coded, options: Options) -> Path:
    names = [options.model] if options.model not in (None, BEST, ZERO_SHOT) else []
    names += [coded.name] if _is_known(coded.name) else []  # the word of a file is no path
    for name in names:
        try:
            path = find_weights(name, options.task).path
        except WeightsError:
            continue
        if _digest(path).startswith(coded.weights.hex()):
            return path
    raise DamagedError(_unknown(coded), "Name them with --model.")


def _is_known(name: str) -> bool:
    return name in SHIPPED or name in CATALOGUE


def _unknown(coded: irc.Coded) -> str:
    return f"was written with the weights '{coded.name}' (SHA-256 {coded.weights.hex()}), which are not here"


@lru_cache(maxsize=8)
def _digest(path: Path) -> str:
    return sha256(path)


@lru_cache(maxsize=1)
def _loaded(path: Path) -> "Checkpoint":
    from irsde_cli.conversions.loading import load

    loaded = load(path)
    if not loaded.restorer.codes:
        raise DamagedError("names weights that are no codec", "Find another copy.")
    return loaded
