"""What a batch teaches: one file and one row an objective.

An objective is `(system, x0, mu, t, noise) -> losses`: the two ends that `Restorer.endpoints` makes of a pair, each
(B, C, H, W), indices t (B,) in 1..T, standard normal noise like x0; a loss for each image, (B,), to be lowered.
Objectives of systems without a process leave t and noise alone. The annotation of `system` says whom it can teach.

A row may also be a `irsde_cli.training.strategy.Strategy`, which has a state, parts that learn beside the network and,
in `Config`, settings of its own.
"""

from irsde_cli.registry import Entry, Registry

OBJECTIVES = Registry(
    "objective",
    {
        "maximum-likelihood": Entry(
            "irsde_cli.training.maximum_likelihood:maximum_likelihood",
            paper="2301.11699",
            checked="code",
            evidence="tests/training/test_objectives.py::test_maximum_likelihood_equals_the_reference",
        ),
        "normalised-maximum-likelihood": Entry(
            "irsde_cli.training.maximum_likelihood:normalised_maximum_likelihood",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_normalised_likelihood_weighs_noise_alike",
        ),
        "noise-matching": Entry(
            "irsde_cli.training.noise_matching:noise_matching",
            paper="2006.11239",
            checked="code",
            evidence="tests/training/test_objectives.py::test_noise_matching_equals_the_reference",
        ),
        "clean-matching": Entry(
            "irsde_cli.training.clean_matching:clean_matching",
            paper="2206.00364",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_every_objective_teaches_every_system_and_parameterisation",
        ),
        "direct-regression": Entry(
            "irsde_cli.training.direct_regression:direct_regression",
            paper="2301.11699",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_half_of_the_samples_are_told_how_much_noise_there_is",
        ),
        "direct-decibels": Entry(
            "irsde_cli.training.direct_decibels:direct_decibels",
            paper="2204.04676",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_decibels_weigh_little_damage_as_heavy",
        ),
        "told-noise": Entry(
            "irsde_cli.training.told_noise:told_noise",
            paper="2206.00364",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_every_level_of_told_noise_is_taught",
        ),
        "two-heads": Entry(
            "irsde_cli.training.energy:two_heads",
            checked="properties",
            evidence="tests/training/test_energy.py::test_a_gaussian_problem_is_learnt_within_two_percent",
        ),
        "drawing": Entry(
            "irsde_cli.training.energy:drawing",
            checked="properties",
            evidence="tests/training/test_energy.py::test_a_drawing_branch_learns_alone",
        ),
        "two-outputs": Entry(
            "irsde_cli.training.two_outputs:two_outputs",
            paper="2308.13712",
            checked="properties",
            evidence="tests/training/test_two_outputs.py::test_each_output_learns_what_it_says",
        ),
        "mean-and-flow": Entry(
            "irsde_cli.training.mean_and_flow:mean_and_flow",
            paper="2410.00418",
            checked="properties",
            evidence="tests/systems/test_pmrf.py::test_the_mean_learns_nothing_from_the_flow",
        ),
        "reconstruction": Entry(
            "irsde_cli.training.reconstruction:reconstruction",
            paper="2304.08291",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_reconstruction_is_the_published_sum",
        ),
        "rate-distortion": Entry(
            "irsde_cli.training.rate_distortion:rate_distortion",
            paper="https://github.com/ZeldaM1/All-in-one",
            checked="properties",
            evidence="tests/training/test_objectives.py::test_a_codec_learns_to_be_short_and_near",
        ),
        "reinforce": Entry(
            "irsde_cli.training.reinforce:Reinforce",
            paper="2410.04811",
            checked="properties",
            evidence="tests/training/test_strategies.py::test_reinforcing_raises_the_reward",
            example={"steps": 3, "paths": 1},
        ),
        "distill": Entry(
            "irsde_cli.training.distill:Distill",
            paper="2410.04811",
            checked="properties",
            evidence="tests/training/test_strategies.py::test_distilling_brings_the_student_to_its_teacher",
            example={"steps": (1, 2), "teacher_steps": 2},
        ),
        "consistency": Entry(
            "irsde_cli.training.consistency:Consistency",
            paper="2303.01469",
            checked="properties",
            evidence="tests/training/test_strategies.py::test_consistency_agrees_with_the_teacher_at_the_end",
            example={"steps": 2},
        ),
        "adversarial": Entry(
            "irsde_cli.training.adversarial:Adversarial",
            paper="1908.03826",
            checked="properties",
            evidence="tests/training/test_parts.py::test_critics_and_network_learn_against_each_other",
            example={"layers": (1, 2), "width": 4},
        ),
        "task-uncertainty": Entry(
            "irsde_cli.training.task_uncertainty:TaskUncertainty",
            paper="https://github.com/Aitical/TUR",
            checked="properties",
            evidence="tests/training/test_parts.py::test_the_best_uncertainty_is_half_of_the_error",
        ),
        "transport": Entry(
            "irsde_cli.training.transport:Transport",
            paper="2411.01656",
            checked="code",
            evidence="tests/training/test_transport.py::test_the_critic_is_the_published_one",
            example={"width": 4},
        ),
        "degradation-classification": Entry(
            "irsde_cli.training.degradation_classification:DegradationClassification",
            paper="2501.15510",
            checked="code",
            evidence="tests/training/test_parts.py::test_the_classifier_is_the_published_one",
            example={"classes": 2},
        ),
    },
)
