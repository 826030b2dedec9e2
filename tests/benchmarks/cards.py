"""Fills the tables of pages: each stands below the command that makes it.

    IRSDE_DATA=SETS IRSDE_LPIPS=FILE python -m tests.benchmarks.cards docs/models/derain-small.md [--only TEXT]

A page holds lines `<!-- evaluate ... -->` and `<!-- end -->`; what lies between is replaced by the command and its
table. `PHOTOS`, `PEERS` and `SETS` in a command stand for the folders of PHOTOS, PEERS and IRSDE_DATA. Where many ways
are compared, differences and intervals are left out.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

SEVERAL = 6
BLOCK = re.compile(r"<!-- (evaluate .*?) -->\n.*?<!-- end -->", re.DOTALL)


def filled(command: str) -> str:
    """The command as people would type it, and its table."""
    words = shlex.split(command)
    for name, variable in (("PHOTOS", "PHOTOS"), ("PEERS", "PEERS"), ("SETS", "IRSDE_DATA")):
        words = [word.replace(name, os.environ.get(variable, name)) for word in words]
    run = [sys.executable, "-m", "irsde_cli", *words, "--markdown", "-", "--quiet"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{command}: {done.stderr}")
    table = re.sub(r"; mean over images.*", ".", done.stdout.strip(), count=1)
    if words.count("--way") > SEVERAL:  # differences, and intervals that pairs make needless
        table = re.sub(r" \[.*?\]", "", re.sub(r"^\| .* - .*\n?", "", table, flags=re.MULTILINE))
    return f"<!-- {command} -->\n\n```sh\nirsde {command}\n```\n\n{table}\n\n<!-- end -->"


def main() -> None:
    """Rewrite the pages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--only", default="", help="commands that hold this text")
    arguments = parser.parse_args()
    for page in arguments.pages:
        for command in BLOCK.findall(page.read_text(encoding="utf-8")):
            if arguments.only in command:
                block = filled(command)
                text = page.read_text(encoding="utf-8")
                start = text.index(f"<!-- {command} -->")
                end = text.index("<!-- end -->", start) + len("<!-- end -->")
                page.write_text(text[:start] + block + text[end:], encoding="utf-8")
                print(page, command, flush=True)


if __name__ == "__main__":
    main()
