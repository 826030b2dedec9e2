"""Works compared on a machine that is never quiet: they take turns, so that what disturbs one disturbs all."""

import time
from collections.abc import Callable, Mapping


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of the processor of each work in each round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            since = time.process_time()
            work()
            taken[name].append(time.process_time() - since)
    return taken
