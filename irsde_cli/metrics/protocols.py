"""How figures are made comparable: what is cropped, rounded and converted before a metric sees two images."""

from dataclasses import dataclass
from typing import Literal

from irsde_cli.registry import unknown_name


@dataclass(frozen=True)
class Protocol:
    """A way of measuring that papers share.

    Attributes:
        summary: for captions and lists.
        channels: what PSNR and SSIM are taken on: RGB, or the luma of BT.601, not rounded; of a clean file with one
            channel its own values.
        border: pixels cropped on each side.
        rounded: whether images are clipped and rounded to 8 bits first, as files are.
        lpips_rounded: the same for LPIPS, where it differs: IR-SDE's scripts take it before rounding.
        mean_of_clean: scale the restored image to the clean one's mean grey first ("GT mean"), which flatters.
        reference: whether there are clean pictures. Without them a result is measured alone, and against its input.
    """

    summary: str
    channels: Literal["rgb", "y"] = "rgb"
    border: int = 0
    rounded: bool = True
    lpips_rounded: bool = True
    mean_of_clean: bool = False
    reference: bool = True

    @property
    def caption(self) -> str:
        """All of it in words."""
        words = [
            "RGB" if self.channels == "rgb" else "luma (BT.601, unrounded; grey files as they are)",
            f"border {self.border}",
            "8-bit" if self.rounded else "not rounded",
            *(["LPIPS not rounded"] if self.rounded and not self.lpips_rounded else []),
            *(["scaled to the clean mean"] if self.mean_of_clean else []),
        ]
        if not self.reference:
            return "no clean pictures; 8-bit, RGB"
        return ", ".join(words)


PROTOCOLS = {
    "irsde": Protocol(
        "IR-SDE's and Refusion's evaluation, on RGB: deblurring, dehazing, shadows, inpainting",
        border=4,
        lpips_rounded=False,
    ),
    "irsde-y": Protocol("IR-SDE's evaluation on luma: deraining", channels="y", border=4, lpips_rounded=False),
    "plain-rgb": Protocol("whole images, RGB: denoising, and most of what is not named here"),
    "plain-y": Protocol("whole images, luma: JPEG artefacts", channels="y"),
    "deraining-y": Protocol("the deraining field's: whole images, luma", channels="y"),
    "sr-y": Protocol("super-resolution's, four times: luma, 4 pixels cropped", channels="y", border=4),
    "lol": Protocol("low light, RGB, as it is"),
    "no-reference": Protocol("damaged pictures whose clean ones nobody has", reference=False),
    "lol-gt-mean": Protocol("low light, RGB, scaled to the clean mean, as some papers report it", mean_of_clean=True),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
