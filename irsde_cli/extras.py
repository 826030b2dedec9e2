"""Optional parts of the package: what each brings, and one sentence where it is missing."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from irsde_cli.errors import MachineError


@dataclass(frozen=True)
class Extra:
    """A row of `EXTRAS`.

    Attributes:
        modules: what is imported; the first is the one that is used.
        package: what people call it.
        purpose: what is possible with it.
    """

    modules: tuple[str, ...]
    package: str
    purpose: str

    @property
    def here(self) -> bool:
        """Whether it is installed; nothing is imported."""
        return all(find_spec(module) is not None for module in self.modules)


EXTRAS = {
    "hdr": Extra(("OpenImageIO",), "OpenImageIO", "16-bit colour PNG and JPEG 2000, OpenEXR"),
    "jxl": Extra(("OpenImageIO",), "OpenImageIO", "JPEG XL"),
    "heif": Extra(("pillow_heif",), "pillow-heif", "HEIC"),
    "raw": Extra(("rawpy",), "rawpy", "raw photographs"),
    "watch": Extra(("watchfiles",), "watchfiles", "restore --watch"),
    "c2pa": Extra(("c2pa", "cryptography"), "c2pa-python", "signed results: restore --c2pa"),
    "onnx": Extra(("onnx", "onnxscript"), "onnx and onnxscript", "export"),
    "openvino": Extra(("openvino",), "OpenVINO", "restore --engine openvino"),
    "fid": Extra(("torch_fidelity",), "torch-fidelity", "FID and KID"),
    "piq": Extra(("piq",), "piq", "DISTS and BRISQUE"),
    "torchmetrics": Extra(("torchmetrics",), "torchmetrics", "VIF, and DISTS without piq"),
    "classical": Extra(("skimage", "pywt", "cv2"), "scikit-image, PyWavelets and OpenCV", "evaluate --baseline"),
    "codec": Extra(("constriction",), "constriction", "the format irc, of codecs that restore"),
    "flux": Extra(("diffusers",), "diffusers", "FLUX, diffusers' U-Nets"),
    "mat": Extra(("scipy",), "SciPy", "weights of MATLAB"),
    "spandrel": Extra(("spandrel",), "spandrel", "weights of forty more families"),
    "lion": Extra(("lion_pytorch",), "lion-pytorch", "train --optimiser lion"),
    "tensorboard": Extra(("tensorboard",), "tensorboard", "curves of training"),
    "wandb": Extra(("wandb",), "wandb", "train --tracker wandb"),
    "accelerate": Extra(("accelerate",), "accelerate", "training on several devices"),
    "ray": Extra(("ray", "pyarrow"), "Ray Data", "restore --ray"),
}


class MissingError(MachineError):
    """An optional package is not installed, or does not load.

    Attributes:
        package: what people call it.
        reason: which of the two; completes "it ".
    """

    def __init__(self, package: str, reason: str, user: str, hint: str) -> None:
        super().__init__(f"{user} needs {package}, which {reason}.", hint=hint)
        self.package = package
        self.reason = reason


def how(extra: str) -> str:
    """The command that installs it."""
    return f"pip install 'irsde[{extra}]'"


def require(extra: str, user: str) -> None:
    """See that it is installed; nothing is imported.

    Args:
        extra: a row of `EXTRAS`.
        user: what needs it.

    Raises:
        MissingError: it is not.
    """
    if not EXTRAS[extra].here:
        raise _missing(extra, user)


def load(extra: str, user: str = "it", module: str = "", package: str = "") -> Any:
    """A module of an optional package.

    Args:
        extra: a row of `EXTRAS`.
        user: what needs it.
        module: which one, if not the first of the row.
        package: what people call that, if it is of another package.

    Raises:
        MissingError: it is not installed, or is and does not load.
    """
    row = EXTRAS[extra]
    module = module or row.modules[0]
    top = module.partition(".")[0]
    try:
        import_module(top)
        return import_module(module)
    except Exception as error:  # where torchvision's binary does not fit torch, anything is raised
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            raise _missing(extra, user, package) from None
        raise MissingError(
            package or row.package,
            f"does not load here ({type(error).__name__}: {error})",
            user,
            "What it needs itself, torchvision above all, must be built for this torch.",
        ) from None


def _missing(extra: str, user: str, package: str = "") -> MissingError:
    return MissingError(package or EXTRAS[extra].package, "is not installed", user, f"Run: {how(extra)}.")
