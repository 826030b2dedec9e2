"""The documentation against the program. `python -m tests.test_docs` writes what is made of tables anew."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli import checkpoint
from irsde_cli.cli.program import app
from irsde_cli.degradations import DEGRADATIONS
from irsde_cli.inverse import METHODS
from irsde_cli.metrics.psnr import psnr
from irsde_cli.networks import NETWORKS
from irsde_cli.processes import PROCESSES
from irsde_cli.registry import Registry, address
from irsde_cli.storage import weight_files
from irsde_cli.systems import SYSTEMS, networks_of
from irsde_cli.training import OBJECTIVES
from irsde_cli.weights import shipped_path
from irsde_cli.weights.catalogue import CATALOGUE
from irsde_cli.weights.peers import PEERS
from irsde_cli.workflows.weights.listing import METRIC, Listed, listed

ROOT = Path(__file__).parents[1]
PROVENANCE = ROOT / "docs" / "provenance.md"
REFERENCE = ROOT / "docs" / "reference.md"
COMMANDS: list[list[str]] = [[], *([command.name] for command in app.registered_commands if command.name)]
FAMILIES = sorted((ROOT / "docs" / "networks").glob("*.md"))
WEIGHTS = ("name", "network", "paper", "task", "parameters", "trained on", "checked", "licence", "weights")
FACTS = (
    "network",
    "parameters, usual size",
    "memory a pixel",
    "looks at",
    "tiles",
    "padded to a multiple of",
    "half precision",
    "checked",
)
TABLES: dict[str, Registry] = {
    "Networks": NETWORKS,
    "Processes": PROCESSES,
    "Systems": SYSTEMS,
    "Objectives and strategies": OBJECTIVES,
    "Zero-shot methods": METHODS,
    "Degradations": DEGRADATIONS,
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def help_text(words: list[str]) -> str:
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    environment = {name: value for name, value in environment.items() if not name.startswith(("GITHUB_", "FORCE_"))}
    command = [sys.executable, "-m", "irsde_cli", *words, "--help"]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    lines = result.stdout.decode("utf-8").replace("python -m irsde_cli", "irsde").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def reference() -> str:
    parts = ["# Reference", "What `--help` says, and a test compares."]
    for words in COMMANDS:
        title = " ".join(["irsde", *words])
        parts.append(f"## {title}\n\n```text\n{help_text(words)}\n```")
    return "\n\n".join(parts) + "\n"


def provenance() -> str:
    parts = [
        "# Provenance",
        """Made of the tables in the code by `python -m tests.test_docs`. How a row is known to be right:

