"""OpenVINO in the place of torch: it evaluates the networks, which are converted once and kept; all else stays torch's.

A conversion holds float32; the precision is chosen when it is compiled, and always asked for: left to itself OpenVINO
takes bfloat16 where the CPU has it, and halves what it saves, with the embedding of time.
"""

import contextlib
import hashlib
import io
import json
import logging
import math
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from irsde_cli import extras
from irsde_cli.checkpoint import Checkpoint
from irsde_cli.errors import IrsdeError, UsageError
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, Predictor, pad_to
from irsde_cli.randomness import RandnLike
from irsde_cli.storage.files import make_folder, sweep, write_whole
from irsde_cli.version import __version__
from irsde_cli.weights import store

logger = logging.getLogger(__name__)
FORMAT = 1  # of what is kept
PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
GRAPH, CONSTANTS = "graph.xml", "graph.bin"
# Heights and widths: of the example that is followed, and of the one that must come out alike.
FOLLOWED, COMPARED = (40, 56), (72, 33)
ALIKE = 1e-3  # of the largest value; float32 differs by some 1e-6
HALF = 0.01  # likewise, beyond three times what torch loses
HINT = "Leave out --engine: torch runs them."


def library() -> Any:
    """The package.

    Raises:
        MissingError: it is not installed, or does not load.
    """
    # Without this each import of OpenVINO is told to its maker over the internet.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return extras.load("openvino", "--engine openvino")


def version() -> str:
    """Of the package."""
    found: str = library().__version__
    return found.partition("-")[0]


def take_over(checkpoint: Checkpoint, dtype: torch.dtype | None) -> None:
    """Put what OpenVINO makes of a restorer's networks in their place, ready to run in that precision.

    Raises:
        UsageError: one of them cannot be converted, or this CPU has no such precision.
        MissingError: the package is not installed.
    """
    restorer = checkpoint.restorer
    if not restorer.evaluated:
        raise UsageError(f"OpenVINO cannot run weights of this kind ('{checkpoint.header.system}').", hint=HINT)
    for name in restorer.evaluated:
        above, _, own = name.rpartition(".")
        network = restorer.get_submodule(name)
        assert isinstance(network, Mapper | Predictor), "what a system evaluates"
        converted = Converted(network.facts, kept(checkpoint, name, network))
        converted.compiled(dtype or torch.float32)
        if dtype not in (None, torch.float32):
            _check_half(network, converted, dtype)
        other = ConvertedMapper(converted) if isinstance(network, Mapper) else ConvertedPredictor(converted)
        setattr(restorer.get_submodule(above), own, other)


class Converted:
    """A network in OpenVINO, for images of any size, one at a time.

    It follows torch's autocast, as the network would.

    Args:
        facts: of the network.
        model: its graph, for images of the sizes that it takes.
    """

    def __init__(self, facts: Facts, model: Any) -> None:
        self.facts = facts
        self._model = model
        self._requests: dict[torch.dtype, Any] = {}

    def compiled(self, dtype: torch.dtype) -> Any:
        """What runs it in that precision.

        Raises:
            UsageError: OpenVINO takes another one on this CPU.
        """
        if dtype not in self._requests:
            openvino = library()
            wanted = PRECISIONS[dtype]
            settings = {
                "INFERENCE_PRECISION_HINT": wanted,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "NUM_STREAMS": "1",
                "ENABLE_CPU_PINNING": False,  # processes beside each other would all take the first cores
            }
            compiled = openvino.Core().compile_model(self._model, "CPU", settings)
            taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
            if taken != wanted:
                raise UsageError(
                    f"OpenVINO takes {taken} on this CPU, and not {wanted}.",
                    hint="Give --precision fp32, or no --engine.",
                )
            self._requests[dtype] = compiled.create_infer_request()
        return self._requests[dtype]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Images (B, C, H, W) and what belongs to each of them, (B,), or (1,) for all."""
        half = torch.is_autocast_enabled("cpu")
        request = self.compiled(torch.get_autocast_dtype("cpu") if half else torch.float32)
        height, width = inputs[0].shape[-2:]
        size = self.facts.padded_size(height, width)
        made = []
        for index in range(len(inputs[0])):
            own = [one[min(index, len(one) - 1)][None].float() for one in inputs]
            padded = [pad_to(one, size, self.facts.padding) if one.ndim == 4 else one for one in own]
            try:
                found = request.infer([one.contiguous().numpy() for one in padded], share_inputs=True)
            except RuntimeError as error:
                if "alloc" in str(error):
                    raise MemoryError("OpenVINO could not take memory") from None
                raise
            scale = self.facts.scale
            made.append(torch.from_numpy(found[0])[..., : height * scale, : width * scale])
        return made[0] if len(made) == 1 else torch.cat(made)


class ConvertedPredictor(Predictor):
    """In the place of a `Predictor`."""

    def __init__(self, converted: Converted) -> None:
        super().__init__()
        self.facts = converted.facts
        self._converted = converted

    def forward(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """See `Predictor.forward`."""
        return self._converted(x, mu, t)


class ConvertedMapper(Mapper):
    """In the place of a `Mapper` that draws nothing."""

    def __init__(self, converted: Converted) -> None:
        super().__init__()
        self.facts = converted.facts
        self._converted = converted

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        return self._converted(image)


def folder() -> Path:
    """Where conversions are kept: beside converted weights."""
    return store() / "openvino"


def kept(checkpoint: Checkpoint, name: str, network: Mapper | Predictor) -> Any:
    """The graph of a network: the one that was kept, if it is whole; else a new one, which is kept.

    Args:
        checkpoint: whose file it is of.
        name: of the network in the restorer.
        network: itself.

    Raises:
        UsageError: it cannot be converted.
    """
    known = [FORMAT, checkpoint.sha256, name, __version__, torch.__version__, library().__version__]
    key = hashlib.blake2b(json.dumps(known).encode(), digest_size=16).hexdigest()
    path = folder() / f"{key}.zip"
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # a folder that cannot be written may still be read
            make_folder(path.parent)
            held.enter_context(FileLock(path.with_suffix(".lock")))
        model = _read(path)
        if model is None:
            logger.warning("the network is converted for OpenVINO, once: this can take a minute")
            model = convert(network)
            try:
                sweep(path.parent, "none")
                write_whole(path, _packed(model), "openvino")
            except (OSError, IrsdeError) as error:
                logger.warning("the conversion is not kept, and will be made anew: %s", error)
    return model


def _packed(model: Any) -> bytes:
    """A graph as one file, whose parts have check sums."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="irsde-openvino-") as place:
        library().save_model(model, Path(place) / GRAPH, compress_to_fp16=False)
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for part in (GRAPH, CONSTANTS):
                archive.write(Path(place) / part, part)
    return packed.getvalue()


