"""What people give by mistake is called by its name, wherever it is given; text is read in any encoding."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.config import read_json, read_paths, read_toml
from irsde_cli.content import decoded, hub_id, is_address, kind_of
from irsde_cli.conversions.dialects import read_state
from irsde_cli.errors import InputError, UsageError, WeightsError
from irsde_cli.images import read_picture
from irsde_cli.images.picture import READ_HERE
from irsde_cli.registry import nearest, unknown_name
from irsde_cli.storage import weight_files
from irsde_cli.weights import find_weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def zipped(name: str, data: bytes = b"1") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def tarred(mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        archive.addfile(tarfile.TarInfo("photos/a.jpg"), io.BytesIO())
    return stream.getvalue()


def coded(format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(stream, format)
    return stream.getvalue()


def torch_file(value: object, **options: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


# What is no weights, no settings and no list, with how it must be called.
STRANGERS: list[tuple[bytes, str]] = [
    (POINTER, "a Git LFS pointer"),
    (POINTER.replace(b"\n", b"\r\n"), "a Git LFS pointer"),
    (b"../../.git/annex/objects/3x/Fz/SHA256E-s31--8b.png\n", "a git-annex pointer"),
    (b"<!DOCTYPE html>\n<html lang=en><title>Sign in</title>", "a web page"),
    (b"\xef\xbb\xbf\r\n  <HTML><HEAD>", "a web page"),
    (b"<!-- saved -->\n<!-- twice -->\n<html>", "a web page"),
    (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN"><html>', "a web page"),
    (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', "an XML document"),
    (zipped("photos/a.jpg"), "a ZIP archive"),
    (gzip.compress(b"1"), "a gzip archive"),
    (tarred("w:gz"), "a gzip archive"),
    (bz2.compress(b"1"), "a bzip2 archive"),
    (lzma.compress(b"1"), "an xz archive"),
    (tarred("w"), "a tar archive"),
    (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40), "a 7z archive"),
    (b"Rar!\x1a\x07\x01\x00" + bytes(40), "a RAR archive"),
    (bytes(4096), "nothing but zero bytes"),
    (b"\0" * 16 + b"\xde\xc0\xef\xbe" + bytes(100), "an LMDB database"),
]
PICTURES = [(coded("JPEG"), "a JPEG picture"), (coded("PNG"), "a PNG picture"), (coded("TIFF"), "a TIFF picture")]
NO_PICTURES = [
    *STRANGERS,
    (coded("GIF"), "a GIF picture"),
    (coded("PDF"), "a PDF document"),
    (b'{"error": "not found"}', "a JSON document"),
    (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", "a video"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    (torch_file({"a": torch.ones(2)}), "a PyTorch file"),
    (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file"),
]


def labels(rows: list[tuple[bytes, str]]) -> list[str]:
    return [f"{index}-{name}" for index, (_, name) in enumerate(rows)]


@pytest.mark.parametrize(("data", "name"), NO_PICTURES, ids=labels(NO_PICTURES))
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes, name: str) -> None:
    """Whatever the file is called."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError) as refused:
        read_picture(path, path.name)
    assert f"'photo.jpg' is not a supported image ({READ_HERE}): it is {name}" in refused.value.message


READERS: list[Callable[[Path], object]] = [
    weight_files.read,
    read_state,
    lambda path: find_weights(str(path), "") and weight_files.read(path),
]


@pytest.mark.parametrize("read", READERS, ids=["safetensors", "pickle", "model"])
@pytest.mark.parametrize(("data", "name"), STRANGERS + PICTURES, ids=labels(STRANGERS + PICTURES))
def test_what_is_no_weights_is_named(tmp_path: Path, data: bytes, name: str, read: Callable[[Path], object]) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as refused:
        read(path)
    assert f": it is {name}" in refused.value.message
    assert "weights_only" not in refused.value.message + refused.value.hint


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