- `weights`: official weights gave the published or recorded numbers here.
- `code`: with equal weights it gives the numbers of the official code.
- `properties`: neither was to be had, or it is ours; what must hold of it does.
- Nothing: nobody here had the files.""",
    ]
    for title, table in TABLES.items():
        rows = [
            (
                f"`{name}`",
                f"[{row.paper}]({address(row.paper)})" if row.paper else "ours",
                row.checked,
                evidence(row.evidence),
            )
            for name, row in table.items()
        ]
        parts.append(f"## {title}\n\n" + as_table(("name", "paper", "checked", "test"), rows))
    parts.append(
        "## Weights\n\nParameters are those of the network that restores. What each family is, what it needs and how "
        "it is used: [networks of others](networks/README.md).\n\n"
        + as_table(WEIGHTS, (weights_row(one, "") for one in listed() if not one.refused))
    )
    return "\n\n".join(parts) + "\n"


def evidence(test: str, up: str = "") -> str:
    """The link to a test, of a page in docs, or one so many folders below."""
    file, _, name = test.partition("::")
    return f"[{name}]({up}../{file})" if test else ""


def weights_row(one: Listed, up: str) -> tuple[object, ...]:
    """A set of weights: its name, what it is, how large, and where it is."""
    row = CATALOGUE.get(one.name)
    papers = ", ".join(f"[{paper}]({address(paper)})" for paper in one.papers) or "ours"
    if row is None:
        where = "metric" if one.system == METRIC else "here"
        network = "" if where == "metric" else named_networks(one.name)
    else:
        how = "fetched" if one.reachable else "by hand"
        where = f"{how}: {f'`{row.source}`' if row.on_hub else link(row.source)}"
        network = row.network or row.system
    checked = f"{one.checked}: {evidence(one.evidence, up)}" if one.checked else ""
    told = (one.task, parameters(one), one.data, checked, one.licence, where)
    return (f"`{one.name}`", network, papers, *told)


def link(source: str) -> str:
    """The first address in it, named by its last part."""
    found = re.search(r"https://\S+", source)
    return f"[{found[0].rstrip('/').rpartition('/')[2]}]({found[0]})" if found else source


def named_networks(shipped: str) -> str:
    return ", ".join(
        part["name"] for part in networks_of(checkpoint.read_header(shipped_path(shipped)).config).values()
    )


def parameters(one: Listed) -> str:
    """How many numbers the restoring network has: sizes in the list are those of its tensors in float32."""
    if one.system == METRIC:
        return ""
    if not one.files:
        with weight_files.opened(shipped_path(one.name)) as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 # it is no dictionary
            count: float = sum(math.prod(shape) for shape in shapes)
    else:
        count = sum(file["mib"] for file in one.files if file["part"] == "network") * 2**18
    return millions(count)


def millions(count: float) -> str:
    return f"{count / 1e6:.3g} M" if count >= 1e6 else f"{count / 1e3:.3g} k"


def family(page: str) -> str:
    """The page of a family, with what the tables say of its networks and weights."""

    def networks(found: re.Match[str]) -> str:
        rows = []
        for name in found[1].split():
            with torch.device("meta"):
                network = NETWORKS.load(name)()
            facts = network.facts
            rows.append(
                (
                    f"`{name}`",
                    millions(sum(value.numel() for value in network.parameters())),
                    f"{facts.working_bytes / 1024:.3g} KiB",
                    "the whole picture" if facts.reach is None else f"{facts.reach} pixels",
                    facts.tile or "",
                    facts.multiple,
                    ", ".join(facts.half),
                    f"{NETWORKS[name].checked}: {evidence(NETWORKS[name].evidence, '../')}",
                )
            )
        return f"{found[0].partition('-->')[0]}-->\n\n{as_table(FACTS, rows)}\n\n<!-- end -->"

    def weights(found: re.Match[str]) -> str:
        wanted = found[1].split()
        held = [one for one in listed() if one.name in CATALOGUE and CATALOGUE[one.name].network in wanted]
        table = as_table(WEIGHTS, (weights_row(one, "../") for one in held if not one.refused))
        return f"{found[0].partition('-->')[0]}-->\n\n{table}\n\n<!-- end -->"

    page = re.sub(r"<!-- networks: (.*?) -->.*?<!-- end -->", networks, page, flags=re.DOTALL)
    return re.sub(r"<!-- weights: (.*?) -->.*?<!-- end -->", weights, page, flags=re.DOTALL)


def as_table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    return "\n".join(
        f"| {' | '.join(str(cell or '') for cell in row)} |" for row in (head, ("---",) * len(head), *rows)
    )


def test_the_provenance_is_what_the_tables_say() -> None:
    """docs/provenance.md is up to date; `python -m tests.test_docs` writes it."""
    assert PROVENANCE.read_text(encoding="utf-8") == provenance()


@pytest.mark.parametrize("page", FAMILIES, ids=lambda page: page.stem)
def test_the_pages_of_families_are_what_the_tables_say(page: Path) -> None:
    """docs/networks/ is up to date; `python -m tests.test_docs` writes it."""
    text = page.read_text(encoding="utf-8")
    assert text == family(text)


def test_every_network_of_others_is_on_a_page() -> None:
    """And every page is in the list of them."""
    pages = "".join(page.read_text(encoding="utf-8") for page in FAMILIES)
    asked = " ".join(re.findall(r"<!-- weights: (.*?) -->", pages)).split()
    assert {row.network for row in PEERS.values() if row.network and not row.refused} <= set(asked)
    contents = (ROOT / "docs" / "networks" / "README.md").read_text(encoding="utf-8")
    assert all(f"]({page.name})" in contents for page in FAMILIES if page.name != "README.md")


def test_the_reference_is_what_help_says() -> None:
    """docs/reference.md is up to date; `python -m tests.test_docs` writes it."""
    assert REFERENCE.read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of every page names a file."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_options_that_pages_name_exist() -> None:
    """No page shows an option that the program does not have."""
    known = set(re.findall(r"--[a-z][a-z-]+", REFERENCE.read_text(encoding="utf-8")))
    scripts = [
        *(ROOT / "tests" / "benchmarks").glob("*.py"),
        *(ROOT / "docs").rglob("*.py"),
        ROOT / "tests" / "conftest.py",
    ]
    ours = {name for path in scripts for name in re.findall(r'"(--[a-z][a-z-]+)"', path.read_text(encoding="utf-8"))}
    others = {"--array", "--gres", "--cpus-per-task", "--time", "--signal", "--requeue", "--head", "--address"}
    elsewhere = ours | others | {"--no-deps", "--num", "--cpu", "--nproc", "--wrap"}  # of other programs
    elsewhere |= {"--rm", "--gpus", "--user", "--now"}  # of container engines and systemd
    for page in PAGES:
        if page.parent.name != "decisions":
            named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
            assert named <= known | elsewhere, (page, named - known - elsewhere)


def test_every_degradation_has_its_picture() -> None:
    """A row, a strip and a file for each."""
    page = (ROOT / "docs" / "degradations.md").read_text(encoding="utf-8")
    for name, row in DEGRADATIONS.items():
        assert f"| `{name}` |" in page
        assert row.extra or f"](images/degradations/{name}.jpg)" in page  # of what needs weights there is none


def test_every_process_has_its_picture() -> None:
    """A row, a paragraph and a file for each."""
    page = (ROOT / "docs" / "processes.md").read_text(encoding="utf-8")
    for name in PROCESSES:
        assert f"| `{name}` |" in page and f"### `{name}`" in page and f"](images/processes/{name}.jpg)" in page
        assert (ROOT / "docs" / "images" / "processes" / f"{name}.jpg").is_file()


def test_every_objective_is_explained() -> None:
    page = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in OBJECTIVES)


def python_blocks() -> tuple[list[str], str]:
    """The code of docs/python.md: what runs as it is installed, and what needs deepinv."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (other,) = re.findall(r"<!-- with deepinv -->\n```python\n(.*?)```", text, re.DOTALL)
    blocks.remove(other)
    return blocks, other


