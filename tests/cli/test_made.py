"""A result says what made it, and is made again from that."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irsde_cli import checkpoint
from irsde_cli.images import read_picture
from irsde_cli.images.xmp import made, with_made
from irsde_cli.samplers.settings import Sampling
from irsde_cli.tasks import TASKS
from irsde_cli.weights import SHIPPED, shipped_path
from irsde_cli.workflows.restore.again import sampling_of
from tests.cli.stub import call, picture


@pytest.fixture
def coarse(tmp_path: Path) -> Path:
    """A JPEG that needs restoring."""
    (tmp_path / "in/sub").mkdir(parents=True)
    picture(tmp_path / "in/sub/coarse.jpg", 40, 32, quality=15)
    return tmp_path / "in/sub/coarse.jpg"


FAST = ("--task", "jpeg", "--steps", "1")


def test_a_result_says_what_made_it_and_is_made_again(coarse: Path, tmp_path: Path) -> None:
    """In a folder of a folder, with a name of which its noise comes; its input may have another name by now."""
    call(
        "restore",
        tmp_path / "in",
        tmp_path / "out",
        "-r",
        "--task",
        "jpeg",
        "--seed",
        "7",
        "--realism",
        "0.8",
    )
    result = tmp_path / "out/sub/coarse.jpg"
    said = call("env", "--file", result).stdout
    assert "sub/coarse.jpg" in said
    assert "realism           0.8" in said
    assert "seed              7" in said
    other = tmp_path / "renamed.jpg"
    coarse.rename(other)
    again = call("env", "--file", result, "--original", other, "--again", tmp_path / "again.jpg")
    assert "the same file, byte for byte" in again.stdout
    assert (tmp_path / "again.jpg").read_bytes() == result.read_bytes()


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.bmp"])
def test_one_file_of_any_format(name: str, coarse: Path, tmp_path: Path) -> None:
    """What holds no XMP is told by the manifest, in the same words."""
    result = tmp_path / "out" / name
    call("restore", coarse, result, *FAST)
    said = json.loads(call("env", "--file", result, "--json").stdout)
    assert set(said) == {"input", "input_blake2b", "settings"}
    assert said["input"] == "coarse.jpg"
    assert (made(read_picture(result, name).xmp) is None) == (name == "a.bmp")
    assert "byte for byte" in call("env", "--file", result, "--original", coarse).stdout


def test_a_result_without_metadata_holds_no_record(coarse: Path, tmp_path: Path) -> None:
    call("restore", coarse, tmp_path / "out/a.png", *FAST, "--metadata", "strip")
    assert read_picture(tmp_path / "out/a.png", "a").xmp is None
    assert json.loads(call("env", "--file", tmp_path / "out/a.png", "--json").stdout)["input"] == "coarse.jpg"


def test_what_cannot_be_made_again_says_why(coarse: Path, tmp_path: Path) -> None:
    call("restore", coarse, tmp_path / "a.png", *FAST)
    other = tmp_path / "other.jpg"
    picture(other, 24, 24)
    result = call("env", "--file", tmp_path / "a.png", "--original", other, code=3)
    assert "is not the picture that" in result.stderr
    assert "nothing says what made" in call("env", "--file", other, code=3).stderr
    assert "go with --file" in call("env", "--original", other, code=2).stderr
    changed = np.asarray(Image.open(tmp_path / "a.png")).copy()
    changed[0, 0] ^= 1
    packet = read_picture(tmp_path / "a.png", "a").xmp
    image, stream = Image.fromarray(changed), io.BytesIO()
    image.save(stream, "webp", lossless=True, xmp=packet)
    (tmp_path / "a.webp").write_bytes(stream.getvalue())
    result = call("env", "--file", tmp_path / "a.webp", "--original", coarse, code=3)
    assert "is another file" in result.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_network_records_is_what_it_is_asked_for(name: str) -> None:
    """The settings in a record lead to themselves."""
    restorer = checkpoint.load(shipped_path(name)).restorer
    found = restorer.resolve(Sampling())
    assert restorer.resolve(sampling_of(found)) == found


@pytest.mark.parametrize("task", [name for name, row in TASKS.items() if row.weights])
def test_the_source_type_is_one_of_the_iptc(task: str) -> None:
    from irsde_cli.workflows.restore.made import source_type
    from irsde_cli.workflows.restore.options import Options

    assert source_type(Options(task=task)) in ("algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia")


def test_a_packet_keeps_what_it_says_and_has_one_record() -> None:
    """Whatever a record holds comes back; a second one takes its place."""
    own = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description a="1"/></rdf:RDF></x:xmpmeta>'
    text = json.dumps({"input": "a <b> & 'c' \"d\"", "settings": {}})
    once = with_made(own, text, "algorithmicallyEnhanced")
    assert once is not None
    assert made(once) == text
    assert b'<rdf:Description a="1"/>' in once
    twice = with_made(once, "{}", "algorithmicallyEnhanced")
    assert twice is not None
    assert twice.count(b"irsde:Made>") == 2
    assert made(twice) == "{}"
    assert with_made(b"<other/>", text, "algorithmicallyEnhanced") == b"<other/>"
    assert with_made(own, "x" * 70000, "algorithmicallyEnhanced") == own
