#!/usr/bin/env bash
# piq: SR-SIM of a picture depends on which other pictures are in its batch.
#
# With reduction="none" each picture of a batch gets a figure of its own. But the map that says which places matter is
# scaled by the least and the largest value of the whole batch, not of each picture. So the same pair scores otherwise
# beside other pairs, and the mean over a data set changes with the size of the batch and with the order. Beside a flat
# picture, whose map is one sharp peak, the others' maps shrink to nothing and so do their scores. The library's SSIM,
# FSIM, VSI, HaarPSI, GMSD and MDSI of a picture do not move.
#
# Seen with piq 0.8.0, torch 2.14.1: "SR-SIM alone 0.9715, beside a ramp 0.8459, beside a flat picture 0.5104".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check \
  piq==0.8.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import piq
import torch

print("piq", version("piq"), "torch", torch.__version__)
draw = torch.Generator().manual_seed(0)
clean = torch.rand(1, 3, 200, 200, generator=draw)
noisy = (clean + 0.1 * torch.randn(clean.shape, generator=draw)).clamp(0, 1)
ramp = torch.linspace(0, 1, 200).expand(1, 3, 200, 200)
grainy = (ramp + 0.02 * torch.randn(ramp.shape, generator=draw)).clamp(0, 1)
beside = {"a ramp": (ramp, grainy), "a flat picture": (noisy, torch.full_like(clean, 0.5))}
moved = {}
for name in ("srsim", "ssim", "fsim", "vsi", "haarpsi", "gmsd", "mdsi"):
    metric = getattr(piq, name)
    alone = float(metric(clean, noisy))
    found = {
        what: float(metric(torch.cat([clean, one]), torch.cat([noisy, other]), reduction="none")[0])
        for what, (one, other) in beside.items()
    }
    print(f"{name}: alone {alone:.4f}, " + ", ".join(f"beside {what} {value:.4f}" for what, value in found.items()))
    moved[name] = max(abs(value - alone) for value in found.values())
others = max(value for name, value in moved.items() if name != "srsim")
sys.exit(0 if moved["srsim"] > 0.1 and others < 1e-4 else 1)
PY
