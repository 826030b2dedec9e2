"""A network as an ONNX graph, for other programs: pictures in, pictures out, in one evaluation."""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli import checkpoint, extras
from irsde_cli.errors import UsageError
from irsde_cli.observation import Observation
from irsde_cli.restorer import Restorer, last
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.files import refusal
from irsde_cli.systems.mean_reverting import MeanReverting
from irsde_cli.systems.one_pass import OnePass
from irsde_cli.systems.parts import NOWHERE
from irsde_cli.version import __version__
from irsde_cli.weights import Weights

OPSET = 20  # from 21 on group normalisation is one node, in which ONNX Runtime 1.32 loses its digits at large means
MODES = {"reflect": "reflect", "replicate": "replicate", "zeros": "constant"}


@dataclass(frozen=True)
class Exported:
    """A graph is written.

    Attributes:
        path: where.
        inputs: their names: `image`, and `noise` for a network that starts from some.
        smallest: the least height and width.
    """

    path: Path
    inputs: tuple[str, ...]
    smallest: int


class Graph(nn.Module):
    """One evaluation of a restorer, for images of any size: what is missing to its multiple is added and taken off.

    Args:
        restorer: a one-pass system, or one whose first estimate is the mean of what the image may have been.

    Raises:
        UsageError: it is neither.
    """

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        facts = restorer.facts
        if facts.square or facts.padding not in MODES:
            raise UsageError("these weights take no size but their own, and are not exported.")
        if isinstance(restorer, MeanReverting):
            self.sampling = restorer.resolve(Sampling(realism=0.0))  # it says why, where there is no mean
            self._begin(restorer)
        elif isinstance(restorer, OnePass) and not restorer.draws:
            self.sampling = restorer.resolve(Sampling())
        else:
            raise UsageError("these weights restore in several evaluations of several networks, and are not exported.")
        self.restorer = restorer
        self.names = ("image", "noise") if isinstance(restorer, MeanReverting) else ("image",)

    def _begin(self, restorer: MeanReverting) -> None:
        """Take what depends on time alone for numbers: in a graph it is the same for all images."""
        first, process = restorer.first(self.sampling), restorer.process
        self.at = process.path(NOWHERE).at(first)
        self.spread = float(process.start(torch.zeros(1, 3, 1, 1), first, torch.ones_like).max())
        self.time = torch.full((1,), first)
        self.asked = process.asked(self.time)

    @property
    def smallest(self) -> int:
        """The least height and width: what is added is a mirror of what is there."""
        return max(self.restorer.facts.multiple, self.restorer.facts.smallest)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """(1, 3, H, W) in [0, 1] to (1, 3, H * scale, W * scale); `noise` is standard normal, of the result's shape."""
        scale, multiple = self.restorer.scale, max(self.restorer.facts.multiple // self.restorer.scale, 1)
        height, width = image.shape[-2:]
        below, beside = -height % multiple, -width % multiple
        mode = MODES[self.restorer.facts.padding]
        padded = F.pad(image, (0, beside, 0, below), mode=mode)
        if isinstance(self.restorer, MeanReverting):
            assert noise is not None, "its inputs are named so"
            _, mu = self.restorer.endpoints(padded, Observation(padded))
            x = mu + self.spread * F.pad(noise, (0, beside * scale, 0, below * scale), mode=mode)
            restored = self._mean(self.restorer, x, mu)
        else:
            restored = last(self.restorer.steps(Observation(padded), torch.zeros_like, self.sampling))
        return restored.clamp(0, 1)[..., : height * scale, : width * scale]

    def _mean(self, restorer: MeanReverting, x: Tensor, mu: Tensor) -> Tensor:
        """The first estimate of a run: the mean of what the image may have been."""
        how, (m, s) = restorer.parameterisation, self.at
        seen = restorer.process.seen(how.network_input(x, mu, m, s), mu, self.time)
        return how.clean(restorer.network(seen, mu, self.asked), x, mu, m, s)


def export(weights: Weights, path: Path) -> Exported:
    """Write weights as an ONNX file, with what is known of them inside.

    Raises:
        UsageError: the system is none of one evaluation.
        MachineError: a package is missing, or the file cannot be written.
    """
    extras.require("onnx", "an export")
    loaded = checkpoint.load(weights.path)
    graph = Graph(loaded.restorer.eval())
    model = _converted(graph)
    header = loaded.header
    about = {
        "irsde": __version__,
        "weights": weights.name,
        "sha256": loaded.sha256,
        "task": header.task,
        "trained on": header.data,
        "terms of that data": header.licence,
        "licence of the weights": header.weights_licence,
        "converted from": header.origin,
        "input": json.dumps({"image": "(1, 3, H, W), RGB in [0, 1]", "smallest": graph.smallest}),
        "noise": "standard normal, of the shape of the result" if "noise" in graph.names else "",
        "scale": str(loaded.restorer.scale),
    }
    for key, value in about.items():
        if value:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
    model.producer_name, model.producer_version = "irsde", __version__
    model.doc_string = f"{weights.name}: one evaluation, RGB in [0, 1] to RGB in [0, 1]."
    _write(path, model.SerializeToString())
    return Exported(path, graph.names, graph.smallest)


def _converted(graph: Graph) -> Any:
    side = 8 * graph.smallest + 3
    scale = graph.restorer.scale
    examples = [torch.rand(1, 3, side, side + 2 * graph.smallest)]
    if "noise" in graph.names:
        examples.append(torch.randn(1, 3, side * scale, (side + 2 * graph.smallest) * scale))
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    chatter = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in chatter]
    try:
        for logger in chatter:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                tuple(examples),
                dynamo=True,
                dynamic_shapes=tuple(free for _ in examples),
                input_names=list(graph.names),
                output_names=["restored"],
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).split("\n")[0]
        raise UsageError(f"these weights cannot be written as a graph: {reason}") from None
    finally:
        for logger, level in zip(chatter, levels, strict=True):
            logger.setLevel(level)
    assert program is not None, "what dynamo gives"
    return program.model_proto


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise refusal(error, path) from None
