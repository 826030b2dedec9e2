"""The U-Net of diffusers' unconditional pipelines, `UNet2DModel`, from the extra `irsde[flux]`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from irsde_cli.extras import load
from irsde_cli.networks.facts import Facts
from irsde_cli.networks.preconditioning import Preconditioned, Preconditioning


class DiffusersUNet(Preconditioned):
    """Parameters have the names of diffusers' files behind `unet.`.

    Args:
        config: of the `UNet2DModel`, as `config.json` has it; keys that begin with `_` are passed over.
        preconditioning: see `Preconditioned`; `vp` for DDPM, `consistency` for what OpenAI distilled.
        label: the class of the pictures, from 0, where the network is told of it.

    Raises:
        MachineError: diffusers is missing, or does not load.
    """

    untold = (*Preconditioned.untold, "config", "label")

    def __init__(self, *, config: Mapping[str, Any], preconditioning: Preconditioning = "vp", label: int = 0) -> None:
        super().__init__(preconditioning)
        build = load("flux", "the network 'diffusers-unet'").UNet2DModel
        self.unet = build(**{name: value for name, value in config.items() if not name.startswith("_")})
        self.label = label
        settings = self.unet.config
        if settings.in_channels != 3 or settings.out_channels not in (3, 6):
            raise ValueError(f"it makes {settings.out_channels} channels of {settings.in_channels}")
        widths = settings.block_out_channels
        multiple, side = 2 ** (len(widths) - 1), settings.sample_size or 1
        joined = widths[0] + max(widths[:2])
        self.facts = Facts(
            multiple=multiple,
            smallest=side,
            tile=side,
            working_bytes=4 * settings.layers_per_block * widths[0] + 18 * joined,
        )

    def raw(self, x: Tensor, time: Tensor) -> Tensor:
        """See `Preconditioned.raw`."""
        told = self.unet.class_embedding is not None
        labels = torch.full((len(x),), self.label, device=x.device) if told else None
        predicted: Tensor = self.unet(x, time, labels).sample
        return predicted[:, :3]
