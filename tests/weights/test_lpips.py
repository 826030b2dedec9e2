"""`irsde download lpips`: from files, from the web through torch.hub's checked download, and found by `evaluate`."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.weights.catalogue import METRIC_WEIGHTS, Web
from irsde_cli.workflows.weights import download
from irsde_cli.workflows.weights.download import Ready, Refused
from irsde_cli.workflows.weights.options import Download


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRSDE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def as_published(shared: Path, folder: Path, variant: str) -> tuple[Path, Path]:
    """The backbone as torchvision has it, with its classifier, and the heads as their authors have them."""
    tensors = load_file(shared / "weights" / f"lpips_{variant}.safetensors")
    backbone: dict[str, Tensor] = {name: value for name, value in tensors.items() if name.startswith("features.")}
    heads = {name.replace(".", ".model.1."): value for name, value in tensors.items() if name.startswith("lin")}
    folder.mkdir()
    torch.save(backbone | {"classifier.1.weight": torch.zeros(3, 3)}, folder / "backbone.pth")
    torch.save(heads, folder / "heads.pth")
    digest = hashlib.sha256((folder / "backbone.pth").read_bytes()).hexdigest()[:8]
    return (folder / "backbone.pth").rename(folder / f"backbone-{digest}.pth"), folder / "heads.pth"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("name", "variant"), [("lpips", "alex"), ("lpips-squeeze", "squeeze")])
def test_from_the_web(
    shared: Path, tmp_path: Path, folder: Path, web: str, monkeypatch: pytest.MonkeyPatch, name: str, variant: str
) -> None:
    """Both files are fetched, their hashes compared, the tensors are the metric's; then nothing is fetched."""
    backbone, heads = as_published(shared, tmp_path / "site", variant)
    good = (
        Web(f"{web}/site/{backbone.name}", backbone.stem.rpartition("-")[2]),
        Web(f"{web}/site/heads.pth", hashlib.sha256(heads.read_bytes()).hexdigest()),
    )
    row = METRIC_WEIGHTS[name]
    for files, words in [
        ((good[0], Web(good[1].url, "0" * 64)), "is not what it should be"),
        ((good[0], Web(f"{web}/site/absent.pth", "0" * 64)), "did not come: File not found"),
    ]:
        monkeypatch.setitem(METRIC_WEIGHTS, name, replace(row, files=files))
        refused = list(download.obtain(Download((name,))))
        assert isinstance(refused[0], Refused) and words in refused[0].reason
        assert list(folder.iterdir()) == []
    monkeypatch.setitem(METRIC_WEIGHTS, name, replace(row, files=good))
    ready = list(download.obtain(Download((name,))))
    assert isinstance(ready[0], Ready)
    ours, theirs = load_file(ready[0].path), load_file(shared / "weights" / f"lpips_{variant}.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    backbone.unlink()
    assert [type(event) for event in download.obtain(Download((name,)))] == [Ready]
    assert [type(event) for event in download.verify([name])] == [Ready]


def test_from_a_file_and_found_by_evaluate(shared: Path, tmp_path: Path) -> None:
    """After --from FILE, `evaluate` shows LPIPS unasked: the known figure of a pair."""
    runner = CliRunner()
    pair = shared / "data" / "testsets" / "sots_indoor"
    words = ["evaluate", "--gt", str(pair / "GT"), "--from", str(pair / "LQ"), "--limit", "1", "--figures", "-"]
    assert "run 'irsde download lpips'" in runner.invoke(app, words).stderr
    weights = shared / "weights" / "lpips_alex.safetensors"
    result = runner.invoke(app, ["download", "lpips", "--from", str(weights)])
    assert result.exit_code == 0, result.output
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["means"]["LQ"]["lpips"]["mean"] == pytest.approx(0.0861, abs=5e-5)


def test_other_files_are_refused(shared: Path) -> None:
    """SqueezeNet's are not AlexNet's; half of them is named."""
    for path, words in [
        (shared / "weights" / "lpips_squeeze.safetensors", "has shape"),
        (shared / "weights" / "README.md", "is not a whole safetensors file: it is text."),
    ]:
        (event,) = download.obtain(Download(("lpips",), files=(path,)))
        assert isinstance(event, Refused) and words in event.reason
