"""How the IR-SDE reference samples, written anew as the yardstick of `tests.benchmarks.speed`.

One image, float32, eager; the network as it was trained, its time embedding computed in each step; a Python number
becomes a tensor and goes to the device in each step; coefficients are picked from tables as tensors without dimensions,
and worked out anew; noise is drawn when it is needed; every state is kept. Reading, sampling and writing take turns.
Solver, noise and clipping are those of `posterior` at our nodes, so that the results can be compared.
"""

from pathlib import Path

import torch
from torch import Tensor

from irsde_cli.centres.centre import centre
from irsde_cli.images import encode_picture, read_picture, to_tensor, with_restored
from irsde_cli.observation import Observation
from irsde_cli.processes.mean_reverting import MeanRevertingSDE
from irsde_cli.randomness import ImageNoise, generator_for
from irsde_cli.samplers.nodes import choose_nodes
from irsde_cli.systems.mean_reverting import MeanReverting


def reference_sample(system: MeanReverting, degraded: Tensor, name: bytes, steps: int) -> list[Tensor]:
    """All states of one picture (1, 3, H, W), the last one restored; seed 0."""
    device = degraded.device
    noise_like = ImageNoise([generator_for(0, name)])
    sde, parameterisation = system.process, system.parameterisation
    assert isinstance(sde, MeanRevertingSDE)
    mu = centre(Observation(degraded), system.scale, system.config.upsampling)
    bar, std = sde.theta_bar.to(device), sde.std_table.to(device)
    nodes = choose_nodes(sde.path(mu), steps, sde.num_timesteps, fast=False)
    x = mu + sde.stationary_std * noise_like(mu)
    states = []
    for t, s in zip(nodes, (*nodes[1:], 0), strict=True):
        time = torch.tensor([t]).to(device)
        m_t, s_t = torch.exp(-bar[t]), std[t]
        seen = parameterisation.network_input(x, mu, m_t, s_t)
        output = system.network(seen, mu, time)
        clean = parameterisation.clean(output, x, mu, m_t, s_t).clamp(0, 1)
        a, b, c = torch.exp(-(bar[t] - bar[s])), torch.exp(-bar[t]), torch.exp(-bar[s])
        mean = a * (1 - c**2) / (1 - b**2) * (x - mu) + c * (1 - a**2) / (1 - b**2) * (clean - mu) + mu
        variance = (1 - a**2) * (1 - c**2) / (1 - b**2)
        x = mean + sde.stationary_std * torch.sqrt(variance) * noise_like(x) if s > 0 else mean
        states.append(x.clone())
    return states


def reference_restore(system: MeanReverting, source: Path, target: Path, steps: int, device: torch.device) -> None:
    """The pictures of a folder one after another, as PNG."""
    for path in sorted(source.iterdir()):
        picture = read_picture(path, path.name)
        degraded = to_tensor(picture)[None].to(device)
        restored = reference_sample(system, degraded, path.name.encode(), steps)[-1].clamp(0, 1)
        data = encode_picture(with_restored(picture, restored[0].cpu()), format="png")
        (target / path.with_suffix(".png").name).write_bytes(data)
