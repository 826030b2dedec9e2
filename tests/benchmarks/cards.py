"""Fills the tables of pages: each stands below the command that makes it.

    IRSDE_DATA=SETS IRSDE_LPIPS=FILE python -m tests.benchmarks.cards docs/models/derain-small.md [--only TEXT]

A page holds lines `<!-- evaluate ... -->` and `<!-- end -->`; what lies between is replaced by the command and its
table. `PHOTOS`, `PEERS`, `CROPS` and `SETS` in a command stand for folders: the last for IRSDE_DATA. Where many ways
are compared, differences and intervals are left out; with `--busy` seconds are too. Between `<!-- overview -->` and
`<!-- end overview -->` comes one table of all of the page.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

SEVERAL = 6
SECONDS = "s/MP"
BEGIN, END = "<!-- overview -->", "<!-- end overview -->"
BLOCK = re.compile(r"<!-- (evaluate .*?) -->\n.*?<!-- end -->", re.DOTALL)


def without_seconds(table: str) -> str:
    """Without the column of seconds, and what is said of it; other programs that run meanwhile would be in it."""
    lines = table.splitlines()
    head = next((line for line in lines if SECONDS in line), "")
    place = head.split("|").index(f" {SECONDS} ") if head else -1
    kept = ["|".join(cell for number, cell in enumerate(line.split("|")) if number != place) for line in lines]
    return re.sub(r"\n\nSeconds for a megapixel[^\n]*", "", "\n".join(kept if head else lines))


def filled(command: str, *, busy: bool) -> str:
    """The command as people would type it, and its table; of a busy machine without seconds."""
    words = shlex.split(command)
    for name, variable in (("PHOTOS", "PHOTOS"), ("PEERS", "PEERS"), ("CROPS", "CROPS"), ("SETS", "IRSDE_DATA")):
        words = [word.replace(name, os.environ.get(variable, name)) for word in words]
    run = [sys.executable, "-m", "irsde_cli", *words, "--markdown", "-", "--quiet"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{command}: {done.stderr}")
    table = re.sub(r"; mean over images.*", ".", done.stdout.strip(), count=1)
    if words.count("--way") > SEVERAL:  # differences, intervals, and what the labels say
        table = re.sub(r" \[.*?\]", "", re.sub(r"^\| .* - .*\n?", "", table, flags=re.MULTILINE))
        table = re.sub(r"^[^|\n]*?: (\S+ \(SHA-256 \w+\)).*; (\w+)\.$", r"\1; \2.", table, flags=re.MULTILINE)
    table = without_seconds(table) if busy else table
    return f"<!-- {command} -->\n\n```sh\nirsde {command}\n```\n\n{table}\n\n<!-- end -->"


def overview(text: str) -> str:
    """One table of all tables of a page: the test, who was measured, and the first three figures without intervals."""
    rows = ["| test | | PSNR (dB) | SSIM | LPIPS |", "|---|---|---|---|---|"]
    for block in BLOCK.finditer(text):
        heading = text[: block.start()].rpartition("\n## ")[2].partition("\n")[0]
        caption = re.search(r"^(.*?), protocol", block[0], re.MULTILINE)
        table = block[0].partition("\n|---")[2].splitlines()[1:]
        lines = [line for line in table if line.startswith("| ") and " - " not in line.split("|")[1]]
        for number, line in enumerate(lines):
            label, *figures = (re.sub(r" \[.*?\]", "", cell).strip() for cell in line.split("|")[1:-1])
            test = f"{heading}: {caption[1]}" if caption is not None and number == 0 else ""
            rows.append(f"| {test} | {label} | " + " | ".join(figures[:3]) + " |")
    return "\n".join(rows)


def main() -> None:
    """Rewrite the pages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--busy", action="store_true", help="leave the seconds out")
    parser.add_argument("--only", default="", help="commands that hold this text")
    arguments = parser.parse_args()
    for page in arguments.pages:
        for command in BLOCK.findall(page.read_text(encoding="utf-8")):
            if arguments.only in command:
                block = filled(command, busy=arguments.busy)
                text = page.read_text(encoding="utf-8")
                start = text.index(f"<!-- {command} -->")
                end = text.index("<!-- end -->", start) + len("<!-- end -->")
                page.write_text(text[:start] + block + text[end:], encoding="utf-8")
                print(page, command, flush=True)
        text = page.read_text(encoding="utf-8")
        if BEGIN in text:
            before, _, rest = text.partition(BEGIN)
            page.write_text(f"{before}{BEGIN}\n\n{overview(text)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
