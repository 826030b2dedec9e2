"""README's picture: what its first command makes of the sample photographs.

    python docs/images/before_after.py restored/ docs/images/before-after.jpg

Each row has the input on the left and its result on the right, twice as large as they are.
"""

import sys
from pathlib import Path

from PIL import Image

ROWS = ("noisy/chelsea.png", "shaken/coffee.png")
GAP = 6


def main() -> None:
    """Write the picture."""
    restored, target = map(Path, sys.argv[1:])
    samples = Path(__file__).parents[1] / "samples"
    pairs = [[Image.open(folder / row).convert("RGB") for folder in (samples, restored)] for row in ROWS]
    width, height = (min(image.size[axis] for pair in pairs for image in pair) for axis in (0, 1))
    canvas = Image.new("RGB", (2 * 2 * width + GAP, (2 * height + GAP) * len(pairs) - GAP), "white")
    for row, pair in enumerate(pairs):
        for column, image in enumerate(pair):
            left, top = (image.width - width) // 2, (image.height - height) // 2
            crop = image.crop((left, top, left + width, top + height)).resize(
                (2 * width, 2 * height), Image.Resampling.NEAREST
            )
            canvas.paste(crop, (column * (2 * width + GAP), row * (2 * height + GAP)))
    canvas.save(target, quality=88)


if __name__ == "__main__":
    main()
