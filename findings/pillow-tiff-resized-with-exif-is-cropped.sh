#!/usr/bin/env bash
# Pillow: a TIFF that is enlarged and saved with the EXIF of its source is cut to the size of the source, without a word.
#
# `getexif()` of a TIFF also holds the tags that describe its pixels (ImageWidth, ImageLength, RowsPerStrip ...), and
# `save(exif=...)` lets them win over those of the image that is saved. Taller without compression, or wider with it: the
# file reads back as the corner of the source's size, and half of the pixels are gone. Other changes of size raise errors
# that speak of codecs. JPEG, PNG and WebP files are not affected.
#
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys

import PIL
from PIL import Image

print("Pillow", PIL.__version__)
source = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
cut = []
for compression, larger in ((None, (96, 128)), ("tiff_adobe_deflate", (192, 64))):
    source.save("source.tif", compression=compression)
    with Image.open("source.tif") as image:
        result = image.resize(larger)
        result.save("result.tif", exif=image.getexif())
    with Image.open("result.tif") as found:
        same = found.tobytes() == result.crop((0, 0, *found.size)).tobytes()
        print(f"{compression}: saved {result.size}, read back {found.size}, the corner of what was saved: {same}")
        cut.append(found.size == source.size and same)
sys.exit(0 if all(cut) else 1)
PY
