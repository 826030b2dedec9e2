"""What a batch teaches: one file and one row an objective.

An objective is `(system, x0, mu, t, noise) -> losses`: the two ends that `Restorer.endpoints` makes of a pair, each
(B, C, H, W), indices t (B,) in 1..T, standard normal noise like x0; a loss for each image, (B,), to be lowered.
Objectives of systems without a process leave t and noise alone.

A row may also be a `irsde_cli.training.strategy.Strategy`, which has a state and, in `Config`, settings of its own.
"""

from irsde_cli.registry import Registry

OBJECTIVES = Registry(
    "objective",
    {
        "maximum-likelihood": "irsde_cli.training.maximum_likelihood:maximum_likelihood",
        "normalised-maximum-likelihood": "irsde_cli.training.maximum_likelihood:normalised_maximum_likelihood",
        "noise-matching": "irsde_cli.training.noise_matching:noise_matching",
        "clean-matching": "irsde_cli.training.clean_matching:clean_matching",
        "direct-regression": "irsde_cli.training.direct_regression:direct_regression",
        "direct-decibels": "irsde_cli.training.direct_decibels:direct_decibels",
        "reconstruction": "irsde_cli.training.reconstruction:reconstruction",
        "reinforce": "irsde_cli.training.reinforce:Reinforce",
        "distill": "irsde_cli.training.distill:Distill",
        "consistency": "irsde_cli.training.consistency:Consistency",
    },
)
