"""MAXIM's files, made here as others write them: one set of numbers, whichever way it comes."""

import io
import json
import math
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.conversions.maxim import ARGUMENT, SCOPE, all_names, official_name, read_state
from irsde_cli.conversions.published import content, convert
from irsde_cli.errors import WeightsError
from irsde_cli.networks.maxim import MAXIM
from irsde_cli.weights.catalogue import CATALOGUE

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: value.detach() for name, value in MAXIM(features=8).state_dict().items()}


def as_official(state: dict[str, Tensor]) -> Arrays:
    """Arrays as flax keeps them, with the four that only training needs."""
    arrays: Arrays = {}
    for name, value in state.items():
        array = value.numpy()
        if official_name(name).endswith("/kernel"):
            if "ConvTranspose" in name:
                array = array.transpose(2, 3, 0, 1)[::-1, ::-1]
            elif array.ndim == 4:
                array = array.transpose(2, 3, 1, 0)
            else:
                array = array.T
                if ".Conv_" in name or "input_proj" in name:
                    array = array[None, None]
        arrays[official_name(name)] = np.ascontiguousarray(array)
    for level in (1, 2):
        arrays[f"stage_1_output_conv_{level}/kernel"] = np.zeros((3, 3, 8 * 2**level, 3), np.float32)
        arrays[f"stage_1_output_conv_{level}/bias"] = np.zeros(3, np.float32)
    return arrays


def npz(state: dict[str, Tensor], path: Path) -> Path:
    arrays = {f"opt/target/{name}": array for name, array in as_official(state).items()}
    np.savez(path, **arrays, **{"opt/state/step": np.array(7)})  # type: ignore[arg-type]
    return path


