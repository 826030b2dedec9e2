"""A run that is ready to begin: in this process, in several, or on a cluster."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, cast

import torch

from irsde_cli.engine.forecast import Forecast
from irsde_cli.engine.loading import load
from irsde_cli.engine.restoration import Restoration, stood, unwatched
from irsde_cli.engine.settings import Tile
from irsde_cli.images import no_codec
from irsde_cli.runtime import choose_device, choose_precision
from irsde_cli.storage.journal import last_run, settings_id
from irsde_cli.weights import SHIPPED, Weights
from irsde_cli.workflows.restore.calibrate import calibrated
from irsde_cli.workflows.restore.cluster import Cluster
from irsde_cli.workflows.restore.events import Event, Ready
from irsde_cli.workflows.restore.page import paged
from irsde_cli.workflows.restore.pipeline import run
from irsde_cli.workflows.restore.plan import Plan
from irsde_cli.workflows.restore.pool import Pool, Setup, places
from irsde_cli.workflows.restore.resume import describe, preview

logger = logging.getLogger(__name__)


class Job:
    """A plan with its weights, on the devices that will do it.

    Attributes:
        plan: what is restored, to where.
        settings: all that decides the pixels.
    """

    def __init__(self, plan: Plan, weights: Weights) -> None:
        options = plan.options
        self._weights = weights
        self._jobs = options.jobs or (1 if options.ray is None else "auto")
        self._device = choose_device(options.device)
        here = options.ray is None and plan.folder is not None
        self._devices = places(self._jobs, options.device, self._device, plan.count) if here else [self._device]
        self._single = options.ray is None and len(self._devices) == 1
        loaded = load(weights, options.task, options.sampling)
        if options.coding is not None and not loaded.restorer.codes:
            raise no_codec()
        # Where several machines share a run each would choose for itself, and one of them would be slow.
        alone = options.shard is None and options.ray is None and not options.sampling.is_chosen
        measured = alone and weights.name in SHIPPED
        dtype = stood(loaded.restorer, choose_precision(options.precision, self._device, measured=measured))
        if options.sampling.is_chosen:
            plan = calibrated(plan, loaded.restorer, self._device, dtype)
        self.plan = plan
        device = self._device if self._single or options.dry_run else choose_device("cpu")
        self._restoration = Restoration(loaded, plan.options, device, dtype)
        if measured and options.precision == "auto" and self._device.type == "cpu":
            self._restoration.dtype = self._kept(dtype)
        self.settings = self._described(self._restoration.dtype)

    def _described(self, dtype: torch.dtype | None) -> dict[str, Any]:
        return describe(self.plan, self._restoration.checkpoint, self._restoration.sampling, dtype)

    def _kept(self, dtype: torch.dtype | None) -> torch.dtype | None:
        """The precision with which the same run began, on this machine or another; else the one that was chosen."""
        if self.plan.folder is None:
            return dtype
        known = {settings_id(self._described(one)): one for one in (None, torch.bfloat16)}
        told = last_run(self.plan.folder, known)
        kept = dtype if told is None else known[told]
        if kept != dtype:
            logger.info("going on in %s, as this run began", "float32" if kept is None else "bfloat16")
        return kept

    @property
    def resolved(self) -> dict[str, Any]:
        """All options, with what the weights and the machine made of them."""
        sampling = asdict(self._restoration.sampling)
        return {**asdict(self.plan.options), "sampling": sampling, "device": str(self._device)}

    @property
    def ready(self) -> Ready:
        """What the run says first."""
        header, sampling = self._restoration.checkpoint.header, self._restoration.sampling
        assert sampling.sampler is not None and sampling.steps is not None, "a resolved Sampling"
        options = self.plan.options
        return Ready(
            task=options.task,
            count=self.plan.count,
            place=options.quoted,
            target=options.outputs,
            weights=self._weights.name,
            trained_for=header.task,
            training_steps=header.step,
            origin=header.origin,
            places=tuple(map(str, self._devices)),
            ray=options.ray,
            sampler=sampling.sampler,
            steps=sampling.steps,
            nodes=sampling.nodes,
            realism="map" if "realism" in sampling.maps else cast(float | None, sampling.realism),
            seed=options.seed,
            opens=options.opening,
            engine=options.engine,
        )

    def run(self, stopped: Callable[[], bool], watch: Callable[[Tile], None] = unwatched) -> Iterator[Event]:
        """The events of the run; see `irsde_cli.workflows.restore.run.restore`."""
        options = self.plan.options
        yield self.ready
        if options.dry_run:
            forecast = None if options.ray is not None else Forecast(self._restoration, len(set(self._devices)))
            yield from preview(self.plan, settings_id(self.settings), forecast)
            return
        events = self._here(stopped, watch) if self._single else self._elsewhere(stopped)
        if options.report is None:
            yield from events
            return
        sampling = self._restoration.sampling
        caption = f"{self._weights.name}, {sampling.sampler}, {sampling.steps} steps, seed {options.seed}"
        interval = self._restoration.checkpoint.header.interval("result")
        yield from paged(events, options, options.report, caption, interval)

    def _here(self, stopped: Callable[[], bool], watch: Callable[[Tile], None]) -> Iterator[Event]:
        self._restoration.stopped, self._restoration.watch = stopped, watch
        return run(self._restoration, self.plan)

    def _elsewhere(self, stopped: Callable[[], bool]) -> Iterator[Event]:
        options = self.plan.options
        setup = Setup.of(self._restoration, options, self.settings, self._weights)
        others: Pool | Cluster
        if options.ray is None:
            others = Pool(setup, self.plan, self.settings, self._devices)
        else:
            gpus = options.device != "cpu"
            others = Cluster(setup, self.plan, self.settings, options.ray, self._jobs, gpus=gpus)
        others.stopped = stopped
        return others.run()
