#!/usr/bin/env bash
# OpenCV: Telea's inpainting of a float picture moves by a step of one unit, whatever one unit is worth.
#
# The documentation allows 32-bit float of one channel. The algorithm adds the normalised gradient, (Jx + Jy) / |J|, a
# number of up to 1.41 that was meant as grey levels of 0..255. (A rounding of +0.5 beside it was taken out for floats in
# 2024; this was not.) For a picture in 0..1, as most code of this field holds them, a hole in a gentle ramp of 0.25..0.5
# is filled with values from -1 to 1.8, and clipping them leaves black and white specks. In 0..255 the same ramp is off by
# some levels. Navier-Stokes, the other method, is off by 0.02 in both.
#
# Seen with opencv-python-headless 5.0.0.93:
# "0..1, Telea: off by 1.475 of the range; 0..1, NS: off by 0.016; 0..255, Telea: off by 0.031; 0..255, NS: off by 0.027".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
"$place/venv/bin/python" - <<'PY'
import sys

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
ramp = np.tile(np.linspace(0.25, 0.5, 64, dtype=np.float32), (64, 1))
hole = np.zeros(ramp.shape, np.uint8)
hole[20:40, 20:40] = 1


def off(unit: float, method: int) -> float:
    """The largest error in the hole, as a share of the range."""
    filled = cv2.inpaint(ramp * np.float32(unit), hole, 3, method) / unit
    return float(np.abs(filled - ramp)[hole > 0].max())


methods = {"Telea": cv2.INPAINT_TELEA, "NS": cv2.INPAINT_NS}
errors = {(unit, name): off(unit, method) for unit in (1, 255) for name, method in methods.items()}
print("; ".join(f"0..{unit}, {name}: off by {error:.3f} of the range" for (unit, name), error in errors.items()))
small = max(error for key, error in errors.items() if key != (1, "Telea"))
sys.exit(0 if errors[1, "Telea"] > 1 and small < 0.05 else 1)
PY