def package(state: dict[str, Tensor], path: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """A graph and eleven parts, which are not in the order of their names; numbers of the graph's stand between."""
    order = all_names(2)
    entries: list[dict[str, Any]] = [{"name": "graph/one", "shape": [], "dtype": "float32"}]
    data = np.float32(1).tobytes()
    for name, array in as_official(state).items():
        module, _, leaf = name.rpartition("/")
        if "output_conv_1" in name or "output_conv_2" in name:
            continue
        if leaf == "kernel" and array.ndim == 2:
            key = f"{ARGUMENT}{order.index(name)}/ReadVariableOp"
        elif leaf == "kernel":
            grows = "ConvTranspose" in module
            key = f"{SCOPE}{module}/transpose_{4 if grows else 3}"
            array = array[::-1, ::-1].transpose(0, 1, 3, 2) if grows else array
        else:
            last = module.rpartition("/")[2].lower()
            operation = "Reshape_2" if leaf == "scale" else "Reshape_3" if "norm" in last else "Reshape"
            key, array = f"{SCOPE}{module}/{operation}", array.reshape(1, 1, 1, -1)
        entries.append({"name": key, "shape": list(array.shape), "dtype": "float32"})
        data += np.ascontiguousarray(array).tobytes()
    entries.append({"name": "graph/sizes", "shape": [2], "dtype": "int32"})
    data += np.array([3, 4], np.int32).tobytes()
    size = -(-len(data) // 11)
    parts = {f"part{index + 1}of11.bin": data[index * size : (index + 1) * size] for index in range(11)}
    manifest = {"weightsManifest": [{"paths": list(parts), "weights": entries}]}
    change(manifest)
    with tarfile.open(path, "w") as archive:
        for name, content in {"model.json": json.dumps(manifest).encode(), **parts}.items():
            member = tarfile.TarInfo(f"package/models/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_every_format_holds_the_same_tensors(state: dict[str, Tensor], tmp_path: Path) -> None:
    """The authors' file, the package and the package unpacked, with one digest; what only training needs is left."""
    packed = package(state, tmp_path / "maxim.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    model = next((tmp_path / "unpacked").rglob("model.json"))
    for path in (npz(state, tmp_path / "checkpoint.npz"), packed, model):
        found = read_state(path)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
        assert content(found) == content(state)


def test_a_row_becomes_a_restorer_of_any_size(state: dict[str, Tensor], tmp_path: Path) -> None:
    """Checked by the digest of its tensors; another set's are refused."""
    row = CATALOGUE["maxim-derain"]
    ours = replace(row.files[0], content=content(state))
    row = replace(row, options={"features": 8, "num_stages": 2}, files=(ours,))
    path = npz(state, tmp_path / "checkpoint.npz")
    converted = convert("maxim-derain", row, [path])
    assert converted.fields["task"] == "derain" and "Apache-2.0" in converted.fields["weights_licence"]
    assert converted.restorer(torch.rand(3, 33, 70)).shape == (3, 33, 70)
    assert converted.restorer.facts.tile == 512 and converted.restorer.facts.reach is None
    other = replace(row, files=(replace(ours, content=content({**state, "one": torch.ones(1)})),))
    with pytest.raises(WeightsError, match="does not hold the published weights"):
        convert("maxim-derain", other, [path])
    with pytest.raises(WeightsError, match="features is 8, that of 'maxim-derain' is 32: the file belongs"):
        convert("maxim-derain", replace(row, options={}, files=(replace(ours, content=None),)), [path])


def test_a_tensor_that_lacks_is_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    """Only the four that nobody needs may."""
    name = "stage_1_decoder_block_0.UNetEncoderBlock_0.Conv_0.weight"
    fewer = {key: value for key, value in state.items() if key != name}
    row = CATALOGUE["maxim-derain"]
    row = replace(row, options={"features": 8}, files=(replace(row.files[0], content=None),))
    with pytest.raises(WeightsError, match=f"lacks the tensor 'network.{name}'"):
        convert("maxim-derain", row, [npz(fewer, tmp_path / "checkpoint.npz")])


def few(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if "input_conv" in name}


def shorter(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["weights"].pop()


def longer(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["weights"][-1]["shape"] = [3]


def elsewhere(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["paths"][0] = "../secret.bin"


def huge(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["weights"][1]["shape"] = [1 << 20, 1 << 20]


def strange(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["weights"][1]["dtype"] = "string"


def repeated(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["paths"] *= 1 << 20


def nothing(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"] = []


def endless(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["weights"][1]["shape"] = [math.inf]


def unplaced(manifest: dict[str, Any]) -> None:
    manifest["weightsManifest"][0]["weights"][-2]["name"] = f"{ARGUMENT}99999/ReadVariableOp"


@pytest.mark.parametrize("change", [shorter, longer, elsewhere, huge, strange, repeated, nothing, endless, unplaced])
def test_a_hostile_package_is_refused(
    state: dict[str, Tensor], tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Too short, too long, pointing out of itself, claiming what it has not: one sentence, and nothing allocated."""
    with pytest.raises(WeightsError, match="is no whole file of MAXIM's weights"):
        read_state(package(few(state), tmp_path / "maxim.tgz", change))


def test_damaged_files_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    """Cut off, of objects, of another kind; and what the Hub holds is named."""
    state = few(state)
    whole = npz(state, tmp_path / "checkpoint.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "objects.npz", np.array([{}], dtype=object))
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive, archive.open("opt/target/a/b.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 30, 1 << 20)}
        )
    (tmp_path / "model.json").write_text(json.dumps({"weightsManifest": [{"paths": ["pipe"], "weights": []}]}))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    (tmp_path / "cut.tgz").write_bytes(package(state, tmp_path / "maxim.tgz").read_bytes()[:5000])
    for name in ("cut.npz", "objects.npz", "claims.npz", "model.json", "saved_model.pb", "cut.tgz"):
        result = CliRunner().invoke(app, ["download", "maxim-derain", "--from", str(tmp_path / name)])
        assert result.exit_code == 4, result.output
        assert "Error:" in result.stderr and "Traceback" not in result.output
    assert "programs of TensorFlow" in result.stderr or "whole file" in result.stderr
