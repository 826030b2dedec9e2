"""A checkpoint as a repository of the Hub: the weights, a card made of the header, and a config.json for the Hub."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from irsde_cli import checkpoint
from irsde_cli.checkpoint import Checkpoint
from irsde_cli.errors import UsageError
from irsde_cli.systems import networks_of, papers_of
from irsde_cli.tasks import TASKS
from irsde_cli.version import __version__
from irsde_cli.weights import MODEL, find_weights, hub


@dataclass(frozen=True)
class Pushed:
    """What is on the Hub now; `url` is that of the commit."""

    repo: str
    url: str


def repository(model: str, repo: str) -> dict[str, Path | bytes]:
    """The files of a repository, by name.

    Args:
        model: what `find_weights` understands: a run's folder, a file, a name.
        repo: `owner/name`.

    Raises:
        UsageError: the name of the repository is impossible.
        WeightsError: there are no such weights, or they are damaged.
    """
    named = hub.as_id(repo)
    if named is None or named[1] is not None:
        raise UsageError(f"'{repo}' is no name of a repository.", hint="It is owner/name; --revision names a branch.")
    found = find_weights(model, "")
    loaded = checkpoint.load(found.path)
    return {
        MODEL: found.path,
        "config.json": json.dumps({"model_type": "irsde", **asdict(loaded.header)}, indent=1).encode(),
        "README.md": _card(loaded, repo).encode(),
    }


def push(files: Mapping[str, Path | bytes], repo: str, *, private: bool, revision: str | None) -> Pushed:
    """Put the files of `repository` on the Hub in one commit.

    Raises:
        WeightsError: the Hub refuses or cannot be reached.
    """
    url = hub.publish(repo, files, private=private, revision=revision, message=f"irsde {__version__}")
    return Pushed(repo, url)


def _card(loaded: Checkpoint, repo: str) -> str:
    header = loaded.header
    task = TASKS.get(header.task)
    names = [part["name"] for part in networks_of(header.config).values()]
    fields: dict[str, Any] = {
        "library_name": "irsde",
        "pipeline_tag": "image-to-image",
        "license": _spdx(header.weights_licence) or "other",
        "tags": ["image-restoration", header.system, *([header.task] if header.task else [])],
    }
    # A DOI is no number at arXiv.
    fields["tags"] += [f"arxiv:{paper}" for paper in papers_of(header.system, names) if "/" not in paper]
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts(loaded))
    purpose = task.summary[0].upper() + task.summary[1:] if task else "Restore photographs"
    mask = " --mask masks/" if task is not None and task.needs_mask else ""
    text = f"""# {repo.split("/")[1]}

{purpose}, with `irsde`:

```sh
irsde restore photos/ restored/ --task {header.task or "TASK"}{mask} --model {repo}
```

```python
import irsde_cli

restorer = irsde_cli.load("{repo}")
```

| | |
|---|---|
{rows}

All settings stand in the header of `{MODEL}`, which rules; `config.json` repeats them for the Hub.
"""
    return hub.card(fields, text)


def _spdx(licence: str) -> str:
    """The name that a licence begins with, as the Hub writes it; empty where it is told in words alone."""
    name = licence.partition(",")[0]
    return name.lower() if re.fullmatch(r"[A-Z][A-Za-z0-9.+-]*", name) else ""


def _facts(loaded: Checkpoint) -> Iterator[tuple[str, Any]]:
    header = loaded.header
    config = header.config
    yield "system", f"`{header.system}`"
    for name, part in networks_of(config).items():
        yield name, f"`{part['name']}` {part.get('options', {})}"
    yield "parameters", f"{sum(tensor.numel() for tensor in loaded.restorer.state_dict().values()):,}"
    if "process" in config:
        process = config["process"]
        yield "process", f"`{process['name']}` {process['options']}, predicts `{process['prediction']}`"
        yield "sampler", f"`{config['sampling']['sampler']}`, {config['sampling']['steps']} steps"
    yield "trained on", header.data or "not stated"
    yield "terms of that data", header.licence or "not stated"
    yield "licence of the weights", header.weights_licence or "not stated"
    yield "training steps", header.step or "not stated"
    if header.origin:
        yield "converted from", header.origin
    yield "written by", f"irsde {header.version}"
    yield "SHA-256", f"`{loaded.sha256}`"
