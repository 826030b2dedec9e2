"""Coverage-guided fuzzing: `python -m tests.reliability.fuzz TARGET SECONDS`; needs the extra `fuzz`.

An exception that is not declared, or an input that takes more than five seconds, ends the process with an error and
leaves the input in the current folder.
"""

import sys
import tempfile
from pathlib import Path


def main(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["irsde_cli", "PIL", "tifffile"]):
        from tests.reliability.targets import SEEDS, TARGETS

    corpus = Path(tempfile.mkdtemp(prefix=f"corpus-{name}-"))
    for index, seed in enumerate(SEEDS[name]()):
        (corpus / str(index)).write_bytes(seed)
    longest = 2 * max(map(len, SEEDS[name]())) + 64
    limits = [f"-max_total_time={seconds}", f"-max_len={longest}", "-timeout=5", "-rss_limit_mb=3000", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
