"""What a part says of itself, so that whatever rests on it need not know what it is."""

from dataclasses import dataclass, replace
from typing import Literal

Padding = Literal["reflect", "symmetric", "zeros", "replicate"]
Half = Literal["bf16", "fp16"]


@dataclass(frozen=True)
class Facts:
    """Of a network, in pixels of what comes in; of a system, in pixels of what goes out.

    Attributes:
        scale: side of what goes out by that of what comes in.
        channels: of what comes in and of what goes out.
        multiple: height and width are padded to a multiple of this inside.
        smallest: and at least to this.
        square: and then to the larger of the two.
        padding: how they are padded, below and to the right; "symmetric" reflects with the border itself repeated.
        reach: how many pixels away, along each axis, the farthest is that a pixel depends on; `None` where attention or
            pooling looks at the whole image. Within it tiles agree with the whole image.
        overlap: how many pixels tiles share, where half of the reach is more than it is worth; 0 where it is not.
        working_bytes: peak memory of one evaluation without gradients, in bytes per pixel of what goes out in float32,
            rounded up.
        half: the half precisions that it stands; in others it runs in float32.
        draws: whether noise is drawn inside, so that the seed decides.
        tile: side of the tiles that large images are cut into whatever the memory, where what a network does with a
            distance depends on the size of its image; 0 where it does not.
    """

    scale: int = 1
    channels: tuple[int, int] = (3, 3)
    multiple: int = 1
    smallest: int = 1
    square: bool = False
    padding: Padding = "reflect"
    reach: int | None = None
    overlap: int = 0
    working_bytes: int = 4096
    half: tuple[Half, ...] = ("bf16", "fp16")
    draws: bool = False
    tile: int = 0

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width that an image of this size is padded to."""
        height, width = (round_up(max(side, self.smallest), self.multiple) for side in (height, width))
        return (max(height, width),) * 2 if self.square else (height, width)

    def outside(self, enlarged: int = 1) -> "Facts":
        """The same of a system that is this network, after an image was made `enlarged` times larger."""
        return replace(
            self,
            scale=self.scale * enlarged,
            multiple=self.multiple * self.scale,
            smallest=self.smallest * self.scale,
            reach=None if self.reach is None else self.reach * self.scale,
            overlap=self.overlap * self.scale,
        )


def behind(facts: Facts, factor: int) -> Facts:
    """The facts of a system whose network, with these, sees latents that many times smaller than its images.

    Encoder and decoder see the whole image.
    """
    return Facts(
        multiple=factor * facts.multiple,
        smallest=factor * facts.smallest,
        working_bytes=facts.working_bytes // factor**2,
        half=facts.half,
        draws=facts.draws,
    )


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple
