"""Networks of the library `spandrel`, from the extra `irsde[spandrel]`, which tells them by the tensors of a file.

Families with terms of their own lie in another package, `spandrel_extra_arches`, and are known where that is installed.
"""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from irsde_cli.networks.facts import Facts, Half, round_up
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

MODULE, OTHERS = "spandrel", "spandrel_extra_arches"
SIDE = 64
# What it says of bfloat16 and of float16.
HALVES: dict[tuple[bool, bool], tuple[Half, ...]] = {
    (True, True): ("bf16", "fp16"),
    (True, False): ("bf16",),
    (False, True): ("fp16",),
    (False, False): (),
}
# Of tensors alone: what an operator takes for itself meanwhile comes on top.
WORKSPACE = 2
# spandrel's names of families whose authors forbid commercial use, or allow it under their own terms alone.
TERMS = {
    "AdaCode": "no commercial use",
    "CodeFormer": "S-Lab License 1.0: no commercial use",
    "FeMaSR": "CC BY-NC-SA 4.0: no commercial use",
    "M3SNet": "none stated: the authors keep all rights",
    "MIRNet2": "for academic research only",
    "MPRNet": "for academic research only",
    "Restormer": "for academic research only",
    "SRFormer": "CC BY-NC 4.0: no commercial use",
}


class Bridged(Mapper):
    """A network as spandrel describes it, which pads, scales and crops by what it says of itself.

    Attributes:
        family: spandrel's name of it.
        terms: on which its authors let others use it, where those are narrow; else empty.
    """

    def __init__(self, description: Any) -> None:
        super().__init__()
        sizes = description.size_requirements
        self.family = str(description.architecture.id)
        self.terms = TERMS.get(self.family, "")
        self.model: nn.Module = description.model
        self._description = description
        self.facts = Facts(
            scale=description.scale,
            channels=(description.input_channels, description.output_channels),
            multiple=sizes.multiple_of,
            smallest=max(sizes.minimum, 1),
            square=sizes.square,
            half=HALVES[description.supports_bfloat16, description.supports_half],
        )
        self.facts = Facts(**{**vars(self.facts), "working_bytes": self._counted()})

    def freeze(self) -> None:
        """See `Network.freeze`; nothing is known of what other forms would do to it."""

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = (side * self.facts.scale for side in image.shape[-2:])
        return self._called(self.padded(image))[..., :height, :width]

    def _called(self, image: Tensor) -> Tensor:
        restored: Tensor = self._description(image)
        return restored

    def _counted(self) -> int:
        """`Facts.working_bytes`, by one small evaluation; it is not pretended, as some networks keep results."""
        side = round_up(max(SIDE, self.facts.smallest), self.facts.multiple)
        try:
            with torch.inference_mode(), Counted() as counted:
                self._called(torch.zeros(1, self.facts.channels[0], side, side))
        except Exception as error:  # whatever a network of others may raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"a network of the family {self.family} does not run: {reason}") from None
        taken: int = WORKSPACE * counted.most // (side * self.facts.scale) ** 2
        return max(taken, 64)


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch annotates none of its modes
    """Bytes of all tensors that are made meanwhile.

    Attributes:
        most: at the worst moment.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._alive: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for made in tree_leaves(out):
            if isinstance(made, Tensor):
                storage = made.untyped_storage()
                reference: Any = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._alive[reference.cdata] = (reference, storage.nbytes())
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._alive.values()))
        return out


def is_installed() -> bool:
    """Whether there is a spandrel."""
    return find_spec(MODULE) is not None


def described(tensors: Mapping[str, Tensor]) -> Bridged | None:
    """The network of a file with these tensors, in evaluation mode; `None` where spandrel knows none.

    Raises:
        ImportError: spandrel cannot be imported.
        ValueError: it takes more than a picture, or the tensors do not fit one another.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its networks still ask of torch
        return _described(tensors)


def _described(tensors: Mapping[str, Tensor]) -> Bridged | None:
    import spandrel

    registry = spandrel.MAIN_REGISTRY.copy()
    if find_spec(OTHERS) is not None:
        import spandrel_extra_arches

        registry.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    try:
        found = spandrel.ModelLoader("cpu", registry).load_from_state_dict(dict(tensors))
    except spandrel.UnsupportedModelError:
        return None
    except Exception as error:  # whatever building a network of tensors that do not fit may raise
        raise ValueError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ValueError(f"a network of the family {found.architecture.id} takes a mask besides")
    if found.purpose == "FaceSR":
        raise ValueError(f"a network of the family {found.architecture.id} restores faces, cut out and aligned")
    return Bridged(found.eval()).requires_grad_(False).eval()
