"""The container: what it copies is there, and where an engine runs it restores a picture."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.cli.stub import picture

ROOT = Path(__file__).parents[1]


def test_what_the_container_needs_is_here() -> None:
    """Files that are copied are neither missing nor ignored, and its extras exist."""
    text = (ROOT / "docs" / "container" / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert copied and all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = re.findall(r"\.\[([a-z,]+)\]", text)
    assert set(wanted.split(",")) <= set(project["optional-dependencies"])
    assert f'ENTRYPOINT ["{next(iter(project["scripts"]))}"]' in text


@pytest.mark.slow
def test_the_container_restores(tmp_path: Path) -> None:
    """Built from this checkout, as docs say."""
    engine = next((name for name in ("docker", "podman") if shutil.which(name)), None)
    if engine is None or subprocess.run([engine, "info"], capture_output=True).returncode:
        pytest.skip("no container engine runs here")
    recipe = ROOT / "docs" / "container" / "Dockerfile"
    subprocess.run([engine, "build", "-q", "-t", "irsde-test", "-f", recipe, ROOT], check=True, timeout=1500)
    picture(tmp_path / "in" / "a.png", 24, 32)
    mount = f"{tmp_path}:/pictures"
    words = [engine, "run", "--rm", "-v", mount, "irsde-test", "restore", "in", "out", "--task", "denoise"]
    subprocess.run(words, check=True, timeout=300)
    assert (tmp_path / "out" / "a.png").is_file()
