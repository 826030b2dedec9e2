"""Convolution with a kernel, whatever lies beyond the border."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from irsde_cli.errors import InputError, UsageError
from irsde_cli.operators import KERNELS
from irsde_cli.operators.canvas import Border, Canvas
from irsde_cli.operators.kernels import arc_kernels, gaussian_kernel, read_kernel, shaken_kernel
from irsde_cli.operators.operator import LOST, SPREAD, Operator, Recipe, Spectrum, Step

DIRECT_PIXELS = 1 << 14  # of images that are convolved tap by tap; larger ones by FFT
BORDER_RIDGE = 1e-3  # at least, where what lies beyond the border is not known; it rings below
FIRST_RIDGES = (0.1, 0.03)  # of the first estimate there, one after the other
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
        self.spectral = border == "circular"
        self.radius = kernels.shape[-1] // 2
        self.tolerance = tolerance
        self._transfers: dict[tuple[int, int], Tensor] = {}
        self._canvases: dict[tuple[int, int, bool, torch.device], Canvas] = {}
        self._casts: dict[tuple[tuple[int, int], torch.dtype, torch.device], Tensor] = {}
        self._steps: _Steps | None = None  # the last, as a first guess and what follows share one

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator.forward`."""
        canvas = self.canvas(x, quickly=not self._direct(x))
        if self._direct(x):
            weight = self._each(x).flip(-2, -1)[:, None]
            return F.conv2d(canvas.extended(x).transpose(0, 1), weight, groups=len(x)).transpose(0, 1)
        return canvas.cut(self._filtered(canvas.extended(x), self.cast(canvas.size, x)))

    def adjoint(self, y: Tensor) -> Tensor:
        """See `Operator.adjoint`, the border included."""
        canvas = self.canvas(y, quickly=not self._direct(y))
        if self._direct(y):
            weight = self._each(y).flip(-2, -1)[:, None]
            spread = F.conv_transpose2d(y.transpose(0, 1), weight, groups=len(y)).transpose(0, 1)
        else:
            spread = self._filtered(canvas.alone(y), self.cast(canvas.size, y).conj())
        return canvas.folded(spread)

    @property
    def spectrum(self) -> Spectrum | None:
        """See `Operator.spectrum`: that of the torus, in half of the frequencies; its phase belongs to U."""
        if not self.spectral:
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

    def hidden(self, x: Tensor) -> Tensor:
        """See `Operator.hidden`: taken for nothing, as the few frequencies would cost as much as a step to the data."""
        return torch.zeros((), dtype=x.dtype, device=x.device)

    def towards(self, y: Tensor) -> Step:
        """See `Operator.towards`; less near than that along the image's border, where it is not circular."""
        if self._steps is None or self._steps.y is not y:
            self._steps = _Steps(self, y)
        return self._steps

    def guess(self, y: Tensor, noise_std: float) -> Tensor:
        """See `Operator.guess`; where the border is not circular, the estimate that tells what lies beyond."""
        step, ridge = self.towards(y), (noise_std / SPREAD) ** 2
        first = self._steps.first if self._steps is not None else None
        if first is not None and ridge <= FIRST_RIDGES[-1]:
            return first
        return step(y if first is None else first, ridge)

    def _each(self, images: Tensor) -> Tensor:
        """The kernels in the images' type, one for each image."""
        return self.kernels.to(images).expand(len(images), -1, -1)

    def _filtered(self, images: Tensor, transfer: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * transfer, s=images.shape[-2:])
        return filtered

    def _direct(self, images: Tensor) -> bool:
        return self.border != "circular" and math.prod(images.shape[-2:]) <= DIRECT_PIXELS

    def canvas(self, images: Tensor, quickly: bool = True) -> Canvas:
        """Where such images lie when they are blurred."""
        key = (images.shape[-2], images.shape[-1], quickly, images.device)
        if key not in self._canvases:
            self._canvases[key] = Canvas(key[:2], self.radius, self.border, quickly, images.device)
        return self._canvases[key]

    def cast(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """The kernels' spectra on a canvas of that size, in the precision of images, and where they are."""
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


class _Steps:
    """Steps to what was seen, y, as `Operator.towards` gives them: two transforms each.

    What would have been seen beyond the border is what the blur makes of a first estimate, continued there. Conjugate
    gradients, which leave it open, would cost twenty times as much; to find it anew in each step costs twice as much,
    and rings more.

    Attributes:
        y: what was seen.
        first: the estimate; `None` on the torus, which has no beyond.
    """

    def __init__(self, blur: Blur, y: Tensor) -> None:
        self.y = y
        canvas = blur.canvas(y)
        torus = blur.border == "circular"
        self._least = LOST**2 if torus else BORDER_RIDGE
        self._filters = [_Filter(blur, canvas, number, y) for number in range(len(y))]
        self._seen: list[Tensor] = []  # K* y of each channel of each image
        self.first = None if torus else torch.empty_like(y)
        for image, channel, kernel in self._channels():
            one = y[image, channel]
            if self.first is None:
                self._seen.append(kernel.spectrum_of(one).mul_(kernel.back))
            else:
                estimate, seen = kernel.begun(one)
                self.first[image, channel] = estimate
                self._seen.append(seen)

    def __call__(self, z: Tensor, ridge: float) -> Tensor:
        """The image for one z."""
        found = torch.empty_like(z, memory_format=torch.contiguous_format)
        for (image, channel, kernel), seen in zip(self._channels(), self._seen, strict=True):
            spectrum = kernel.spectrum_of(z[image, channel])
            found[image, channel] = kernel.solved(seen, spectrum, max(ridge, self._least))
        return found

    def _channels(self) -> Iterator[tuple[int, int, "_Filter"]]:
        for image, kernel in enumerate(self._filters):
            for channel in range(self.y.shape[1]):
                yield image, channel, kernel


class _Filter:
    """A kernel on the canvas of one channel.

    A channel at a time: what is worked on stays in the cache, and is small enough that the C library uses its memory
    again. Three at a time took twice as long, as the system gave new pages for each step.

    Attributes:
        back: K*.
    """

    def __init__(self, blur: Blur, canvas: Canvas, number: int, like: Tensor) -> None:
        transfer = blur.cast(canvas.size, like)
        self._number = min(number, len(transfer) - 1)
        self._blur = blur
        self._canvas = canvas
        transfer = transfer[self._number, 0]
        self.back = transfer.conj().resolve_conj()
        self._power = transfer.real.square().add_(transfer.imag.square())
        self._gain = torch.view_as_real(torch.empty_like(transfer))
        self._ridge: float | None = None

    def spectrum_of(self, image: Tensor) -> Tensor:
        """Of an image (H, W), continued on the canvas."""
        spectrum: Tensor = torch.fft.rfft2(self._canvas.extended(image))
        return spectrum

    def begun(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """A first estimate of y (H, W), and K* y, with y continued as what is seen of that estimate."""
        estimate = y
        for ridge in FIRST_RIDGES:
            seen = self._around(estimate, y).mul_(self.back)
            estimate = self.solved(seen, self.spectrum_of(estimate), ridge)
        return estimate, self._around(estimate, y).mul_(self.back)

    def solved(self, seen: Tensor, spectrum: Tensor, ridge: float) -> Tensor:
        """The image whose spectrum is (K* y + ridge z) / (K* K + ridge); that of z is used up."""
        if ridge != self._ridge:
            torch.add(self._power, ridge, out=self._gain[..., 0]).reciprocal_()
            self._gain[..., 1] = self._gain[..., 0]
            self._ridge = ridge
        torch.add(seen, spectrum, alpha=ridge, out=spectrum)
        torch.view_as_real(spectrum).mul_(self._gain)
        image: Tensor = torch.fft.irfft2(spectrum, s=self._canvas.size)
        return self._canvas.cut(image)

    def _around(self, x: Tensor, y: Tensor) -> Tensor:
        """The spectrum of y, continued as what is seen of an image x (H, W): only what lies beyond is blurred."""
        continued = self._canvas.extended(x)
        beyond = [(axis, places, self._seen_at(continued, axis, places)) for axis, places in self._canvas.beyond()]
        for axis, places, seen in beyond:
            continued.index_copy_(axis, places, seen)
        self._canvas.cut(continued).copy_(y)
        spectrum: Tensor = torch.fft.rfft2(continued)
        return spectrum

    def _seen_at(self, continued: Tensor, axis: int, places: Tensor) -> Tensor:
        """The rows (axis 0) or columns at neighbouring places of a canvas, blurred."""
        reach, long = self._blur.radius, continued.shape[axis]
        around = torch.arange(-reach, len(places) + reach, device=places.device) + places[0]
        band = continued.index_select(axis, around % long)
        transfer = self._blur.cast((band.shape[0], band.shape[1]), band)[self._number, 0]
        seen: Tensor = torch.fft.irfft2(torch.fft.rfft2(band) * transfer, s=band.shape)
        return seen.narrow(axis, reach, len(places))


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


def _complex(transfer: Tensor, like: Tensor) -> Tensor:
    return transfer.to(like.device, torch.promote_types(like.dtype, torch.complex64))


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
        return () if self.kernel in ("", *KERNELS) else (Path(self.kernel),)

    def check(self) -> None:
        """See `Recipe.check`."""
        self._kernel()

    def kernels(self, size: tuple[int, int]) -> Tensor:
        """(1, K, K), for images of that height and width.

        Raises:
            UsageError: it cannot be read, or is no kernel.
            InputError: it is larger than the image.
        """
        found = self._kernel()
        if found.shape[-1] > min(size):
            raise InputError(
                f"the kernel '{self.kernel}' is {found.shape[-1]} pixels wide, and the picture {size[1]} x {size[0]}."
            )
        return found[None]

    def _kernel(self) -> Tensor:
        if not self.kernel:
            raise UsageError(
                "which kernel blurred the picture?",
                hint=f"--set operator.kernel=FILE, or one of {', '.join(KERNELS)}.",
            )
        match self.kernel:
            case "gaussian":
                return gaussian_kernel(self.sigma)
            case "motion":
                arc = (self.length, math.radians(self.angle), math.radians(self.bend))
                length, angle, bend = (torch.tensor([value], dtype=torch.float64) for value in arc)
                return arc_kernels(length, angle, bend, math.ceil(self.length / 2) + 1)[0]
            case "levin":
                return shaken_kernel(self.length, self.seed)
            case path:
                return read_kernel(Path(path))


@dataclass(frozen=True)
class BlurRecipe(Kernel, Recipe):
    """Blurred by a known kernel.

    Attributes:
        border: what lay beyond the border when it was blurred; a camera saw more of the world there, to which the
            mirrored image comes nearest.
    """

    border: Border = "mirror"

    @property
    def spectral(self) -> bool:
        """See `Operator.spectral`."""
        return self.border == "circular"

    def build(self, size: tuple[int, int], known: Tensor | None = None) -> Operator:
        """See `Recipe.build`."""
        return Blur(self.kernels(size), size, self.border)