def _read(path: Path) -> Any:
    """The graph of a file; `None` where there is none, or a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            graph, constants = archive.read(GRAPH), archive.read(CONSTANTS)
        return library().Core().read_model(graph, constants)
    except FileNotFoundError:
        return None
    except (OSError, zipfile.BadZipFile, KeyError, EOFError, RuntimeError, NotImplementedError) as error:
        logger.warning("the kept conversion '%s' is damaged, and made anew: %s", path, str(error).split("\n")[0])
        return None


def convert(network: Mapper | Predictor) -> Any:
    """The graph of a network, for one image of any size that the network takes without padding.

    What OpenVINO follows is one run of the network, in which a size may have become a number: so the graph is compared
    with the network at another size.

    Raises:
        UsageError: it cannot be followed, or the graph gives something else.
    """
    followed, compared = (_inputs(network, size) for size in (FOLLOWED, COMPARED))
    shapes = [[1, network.facts.channels[0], -1, -1] if one.ndim == 4 else [1] for one in followed]
    try:
        with warnings.catch_warnings(), _logging_kept(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the tracer: what it fears is compared below
            model = library().convert_model(network, example_input=followed, input=shapes)
            expected = network(*compared)
        found = Converted(network.facts, model)(*compared)
    except IrsdeError:
        raise
    except Exception as error:  # of anything between torch and OpenVINO
        reason = next((line for line in str(error).split("\n") if line.strip()), type(error).__name__)
        raise UsageError(f"OpenVINO cannot convert the network: {reason.strip()}", hint=HINT) from None
    apart = (found - expected).abs().max() / expected.abs().max() if found.shape == expected.shape else math.inf
    if not apart < ALIKE:
        raise UsageError("what OpenVINO makes of the network fits pictures of one size alone.", hint=HINT)
    return model


def _check_half(network: Mapper | Predictor, converted: Converted, dtype: torch.dtype) -> None:
    """Whether half precision costs no more than in torch, which keeps more of some networks in float32, as of time.

    Raises:
        UsageError: it does.
    """
    inputs = _inputs(network, COMPARED)
    with torch.inference_mode():
        exact = network(*inputs)
        with torch.autocast("cpu", dtype):
            errors = [float((one(*inputs).float() - exact).abs().max()) for one in (network, converted)]
    if not errors[1] <= 3 * errors[0] + HALF * float(exact.abs().max()):
        raise UsageError(
            f"OpenVINO loses too many digits of this network in {PRECISIONS[dtype]}.", hint="Give --precision fp32."
        )


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Logging as it was afterwards: a conversion silences the warnings of the whole program."""
    root = logging.getLogger()
    level, handlers, filters = root.level, [*root.handlers], [*root.filters]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


def _inputs(network: Mapper | Predictor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """What a network takes, of a size that needs no padding."""
    draw = torch.Generator().manual_seed(0)
    shape = (1, network.facts.channels[0], *network.facts.padded_size(*size))
    image, other = (torch.rand(shape, generator=draw) for _ in range(2))
    return (
        (image,) if isinstance(network, Mapper) else (image, other, torch.tensor([3.0 if size == FOLLOWED else 50.0]))
    )