CODE, MORE, CUT = "which is code and no tensor", "it holds what no file of tensors needs", "it is cut off or damaged"
PICKLES = [
    (torch_file({"a": Evil()}), f"it asks for 'posix.system', {CODE}"),
    (torch_file([torch.nn.Linear(2, 2)]), f"it asks for 'torch.nn.modules.linear.Linear', {CODE}"),
    (torch_file({"a": Evil()}, _use_new_zipfile_serialization=False), CODE),
    (torch_file({"a": np.float64(3)}), CODE),
    (torch_file({"a": Path("x")}), CODE),
    (pickle.dumps({"a": Evil()}), MORE),
    (b"\x80\x02" + bytes(40), MORE),
    (torch_file({"a": torch.ones(99)})[:-300], CUT),
    (torch_file({"a": torch.ones(99)})[:90], CUT),
    (torch_file({"a": torch.ones(99)}, _use_new_zipfile_serialization=False)[:-90], CUT),
    (zipped("archive/constants.pkl"), "it is a program"),
]


@pytest.mark.parametrize(("data", "reason"), PICKLES)
def test_a_library_s_advice_is_never_passed_on(tmp_path: Path, data: bytes, reason: str) -> None:
    """Torch tells how to load such a file nevertheless."""
    path = tmp_path / "net.pth"
    path.write_bytes(data)
    with pytest.raises(WeightsError) as refused:
        read_state(path)
    said = f"{refused.value.message} {refused.value.hint}"
    assert reason in said, said
    for advice in ("weights_only", "weights only", "torch.load", "trust", "allowlist", "safe_globals"):
        assert advice not in said.lower()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["a.jpg", "été/ä b.png", "写真/猫.png", "a b.tif"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_lists_are_read_in_any_encoding(encoding: str, name: str, end: str) -> None:
    """As other systems' programs write them; each path once, and the mark is no part of the first."""
    plain = encoding.removesuffix("-sig")
    raw = ENCODINGS[encoding] + (name + end + "z/b.png" + end + name + end).encode(plain)
    assert read_paths(raw, "list") == (name, "z/b.png")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_lists_without_a_mark(encoding: str) -> None:
    assert read_paths("写真/猫.png\na.jpg\n".encode(encoding), "list") == ("写真/猫.png", "a.jpg")


def test_lists_of_any_bytes_stay() -> None:
    """Names of a disk that knows no encoding, and names that begin like other files."""
    odd = [b"\xe9t\xe9.jpg", b"[1].jpg", b"BM 2.png", b"GIF89a.png", b"PK.png", b"MZ.jpg", b"{x}.png"]
    for end in (b"\n", b"\0"):
        for first in odd:
            names = [first, *(name for name in odd if name != first)]
            assert read_paths(end.join(names) + end, "list") == tuple(map(os.fsdecode, names))
    assert read_paths(codecs.BOM_UTF8 + b"\xe9.jpg\n", "list") == (os.fsdecode(b"\xe9.jpg"),)
    assert read_paths(b"./a.jpg\0./b.jpg\0", "list") == ("./a.jpg", "./b.jpg")


NO_LISTS = [*STRANGERS, *PICTURES, (b'["a.jpg", "b.jpg"]', "a JSON document"), (torch_file({}), "a PyTorch file")]


@pytest.mark.parametrize(("data", "name"), NO_LISTS, ids=labels(NO_LISTS))
def test_what_is_no_list_is_named(data: bytes, name: str) -> None:
    with pytest.raises(UsageError, match="list") as refused:
        read_paths(data, "files.txt")
    assert f"'files.txt' is {name}" in refused.value.message


def test_half_a_wide_list_is_no_list() -> None:
    with pytest.raises(UsageError, match="cut off or damaged"):
        read_paths(codecs.BOM_UTF16_LE + "a.jpg".encode("utf-16-le")[:-1], "list")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_settings_are_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    """TOML and JSON, as Windows' editors and shells write them."""
    for name, text, read in (
        ("a.toml", 'task = "entregning ü"\r\n[run]\r\nkeep = 2\r\n', read_toml),
        ("a.json", '{"task": "entregning ü", "run": {"keep": 2}}', read_json),
    ):
        path = tmp_path / name
        path.write_bytes(ENCODINGS[encoding] + text.encode(encoding.removesuffix("-sig")))
        assert read(path) == {"task": "entregning ü", "run": {"keep": 2}}


@pytest.mark.parametrize("read", [read_toml, read_json])
@pytest.mark.parametrize(("data", "name"), STRANGERS + PICTURES, ids=labels(STRANGERS + PICTURES))
def test_what_is_no_settings_is_named(tmp_path: Path, data: bytes, name: str, read: Callable[[Path], object]) -> None:
    path = tmp_path / "settings"
    path.write_bytes(data)
    with pytest.raises(UsageError) as refused:
        read(path)
    assert f"'{path}' is {name}" in refused.value.message


def test_settings_of_another_code_page_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('task = "été"'.encode("latin-1"))
    with pytest.raises(UsageError, match="no text in UTF-8"):
        read_toml(path)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/me/net.safetensors",
        "HTTP://example.org/net.pth",
        "https://huggingface.co/me/net",
        "https://huggingface.co/me/net/resolve/main/model.safetensors",
        "huggingface.co/me/net",
        "hf://me/net",
        "s3://bucket/net.safetensors",
        "file:///home/me/net.safetensors",
        "git@github.com:me/net.git",
    ],
)
def test_an_address_is_no_name_of_weights(address: str) -> None:
    """Said before anything is asked of the Hub; an address of the Hub leads to the id."""
    with pytest.raises(WeightsError, match="is an address") as refused:
        find_weights(address, "denoise")
    assert refused.value.exit_code == 4
    if "huggingface.co" in address:
        assert "me/net." in refused.value.hint and hub_id(address) == "me/net"


