#!/usr/bin/env bash
# OpenImageIO: a JPEG XL written with loss has sRGB in the place of its colour profile, and the same pixels: other colours.
#
# The attribute "ICCProfile" is embedded when the compression is "jpegxl:100". At any other quality the encoder keeps the
# samples, calls them sRGB and says nothing; write_image and close succeed. A picture in ProPhoto RGB comes back pale.
# PNG and TIFF written by the same program keep the profile.
#
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check openimageio==3.2.2.0 numpy==2.4.6 pillow==13.0.0
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys

import numpy as np
import OpenImageIO as oiio
from PIL import ImageCms

print("OpenImageIO", oiio.__version__)
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"rXYZ", b"tXYZ").replace(
    b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")  # red and green exchanged: a profile that nobody can take for sRGB
pixels = np.zeros((64, 64, 3), np.uint8)
pixels[..., 0] = 200
kept = {}
for quality in (100, 99, 90):
    spec = oiio.ImageSpec(64, 64, 3, "uint8")
    spec.attribute("compression", f"jpegxl:{quality}")
    spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(profile)}]"), np.frombuffer(profile, np.uint8))
    output = oiio.ImageOutput.create("x.jxl")
    assert output.open("x.jxl", spec) and output.write_image(pixels) and output.close()
    source = oiio.ImageInput.open("x.jxl")
    found = bytes(source.spec().getattribute("ICCProfile"))
    colour = source.read_image("uint8")[32, 32].tolist()
    kept[quality] = found == profile
    print(f"quality {quality}: profile kept {kept[quality]}, pixel {colour}, error '{output.geterror()}'")
    kept[quality] = kept[quality] or abs(colour[0] - 200) > 20
sys.exit(0 if kept == {100: True, 99: False, 90: False} else 1)
PY
