"""AOD-Net: five small convolutions that estimate the one map K of the scattering model, J = K I - K + 1.

Li et al., "AOD-Net: All-in-One Dehazing Network", ICCV 2017.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike

MANY = 512**2  # pixels from which turning their layout pays


class AODNet(Mapper):
    """Parameters are named as in the public port."""

    facts = Facts(reach=7, working_bytes=4 * 48)

    def __init__(self) -> None:
        super().__init__()
        self.e_conv1 = nn.Conv2d(3, 3, 1)
        self.e_conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.e_conv3 = nn.Conv2d(6, 3, 5, padding=2)
        self.e_conv4 = nn.Conv2d(6, 3, 7, padding=3)
        self.e_conv5 = nn.Conv2d(12, 3, 3, padding=1)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`; there is one size."""
        return {}

    def freeze(self) -> None:
        """See `Network.freeze`: the layout is not the weights', since small images would take longer for it."""

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        if image.shape[-2:].numel() >= MANY:
            image = image.contiguous(memory_format=torch.channels_last)
        first = self.e_conv1(image).relu()
        second = self.e_conv2(first).relu()
        third = self.e_conv3(torch.cat((first, second), dim=1)).relu()
        fourth = self.e_conv4(torch.cat((second, third), dim=1)).relu()
        k = self.e_conv5(torch.cat((first, second, third, fourth), dim=1)).relu()
        clean: Tensor = (k * image - k + 1).relu()
        return clean
