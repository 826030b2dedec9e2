"""What every process of these tests has imported before it is forked."""

import pytest  # noqa: F401 - the main module of the process that asks, which each child imports too
import torch

import tests.reliability.points  # noqa: F401

# The first arithmetic without data imports a compiler.
torch.ones(1, device="meta") / 2
