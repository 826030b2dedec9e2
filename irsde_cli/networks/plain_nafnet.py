"""NAFNet as published: blocks without nonlinear activations.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022. Names of parameters are those of the released files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from irsde_cli.networks.facts import Facts
from irsde_cli.networks.nafnet import NAFBlock, Trunk, counted
from irsde_cli.networks.network import Mapper
from irsde_cli.randomness import RandnLike


class PlainNAFNet(Trunk, Mapper):
    """As published, for pictures; most released files are of this one.

    Args:
        width: width of the first level; each level below doubles it.
        enc_blk_nums: blocks of each encoder level.
        middle_blk_num: blocks of the middle.
        dec_blk_nums: blocks of each decoder level, from the deepest.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        enc_blk_nums: Sequence[int] = (1, 1, 1, 28),
        middle_blk_num: int = 1,
        dec_blk_nums: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        self.facts = Facts(multiple=2 ** len(enc_blk_nums), padding="zeros", working_bytes=4 * 10 * width)
        self.lay(NAFBlock, (3, 3), width, enc_blk_nums, middle_blk_num, dec_blk_nums)

    @classmethod
    def options_from(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """See `Network.options_from`."""
        if tensors["intro.weight"].shape[1] != 3:
            raise ValueError("not a NAFNet of pictures")
        return counted(tensors)

    def forward(self, image: Tensor, randn_like: RandnLike | None = None) -> Tensor:
        """See `Mapper.forward`."""
        height, width = image.shape[-2:]
        padded = self.padded(image)
        restored: Tensor = self.ending(self.through(self.intro(padded))) + padded
        return restored[..., :height, :width]
