"""Makes the pictures of docs/processes.md: states of each process between a photograph and its mosaic.

    python docs/images/processes.py

chelsea, of scikit-image: Stefan van der Walt, CC0.
"""

from pathlib import Path

import torch
from PIL import Image
from skimage import data
from torch.nn import functional as F

from irsde_cli.images import Picture, to_tensor
from irsde_cli.processes import PROCESSES

HERE = Path(__file__).parent / "processes"
SIDE, BLOCK = 120, 12
PLACES = (0, 0.25, 0.5, 0.75, 1)


def main() -> None:
    """A strip for each row of the table: what a state is at a quarter of the way, and so on, from clean to degraded."""
    HERE.mkdir(exist_ok=True)
    clean = to_tensor(Picture(data.chelsea()[72 : 72 + SIDE, 130 : 130 + SIDE], name="chelsea"))[None]
    mu = F.avg_pool2d(clean, BLOCK).repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    for name in PROCESSES:
        process = PROCESSES.load(name)()
        end = clean if name == "denoising" else mu
        times = [torch.tensor([round(place * process.num_timesteps)]) for place in PLACES]
        states = torch.cat([process.state(clean, end, t, noise).clamp(0, 1) for t in times], dim=-1)
        pixels = (states[0].permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(HERE / f"{name}.jpg", quality=65)


if __name__ == "__main__":
    main()
