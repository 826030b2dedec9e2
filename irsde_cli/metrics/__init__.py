"""How close two images are: one file and one row a metric.

`psnr` and `ssim` are functions of two (..., C, H, W) tensors in [0, 1] and return one float64 number for each image;
`irsde_cli.metrics.luma` prepares images for the variants on Y. The LPIPS rows are classes: `Lpips.load(weights)`
gives a module that is called with two images. `OPTIONAL_METRICS` are such modules
too, made of other packages when they are called for. `SET_METRICS` are functions of the features (N, D) of two sets.
"""

from irsde_cli.registry import Registry

METRICS = Registry(
    "metric",
    {
        "psnr": "irsde_cli.metrics.psnr:psnr",
        "ssim": "irsde_cli.metrics.ssim:ssim",
        "lpips-alex": "irsde_cli.metrics.lpips:LpipsAlex",
        "lpips-squeeze": "irsde_cli.metrics.lpips:LpipsSqueeze",
    },
)
OPTIONAL_METRICS = Registry(
    "metric",
    {
        "dists": "irsde_cli.metrics.dists:Dists",
        "vif": "irsde_cli.metrics.vif:Vif",
        "brisque": "irsde_cli.metrics.brisque:Brisque",
    },
)
ALONE = ("brisque",)  # of these, what needs no clean image
SET_METRICS = Registry(
    "metric of sets",
    {
        "fid": "irsde_cli.metrics.fid:fid",
        "kid": "irsde_cli.metrics.kid:kid",
    },
)
