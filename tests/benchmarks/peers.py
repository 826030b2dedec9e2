"""Peers as checkpoints of one pass, for `irsde evaluate`: OUT/{ffdnet-25,dncnn-blind,aod-net}.safetensors.

python -m tests.benchmarks.peers SHARED/weights OUT
"""

import argparse
from pathlib import Path

from irsde_cli import checkpoint
from irsde_cli.conversions.published import Converted, convert
from irsde_cli.weights.catalogue import CATALOGUE

# By the names that docs/results.md has for them: the row of the list, and the file in SHARED/weights.
PEERS = {
    "ffdnet-25": ("ffdnet-color", "ffdnet_color"),
    "dncnn-blind": ("dncnn-color-blind", "dncnn_color_blind"),
    "aod-net": ("aod-net", "aodnet_dehaze"),
}


def peer(name: str, weights: Path) -> Converted:
    """A peer with its published weights."""
    row, file = PEERS[name]
    return convert(row, CATALOGUE[row], [weights / f"{file}.safetensors"])


def main() -> None:
    """Write checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in PEERS:
        made = peer(name, arguments.source)
        checkpoint.save(arguments.out / f"{name}.safetensors", made.restorer, **made.fields)


if __name__ == "__main__":
    main()