@pytest.mark.parametrize("path", ["a/b.png", "C:\\photos", "C:/photos", "./x", "me/net", "me/net@v1.0", "a:b.png"])
def test_paths_are_no_addresses(path: str) -> None:
    assert not is_address(path)


def irsde(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, words)])
    return result.exit_code, result.stderr


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Folders and files of which each holds something else than pictures."""
    (tmp_path / "train.lmdb").mkdir()
    (tmp_path / "train.lmdb" / "data.mdb").write_bytes(b"\0" * 16 + b"\xde\xc0\xef\xbe" + bytes(100))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "0000.tar").write_bytes(tarred("w"))
    (tmp_path / "photos.zip").write_bytes(zipped("a.jpg"))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


PLACES = [
    ("train.lmdb", "LMDB"),
    ("shards", "a tar archive"),
    ("photos.zip", "a ZIP archive"),
    ("a.png", "a PNG picture, not a folder"),
    ("https://example.org/photos", "is an address"),
]


@pytest.mark.parametrize(("given", "said"), PLACES)
def test_what_is_no_folder_of_pictures_is_named(
    strangers: Path, given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In evaluate, train and restore alike, with exit code 2 (a single file that is no picture fails with 3)."""
    monkeypatch.chdir(strangers)
    words = ["--preset", "denoise-small", "--steps", "1", "--out", "run", "--data", given]
    for command in (["evaluate", "--gt", given, "--from", "x"], ["train", *words]):
        code, text = irsde(*command)
        assert code == 2 and said in text, text
    if given != "a.png":
        code, text = irsde("restore", given, "out", "--task", "denoise", "--steps", "1")
        assert code == (3 if given == "photos.zip" else 2) and said in text, text


def test_neighbours_ignore_case_and_what_joins_words() -> None:
    known = ["rain100l", "rain100h", "denoise-small", "deblur-small"]
    for name, wanted in (
        ("Rain100H", "rain100h"),
        ("RAIN100L", "rain100l"),
        ("Denoise_Small", "denoise-small"),
        ("DEBLUR SMALL", "deblur-small"),
        ("Rain100HH", "rain100h"),
    ):
        assert nearest(name, known) == wanted
        assert f"Did you mean '{wanted}'?" in unknown_name("model", name, known).message
    assert nearest("xyz", known) is None


def test_kinds_of_what_is_ours() -> None:
    """A weight file of ours and plain text are told apart from the rest; unknown bytes have no name."""
    shipped = find_weights(None, "denoise").path.read_bytes()[:4096]
    named = [kind_of(data) for data in (shipped, b"hello\n", "grün".encode(), b"")]
    assert [kind and kind.name for kind in named] == ["a safetensors file", "text", "text", None]
    assert kind_of(np.random.default_rng(0).bytes(4096)) is None
    assert decoded(b"plain") == "plain"
