"""A pair of images under a protocol."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from irsde_cli.metrics.lpips import load_lpips
from irsde_cli.metrics.luma import grey, luma
from irsde_cli.metrics.protocols import Protocol
from irsde_cli.metrics.psnr import psnr
from irsde_cli.metrics.ssim import WINDOW, ssim


class Scorer:
    """PSNR, SSIM, LPIPS where its weights are at hand, and further metrics that see what LPIPS sees."""

    def __init__(self, protocol: Protocol, lpips: Path | None, more: Mapping[str, nn.Module] | None = None) -> None:
        self.protocol = protocol
        self.more = more or {}
        self.lpips = None if lpips is None else load_lpips(lpips)

    def score(
        self,
        image: Tensor,
        clean: Tensor,
        known: Tensor | None = None,
        *,
        one_channel: bool = False,
        shown: Tensor | None = None,
    ) -> dict[str, float | None]:
        """The figures of an image (1, 3, H, W) against the clean one; `None` where a metric cannot be taken.

        Args:
            image: restored.
            clean: what it is measured against.
            known: (1, 1, H, W); `psnr_hole` is the PSNR of the other pixels alone, over RGB.
            one_channel: whether the clean file has a single channel. On luma it is measured on its own values,
                as the field does: they are grey already, and BT.601's range of 16 to 235 would flatter by 1.32 dB.
            shown: (1, 1, H, W); PSNR, and SSIM by the middle of its windows, count no other pixels; metrics that see
                the whole image see the clean one there. `None` is everything.
        """
        with torch.inference_mode():
            clipped = image.clamp(0, 1)
            if not self.protocol.reference:
                return self._alone(clipped.mul(255).round().div(255).float(), clean.float())
            image = clipped.mul(255).round().div(255) if self.protocol.rounded else clipped
            if self.protocol.mean_of_clean:
                # Not rounded again, as in the field's scripts: KinD, LLFlow, Retinexformer.
                means = (counted(grey(x), shown).mean() for x in (clean, image))
                image = (image * (next(means) / next(means).clamp_min(1e-6))).clamp(0, 1)
            if shown is not None:
                image, clipped = (torch.where(shown, x, clean) for x in (image, clipped))
            a, b = cropped(image, self.protocol.border), cropped(clean, self.protocol.border)
            if self.protocol.channels == "y":
                a, b = (grey(x) if one_channel else luma(x) for x in (a, b))
            inside = None if shown is None else cropped(shown, self.protocol.border)
            x, y = counted(a, inside), counted(b, inside)
            figures: dict[str, float | None] = {
                "psnr": float(psnr(x, y)) if x.numel() else None,
                "ssim": float(ssim(a, b, inside)) if min(a.shape[-2:]) >= WINDOW else None,
            }
            seen, target = (image if self.protocol.lpips_rounded else clipped).float(), clean.float()
            if self.lpips is not None:
                fits = min(image.shape[-2:]) >= self.lpips.smallest
                figures["lpips"] = float(self.lpips(seen, target)) if fits else None
            for name, metric in self.more.items():
                figures[name] = _finite(float(metric(seen, target)))
            if known is not None:
                hole = ~known.expand_as(clean) if shown is None else (~known & shown).expand_as(clean)
                figures["psnr_hole"] = float(psnr(image[hole][None], clean[hole][None])) if hole.any() else None
        return figures

    def _alone(self, image: Tensor, degraded: Tensor) -> dict[str, float | None]:
        """The figures of an image that has no clean one."""
        figures = {name: _finite(float(metric(image, degraded))) for name, metric in self.more.items()}
        if self.lpips is not None:
            fits = min(image.shape[-2:]) >= self.lpips.smallest
            figures["change"] = float(self.lpips(image, degraded)) if fits else None
        return figures


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def counted(image: Tensor, shown: Tensor | None) -> Tensor:
    """(1, C, N), the pixels of an image (1, C, H, W) that count; all of them, as they lie, without `shown`."""
    return image if shown is None else image[..., shown[0, 0]]


def cropped(image: Tensor, border: int) -> Tensor:
    """Without `border` pixels on each side."""
    height, width = image.shape[-2:]
    return image[..., border : max(height - border, border), border : max(width - border, border)]
