"""What a look at a picture costs beside its network: processor time, in turns.

    python -m tests.benchmarks.gates PHOTO [TASK...] [--side 512] [--rounds 5]

The middle of PHOTO, with noise of 10, one thread, bfloat16, with the settings that ship. A look is all that
`--strength auto` and the check for contradictions do besides: what a picture needs, before and after its network, and
of haze the copy that is restored first. The medians of the rounds go into the table of docs/trust.md.
"""

import argparse
import statistics
from pathlib import Path

import torch

from irsde_cli import checkpoint
from irsde_cli.engine.restoration import Restoration
from irsde_cli.engine.settings import Settings
from irsde_cli.needs import JUDGED, need
from irsde_cli.needs.drift import drifts
from irsde_cli.needs.tempering import tempered
from irsde_cli.tasks import TASKS
from irsde_cli.weights import find_weights
from tests.benchmarks.pages import TRUST, put
from tests.benchmarks.trust import One, read
from tests.benchmarks.turns import in_turns


def main() -> None:
    """Print the row of each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    clean = read(asked.photo, asked.side)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    degraded = ((clean + noise * 10 / 255).clamp(0, 1) * 255).round() / 255
    for task in asked.tasks or [task for task in JUDGED if TASKS[task].weights]:
        restoration = Restoration(
            checkpoint.load(find_weights(None, task).path), Settings(), torch.device("cpu"), torch.bfloat16
        )
        subject = One("photo", degraded)
        *_, outputs = restoration.sample([subject])
        assert isinstance(outputs, list), "the last thing that a batch yields is its outputs"
        result = outputs[0].images[""]

        def look(task: str = task, restoration: Restoration = restoration, result: torch.Tensor = result) -> None:
            found = restoration.settled(One("photo", degraded, need=need(task, degraded)))
            assert found is not None, "it was asked"
            with torch.inference_mode():
                tempered(degraded, result.clone(), found)
                drifts(task, degraded, result)

        def network(restoration: Restoration = restoration, subject: One = subject) -> None:
            [*restoration.sample([subject])]

        taken = in_turns({"network": network, "look": look}, asked.rounds)
        seconds = {name: statistics.median(times) for name, times in taken.items()}
        share = statistics.median(one / other for one, other in zip(taken["look"], taken["network"], strict=True))
        megapixels = degraded[0].numel() / 1e6
        cells = f"{seconds['network'] / megapixels:.2f}", f"{seconds['look'] / megapixels:.2f}", f"{share:.0%}"
        print(put(TRUST, "| | network | look | share |", task, *cells), flush=True)


if __name__ == "__main__":
    main()
