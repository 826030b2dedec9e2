"""`irsde restore --format irc`, and the way back."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.images.formats import irc
from irsde_cli.systems import build_restorer
from tests.cli.stub import picture, save_stub

pytest.importorskip("constriction", reason="the extra 'codec' is not installed")


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codec") / "mine.safetensors"
    options = {"width": 8, "channels": 16, "hyper": 8, "blocks": (1, 0, 1, 0)}
    torch.manual_seed(0)
    restorer = build_restorer("codec", {"network": {"name": "codec", "options": options}}, "'model'")
    for parameter in restorer.parameters():
        parameter.data.add_(0.03 * torch.randn_like(parameter))
    checkpoint.save(path, restorer, task="denoise")
    return path


def cli(*words: object) -> Any:
    return CliRunner().invoke(app, list(map(str, words)))


def opened_of(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def test_a_file_there_and_back(codec: Path, tmp_path: Path) -> None:
    """Pictures become files, grey stays grey, the profile stays; a file shows what the codec made of the picture."""
    given = picture(tmp_path / "in" / "a.png", 40, 56)
    picture(tmp_path / "in" / "b.png", 20, 24, mode="L")
    profile = b"x" * 12 + b"RGB XYZ " + b"p" * 200
    Image.fromarray(np.asarray(opened_of(given))).save(given, icc_profile=profile)
    coded, back = tmp_path / "coded", tmp_path / "back"
    first = cli("restore", tmp_path / "in", coded, "--model", codec, "--format", "irc", "--quality", "40")
    assert first.exit_code == 0, first.output
    assert sorted(path.name for path in coded.iterdir() if path.suffix == ".irc") == ["a.irc", "b.irc"]
    assert irc.parsed((coded / "a.irc").read_bytes()).quality == round(39 / 99 * 63)
    second = cli("restore", coded, back, "--model", codec)
    assert second.exit_code == 0, second.output
    assert "Open: 2 pictures" in second.output
    opened = opened_of(back / "a.png")
    assert opened.size == (56, 40) and opened.mode == "RGB" and opened.info["icc_profile"] == profile
    assert opened_of(back / "b.png").mode == "L"
    made = irc.parsed((coded / "a.irc").read_bytes())
    restorer = checkpoint.load(codec).restorer
    shown = restorer.opened(made.latent, made.quality, made.size).clamp(0, 1).mul(255).round().permute(1, 2, 0)
    np.testing.assert_allclose(np.asarray(opened).astype(int), shown.numpy(), atol=1)
    again = cli("restore", coded, back, "--model", codec)
    assert again.exit_code == 0 and "2 up to date" in again.output
    single = cli("restore", coded / "a.irc", tmp_path / "y.png", "--model", codec)
    assert single.exit_code == 0, single.output
    np.testing.assert_array_equal(np.asarray(opened_of(tmp_path / "y.png")), np.asarray(opened))
    to_file = cli("restore", given, tmp_path / "z.irc", "--model", codec, "--quality", "40")
    assert to_file.exit_code == 0, to_file.output
    assert (tmp_path / "z.irc").read_bytes() == (coded / "a.irc").read_bytes()


def test_damaged_files_are_said_in_one_sentence(codec: Path, tmp_path: Path) -> None:
    """A flipped byte, a cut, a later version and other weights: exit code 3, no picture, and what to do."""
    given = picture(tmp_path / "a.png", 40, 56)
    assert cli("restore", given, tmp_path / "a.irc", "--model", codec).exit_code == 0
    whole = (tmp_path / "a.irc").read_bytes()
    folder, out = tmp_path / "broken", tmp_path / "out"
    folder.mkdir()
    (folder / "cut.irc").write_bytes(whole[:-9])
    (folder / "flipped.irc").write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    later = bytearray(whole)
    later[4] = 9
    (folder / "later.irc").write_bytes(later)
    others = bytearray(whole[:-4])
    others[16] ^= 1
    (folder / "others.irc").write_bytes(bytes(others) + struct.pack(">I", zlib.crc32(others)))
    spoilt = bytearray(whole[:-4])
    spoilt[irc.HEAD.size + irc.CHUNK.size + 12] ^= 0x40
    (folder / "spoilt.irc").write_bytes(bytes(spoilt) + struct.pack(">I", zlib.crc32(spoilt)))
    (folder / "sound.irc").write_bytes(whole)
    result = cli("restore", folder, out, "--model", codec)
    assert result.exit_code == 3
    assert [path.name for path in out.iterdir() if path.suffix == ".png"] == ["sound.png"]
    for name, words in {
        "cut": "is truncated",
        "flipped": "its checksum is that of other bytes",
        "later": "is of version 9 of this format",
        "others": "was written with the weights 'mine'",
        "spoilt": "does not give back the numbers that were written",
    }.items():
        (line,) = [line for line in result.output.splitlines() if line.startswith(f"failed: {name}.irc")]
        assert words in line


def test_what_cannot_be_is_said(codec: Path, tmp_path: Path) -> None:
    """Other weights write no such files, transparency and 16 bits do not fit, and a file of unknown weights asks."""
    given = picture(tmp_path / "a.png", 24, 24)
    other = cli("restore", given, tmp_path / "o.irc", "--model", save_stub(tmp_path / "stub.safetensors"))
    assert other.exit_code == 2 and "written by the weights of a codec" in other.output
    drawn = cli("restore", given, tmp_path / "o.irc", "--model", codec, "--samples", "2")
    assert drawn.exit_code == 2 and "--samples" in drawn.output
    clear = picture(tmp_path / "clear.png", 24, 24, mode="RGBA")
    transparent = cli("restore", clear, tmp_path / "o.irc", "--model", codec)
    assert transparent.exit_code == 3 and "is transparent, which IRC cannot keep" in transparent.output
    assert cli("restore", given, tmp_path / "a.irc", "--model", codec).exit_code == 0
    unnamed = cli("restore", tmp_path / "a.irc", tmp_path / "b.png")
    assert unnamed.exit_code == 4 and "'mine'" in unnamed.output and "--model" in unnamed.output
