"""`python -m irsde_cli`."""

from irsde_cli.cli import main

main()
