"""Linear damage that is known: one file and one row an operator.

Each row is a frozen dataclass of settings that makes an `irsde_cli.operators.operator.Operator` for an image.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from irsde_cli.config import from_mapping
from irsde_cli.registry import Entry, Registry

if TYPE_CHECKING:
    from irsde_cli.operators.operator import Recipe

OPERATORS = Registry(
    "operator",
    {
        "identity": Entry("irsde_cli.operators.identity:IdentityRecipe"),
        "blur": Entry("irsde_cli.operators.blur:BlurRecipe", example={"kernel": "motion", "length": 5.0}),
        "separable-blur": Entry("irsde_cli.operators.separable:SeparableBlurRecipe", example={"rows": (0.2, 0.5, 0.3)}),
        "bicubic": Entry("irsde_cli.operators.separable:BicubicRecipe", example={"factor": 2}),
        "mean-pool": Entry("irsde_cli.operators.separable:MeanPoolRecipe", example={"factor": 3}),
        "blurred-downsampling": Entry(
            "irsde_cli.operators.decimation:DecimationRecipe", example={"factor": 2, "kernel": "gaussian"}
        ),
        "mask": Entry("irsde_cli.operators.mask:MaskRecipe", example={"share": 0.5}),
        "grey": Entry("irsde_cli.operators.grey:GreyRecipe"),
        "walsh-hadamard": Entry("irsde_cli.operators.walsh_hadamard:WalshHadamardRecipe", example={"factor": 4}),
    },
)

KERNELS = ("gaussian", "motion", "levin")  # by formula; another name is that of a file


@dataclass(frozen=True)
class OperatorConfig:
    """A row of `OPERATORS` and its settings."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


def build_recipe(config: OperatorConfig) -> "Recipe":
    """The settings of an operator, checked.

    Raises:
        UsageError: the name or a setting is unknown or impossible, or a file cannot be read.
    """
    cls: type[Recipe] = OPERATORS.load(config.name)
    return from_mapping(cls, config.options, f"operator '{config.name}'")
