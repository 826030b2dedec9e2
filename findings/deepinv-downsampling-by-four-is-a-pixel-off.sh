#!/usr/bin/env bash
# deepinv: Downsampling with the filters "bicubic" and "bilinear" is aligned for a factor of 2, half a pixel off for 3,
# and a whole pixel of the large picture for 4.
#
# The operator filters and then keeps every k-th sample from the first. The filter is even and its middle lies half a
# pixel beside the middle of the pixel that it is for, whatever the factor. That is right for 2 alone, where the result
# equals PyTorch's antialiased resizing to rounding. For 3 and 4 the small picture
# shows the scene moved down and to the right by (k - 2) / 2 pixels. Pairs made with it, or a prior that knows
# pictures made by resizing, then disagree with the operator, and nothing says so. DownsamplingMatlab is aligned.
#
# Seen with deepinv 0.5.0: "factor 4, bicubic: centre at 48.50, by resizing 47.50, DownsamplingMatlab 47.50; the
# largest difference 0.085 of 1".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check \
  deepinv==0.5.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import deepinv
import torch
from torch.nn.functional import interpolate

print("deepinv", version("deepinv"), "torch", torch.__version__)
at = torch.arange(96.0)
blob = torch.exp(-((at[:, None] - 47.5) ** 2 + (at - 47.5) ** 2) / 200)[None, None]


def centre(small: torch.Tensor, factor: int) -> float:
    """In pixels of the large picture, whose blob is at 47.5."""
    places = torch.arange(small.shape[-1]) * factor + (factor - 1) / 2
    return float((small[0, 0].sum(0) * places).sum() / small.sum())


so = []
for factor in (2, 3, 4):
    for kind in ("bilinear", "bicubic"):
        physics = deepinv.physics.Downsampling(img_size=(1, 96, 96), filter=kind, factor=factor, padding="circular")
        small = physics.A(blob)
        resized = interpolate(blob, scale_factor=1 / factor, mode=kind, antialias=True)
        off, largest = centre(small, factor) - centre(resized, factor), float((small - resized).abs().max())
        told = f"factor {factor}, {kind}: centre at {centre(small, factor):.2f}, by resizing {centre(resized, factor):.2f}"
        so.append(abs(off - (factor - 2) / 2) < 0.01 and (largest < 1e-4) == (factor == 2))
        if kind == "bicubic":
            matlab = deepinv.physics.DownsamplingMatlab(factor=factor).A(blob)
            told += f", DownsamplingMatlab {centre(matlab, factor):.2f}"
            so.append(abs(centre(matlab, factor) - 47.5) < 0.01)
        print(f"{told}; the largest difference {largest:.3f} of 1")
sys.exit(0 if all(so) else 1)
PY
