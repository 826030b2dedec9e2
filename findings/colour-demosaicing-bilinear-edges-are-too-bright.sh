#!/usr/bin/env bash
# colour-demosaicing: bilinear demosaicing of a flat grey mosaic is not flat; its edges are up to 2.25 times too bright.
#
# The sparse planes of colour are convolved with a border that repeats the edge pixel, so that a sample on the border
# counts twice and its absent neighbours take its value too. The sums of weights there are 1.5 and 2.25 instead of 1, or
# 0.5 and 0.25. Malvar2004 and Menon2007 of the same package keep grey grey. The package's own examples show it (their
# corners are 0.70 where the mosaic has 0.31), so a test against them cannot notice. On a photograph of 128x96 pixels the
# border costs 12 dB.
#
# Seen with colour-demosaicing 0.2.7: "bilinear: 0.125 to 1.125, inside 0.500 to 0.500".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check colour-demosaicing==0.2.7 numpy==2.4.6
"$place/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import colour_demosaicing as package
import numpy as np

print("colour-demosaicing", version("colour-demosaicing"))
mosaic = np.full((16, 20), 0.5)
found = {}
for name in ("bilinear", "Malvar2004", "Menon2007"):
    picture = getattr(package, f"demosaicing_CFA_Bayer_{name}")(mosaic, "RGGB")
    inside = picture[1:-1, 1:-1]
    found[name] = (picture.min(), picture.max(), inside.min(), inside.max())
    print("{}: {:.3f} to {:.3f}, inside {:.3f} to {:.3f}".format(name, *found[name]))
flat = all(np.allclose(found[name], 0.5) for name in ("Malvar2004", "Menon2007"))
so = np.isclose(found["bilinear"][1], 1.125) and found["bilinear"][0] < 0.2 and np.allclose(found["bilinear"][2:], 0.5)
sys.exit(0 if so and flat else 1)
PY