def ran(blocks: Iterable[str]) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), namespace)
    return namespace


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/python.md runs from top to bottom, and does what is said of it."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    blocks, _ = python_blocks()
    assert len(blocks) == 8
    torch.manual_seed(0)
    found = ran(blocks)
    assert found["restored"].shape == (3, 64, 48)
    assert len(list((tmp_path / "restored" / "noisy").glob("*.png"))) == 1
    assert psnr(found["estimate"], found["clean"]) > 20 > psnr(found["measured"], found["clean"]) + 10


def test_the_denoiser_is_a_prior_of_deepinv(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example with deepinv sharpens, by 4 dB and more."""
    try:
        import deepinv  # noqa: F401
    except Exception as error:  # where torchvision's binary does not fit torch, anything is raised
        pytest.skip(f"deepinv does not load here: {type(error).__name__}")
    monkeypatch.chdir(ROOT)
    blocks, other = python_blocks()
    torch.manual_seed(0)
    found = ran([blocks[0], blocks[4], blocks[7], other])
    gain = psnr(found["sharp"], found["clean"]) - psnr(found["blurred"], found["clean"])
    assert float(gain) > 4


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
    PROVENANCE.write_text(provenance(), encoding="utf-8")
    for path in FAMILIES:
        path.write_text(family(path.read_text(encoding="utf-8")), encoding="utf-8")
