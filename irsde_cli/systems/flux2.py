"""FLUX.2 as a restorer: it edits the degraded image by what a prompt says, from noise, in its latents.

Black Forest Labs 2026, klein base (Apache-2.0 with 4 billion parameters); networks from `diffusers`, the extra
`irsde[flux]`. docs/flux.md says what it costs.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from irsde_cli.systems.flux import FluxConfig, FluxRestorer
from irsde_cli.systems.parts import ProcessConfig, PublishedSampling

# The shift of 50 steps at 1024 x 1024 pixels; the start is noise but for a ten thousandth.
FLOW = ProcessConfig("rectified-flow", {"num_timesteps": 1000, "shift": 7.56, "start_at": 0.999}, "flow", 0.5)


@dataclass(frozen=True)
class Flux2Config(FluxConfig):
    """See `FluxConfig`: the network is a `flux2`, the autoencoder a `flux2-autoencoder`.

    As published every estimate is driven away from that of the empty prompt, four times as far.
    """

    process: ProcessConfig = FLOW
    true_guidance: float = 4.0
    guided_from: int = 1000
    sampling: PublishedSampling = PublishedSampling(sampler="ddim", steps=50)


class Flux2Restorer(FluxRestorer):
    """Samples in FLUX.2's latents, which are never clipped; the transformer is trained, for there is no ControlNet.

    Tiles cut the latent; encoder and decoder see the whole image.
    """

    config: Flux2Config
    network: Any  # a `Flux2`
    autoencoder: Any  # a `Flux2Autoencoder`
    unlearnt = (
        "FLUX.2 was trained before, and learns on from there.",
        "docs/flux.md says how its weights become a checkpoint for --init.",
    )

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`."""
        transformer: nn.Module = self.network.transformer
        return transformer

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """See `FluxRestorer.frozen`."""
        return (self.autoencoder,)
