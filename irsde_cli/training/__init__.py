"""What a batch teaches: one file and one row an objective.

An objective is `(system, clean, mu, t, noise) -> loss`: images (B, 3, H, W) in [0, 1], indices (B,) in 1..T, standard
normal noise, a scalar to be lowered.
"""

from irsde_cli.registry import Registry

OBJECTIVES = Registry(
    "objective",
    {
        "maximum-likelihood": "irsde_cli.training.maximum_likelihood:maximum_likelihood",
        "clean-matching": "irsde_cli.training.clean_matching:clean_matching",
    },
)
