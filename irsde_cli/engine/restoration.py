"""A loaded system that restores a batch on a device: noise, tiles, draws, and what is done when memory ends."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from irsde_cli import room
from irsde_cli.checkpoint import Checkpoint
from irsde_cli.engine import openvino
from irsde_cli.engine.gating import Gate, to_input
from irsde_cli.engine.memory import MEMORY_SHARE, TooLargeError, choose_overlap, choose_tile, largest_batch, more_memory
from irsde_cli.engine.settings import SPREAD_GAIN, Settings, Step, Tile
from irsde_cli.engine.sparing import Spared
from irsde_cli.errors import InputError, IrsdeError, MachineError, UsageError
from irsde_cli.images import in_bytes, in_unit
from irsde_cli.images.formats.irc import Coded
from irsde_cli.needs import Need
from irsde_cli.needs.gate import USUAL, Fallback
from irsde_cli.needs.interval import Evidence, Interval, enlarged, half_width
from irsde_cli.needs.planes import bands
from irsde_cli.needs.tempering import glanced, tempered
from irsde_cli.networks.facts import round_up
from irsde_cli.networks.tiling import Evaluate, Float32, Ragged, Reduced, Tiles, whole
from irsde_cli.observation import Observation
from irsde_cli.operators.operator import Operator
from irsde_cli.randomness import ImageNoise, Prefetched, RandnLike, draw_key, generator_for
from irsde_cli.restorer import Restorer, last, strengthened
from irsde_cli.runtime import HALVES, is_lost_device, is_out_of_memory, received, sent
from irsde_cli.samplers.fit import MORE_HELD
from irsde_cli.samplers.settings import Sampling
from irsde_cli.tasks import TASKS

logger = logging.getLogger(__name__)
SMALLEST_TILE = 64
GPU_LOOK_AHEAD = 16
BAND = 256  # rows of a picture that are looked at together
SMALL = 1 << 18  # pixels of a result
MOMENT = 0.5  # seconds for which a small picture fits where one of its size did: to ask the system takes ten files


class Subject(Protocol):
    """A picture in memory, on its way to the network.

    Attributes:
        name: for messages.
        key: from which its noise comes: its path relative to the input.
        size: height and width.
        flat: whether it is of one colour, so that the result may be.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> bytes: ...

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def flat(self) -> bool: ...

    def degraded(self) -> Tensor:
        """(3, H, W), as `Observation.samples`."""
        ...

    @property
    def known(self) -> Tensor | None:
        """(H, W), false in holes; `None` where there are none."""
        ...

    @property
    def operator(self) -> Operator | None:
        """The linear part of its damage, where that is known."""
        ...

    @property
    def noise_std(self) -> float | None:
        """The noise that came after it, for images in [0, 1], where that is known."""
        ...

    @property
    def need(self) -> Need | None:
        """What it needs, where that decides how much of the result is taken."""
        ...

    @property
    def maps(self) -> Mapping[str, Tensor]:
        """(H, W) in [0, 1] by `realism` and `strength`, for those that the run's sampling has as paths."""
        ...


@dataclass(frozen=True, eq=False)
class Draws:
    """Several restorations of one picture, taken together; (3, H, W) on the CPU, of draws kept in [0, 1].

    Attributes:
        mean: of them.
        variance: of each pixel, as the sample has it: with one draw less in the denominator.
        count: of draws.
    """

    mean: Tensor
    variance: Tensor
    count: int


@dataclass(eq=False)
class Output:
    """What a run made of one picture: the images to write, by the suffix of their names.

    Attributes:
        tile: the side of the tiles that it was cut into; 0 is the whole.
        draws: all of them together, where their spread is asked for.
        need: what the picture needed, where that decided.
        same: whether its file is the picture's own, byte for byte.
        notes: what contradicts the picture.
        half: (H, W), of the width of the interval around what is written, where that is asked for and calibrated.
        coded: what a codec made of it, where that is asked for.
    """

    tile: int = 0
    draws: Draws | None = None
    images: dict[str, Tensor] = field(default_factory=dict)
    states: list[Tensor] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    need: Need | None = None
    same: bool = False
    notes: list[str] = field(default_factory=list)
    half: Tensor | None = None
    coded: Coded | None = None


