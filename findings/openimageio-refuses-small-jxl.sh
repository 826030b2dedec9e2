#!/usr/bin/env bash
# OpenImageIO: a sound JPEG XL file of fewer than some hundred bytes is "possibly corrupt".
#
# The reader looks at a fixed number of bytes for the signature and takes a shorter file for none, whatever it holds: a
# plain picture of 64 x 64 pixels in 79 bytes is valid and every other decoder reads it. The same file followed by a box of
# kind "free", which says nothing, is read.
#
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check openimageio==3.2.2.0 pillow-jxl-plugin==1.3.8 \
  pillow==13.0.0 packaging==26.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PY'
import struct
import sys
from pathlib import Path

import OpenImageIO as oiio
import pillow_jxl  # noqa: F401 - it registers itself
from PIL import Image

print("OpenImageIO", oiio.__version__)
Image.new("RGB", (64, 64), (90, 120, 150)).save("small.jxl", lossless=True, use_container=True)
data = Path("small.jxl").read_bytes()
Path("padded.jxl").write_bytes(data + struct.pack(">I4s", 264, b"free") + bytes(256))
read = {}
for name in ("small.jxl", "padded.jxl"):
    by_other = Image.open(name).size
    source = oiio.ImageInput.open(name)
    read[name] = source is not None
    reason = "" if source else oiio.geterror()
    print(f"{name}: {Path(name).stat().st_size} bytes, libjxl by another binding {by_other}, read {read[name]} {reason}")
sys.exit(0 if read == {"small.jxl": False, "padded.jxl": True} else 1)
PY
