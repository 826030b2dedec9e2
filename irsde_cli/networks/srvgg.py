"""SRVGG, Real-ESRGAN's compact network: a plain chain at the size of what comes in, enlarged at the very end.

Wang et al., "Real-ESRGAN", ICCV workshops 2021, in the form of the later releases. Names of parameters are those of
their files.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.network import Mapper, count_modules
from irsde_cli.randomness import RandnLike


class SRVGG(Mapper):
    """Adds what it finds to the image with each pixel repeated; takes any size.

    Args:
        scale: how many times larger.
        width: channels of the chain.
        depth: convolutions between the first and the last.
    """

    def __init__(self, *, scale: int = 4, width: int = 64, depth: int = 16) -> None:
        super().__init__()
        self.facts = Facts(scale=scale, reach=depth + 2, working_bytes=4 * max(3 * width // scale**2, 12))
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * scale**2, 3, padding=1))

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        count = count_modules(tensors, "body.")
        width, channels = tensors["body.0.weight"].shape[:2]
        scale = math.isqrt(len(tensors[f"body.{count - 1}.weight"]) // 3)
        if channels != 3 or tensors["body.1.weight"].shape != (width,) or count % 2 == 0:
            raise ValueError("not an SRVGG")
        return {"scale": scale, "width": width, "depth": (count - 3) // 2}

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        scale = self.facts.scale
        return F.pixel_shuffle(self.body(image), scale) + F.interpolate(image, scale_factor=scale)
