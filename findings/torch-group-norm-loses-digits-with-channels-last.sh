#!/usr/bin/env bash
# torch: group normalisation on the CPU loses its digits with channels last.
#
# The same float32 features, of a mean of 3 and a spread of 0.01, as those of a flat part of a picture are. In the usual
# layout group_norm is right to 1e-4 of the spread. With memory_format=channels_last, which the guides of torch advise for
# speed, it is wrong by a tenth of the spread and more. Layer normalisation of the same numbers stays right. So a U-Net
# gives one picture in one layout and another in the other, and pictures of one colour show it most.
#
# Seen with torch 2.14.1: "usual layout 3.3e-05, channels last 1.3e-01, layer_norm 3.3e-05".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys

import torch
from torch.nn import functional as F

torch.manual_seed(0)
features = 3 + 0.01 * torch.randn(1, 64, 32, 32)


def worst(layout: torch.memory_format) -> float:
    exact = F.group_norm(features.double(), 32)
    return float((F.group_norm(features.to(memory_format=layout), 32) - exact).abs().max())


flat = features.reshape(32, -1)
layer = float((F.layer_norm(flat, flat.shape[1:]) - F.layer_norm(flat.double(), flat.shape[1:])).abs().max())
usual, last = worst(torch.contiguous_format), worst(torch.channels_last)
print(f"torch {torch.__version__}: usual layout {usual:.1e}, channels last {last:.1e}, layer_norm {layer:.1e}")
sys.exit(0 if usual < 1e-3 and layer < 1e-3 and last > 0.03 else 1)
PY
