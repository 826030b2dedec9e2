"""Reading the reference's recorded numbers."""

from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor


class Golden(dict[str, Tensor]):
    """The tensors of a golden file, with its metadata."""

    metadata: dict[str, str]

    def parameters(self) -> dict[str, Tensor]:
        """The recorded state dict."""
        return {name.removeprefix("param."): value for name, value in self.items() if name.startswith("param.")}


def load_golden(shared: Any, name: str) -> Golden:
    """`golden/NAME.safetensors` of the shared folder."""
    golden = Golden()
    with safe_open(Path(shared) / "golden" / f"{name}.safetensors", "pt") as file:
        golden.update({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 - no mapping
        golden.metadata = file.metadata() or {}
    return golden
