"""What a GPU is spared: casts of weights in each evaluation, and in small networks the launch of each operation."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.network import Looker, Network
from irsde_cli.runtime import is_out_of_memory

logger = logging.getLogger(__name__)
# What autocast runs in half precision, and nothing but that is done with their weights.
CAST = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
MOST_RECORDED = 8
MOST_PIXELS = 1 << 20  # of a canvas: larger ones keep a GPU busy without help, and would hold their memory
Replay = Callable[[], None]
Recorder = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]


class Halved:
    """The weights of a system in half precision, as autocast would cast them anew for each evaluation.

    Autocast stays on: it casts what goes in, and leaves normalisations in float32. Results are the same.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        self._whole: list[tuple[nn.Parameter, Tensor]] = []
        for layer in module.modules():
            if type(layer) not in CAST:  # a class of its own may do something else with its weights
                continue
            for parameter in layer.parameters(recurse=False):
                if parameter.dtype == torch.float32:
                    self._whole.append((parameter, parameter.data.cpu()))
                    parameter.data = parameter.data.to(dtype)

    def undo(self) -> None:
        """The weights in float32 again; they waited in the memory of the CPU."""
        for parameter, whole in self._whole:
            parameter.data = whole.to(parameter.device)
        self._whole.clear()


def recorded(work: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """A CUDA graph of `work`, and the tensor that each replay of it fills."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = work()
    return graph.replay, made


class Replayed:
    """A network's forward on a GPU, recorded once for each size of its inputs and replayed from then on.

    The first time that a size comes the network runs as it is, so that libraries have chosen what they use before it
    is recorded. What cannot be recorded runs as it is always.

    Args:
        forward: of tensors alone, to a tensor.
        record: how that is done.
        device: where the inputs must lie.
    """

    def __init__(self, forward: Callable[..., Tensor], record: Recorder = recorded, device: str = "cuda") -> None:
        self._forward = forward
        self._record = record
        self._device = device
        self._met: set[Any] = set()
        self._kept: OrderedDict[Any, tuple[Replay, Tensor, list[Tensor]]] = OrderedDict()
        self._is_possible = True

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        """What `forward` gives, a new tensor."""
        if named or not self._fits(inputs):
            return self._forward(*inputs, **named)
        half = torch.is_autocast_enabled(self._device) and torch.get_autocast_dtype(self._device)
        key = (half, *((tuple(one.shape), one.stride(), one.dtype) for one in inputs))
        if key not in self._kept:
            if key not in self._met:
                self._met.add(key)
                return self._forward(*inputs)
            if not self._is_recorded(key, inputs):
                return self._forward(*inputs)
        self._kept.move_to_end(key)
        replay, made, places = self._kept[key]
        for place, given in zip(places, inputs, strict=True):
            place.copy_(given)
        replay()
        return made.clone()

    def forget(self) -> None:
        """Give back what recordings hold; sizes are recorded anew."""
        self._kept.clear()

    def _fits(self, inputs: Sequence[Any]) -> bool:
        if not self._is_possible or torch.is_grad_enabled() or not inputs:
            return False
        alike = all(isinstance(one, Tensor) and one.device.type == self._device for one in inputs)
        return alike and inputs[0].ndim == 4 and len(inputs[0]) * inputs[0][0, 0].numel() <= MOST_PIXELS

    def _is_recorded(self, key: Any, inputs: Sequence[Tensor]) -> bool:
        places = [one.clone() for one in inputs]
        while len(self._kept) >= MOST_RECORDED:
            self._kept.popitem(last=False)
        cache = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # what it keeps of a recording would be read outside of it
        try:
            replay, made = self._record(lambda: self._forward(*places))
        except RuntimeError as error:
            if is_out_of_memory(error):
                self._kept.clear()
            logger.debug("a network is not recorded: %s", error)
            self._is_possible = False
            return False
        finally:
            torch.set_autocast_cache_enabled(cache)
        self._kept[key] = (replay, made, places)
        return True


def replay(system: nn.Module, record: Recorder = recorded, device: str = "cuda") -> list[Replayed]:
    """Have the networks of a system replayed; those that draw, or look at a whole image first, run as they are."""
    made: list[Replayed] = []
    inner: set[nn.Module] = set()
    for module in system.modules():
        if not isinstance(module, Network) or module in inner:
            continue
        inner.update(module.modules())
        if module.facts.draws or isinstance(module, Looker):
            continue
        made.append(Replayed(module.forward, record, device))
        module.forward = made[-1]
    return made


class Spared:
    """A system on a device, with all of this where it is a GPU of CUDA; `dtype` as `Restoration` has it."""

    def __init__(self, system: nn.Module, device: torch.device, dtype: torch.dtype | None) -> None:
        on_gpu = device.type == "cuda"
        self._halved = Halved(system, dtype) if on_gpu and dtype is not None else None
        self._replayed = replay(system) if on_gpu else []

    def forget(self) -> None:
        """Give back the memory of what was recorded."""
        for one in self._replayed:
            one.forget()

    def whole_again(self) -> None:
        """Weights in float32 for good: pictures of this kind need them."""
        self.forget()
        if self._halved is not None:
            self._halved.undo()
            self._halved = None