def stood(restorer: Restorer, dtype: torch.dtype | None) -> torch.dtype | None:
    """The half precision itself, or `None` for float32 where a system does not stand it."""
    if dtype is None or dtype in [HALVES[name] for name in restorer.facts.half]:
        return dtype
    logger.warning("these weights do not stand %s: they run in float32", str(dtype).removeprefix("torch."))
    return None


class Restoration:
    """A loaded system on a device, with how it restores; `share` of the free memory is its own.

    Attributes:
        in_bytes: whether results that nothing else is asked of become 8-bit samples as soon as they are made, if their
            pictures have such: a quarter is copied from a GPU, and waits to be written.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: Settings,
        device: torch.device,
        dtype: torch.dtype | None = None,
        share: float = MEMORY_SHARE,
    ) -> None:
        self.options = options
        self.checkpoint = checkpoint
        self.restorer = checkpoint.restorer.to(device)
        self.device = device
        self.dtype = stood(self.restorer, dtype)
        if options.engine == "openvino":
            openvino.take_over(checkpoint, self.dtype)
        self.restorer.freeze()
        self.share = share
        asked = options.sampling
        if asked.is_usual and self.restorer.takes_realism and (options.samples > 1 or options.estimate == "mean"):
            asked = replace(asked, realism=1.0)  # several draws are to differ
        self.sampling = self.restorer.resolve(asked)
        usual = 1 if options.estimate == "sample" or not self.restorer.draws else 8
        self.draws = options.samples if options.samples > 1 else usual
        if self.draws > options.samples:
            logger.info("the mean is that of %d draws", self.draws)
        self.interval = self._calibrated() if options.spread else None
        self.gate = self._gate()
        self._tile = options.tile if options.tile != "auto" else 0
        self._largest_batch = 0
        self._fitted = ((0, 0), 0.0)  # the last small size that did, and when
        self.in_bytes = False
        self._spared = Spared(self.restorer, device, self.dtype)
        self.stopped: Callable[[], bool] = lambda: False
        self.watch: Callable[[Tile], None] = unwatched
        if isinstance(options.tile, int) and 0 < options.tile < 2 * self.restorer.facts.multiple:
            raise UsageError(f"tiles of {options.tile} pixels are too small; these weights need {SMALLEST_TILE}.")

    def _calibrated(self) -> Interval | None:
        """The interval that is around what is written; `None` where the spread is that of draws.

        Raises:
            UsageError: there is neither.
        """
        single = self.draws == 1
        found: Interval | None = None
        if single or self.options.estimate == "mean":
            found = self.checkpoint.header.interval("result" if single else "mean")
        if found is None and single:
            more = "Give --samples or --estimate mean." if self.restorer.draws else "They make no draws either."
            raise UsageError("these weights are not calibrated: --spread needs several draws.", hint=more)
        usual = replace(self.options.sampling, strength=None)
        if found is not None and ((single and not usual.is_usual) or self.draws < found.draws):
            logger.warning("intervals were calibrated with other settings: they may hold more or less than 90 %")
        return found

    def _gate(self) -> Fallback:
        """To what results fall back.

        Raises:
            UsageError: they cannot fall back to what was asked for.
        """
        if self.options.coding is not None:
            return "off"
        header, asked = self.checkpoint.header, self.options.gate
        gate = USUAL.get(header.task, "off") if asked == "auto" else asked
        draws = self.restorer.takes_realism and self.sampling.realism != 0
        if asked == "auto":
            single = self.draws == 1 and self.options.sampling.is_usual
            return gate if header.interval("result") is not None and single and (gate != "mean" or draws) else "off"
        if gate != "off" and header.interval("result") is None:
            raise UsageError("--gate goes by intervals, for which these weights are not calibrated.")
        if gate == "mean" and not draws:
            raise UsageError("these weights give the mean already: --gate mean has nothing to fall back to.")
        if gate == "input" and TASKS.get(header.task, TASKS["denoise"]).needs_mask:
            raise UsageError("there is no input in holes: --gate input has nothing to fall back to.")
        return gate

    def pulse(self) -> None:
        """End what is under way if the run was asked to stop.

        Raises:
            StoppedError: it was.
        """
        if self.stopped():
            raise StoppedError

    def batch_size(self, loaded: Subject) -> int:
        """How many pictures of that size one call takes."""
        if self._tile or (self.device.type == "cpu" and self.options.batch_size <= 1):
            return 1
        size = largest_batch(self.restorer, loaded.size, self.device, self.share)
        if self.options.batch_size:
            size = min(size, self.options.batch_size) if self.options.tile == "auto" else self.options.batch_size
        return min(size, self.restorer.max_batch or size, self._largest_batch or size)

    @property
    def look_ahead(self) -> int:
        """How many decoded pictures are searched for ones that can share a batch."""
        if self.options.batch_size:
            return 2 * self.options.batch_size
        return 1 if self.device.type == "cpu" else GPU_LOOK_AHEAD

    def sample(self, batch: Sequence[Subject]) -> Iterator[Step | list[Output]]:
        """Restore a batch; the last thing yielded are its outputs. What needs nothing comes back as it is.

        Raises:
            InputError: a result is not what a photograph can be, or does not fit into memory.
        """
        needs = [self.settled(loaded) for loaded in batch]
        asked = [index for index, need in enumerate(needs) if need is None or need.weight]
        made: dict[int, Output] = {}
        if asked:
            for event in self._restored([batch[index] for index in asked], [needs[index] for index in asked]):
                if isinstance(event, list):
                    made = dict(zip(asked, event, strict=True))
                else:
                    yield event
        yield [made.get(index) or self._untouched(loaded, needs[index]) for index, loaded in enumerate(batch)]

    def settled(self, subject: Subject) -> Need | None:
        """What a picture needs, after a glance at a small copy of it where that tells; `None` where nobody asked."""
        need = subject.need
        return need if need is None else glanced(subject.degraded(), need, lambda small: self.plain(small, subject.key))

    def plain(self, image: Tensor, key: bytes) -> Tensor:
        """What the network makes of a small picture (3, H, W) in [0, 1] where nothing is asked of it, on the CPU.

        Raises:
            MachineError: the device failed.
            TooLargeError: there is too little memory.
        """
        try:
            result = self._plain(image, key, self.dtype)
            return result if bool(result.isfinite().all()) else self._plain(image, key, None)
        except (RuntimeError, MemoryError) as error:
            self._check_device(error)
            if is_out_of_memory(error):
                hint = more_memory(self.device)
                raise TooLargeError("there is not enough memory to look at it.", hint=hint) from None
            raise

    def _plain(self, image: Tensor, key: bytes, dtype: torch.dtype | None) -> Tensor:
        noise = ImageNoise([generator_for(self.options.seed, key)])
        observation, sampling = Observation(sent(image[None], self.device)), self.restorer.resolve(Sampling())
        with torch.inference_mode():
            states = self.restorer.steps(observation, noise, sampling, self._evaluating(dtype))
            return last(states)[0].float().clamp(0, 1).cpu()

    def _check_device(self, error: BaseException) -> None:
        if is_lost_device(error):
            raise MachineError(f"the device '{self.device}' failed: {str(error).splitlines()[0]}") from error

    def _restored(self, batch: Sequence[Subject], needs: Sequence[Need | None]) -> Iterator[Step | list[Output]]:
        """The same for pictures that need something, as often as memory and precision make it necessary."""
        tile, dtype = self._tile_for(batch), self.dtype
        while True:
            try:
                yield from self._sample(batch, needs, tile, dtype)
                return
            except (RuntimeError, MemoryError) as error:
                self._check_device(error)
                if not is_out_of_memory(error):
                    raise
                self._spared.forget()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                if len(batch) > 1:
                    self._largest_batch = len(batch) // 2
                    raise TooLargeError("there is not enough memory for all of the batch.") from None
                longest = max(max(loaded.size) for loaded in batch) * self.restorer.scale
                tile = round_up((tile or longest) // 2, self.restorer.facts.multiple)
                if tile < max(SMALLEST_TILE, 2 * self.restorer.facts.multiple):
                    raise TooLargeError("there is not enough memory for it, even in the smallest tiles.") from None
                logger.warning("out of memory: going on with tiles of %d pixels", tile)
                self._tile = tile
            except _NotFiniteError:
                if dtype is None:
                    raise InputError("the result is not finite.", hint="Try other weights or --sampler.") from None
                logger.warning("a result is not finite in half precision: once more in float32")
                dtype = None
                self._spared.whole_again()

    def _sample(
        self, batch: Sequence[Subject], needs: Sequence[Need | None], tile: int, dtype: torch.dtype | None
    ) -> Iterator[Step | list[Output]]:
        sizes = [loaded.size for loaded in batch]
        observation = self._observed(batch)
        sampling = self._mapped(batch, (observation.samples.shape[-2], observation.samples.shape[-1]))
        scale = self.restorer.scale
        interval = None if self.gate == "off" else self.checkpoint.header.interval("result")
        if interval is not None and self.gate == "mean":
            amount = 1.0 if sampling.realism is None else sampling.realism
            sampling = replace(sampling, realism=Gate(amount, interval, observation, sizes, scale))
        grown = [(height * scale, width * scale) for height, width in sizes]
        one = self._evaluating(dtype)
        names = tuple(loaded.name for loaded in batch)
        megapixels = sum(height * width for height, width in grown) / 1e6
        steps = (self.sampling.steps or 1) * self.draws
        current = 1  # the evaluation that is under way

        def watch(over: int, count: int) -> None:
            self.pulse()
            if over:
                self.watch(Tile(names, current, steps, over, count, megapixels))

        evaluate = one
        if tile:
            evaluate = Tiles(tile, choose_overlap(self.restorer, tile, self.options.tile_overlap), one, watch)
        if len(set(sizes)) > 1:
            evaluate = Ragged(grown, one)
        # Noise has the images' sizes only where those differ: a latent state has another.
        drawn = grown if len(set(sizes)) > 1 else None
        shown = _evenly(self.sampling.steps or 1, self.options.trajectory)
        outputs = [
            Output(tile, seen=self.restorer.seen(image[:, :height, :width]))
            for image, (height, width) in zip(observation.samples, sizes, strict=True)
        ]
        grey = [index for index, samples in enumerate(observation.samples) if _is_grey(samples)]
        short = self._short(observation.samples)
        at_once = short and self.gate != "input" and all(need is None for need in needs)
        total: Tensor | None = None
        squares: Tensor | None = None
        for draw in range(self.draws):
            keys = [b"" if self.options.shared_noise else loaded.key for loaded in batch]
            generators = [generator_for(self.options.seed, draw_key(key, draw)) for key in keys]
            kept: dict[int, Tensor] = {}
            current = draw * (self.sampling.steps or 1) + 1
            beneath = None if sampling.blend is None else observation
            deviation: list[Tensor] = []
            own: dict[int, Tensor] = {}
            with Prefetched(ImageNoise(generators, drawn, self.pulse)) as noise:
                if self.options.coding is not None:
                    states = self._coded(observation, self.options.coding, sizes, outputs, grey)
                elif self.interval is not None and self.restorer.tells_deviation:
                    states = self._deviating(observation, noise, sampling, evaluate, deviation)
                else:
                    states = self.restorer.steps(observation, noise, sampling, evaluate)
                if draw + 1 == self.draws:
                    del observation  # a system that makes a centre of it needs it no longer
                for count, state in enumerate(without_gradients(states), start=1):
                    if count in shown and draw == 0:
                        kept[count] = _seen(state)
                    yield Step(names, current, steps, megapixels)
                    current += 1
                    self.pulse()
                if beneath is not None and sampling.blend is not None:
                    with torch.inference_mode():
                        state = strengthened(state, beneath, sampling.blend)
                if shown and draw == 0:
                    kept[count] = _seen(state)
            with torch.inference_mode():
                state = _settled(state.float(), grey)
                image = received(in_bytes(state) if at_once else state)
            for index, (output, loaded, (height, width)) in enumerate(zip(outputs, batch, grown, strict=True)):
                if interval is not None and self.gate == "input":
                    with torch.inference_mode():
                        result = image[index, :, :height, :width]
                        result.copy_(to_input(result, in_unit(loaded.degraded()), interval, scale))
                        del result
                need = needs[index]
                if need is not None:
                    with torch.inference_mode():
                        result = image[index, :, :height, :width]
                        if self.interval is not None and need.of_network:
                            own[index] = result.clone()
                        output.need = tempered(loaded.degraded(), result, need)[1]
                        del result
                if self.options.estimate == "sample":
                    made = image[index, :, :height, :width]
                    output.images["" if draw == 0 else f".{draw}"] = in_bytes(made) if short and not at_once else made
                    del made
                if draw == 0:
                    output.states = [state[index, :, :height, :width] for state in kept.values()]
            if self.options.estimate == "mean" or (self.options.spread and self.draws > 1):
                if self.options.spread and self.draws > 1:
                    squares = image.square() if squares is None else squares.add_(image.square())
                total = image.clone() if total is None else total.add_(image)
            del image, state
        if total is not None:
            mean = total.div_(self.draws)
            for index, (output, (height, width)) in enumerate(zip(outputs, grown, strict=True)):
                if self.options.estimate == "mean":
                    output.images[""] = mean[index, :, :height, :width]
                if squares is not None:
                    centre = mean[index, :, :height, :width]
                    variance = (squares[index, :, :height, :width] / self.draws).sub_(centre.square()).clamp_min_(0)
                    output.images[".spread"] = variance.sqrt().mul_(SPREAD_GAIN).clamp_(0, 1)
                    output.draws = Draws(centre, variance.mul_(self.draws / max(self.draws - 1, 1)), self.draws)
        if self.interval is not None:
            for index, (output, loaded, (height, width)) in enumerate(zip(outputs, batch, grown, strict=True)):
                told = deviation[0][index, :, :height, :width] if deviation else None
                with torch.inference_mode():
                    seen = told if output.draws is None else output.draws.variance
                    output.half = self._half_width(loaded, output.images[""], seen, own.get(index))
                    output.images[".spread"] = _doubt(output.half)
        for loaded, output, size in zip(batch, outputs, grown, strict=True):
            output.notes = self.restorer.doubts
            for suffix, image in output.images.items():
                if suffix != ".spread":
                    _check(loaded, image, size)
        yield outputs

    def _short(self, samples: Tensor) -> bool:
        """Whether results of such samples are wanted as 8-bit ones."""
        plain = not self.options.spread and self.options.estimate == "sample"
        return self.in_bytes and plain and samples.dtype == torch.uint8

    def _evaluating(self, dtype: torch.dtype | None) -> Evaluate:
        """How a network is applied to a canvas in that precision."""
        return Reduced(dtype) if dtype else Float32() if self.device.type == "cuda" else whole

    def _deviating(
        self, observation: Observation, noise: RandnLike, sampling: Sampling, evaluate: Evaluate, found: list[Tensor]
    ) -> Iterator[Tensor]:
        """The one state of a system that also says how far its draws differ, which is put into `found`."""
        image, squared = self.restorer.with_deviation(observation, noise, sampling, evaluate)
        found[:] = [squared.float().cpu()]
        yield image

    def _half_width(
        self, subject: Subject, centre: Tensor, variance: Tensor | None, own: Tensor | None = None
    ) -> Tensor:
        """(H, W): of the interval around what is written, which may be drawn back from the network's `own` result."""
        assert self.interval is not None, "asked where there is one"
        size = (centre.shape[-2], centre.shape[-1])
        known = subject.known if subject.size == size else None
        degraded = enlarged(in_unit(subject.degraded()), size)
        return half_width(self.interval, Evidence(degraded, centre, known, variance, own))

    def _coded(
        self,
        observation: Observation,
        quality: int,
        sizes: Sequence[tuple[int, int]],
        outputs: Sequence[Output],
        grey: Sequence[int],
    ) -> Iterator[Tensor]:
        """What the files of a codec show, after each was read back from its bytes; one state."""
        if outputs[0].tile:
            raise TooLargeError("it does not fit into memory whole, and a codec takes no tiles.")
        shown = torch.zeros_like(observation.image)
        weights = bytes.fromhex(self.checkpoint.sha256)[:16]
        for index, (image, (height, width), output) in enumerate(zip(observation.image, sizes, outputs, strict=True)):
            latent = self.restorer.coded(image[:, :height, :width], quality)
            output.coded = Coded(quality, index in grey, (height, width), weights, self.checkpoint.path.stem, latent)
            shown[index, :, :height, :width] = self.restorer.opened(latent, quality, (height, width))
        yield shown

    def _untouched(self, subject: Subject, need: Need | None) -> Output:
        """What is made of a picture that needs nothing: itself, in place of each draw and of its state."""
        image, options = subject.degraded(), self.options
        image = image if self._short(image) else in_unit(image)
        draws = range(1, self.draws if options.estimate == "sample" else 1)
        images = {"": image} | {f".{draw}": image for draw in draws}
        if options.spread:
            half = (
                image.new_zeros(image.shape[-2:]) if self.interval is None else self._half_width(subject, image, None)
            )
            images[".spread"] = _doubt(half)
        return Output(images=images, states=[_seen(in_unit(image))] if options.trajectory else [], need=need)

    def _observed(self, batch: Sequence[Subject]) -> Observation:
        """A batch on the device; pictures of unequal size share a canvas, each in its upper left corner."""
        sizes = {loaded.size for loaded in batch}
        masks = [loaded.known for loaded in batch]
        if len(sizes) == 1:
            images = alike([loaded.degraded() for loaded in batch])
            canvas = images[0][None] if len(batch) == 1 else torch.stack(images)
            del images
        else:
            images = alike([loaded.degraded() for loaded in batch])
            size = self.restorer.facts.padded_size(*batch[0].size)
            canvas = torch.zeros(len(batch), 3, *size, dtype=images[0].dtype)
            for whole_image, image in zip(canvas, images, strict=True):
                whole_image[:, : image.shape[-2], : image.shape[-1]] = image
        operator, noise_std = (batch[0].operator, batch[0].noise_std) if len(batch) == 1 else (None, None)
        if all(mask is None for mask in masks):
            return Observation(sent(canvas, self.device), None, operator, noise_std)
        known = torch.ones(len(batch), 1, *canvas.shape[-2:], dtype=torch.bool)
        for whole_mask, mask in zip(known, masks, strict=True):
            if mask is not None:
                whole_mask[0, : mask.shape[0], : mask.shape[1]] = mask
        return Observation(sent(canvas, self.device), sent(known, self.device), operator, noise_std)

    def _mapped(self, batch: Sequence[Subject], canvas: tuple[int, int]) -> Sampling:
        """The sampling with the batch's own maps in place of their paths; beyond a picture's size they are 1."""
        maps: dict[str, Tensor] = {}
        for name in self.sampling.maps:
            maps[name] = torch.ones(len(batch), 1, *canvas)
            for amounts, loaded in zip(maps[name], batch, strict=True):
                amounts[0, : loaded.size[0], : loaded.size[1]] = loaded.maps[name]
        return self.sampling.with_maps({name: amounts.to(self.device) for name, amounts in maps.items()})

    def _tile_for(self, batch: Sequence[Subject]) -> int:
        """The size of tiles, 0 for none: as asked, as an earlier picture taught, or `choose_tile`."""
        return self._tile if len(batch) > 1 else self.tile_for(batch[0].size)

    def tile_for(self, size: tuple[int, int]) -> int:
        """The same for one degraded picture of that height and width.

        Raises:
            TooLargeError: it does not fit into memory.
        """
        if self.options.tile != "auto" or self._tile:
            return self._tile
        fitted, since = self._fitted
        if size == fitted and time.monotonic() - since < MOMENT:
            return 0
        options = self.options
        images = self.draws if options.estimate == "sample" else 2
        extra = images - 1 + 3 * options.spread + (self.draws > 1)
        extra += (self.sampling.blend is not None) + self.sampling.is_judged + 3 * (self.gate == "input")
        filed = 2 * (not self.sampling.is_draw) + 3 * (self.gate == "mean")
        extra += MORE_HELD.get(self.sampling.sampler or "", 0)
        tile = choose_tile(self.restorer, size, self.device, extra_images=extra, filed_images=filed, share=self.share)
        if not tile and size[0] * size[1] * self.restorer.scale**2 <= SMALL:
            self._fitted = (size, time.monotonic())
        return tile


