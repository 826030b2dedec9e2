#!/usr/bin/env bash
# torchmetrics: visual information fidelity means another thing for pictures in 0..1 than for the same ones in 0..255.
#
# VIF compares with a noise of the eye of variance 2 (`sigma_n_sq`), in units of 0..255. The function takes no range and
# its page names none; its example uses standard normal numbers. Tensors in 0..1, which every other metric of this
# library is fed with, are compared with a noise far stronger than the picture itself: scores lie near 1, and a clearly
# noisy picture passes for perfect.
#
# Seen with torchmetrics 1.9.0: "noise of 13 levels on a smooth texture: VIF 1.00 in 0..1, 0.34 in 0..255".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys

import torch
import torch.nn.functional as F
import torchmetrics
from torchmetrics.functional.image import visual_information_fidelity as vif

print("torchmetrics", torchmetrics.__version__)
generator = torch.Generator().manual_seed(0)
texture = sum(
    F.interpolate(torch.rand(1, 3, size, size, generator=generator), size=(128, 128), mode="bicubic")
    for size in (4, 8, 16, 32, 64)
)
clean = (texture / 5).clamp(0, 1)
noisy = (clean + 0.05 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
small, large = float(vif(noisy, clean)), float(vif(255 * noisy, 255 * clean))
print(f"noise of 13 levels on a smooth texture: VIF {small:.2f} in 0..1, {large:.2f} in 0..255")
sys.exit(0 if small > 0.9 and large < 0.6 else 1)
PY
