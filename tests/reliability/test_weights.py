"""Weight files that nobody should trust: refused with exit code 4 before anything runs or is allocated."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.stub import picture
from tests.reliability.processes import irsde, little_memory


class Payload:
    """Runs when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


def plain_pickle(canary: Path, _: bytes) -> bytes:
    return pickle.dumps({"a": Payload(canary)})


def torch_zip(canary: Path, _: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"network": Payload(canary)}, buffer)
    return buffer.getvalue()


def torch_old(canary: Path, _: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"network": Payload(canary)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def torch_tar(canary: Path, _: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(Payload(canary))
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def bare_zip(canary: Path, _: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", plain_pickle(canary, b""))
    return buffer.getvalue()


def behind_a_header(canary: Path, stub: bytes) -> bytes:
    """A whole checkpoint with a pickle after its tensors."""
    return stub + plain_pickle(canary, b"")


def in_the_tensors(canary: Path, stub: bytes) -> bytes:
    """A pickle where the weights should be, of their length."""
    length = 8 + int.from_bytes(stub[:8], "little")
    data = plain_pickle(canary, b"")
    body = data + b"\xff" * (len(stub) - length - len(data))
    return stub[:length] + body


DISGUISES = [plain_pickle, torch_zip, torch_old, torch_tar, bare_zip, behind_a_header, in_the_tensors]
Make = Callable[[Path, bytes], bytes]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    picture(tmp_path / "place" / "in" / "a.png")
    return tmp_path / "place"


def refused(place: Path, model: Path, **more: Any) -> str:
    """What is said of a model that must be refused."""
    ended = irsde("restore", place / "in", place / "out", "--task", "denoise", "--model", model, cwd=place, **more)
    assert ended.code == 4, ended.stderr
    assert ended.stderr.startswith("Error: ") and "Traceback" not in ended.stderr
    assert not (place / "out").exists()
    return ended.complaint


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
@pytest.mark.parametrize("make", DISGUISES)
def test_pickles_never_run(place: Path, stub: Path, make: Make, suffix: str) -> None:
    """Whatever they are called and wherever they hide."""
    canary = place / "canary"
    model = place / f"model{suffix}"
    model.write_bytes(make(canary, stub.read_bytes()))
    assert str(model) in refused(place, model)
    assert not canary.exists()


@pytest.mark.parametrize("make", [plain_pickle, torch_zip, torch_old, torch_tar, bare_zip])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_pickles_never_run_where_training_begins(place: Path, make: Make, suffix: str) -> None:
    """--init takes the reference's pickles, and of those plain tensors alone."""
    canary = place / "canary"
    model = place / f"model{suffix}"
    model.write_bytes(make(canary, b""))
    words = ["train", "--preset", "denoise-small", "--data", place / "in", "--out", place / "run", "--init", model]
    ended = irsde(*words, "--crop", 8, "--steps", 1, cwd=place)
    assert ended.code == 4, ended.stderr
    assert "Traceback" not in ended.stderr and not canary.exists()


def absurd(header: bytes, length: int | None = None, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def tensors(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HEADERS = {
    "one-terabyte": absurd(b"{}", 1 << 40),
    "beyond-64-bits": absurd(b"{}", (1 << 64) - 1),
    "longer-than-the-file": absurd(b"{}", 1000),
    "no-json": absurd(b"hello"),
    "deep": absurd(b"[" * 100_000),
    "deep-table": absurd(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a-list": absurd(b"[]"),
    "overlapping": absurd(tensors(a=ONE, b={**ONE, "data_offsets": [2, 6]}), body=bytes(6)),
    "a-hole": absurd(tensors(a=ONE, b={**ONE, "data_offsets": [8, 12]}), body=bytes(12)),
    "backwards": absurd(tensors(a={**ONE, "data_offsets": [4, 0]}), body=bytes(4)),
    "beyond-the-end": absurd(tensors(a={**ONE, "data_offsets": [0, 1 << 50], "shape": [1 << 48]}), body=bytes(4)),
    "shape-overflows": absurd(tensors(a={**ONE, "shape": [1 << 32, 1 << 32, 4]}), body=bytes(4)),
    "negative-shape": absurd(tensors(a={**ONE, "shape": [-1]}), body=bytes(4)),
    "unknown-type": absurd(tensors(a={**ONE, "dtype": "F99"}), body=bytes(4)),
    "no-offsets": absurd(tensors(a={"dtype": "F32", "shape": [1]}), body=bytes(4)),
    "strange-metadata": absurd(tensors(__metadata__={"irsde": {"a": 1}}, a=ONE), body=bytes(4)),
    "nothing": b"",
    "seven-bytes": b"\0" * 7,
    "zeros": bytes(1 << 20),
}


@pytest.mark.parametrize("name", HEADERS)
def test_absurd_headers_cost_nothing(place: Path, name: str) -> None:
    """Refused with as little memory as a small picture needs."""
    model = place / "model.safetensors"
    model.write_bytes(HEADERS[name])
    refused(place, model, prepare=[little_memory(150_000_000)])


def rewritten(stub: Path, path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None]) -> Path:
    with safe_open(stub, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        header = json.loads(file.metadata()["irsde"])
    change(found, header)
    save_file(found, path, metadata={"irsde": json.dumps(header)})
    return path


def _network(**options: Any) -> Callable[[dict[str, torch.Tensor], dict[str, Any]], None]:
    return lambda _, header: header["config"]["network"]["options"].update(options)


def _config(**values: Any) -> Callable[[dict[str, torch.Tensor], dict[str, Any]], None]:
    return lambda _, header: header["config"].update(values)


def _process(**values: Any) -> Callable[[dict[str, torch.Tensor], dict[str, Any]], None]:
    return lambda _, header: header["config"]["process"]["options"].update(values)


def _tensor(change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[..., None]:
    def changed(found: dict[str, torch.Tensor], _: dict[str, Any]) -> None:
        name = "network.intro.weight"
        value = change(found.pop(name))
        if value is not None:
            found[name] = value.contiguous()

    return changed


MISFITS: dict[str, tuple[Callable[..., None], str]] = {
    "lacking": (_tensor(lambda _: None), "lacks the tensor 'network.intro.weight'"),
    "other-shape": (_tensor(lambda weight: weight[:, :3]), "has shape"),
    "other-type": (_tensor(lambda weight: weight.to(torch.int64)), "has type"),
    "not-a-number": (_tensor(lambda weight: weight * torch.nan), "not finite"),
    "infinite": (_tensor(lambda weight: weight / 0), "not finite"),
    "extra": (lambda found, _: found.update(surplus=torch.zeros(1)), "'surplus'"),
    "code-as-system": (lambda _, header: header.update(system="os:system"), "os:system"),
    "code-as-network": (lambda _, header: header["config"]["network"].update(name="os:system"), "os:system"),
    "wide-network": (_network(widths=[10**9, 10**9]), ""),
    "very-wide-network": (_network(widths=[10**15, 10**15]), ""),
    "long-network": (_network(blocks=[10**9, 1]), ""),
    "many-scales": (_network(widths=[1] * 5000, blocks=[1] * 5000), ""),
    "long-embedding": (_network(time_dim=10**12), ""),
    "negative-network": (_network(widths=[-8, 8]), ""),
    "empty-network": (_network(widths=[], blocks=[]), ""),
    "other-kinds": (_network(widths="eight"), ""),
    "many-times": (_process(num_timesteps=10**13), ""),
    "no-times": (_process(num_timesteps=0), ""),
    "no-number": (_process(stationary_std=float("nan")), ""),
    "large-scale": (_config(scale=10**6), ""),
    "code-as-sampler": (_config(sampling={"sampler": "os:system"}), "os:system"),
    "too-many-steps": (_config(sampling={"steps": 10**9}), "1000000000 steps"),
    "nodes-that-rise": (_config(sampling={"nodes": [1, 2, 3]}), "nodes must fall"),
    "newer-format": (lambda _, header: header.update(format=99), "newer irsde"),
    "a-key-too-many": (lambda _, header: header.update(surprise=1), "unknown key 'surprise'"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits_are_refused_before_anything_is_built(place: Path, stub: Path, name: str) -> None:
    """Tensors and settings that do not fit one another, however large the settings are: one sentence, little memory."""
    change, words = MISFITS[name]
    model = rewritten(stub, place / "model.safetensors", change)
    assert words in refused(place, model, prepare=[little_memory(300_000_000)])
