#!/usr/bin/env bash
# OpenCV contrib: `xphoto.dctDenoising` never reaches the last row and the last column of a picture.
#
# The loops over patches end one short, so no patch covers the last row and column: their sum of zero is divided by a
# count of zero. In 8 bits they come out black, in float32 as NaN, whatever the size of the patch or of the picture. A
# mean over the float result is NaN, and so is its PSNR.
#
# Seen with opencv-contrib-python-headless 5.0.0.93: "8 bits, patch 8: last row 0..0, last column 0..0, the rest
# 100..100" and "float32, patch 8: 111 of 3072 are NaN, all of them in the last row or column".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check opencv-contrib-python-headless==5.0.0.93 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
flat = np.full((48, 64), 100, np.uint8)
edge = np.zeros(flat.shape, bool)
edge[-1] = edge[:, -1] = True
so = []
for patch in (4, 8, 16):
    out = np.empty_like(flat)
    cv2.xphoto.dctDenoising(flat, out, 5.0, patch)
    row, column, rest = out[-1], out[:, -1], out[~edge]
    print(
        f"8 bits, patch {patch}: last row {row.min()}..{row.max()}, last column {column.min()}..{column.max()}, "
        f"the rest {rest.min()}..{rest.max()}"
    )
    so.append(not out[edge].any() and np.all(np.abs(rest.astype(int) - 100) <= 1))
    exact = np.empty(flat.shape, np.float32)
    cv2.xphoto.dctDenoising(flat.astype(np.float32), exact, 5.0, patch)
    lost = np.isnan(exact)
    print(f"float32, patch {patch}: {lost.sum()} of {lost.size} are NaN, all of them in the last row or column")
    so.append(np.array_equal(lost, edge))
sys.exit(0 if all(so) else 1)
PY