def unwatched(tile: Tile) -> None:
    """Nobody looks."""


class StoppedError(Exception):
    """The run was asked to stop between two steps or tiles."""


class _NotFiniteError(Exception):
    """A result holds NaN or infinity."""


def alike(images: Sequence[Tensor]) -> list[Tensor]:
    """Samples of one dtype: their own where all have the same, else those in [0, 1]."""
    return [*images] if len({image.dtype for image in images}) == 1 else [in_unit(image) for image in images]


def _is_grey(samples: Tensor) -> bool:
    """Whether the three channels are equal; looked at in bands."""
    looked_at = (in_unit(samples[:, rows]) for rows in bands(samples.shape[-2], BAND))
    return all(bool((band == band[:1]).all()) for band in looked_at)


def _settled(state: Tensor, grey: Sequence[int]) -> Tensor:
    """A last state, which is changed in place: in [0, 1], and grey where its picture is; noise has colours.

    Raises:
        _NotFiniteError: it holds NaN or infinity.
    """
    for rows in bands(state.shape[-2], BAND if state.device.type == "cpu" else state.shape[-2]):
        band = state[..., rows, :]
        if not all(math.isfinite(bound) for bound in band.aminmax()):
            raise _NotFiniteError
        for index in grey:
            band[index] = band[index].mean(0, keepdim=True)
        band.clamp_(0, 1)
        room.rest()
    return state


