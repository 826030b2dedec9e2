"""What every process of these tests has imported before it is forked."""

import pytest  # noqa: F401 - the main module of the process that asks, which each child imports too
import torch

import irsde_cli.cli.display
import irsde_cli.cli.program
import irsde_cli.cli.progress
import irsde_cli.cli.train_progress
import irsde_cli.report.page
import irsde_cli.samplers.multistep
import irsde_cli.samplers.posterior
import irsde_cli.systems.mean_reverting
import irsde_cli.workflows.restore.run
import irsde_cli.workflows.train.run
import irsde_cli.workflows.weights.download  # noqa: F401
import tests.reliability.points  # noqa: F401

# The first arithmetic without data imports a compiler.
torch.ones(1, device="meta") / 2
