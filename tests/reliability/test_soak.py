"""A long night: thousands of small pictures with random damage, two shards at once, a disk that fills, a SIGTERM.

The long mode is `pytest tests/reliability/test_soak.py --slow -s`: 20,000 pictures; docs/reliability.md has its result.
"""

import io
import json
import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.stub import tree
from tests.reliability.processes import Running, irsde, start

BLOCK = 4096
FORMS = (".png", ".jpg", ".webp", ".bmp")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    if os.uname().sysname != "Linux":
        pytest.skip("needs a disk of limited size")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    return folder


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def night(folder: Path, count: int, draw: random.Random) -> set[str]:
    """Pictures in folders of a thousand; the names of the damaged ones."""
    samples = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    files = []
    for pixels in samples:
        for form in FORMS:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, {".jpg": "jpeg"}.get(form, form[1:]))
            files.append((form, buffer.getvalue()))
    damaged = set()
    for index in range(count):
        form, data = draw.choice(files)
        name = f"{index // 1000:02}/{index:05}{form}"
        if draw.random() < 0.03:
            damaged.add(name)
            data = draw.choice([b"", data[: len(data) // 3], b"<html>" + data, data[:8] + bytes(len(data) - 8)])
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return damaged


def resident(running: Running) -> int:
    return int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def made(running: Running) -> int:
    return running.stdout.count("\n")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [240, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_long_night(tmp_path: Path, stub: Path, disk: Path, count: int) -> None:
    """In the morning each picture is restored or named with a reason, whatever happened in between."""
    try:
        _night(tmp_path, stub, disk, count)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _night(tmp_path: Path, stub: Path, disk: Path, count: int) -> None:
    draw = random.Random(0)
    since = time.monotonic()
    damaged = night(tmp_path / "in", count, draw)
    (tmp_path / "place").mkdir()
    words = ["restore", tmp_path / "in", disk, "-r", "--task", "denoise", "--model", stub, "--steps", 1]

    def shards() -> list[Running]:
        return [start(*words, "--shard", f"{index}/2", cwd=tmp_path / "place") for index in (1, 2)]

    resize(disk, count * BLOCK * 2 // 5)
    ended = [running.wait(1800) for running in shards()]
    assert [one.code for one in ended] == [5, 5]
    assert all("No space left on device" in one.stderr for one in ended)
    before = tree(disk)
    assert count / 10 < len(before) < count and not [name for name in before if name.endswith(".part")]

    resize(disk, count * BLOCK * 4)
    first, second = shards()
    first.until(lambda: made(first) > count / 60, 1800)
    first.signal(signal.SIGTERM)
    second.until(lambda: made(second) > count / 20, 1800)
    start_memory = resident(second)
    assert first.wait(1800).code == 143
    end_memory = start_memory
    while second.alive:
        try:
            end_memory = resident(second) or end_memory
        except OSError:
            break
        time.sleep(0.05)
    assert second.wait(1800).code in (0, 3)
    again = start(*words, "--shard", "1/2", cwd=tmp_path / "place")
    assert again.wait(1800).code in (0, 3)

    after = tree(disk)
    names = {path.relative_to(tmp_path / "in").as_posix() for path in (tmp_path / "in").rglob("*.*")}
    assert set(after) == names - damaged and len(names) == count
    assert before.items() <= after.items()
    for data in after.values():
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.size == (16, 16)
    done, failed = {}, set()
    for path in (disk / ".irsde").glob("manifest*.jsonl"):
        for line in path.read_bytes().splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue  # torn where the disk was full
            if values["event"] == "done":
                done[values["output"]] = values["output_size"]
            elif values["event"] == "failed":
                failed.add(values["input"])
    assert done == {name: len(data) for name, data in after.items()}
    assert damaged <= failed
    grown = end_memory / start_memory - 1
    assert grown < 0.05, f"{start_memory >> 20} MiB became {end_memory >> 20}"
    last = irsde(*words, cwd=tmp_path / "place")
    assert last.code == 3 and f"0 done, {len(damaged)} failed, {count - len(damaged)} up to date" in last.stderr
    (tmp_path / "list").write_text("\n".join(draw.sample(sorted(after), 40)))
    alone = irsde(*words[:2], tmp_path / "alone", *words[3:], "--files-from", tmp_path / "list", cwd=tmp_path / "place")
    assert alone.code == 0 and tree(tmp_path / "alone").items() <= after.items()
    seconds = time.monotonic() - since
    print(f"{count} pictures, {len(damaged)} damaged, {seconds:.0f} s, memory {grown:+.1%} of {start_memory >> 20} MiB")  # noqa: T201