def _evenly(steps: int, count: int) -> set[int]:
    """`count` of the numbers 1 to `steps`, evenly spread, with the first and the last; one is the last."""
    count = min(count, steps)
    if count < 2:
        return {steps} if count else set()
    return {1 + round(index * (steps - 1) / (count - 1)) for index in range(count)}


def _seen(state: Tensor) -> Tensor:
    """A state as pixels, on the CPU."""
    return state.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()


def _doubt(half: Tensor) -> Tensor:
    """(3, H, W): what is written of half the width of intervals, (H, W)."""
    return half.mul(SPREAD_GAIN).clamp_(0, 1)[None].expand(3, -1, -1)


def without_gradients(states: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same states; the mode ends between two of them, where it would be the caller's."""
    while True:
        with torch.inference_mode():
            state = next(states, None)
        if state is None:
            return
        yield state


@contextmanager
def explained() -> Iterator[None]:
    """What nobody foresaw fails the one picture that set it off."""
    try:
        yield
    except (IrsdeError, StoppedError):
        raise
    except Exception as error:
        logger.debug("unexpected", exc_info=True)
        raise InputError(f"unexpected {type(error).__name__}: {error}", hint="IRSDE_DEBUG=1 shows where.") from None


def _check(loaded: Subject, image: Tensor, size: tuple[int, int]) -> None:
    """The post-condition of every result: the right size, and constant only where the input is."""
    if tuple(image.shape[-2:]) != size:
        raise InputError(f"the result has the size {tuple(image.shape[-2:])} instead of {size}.")
    low, high = (float(in_unit(bound[None])) for bound in image.aminmax())
    if image.numel() > 3 and high - low < 0.5 / 255 and not loaded.flat:
        raise InputError("the result is one flat colour, which the picture is not.", hint="Try other weights.")
