"""All weights that have a name, as `irsde download --list` shows them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from irsde_cli import checkpoint
from irsde_cli.registry import Checked
from irsde_cli.systems import networks_of, papers_of
from irsde_cli.tasks import TASKS
from irsde_cli.weights import SHIPPED, shipped_path, stored_path
from irsde_cli.weights.catalogue import CATALOGUE, METRIC_WEIGHTS
from irsde_cli.weights.rows import Row

METRIC = "metric"


@dataclass(frozen=True)
class Listed:
    """Weights, and where they come from; see `irsde_cli.weights.rows.Row`.

    Attributes:
        mib: size of all files.
        papers: of the system and its networks, by their numbers at arXiv or their DOI.
        here: whether they can be loaded now.
        reachable: whether `irsde download` can fetch them.
    """

    name: str
    title: str
    task: str
    system: str
    mib: float
    licence: str
    source: str
    data: str
    here: bool
    reachable: bool = True
    training_steps: int = 0
    papers: tuple[str, ...] = ()
    checked: Checked | None = None
    evidence: str = ""
    certainty: str = ""
    protocol: str = ""
    better: str = ""
    remark: str = ""
    doubt: str = ""
    refused: str = ""
    files: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    decidable: tuple[str, ...] = ()


def listed() -> Iterator[Listed]:
    """What ships, what others released, and what metrics need, in the order of the tables."""
    for name in SHIPPED:
        yield _shipped(name)
    for name, row in CATALOGUE.items():
        yield _released(name, row)
    for name, metric in METRIC_WEIGHTS.items():
        yield Listed(
            name,
            f"{metric.title}, for irsde evaluate",
            "",
            METRIC,
            metric.mib,
            metric.licence,
            " ".join(web.url for web in metric.files),
            "ImageNet; human judgements of likeness",
            stored_path(name).is_file(),
            papers=(metric.paper,),
            checked=metric.checked,
            evidence=metric.evidence,
        )


def _shipped(name: str) -> Listed:
    path = shipped_path(name)
    header = checkpoint.read_header(path)
    task = TASKS[header.task]
    role = {task.sampled: ", by samplers", task.fast: ", in up to four steps"}.get(name, "")
    return Listed(
        name,
        f"ours: {task.summary}{role}",
        header.task,
        header.system,
        path.stat().st_size / 2**20,
        header.licence,
        "",
        header.data,
        here=True,
        training_steps=header.step,
        papers=papers_of(header.system, [part["name"] for part in networks_of(header.config).values()]),
        checked="properties",
        evidence="tests/test_shipped.py::test_each_task_is_done",
    )


def _released(name: str, row: Row) -> Listed:
    told = (row.title, row.task, row.system, row.mib, row.licence, row.source, row.data)
    return Listed(
        name,
        *told,
        here=stored_path(name).is_file(),
        reachable=row.reachable,
        papers=papers_of(row.system, [row.network] if row.network else []),
        checked=row.checked,
        evidence=row.evidence,
        certainty=row.certainty,
        protocol=row.protocol,
        better=row.better,
        remark=row.remark,
        doubt=row.doubt,
        refused=row.refused,
        files=tuple(asdict(file) for file in row.files),
        settings=row.settings,
        decidable=tuple(row.decidable),
    )
