"""The noise of a sensor as a camera leaves it in a file: coloured, blotchy, sharpened, compressed.

The photograph is taken back to what its sensor saw, as in Brooks et al., "Unprocessing Images for Learned Raw
Denoising", CVPR 2019; noise is added there, and goes the camera's way: mosaic and demosaicing, white balance, colour
matrix, tone curve, smoothing of brightness and colour, sharpening, resizing, JPEG. Before JPEG the noise goes that way
alone, and the picture stays: what a network learns from such pairs is to take noise away, not to sharpen.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.degradations.degradation import Degradation, as_file, check_range, draw_noise, uniform
from irsde_cli.degradations.jpeg import recode

GAMMA = 2.2


@dataclass(frozen=True)
class SensorNoise(Degradation):
    """A new camera and a new exposure for each image, in an 8-bit file.

    Shot noise is log-uniform between the ends that Brooks et al. took from the Darmstadt Noise Dataset (Plötz and
    Roth, CVPR 2017: four cameras, ISO 100 to 6400); read noise follows it as their straight line through the logarithms
    says. White balance, colour matrix and exposure are spread as those of usual cameras and daylight.

    Attributes:
        shot_min: least shot noise: the variance in raw light at white, where the signal is 1.
        shot_max: most.
        luma_max: strongest smoothing of brightness, the standard deviation in pixels of a Gaussian.
        chroma_max: strongest smoothing of colour.
        sharpening_max: how much of the finest details is added again at most.
        resized_share: share of the images whose noise was made at another size.
        size_min: smallest such size, of the photograph's.
        size_max: largest.
        jpeg_share: share of the images that are JPEG files.
        quality_min: lowest quality of these, as libjpeg counts it.
        quality_max: highest.
    """

    shot_min: float = 0.0001
    shot_max: float = 0.012
    luma_max: float = 1.0
    chroma_max: float = 4.0
    sharpening_max: float = 1.0
    resized_share: float = 0.4
    size_min: float = 0.6
    size_max: float = 1.6
    jpeg_share: float = 0.6
    quality_min: int = 70
    quality_max: int = 98

    def __post_init__(self) -> None:
        check_range("shot noise", self.shot_min, self.shot_max, least=1e-8, most=1)
        check_range("smoothing of brightness", 0, self.luma_max, most=16)
        check_range("smoothing of colour", 0, self.chroma_max, most=16)
        check_range("sharpening", 0, self.sharpening_max, most=8)
        check_range("share of resized images", 0, self.resized_share, most=1)
        check_range("size", self.size_min, self.size_max, least=0.25, most=4)
        check_range("share of JPEG files", 0, self.jpeg_share, most=1)
        check_range("quality", self.quality_min, self.quality_max, least=1, most=100)

    @property
    def margin(self) -> int:
        """A block of JPEG's, so that crops keep the grid of whole files; filters' borders lie within it."""
        return 16

    def apply(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Each image on its own: a size, a camera, and a file."""
        return torch.cat([self._photograph(image[None], generator) for image in clean])

    def _photograph(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        resized, size, coded, quality, full_colour = uniform(0, 1, 5, generator).tolist()
        seen = clean
        if resized < self.resized_share:
            factor = self.size_min * (self.size_max / self.size_min) ** size
            seen = _resized(clean, *(max(1, round(length * factor)) for length in clean.shape[-2:]))
        noise = _developed(seen.clamp(0, 1), self._camera(generator), generator)
        noise = self._processed(noise, generator)
        if noise.shape != clean.shape:
            noise = _resized(noise, *clean.shape[-2:])
        photograph = as_file(clean + noise)
        if coded >= self.jpeg_share:
            return photograph
        quality = int(self.quality_min + quality * (self.quality_max + 1 - self.quality_min))
        return recode(photograph, [quality], [full_colour < 0.5])

    def _camera(self, generator: torch.Generator) -> "_Camera":
        place, tone, red, blue, light = uniform(0, 1, 5, generator).tolist()
        spread, exposure = torch.randn(2, generator=generator, device=generator.device).tolist()
        log_shot = math.log(self.shot_min) + place * math.log(self.shot_max / self.shot_min)
        own = uniform(
            1.3, 2.0, 3, generator
        )  # the rows of usual colour matrices: they sum to one, so that grey is kept
        others = uniform(0.1, 0.9, 3, generator)
        matrix = torch.diag(own)
        for row in range(3):
            for column, share in (((row + 1) % 3, others[row]), ((row + 2) % 3, 1 - others[row])):
                matrix[row, column] = (1 - own[row]) * share
        return _Camera(
            shot=math.exp(log_shot),
            read=math.exp((2.18 * log_shot + 1.20 + 0.26 * spread) / 2),
            gains=torch.tensor([1.9 + 0.5 * red, 1.0, 1.5 + 0.4 * blue]) / min(max(0.8 + 0.1 * exposure, 0.4), 1.2),
            matrix=matrix.cpu(),
            curved=tone < 0.5,
            detail=light,
        )

    def _processed(self, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Brightness and colour of noise in a photograph, smoothed and sharpened, by FFT."""
        luma, chroma, sharpening, radius = uniform(0, 1, 4, generator).tolist()
        height, width = noise.shape[-2:]
        frequency = torch.fft.fftfreq(height, device=noise.device)[:, None].square()
        frequency = -2 * math.pi**2 * (frequency + torch.fft.rfftfreq(width, device=noise.device).square())
        bright = torch.exp(frequency * (self.luma_max * luma) ** 2)
        bright = bright * (1 + self.sharpening_max * sharpening**2 * (1 - torch.exp(frequency * (0.5 + radius) ** 2)))
        colour = torch.exp(frequency * (self.chroma_max * max(0.0, 1.2 * chroma - 0.2)) ** 2)  # a sixth leave it
        spectrum = torch.fft.rfft2(noise)
        weights = torch.tensor([0.299, 0.587, 0.114], device=noise.device)[:, None, None]
        grey = (spectrum * weights).sum(1, keepdim=True)
        processed: Tensor = torch.fft.irfft2(grey * bright + (spectrum - grey) * colour, s=(height, width))
        return processed.to(noise.dtype)


@dataclass(frozen=True)
class _Camera:
    """A sensor and what is done to its colours.

    Attributes:
        shot: variance of the shot noise at white.
        read: standard deviation of the read noise.
        gains: of red, green and blue, (3,).
        matrix: from the camera's colours to linear sRGB, (3, 3).
        curved: whether contrast is raised by a smooth step after gamma.
        detail: how much the demosaicing makes of details in [0, 1]: from bilinear to that of Malvar and others.
    """

    shot: float
    read: float
    gains: Tensor
    matrix: Tensor
    curved: bool
    detail: float


def _developed(clean: Tensor, camera: _Camera, generator: torch.Generator) -> Tensor:
    """The noise (1, 3, H, W) of a photograph of `clean` before the camera improves it."""
    height, width = clean.shape[-2:]
    gamma = 0.5 - torch.sin(torch.asin(1 - 2 * clean) / 3) if camera.curved else clean
    light = gamma.clamp_min(0) ** GAMMA
    develop = (camera.matrix * camera.gains).to(clean)  # from raw colours to linear sRGB
    raw = F.conv2d(light, torch.linalg.inv(develop)[..., None, None]).clamp(0, 1)
    raw = F.pad(raw, (0, width % 2, 0, height % 2), mode="replicate")
    mosaic = raw[:, 1:2].clone()  # red and blue at the corners of a block of two by two, green between them
    mosaic[..., ::2, ::2] = raw[:, :1, ::2, ::2]
    mosaic[..., 1::2, 1::2] = raw[:, 2:, 1::2, 1::2]
    noise = draw_noise(mosaic, generator) * (camera.shot * mosaic + camera.read**2).sqrt()
    noise = torch.minimum(noise, 1 - mosaic)  # a full well
    kernels = torch.einsum("dc,cpbyx->dpbyx", develop, torch.lerp(*_demosaicing(), camera.detail).to(clean))
    blocks = F.pixel_unshuffle(F.pad(noise, (2, 2, 2, 2), mode="replicate"), 2)
    planes = F.pixel_shuffle(F.conv2d(blocks, kernels.flatten(0, 1)), 2)
    noisy = light + planes[..., :height, :width]
    seen = noisy.clamp(0, 1) ** (1 / GAMMA)
    return (seen * seen * (3 - 2 * seen) if camera.curved else seen) - clean


@cache
def _demosaicing() -> tuple[Tensor, Tensor]:
    """Bilinear demosaicing and the gradient-corrected one, each as a convolution of blocks of two by two.

    The second is of Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color
    images", ICASSP 2004. Both (3, 4, 4, 3, 3): a colour at a place of a block, from the places of 3x3 blocks.
    """
    zero = torch.zeros(5, 5)
    same = zero.clone()
    same[2, 2] = 1
    cross = _symmetric({(0, 1): 0.25})
    across = _symmetric({(1, 1): 0.25})
    beside = zero.clone()
    beside[2, 1] = beside[2, 3] = 0.5
    bilinear = {"same": same, "cross": cross, "across": across, "row": beside, "column": beside.T}
    row = zero.clone()  # a colour of the same row, at green
    row[2] = torch.tensor([-1.0, 4, 5, 4, -1])
    row[1, 1] = row[1, 3] = row[3, 1] = row[3, 3] = -1
    row[0, 2] = row[4, 2] = 0.5
    malvar = {
        "same": same,
        "cross": _symmetric({(0, 0): 4, (0, 1): 2, (0, 2): -1}) / 8,
        "across": _symmetric({(0, 0): 6, (1, 1): 2, (0, 2): -1.5}) / 8,
        "row": row / 8,
        "column": row.T / 8,
    }
    ways = (  # of red, green and blue at the four places of a block
        ("same", "row", "column", "across"),
        ("cross", "same", "same", "cross"),
        ("across", "column", "row", "same"),
    )
    made = []
    for kernels in (bilinear, malvar):
        weight = torch.zeros(3, 4, 6, 6)
        for colour, places in enumerate(ways):
            for place, way in enumerate(places):
                y, x = divmod(place, 2)
                weight[colour, place, y : y + 5, x : x + 5] = kernels[way]
        made.append(F.pixel_unshuffle(weight.reshape(12, 1, 6, 6), 2).reshape(3, 4, 4, 3, 3))
    return made[0], made[1]


def _symmetric(values: dict[tuple[int, int], float]) -> Tensor:
    """A kernel (5, 5) with these values at these distances from its centre, in both orders and with all signs."""
    kernel = torch.zeros(5, 5)
    for (one, other), value in values.items():
        for y, x in ((one, other), (other, one)):
            for down in (-y, y):
                for right in (-x, x):
                    kernel[2 + down, 2 + right] = value
    return kernel


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, size=(height, width), mode="bicubic", antialias=True)
