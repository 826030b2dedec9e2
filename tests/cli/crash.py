"""Kills `irsde restore` again and again at random instants, in a process that imports once and forks."""

import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.cli.stub import Program, tree


def child(program: Program, source: Path, out: Path) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            program(source, out, steps=30)
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid


def main(model: Path, source: Path, work: Path, kills: int) -> None:
    draw = random.Random(0)
    program = Program(model)
    _, status = os.waitpid(child(program, source, work / "whole"), 0)
    assert status == 0
    whole = tree(work / "whole")
    since = time.monotonic()
    os.waitpid(child(program, source, work / "timed"), 0)
    duration = time.monotonic() - since
    broken = 0
    out = work / "out"
    for _ in range(kills):
        pid = child(program, source, out)
        time.sleep(draw.uniform(0, duration * 0.6))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        left = {name: data for name, data in tree(out).items() if not name.endswith(".part")} if out.exists() else {}
        broken += sum(whole[name] != data for name, data in left.items())
    _, status = os.waitpid(child(program, source, out), 0)
    sys.stdout.write(f"status {status} broken {broken} equal {tree(out) == whole}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
