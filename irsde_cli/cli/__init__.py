"""The command line: it parses, calls and prints. Nothing here imports torch before it is needed."""

from irsde_cli.cli.program import main

__all__ = ["main"]
