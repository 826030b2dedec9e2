"""Configurations as earlier formats of a checkpoint's header had them, as today's."""

from typing import Any

# Until format 2 the settings of the process stood beside all others, with a default of each system's.
BEFORE: dict[str, dict[str, Any]] = {
    "mean-reverting": {"stationary_std": 10 / 255, "num_timesteps": 100, "schedule": "cosine", "eps": 0.005},
    "denoising": {"stationary_std": 75 / 255, "num_timesteps": 100, "schedule": "cosine", "eps": 0.04},
    "latent": {"stationary_std": 50 / 255, "num_timesteps": 100, "schedule": "cosine", "eps": 0.005},
    "daclip": {"stationary_std": 50 / 255, "num_timesteps": 100, "schedule": "cosine", "eps": 0.005},
    "flux-ir": {"num_timesteps": 100, "shift": 1.596, "start_at": 20 / 21},
}
NAMES = {"denoising": "denoising", "flux-ir": "rectified-flow"}
RESIDUAL = {"denoising": 0.25, "latent": 0.25, "daclip": 0.15, "flux-ir": 0.5}


def with_process(system: Any, config: Any) -> Any:
    """The configuration of a system with its process as one table; as it is where that is so, or nothing of the kind.

    What is wrong with it is found by whoever reads it afterwards.
    """
    if not isinstance(config, dict) or system not in BEFORE or "process" in config:
        return config
    rest, options = dict(config), {}
    for name, default in BEFORE[system].items():
        options[name] = rest.pop(name, default)
    process = {
        "name": NAMES.get(system, "mean-reverting"),
        "options": options,
        "prediction": rest.pop("prediction", "flow" if system == "flux-ir" else "noise"),
        "residual_std": rest.pop("residual_std", RESIDUAL.get(system, 0.08)),
    }
    return {**rest, "process": process}
