#!/usr/bin/env bash
# torchmetrics: UQI and SCC of a picture with itself are below 1 wherever the picture is flat.
#
# Both divide a covariance by variances. Where a window is constant that is 0 / 0, which the library turns into 0, and
# the mean counts it as the worst value. A synthetic target with a plain half scores about 0.6 against itself, a black
# frame 0. So a perfect restoration of a clipped sky or of a drawing is marked down, and a result that leaves a faint
# grain there may be marked higher. SSIM of the same library has constants for this case and gives 1.
#
# Seen with torchmetrics 1.9.0: "half flat with itself: UQI 0.593, SCC 0.562, SSIM 1.000" and "black with itself: UQI
# 0.000, SCC 0.000, SSIM 1.000".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys

import torch
import torchmetrics
import torchmetrics.functional.image as metrics

print("torchmetrics", torchmetrics.__version__)
noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
half = noise.clone()
half[..., :32] = 0.5
so = []
for name, picture in (("noise", noise), ("half flat", half), ("black", torch.zeros_like(noise))):
    uqi = float(metrics.universal_image_quality_index(picture, picture))
    scc = float(metrics.spatial_correlation_coefficient(picture, picture))
    ssim = float(metrics.structural_similarity_index_measure(picture, picture, data_range=1.0))
    print(f"{name} with itself: UQI {uqi:.3f}, SCC {scc:.3f}, SSIM {ssim:.3f}")
    low = {"noise": (0.99, 1.01), "half flat": (0.5, 0.65), "black": (-0.01, 0.01)}[name]
    so += [low[0] < uqi < low[1], low[0] < scc < low[1], ssim > 0.999]
sys.exit(0 if all(so) else 1)
PY
