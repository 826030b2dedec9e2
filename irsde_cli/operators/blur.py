"""Convolution with a kernel, whatever lies beyond the border."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.errors import UsageError
from irsde_cli.operators.kernels import NAMES, arc_kernels, gaussian_kernel, read_kernel, shaken_kernel
from irsde_cli.operators.operator import LOST, SPREAD, Operator, Recipe, Spectrum

Border = Literal["mirror", "zero", "circular"]
DIRECT_PIXELS = 1 << 14  # of images that are convolved tap by tap; larger ones by FFT
BORDER_RIDGE = 0.03  # near a border of which less is known
LEAST_RIDGE = 1e-4  # of the preconditioner
TOLERANCE = 1e-4  # of the residual, where an inverse has no closed form
MOST_ROUNDS = 300


class Blur(Operator):
    """Each image (B, C, H, W) with its kernel.

    Args:
        kernels: (B, K, K) or (1, K, K), K odd, their middle at the origin.
        size: H and W.
        border: what lies beyond: the mirrored image, black, or the opposite side, where the blur has a spectrum.
        tolerance: of the residual of an inverse, as a share of what is seen; only the circular border needs none.
    """

    def __init__(
        self, kernels: Tensor, size: tuple[int, int], border: Border = "mirror", tolerance: float = TOLERANCE
    ) -> None:
        self.kernels = kernels
        self.size = size
        self.border = border
        self.radius = kernels.shape[-1] // 2
        self.tolerance = tolerance
        self._transfers: dict[tuple[int, int], Tensor] = {}
        self._casts: dict[tuple[tuple[int, int], torch.dtype, torch.device], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        if self.border == "circular":
            return self._filtered(x, lambda spectrum, transfer: spectrum * transfer)
        padded, size = self._padded(x), x.shape[-2:]
        if math.prod(size) <= DIRECT_PIXELS:
            weight = self._each(x).flip(-2, -1)[:, None]
            return F.conv2d(padded.transpose(0, 1), weight, groups=len(x)).transpose(0, 1)
        blurred = self._filtered(padded, lambda spectrum, transfer: spectrum * transfer)
        return blurred[..., self.radius : self.radius + size[0], self.radius : self.radius + size[1]]

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`, the border included."""
        if self.border == "circular":
            return self._filtered(y, lambda spectrum, transfer: spectrum * transfer.conj())
        if math.prod(y.shape[-2:]) <= DIRECT_PIXELS:
            weight = self._each(y).flip(-2, -1)[:, None]
            padded = F.conv_transpose2d(y.transpose(0, 1), weight, groups=len(y)).transpose(0, 1)
        else:
            padded = self._filtered(F.pad(y, (self.radius,) * 4), lambda spectrum, transfer: spectrum * transfer.conj())
        return self._folded(padded, (y.shape[-2], y.shape[-1]))

    @property
    def spectrum(self) -> Spectrum | None:
        """See `Operator.spectrum`: that of the torus, in half of the frequencies; its phase belongs to U."""
        if self.border != "circular":
            return None
        height, width = self.size
        transfer = self._transfer(self.size)
        values = transfer.abs()
        phase = torch.where(values > LOST, transfer / values.clamp_min(LOST), 0)
        values = torch.where(values > LOST, values, 0)

        def analyse(x: Tensor) -> Tensor:
            c: Tensor = torch.fft.rfft2(x, norm="ortho")
            return c

        def synthesise(c: Tensor) -> Tensor:
            x: Tensor = torch.fft.irfft2(c, s=(height, width), norm="ortho")
            return x

        return Spectrum(values, analyse, synthesise, lambda y: analyse(y) * _complex(phase.conj(), y))

    def inverse(self, y: Tensor, ridge: float = 0.0) -> Tensor:
        """See `Operator.inverse`; by conjugate gradients where the border is not circular.

        They are led by what the circular border would give, which is right everywhere but near the border.
        """
        if self.border == "circular":
            return super().inverse(y, ridge)
        power = self._transfer((y.shape[-2], y.shape[-1])).abs().square() + max(ridge, LEAST_RIDGE)

        def conditioned(r: Tensor) -> Tensor:
            spectrum = torch.fft.rfft2(r)
            near: Tensor = torch.fft.irfft2(spectrum / power.to(r.dtype), s=(r.shape[-2], r.shape[-1]))
            return near

        return self.adjoint(
            conjugate_gradients(
                lambda v: self.forward(self.adjoint(v)) + ridge * v, y, conditioned, self.tolerance, MOST_ROUNDS
            )
        )

    def nearest(self, z: Tensor, y: Tensor, ridge: float) -> Tensor:
        """See `Operator.nearest`; less near than that along the image's border, where it is not circular.

        What z misses is inverted as if the image went on beyond the border and faded there. Where that is not so, the
        weakest frequencies would ring, so they have a stronger ridge there. Conjugate gradients would cost forty times
        as much.
        """
        if self.border == "circular":
            transfer = self._cast(self.size, z)
            gain = transfer.conj() / (transfer.real.square() + transfer.imag.square() + max(ridge, LOST**2))
            missed = torch.fft.rfft2(y) - transfer * torch.fft.rfft2(z)
            step: Tensor = torch.fft.irfft2(gain * missed, s=self.size)
            return z + step
        height, width = y.shape[-2:]
        margin = min(2 * self.radius, height - 1, width - 1)
        fade = [_fading(side, margin, y) for side in (height, width)]
        padded = F.pad(y - self.forward(z), (margin,) * 4, "reflect") * fade[0][:, None] * fade[1]
        size = (padded.shape[-2], padded.shape[-1])
        transfer = self._cast(size, y)
        power = transfer.real.square() + transfer.imag.square()
        spectrum = torch.fft.rfft2(padded) * transfer.conj()

        def solved(ridge: float) -> Tensor:
            found: Tensor = torch.fft.irfft2(spectrum / (power + max(ridge, LOST)), s=size)
            return found[..., margin : margin + height, margin : margin + width]

        if ridge >= BORDER_RIDGE:
            return z + solved(ridge)
        inside = [_inside(side, 2 * self.radius + 1, y) for side in (height, width)]
        return z + torch.lerp(solved(BORDER_RIDGE), solved(ridge), torch.minimum(inside[0][:, None], inside[1]))

    def guess(self, y: Tensor, noise_std: float) -> Tensor:
        """See `Operator.guess`; what the blur leaves is where it begins."""
        return self.nearest(y, y, (noise_std / SPREAD) ** 2)

    def _each(self, images: Tensor) -> Tensor:
        """The kernels in the images' type, one for each image."""
        return self.kernels.to(images).expand(len(images), -1, -1)

    def _filtered(self, images: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        size = (images.shape[-2], images.shape[-1])
        spectrum = multiply(torch.fft.rfft2(images), self._cast(size, images))
        filtered: Tensor = torch.fft.irfft2(spectrum, s=size)
        return filtered

    def _cast(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """The same in the precision of images, and where they are."""
        key = (size, like.dtype, like.device)
        if key not in self._casts:
            self._casts[key] = _complex(self._transfer(size), like)
        return self._casts[key]

    def _transfer(self, size: tuple[int, int]) -> Tensor:
        """The kernels' spectra (B, 1, H, W // 2 + 1) on a canvas, double precision."""
        if (known := self._transfers.get(size)) is not None:
            return known
        height, width = size
        kernels, index = self.kernels, torch.arange(-self.radius, self.radius + 1, device=self.kernels.device)
        canvas = kernels.new_zeros(len(kernels), height, kernels.shape[-1], dtype=torch.float64)
        canvas.index_add_(1, index % height, kernels.double())
        wrapped = canvas.new_zeros(len(kernels), height, width).index_add_(2, index % width, canvas)
        transfer: Tensor = torch.fft.rfft2(wrapped)[:, None]
        self._transfers[size] = transfer
        return transfer

    def _padded(self, x: Tensor) -> Tensor:
        if self.border == "zero":
            return F.pad(x, (self.radius,) * 4)
        rows, columns = (_mirror(side, self.radius, x.device) for side in x.shape[-2:])
        return x[..., rows[:, None], columns]

    def _folded(self, padded: Tensor, size: tuple[int, int]) -> Tensor:
        """The transpose of `_padded`."""
        height, width = size
        if self.border == "zero":
            return padded[..., self.radius : self.radius + height, self.radius : self.radius + width]
        folded = padded.new_zeros(*padded.shape[:-2], height, padded.shape[-1])
        folded.index_add_(-2, _mirror(height, self.radius, padded.device), padded)
        onto = padded.new_zeros(*padded.shape[:-2], height, width)
        return onto.index_add_(-1, _mirror(width, self.radius, padded.device), folded)


def conjugate_gradients(
    a: Callable[[Tensor], Tensor],
    b: Tensor,
    condition: Callable[[Tensor], Tensor],
    tolerance: float,
    most: int,
) -> Tensor:
    """The solution v of a(v) = b for each image (B, C, H, W), `a` symmetric and not negative.

    Args:
        a: the map.
        b: the right side.
        condition: a symmetric positive map near the inverse of `a`.
        tolerance: of the residual's norm, as a share of that of `b`.
        most: how many rounds at most.
    """

    def dot(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum((1, 2, 3), keepdim=True)

    v = torch.zeros_like(b)
    r = b.clone()
    enough = tolerance**2 * dot(b, b)
    z = condition(r)
    p, rho = z, dot(r, z)
    tiny = torch.finfo(b.dtype).tiny
    for _ in range(most):
        if bool((dot(r, r) <= enough).all()):
            break
        ap = a(p)
        step = rho / dot(p, ap).clamp_min(tiny)
        v = v + step * p
        r = r - step * ap
        z = condition(r)
        before, rho = rho, dot(r, z)
        p = z + rho / before.clamp_min(tiny) * p
    return v


def _fading(side: int, margin: int, like: Tensor) -> Tensor:
    """One over `side` pixels, and down to zero over the margins before and behind them."""
    ramp = torch.sin(torch.linspace(0, math.pi / 2, margin + 2, dtype=like.dtype, device=like.device)[1:-1]) ** 2
    return torch.cat((ramp, torch.ones(side, dtype=like.dtype, device=like.device), ramp.flip(0)))


def _inside(side: int, reach: int, like: Tensor) -> Tensor:
    """Zero at both ends of `side` pixels, and one from `reach` pixels on, with a smooth rise."""
    place = torch.arange(side, dtype=like.dtype, device=like.device) + 0.5
    share = (torch.minimum(place, side - place) / reach).clamp_max(1)
    return share**2 * (3 - 2 * share)


def _complex(transfer: Tensor, like: Tensor) -> Tensor:
    return transfer.to(like.device, torch.promote_types(like.dtype, torch.complex64))


def _mirror(size: int, radius: int, device: torch.device) -> Tensor:
    """Indices of `size` + 2 * `radius` pixels; reflection goes back and forth where the image is smaller."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(-radius, size + radius, device=device) % period
    return torch.where(index < size, index, period - index)


@dataclass(frozen=True)
class Kernel:
    """Where a kernel comes from.

    Attributes:
        kernel: a picture or a .npy file; or `gaussian`, `motion` or `levin`, the path of a shaken camera.
        sigma: standard deviation of a Gaussian, in pixels.
        length: of a motion or a path, in pixels.
        angle: of a motion, in degrees, from left to right and then downwards.
        bend: how far a motion turns from end to end, in degrees.
        seed: of a shaken camera's path.
    """

    kernel: str = ""
    sigma: float = 2.0
    length: float = 15.0
    angle: float = 0.0
    bend: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.1 <= self.sigma <= 100:
            raise ValueError(f"sigma lies between 0.1 and 100 pixels, and is not {self.sigma:g}")
        if not 1 <= self.length <= 500:
            raise ValueError(f"the length lies between 1 and 500 pixels, and is not {self.length:g}")

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Recipe.files`."""
        return () if self.kernel in ("", *NAMES) else (Path(self.kernel),)

    def kernels(self, size: tuple[int, int]) -> Tensor:
        """(1, K, K), for images of that height and width.

        Raises:
            UsageError: it cannot be read, is no kernel, or is larger than the image.
        """
        if not self.kernel:
            raise UsageError(
                "which kernel blurred the picture?",
                hint=f"--set operator.kernel=FILE, or one of {', '.join(NAMES)}.",
            )
        match self.kernel:
            case "gaussian":
                found = gaussian_kernel(self.sigma)
            case "motion":
                arc = (self.length, math.radians(self.angle), math.radians(self.bend))
                length, angle, bend = (torch.tensor([value], dtype=torch.float64) for value in arc)
                found = arc_kernels(length, angle, bend, math.ceil(self.length / 2) + 1)[0]
            case "levin":
                found = shaken_kernel(self.length, self.seed)
            case path:
                found = read_kernel(Path(path))
        if found.shape[-1] > min(size):
            raise UsageError(
                f"the kernel '{self.kernel}' is {found.shape[-1]} pixels wide, and the picture {size[1]} x {size[0]}."
            )
        return found[None]


@dataclass(frozen=True)
class BlurRecipe(Kernel, Recipe):
    """Blurred by a known kernel.

    Attributes:
        border: what lay beyond the border when it was blurred; a camera saw more of the world there, to which the
            mirrored image comes nearest.
    """

    border: Border = "mirror"

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        return Blur(self.kernels(size), size, self.border)
