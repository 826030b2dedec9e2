"""Works compared on a machine that is never quiet: they take turns, so that what disturbs one disturbs all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of the processor of each work in each round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            since = time.process_time()
            work()
            taken[name].append(time.process_time() - since)
    return taken


def times_as_fast(before: Sequence[float], after: Sequence[float]) -> str:
    """How many times as fast one work is as another, by the best of their rounds, and the median of all rounds."""
    median = statistics.median(one / other for one, other in zip(before, after, strict=True))
    return f"{min(before) / min(after):.2f} times as fast (median {median:.2f})"
