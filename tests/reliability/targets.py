"""The parsers of what nobody should trust, as functions of bytes from which only declared errors may come."""

import functools
import io
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from irsde_cli import checkpoint
from irsde_cli.config import from_mapping, read_toml
from irsde_cli.conversions.dialects import read_state
from irsde_cli.errors import InputError, UsageError, WeightsError
from irsde_cli.images import Limits, read_picture
from irsde_cli.storage.journal import FOLDER, Journal
from irsde_cli.systems.latent import LatentConfig
from irsde_cli.systems.mean_reverting import MeanRevertingConfig
from irsde_cli.systems.one_pass import OnePassConfig
from irsde_cli.training.config import TrainConfig
from irsde_cli.workflows.restore.shard import Shard
from irsde_cli.workflows.train.options import RunConfig
from tests.cli.stub import save_stub
from tests.images.test_read_picture import DEEP, GREY, RGB, RGBA, SRGB, chunk, exif, keyed_png, png, saved, tiff

LIMITS = Limits(max_pixels=1_000_000)


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def picture(data: bytes) -> None:
    """Both readings of a picture, and of the one that comes out the pixels are all there."""
    for allow_truncated in (False, True):
        with suppress(InputError):
            read = read_picture(data, "x", limits=LIMITS, allow_truncated=allow_truncated)
            assert read.pixels.shape[0] * read.pixels.shape[1] <= LIMITS.max_pixels
            assert read.alpha is None or read.alpha.shape == read.size


def configuration(data: bytes) -> None:
    """A settings file, for all that is built from one."""
    path = _folder() / "settings.toml"
    path.write_bytes(data)
    with suppress(UsageError):
        values = read_toml(path)
        for cls in (TrainConfig, RunConfig, MeanRevertingConfig, LatentConfig, OnePassConfig):
            with suppress(UsageError):
                from_mapping(cls, values, "settings")


def manifest(data: bytes) -> None:
    """Lines of earlier runs."""
    path = _folder() / FOLDER / "manifest.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    Journal(_folder()).load()


def shard(data: bytes) -> None:
    """`--shard`."""
    with suppress(UsageError):
        part = Shard.parse(data.decode("utf-8", "surrogateescape"))
        assert 1 <= part.index <= part.count
        part.holds(data)


def weights(data: bytes) -> None:
    """A safetensors file with our header; only one that is whole is loaded."""
    path = _folder() / "model.safetensors"
    path.write_bytes(data)
    with suppress(WeightsError):
        checkpoint.load(path)


def header(data: bytes) -> None:
    """The header alone, in a file whose tensors are whole."""
    whole = SEEDS["weights"]()[0]
    length = int.from_bytes(whole[:8], "little")
    entries = json.loads(whole[8 : 8 + length])
    entries["__metadata__"]["irsde"] = data.decode("utf-8", "replace")
    head = json.dumps(entries).encode()
    weights(len(head).to_bytes(8, "little") + head + whole[8 + length :])


@functools.cache
def _pictures() -> list[bytes]:
    frames = [Image.fromarray(RGB), Image.fromarray(GREY)]
    several = {"save_all": True, "append_images": frames[1:]}
    found = [saved(RGB, form, icc_profile=SRGB) for form in ("png", "jpeg", "webp", "tiff")]
    found += [saved(RGB, "bmp"), saved(RGBA, "png"), saved(RGBA, "webp", lossless=True), saved(GREY, "jpeg")]
    found += [saved(RGB, "jpeg", progressive=True, exif=exif(6)), saved(RGB, "tiff", compression="tiff_lzw")]
    found += [saved(frames[0], form, **several) for form in ("png", "webp", "tiff", "mpo")]
    found += [
        tiff(DEEP[..., :3], photometric="rgb"),
        tiff(RGB, bigtiff=True),
        tiff(RGB, tile=(16, 16), compression="zlib"),
    ]
    found += [png(DEEP[..., :1], 0, chunk(b"eXIf", exif(3))), keyed_png(), saved(frames[0].convert("CMYK"), "jpeg")]
    found += [saved(Image.fromarray(np.uint8(GREY > 99) * 255).convert("1"), "tiff", compression="group4")]
    return found


@functools.cache
def _weights() -> list[bytes]:
    return [save_stub(_folder() / "seed.safetensors").read_bytes()]


def pickle(data: bytes) -> None:
    """A file of the reference, of which tensors alone are taken."""
    path = _folder() / "model.pth"
    path.write_bytes(data)
    with suppress(WeightsError):
        read_state(path)


def _pickles() -> list[bytes]:
    state = {"state_dict": {"module.a": torch.zeros(3), "b": torch.ones(2, 2)}}
    found = []
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
        found.append(buffer.getvalue())
    return found


SETTINGS = b"""task = "denoise"
steps = 40
betas = [0.9, 0.99]
milestones = [1, 2]
learning_rate = 1e-4
objective = "clean-matching"
schedule = "cosine"
[model]
process.prediction = "clean"
process.options.stationary_std = 0.1
[model.network]
name = "pocket-unet"
options = { widths = [8, 8], blocks = [1, 1], time_dim = 8 }
[degradation]
name = "gaussian-noise"
"""
NETWORK = (
    b'network = { name = "pocket-unet", options = {} }\nscale = 4\n[sampling]\nsampler = "ode-1"\nnodes = [9, 3]\n'
)
LINE = {"event": "done", "input": "a", "input_size": 1, "input_mtime_ns": 2, "output": "b", "settings": "c"}
LINE |= {"input_path": "/a", "input_blake2b": "00" * 16}
MANIFEST = json.dumps(LINE | {"output_size": 3, "output_mtime_ns": 4, "seconds": 0.5}).encode() + b"\n"


def _headers() -> list[bytes]:
    whole = _weights()[0]
    entries = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    return [entries["__metadata__"]["irsde"].encode()]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "picture": _pictures,
    "configuration": lambda: [SETTINGS, NETWORK, b'data = "x"\nworkers = 2\n'],
    "manifest": lambda: [MANIFEST, b'{"event": "failed", "input": "a", "reason": "b"}\n' + MANIFEST[:-20]],
    "shard": lambda: [b"1/2", b"10/100"],
    "weights": _weights,
    "header": _headers,
    "pickle": _pickles,
}
TARGETS: dict[str, Callable[[bytes], None]] = {
    "picture": picture,
    "configuration": configuration,
    "manifest": manifest,
    "shard": shard,
    "weights": weights,
    "header": header,
    "pickle": pickle,
}
