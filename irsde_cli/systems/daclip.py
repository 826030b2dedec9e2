"""Universal IR-SDE: one network for many kinds of damage, told by DA-CLIP what the picture shows and what it suffers.

Luo et al., ICLR 2024 (ten kinds of damage) and CVPRW 2024 (in the wild, at half the resolution).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from irsde_cli.images import in_unit
from irsde_cli.networks.daclip import DaClip, looked_at
from irsde_cli.networks.daclip_unet import DaClipUNet, Told
from irsde_cli.networks.tiling import Evaluate
from irsde_cli.observation import Observation
from irsde_cli.processes.parameterisation import Parameterisation
from irsde_cli.processes.process import Process
from irsde_cli.randomness import RandnLike
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.diffusion import Diffusion
from irsde_cli.systems.parts import (
    NetworkConfig,
    ProcessConfig,
    PublishedSampling,
    Reverse,
    build_network,
    build_process,
    check_outputs,
    clean_predictor,
)

# The words that DA-CLIP was taught, as CLIP's byte pairs between its marks of begin and end.
WORDS = {
    "motion-blurry": (49406, 7860, 268, 21977, 49407),
    "hazy": (49406, 32655, 49407),
    "jpeg-compressed": (49406, 73, 11207, 268, 42359, 49407),
    "low-light": (49406, 1042, 268, 1395, 49407),
    "noisy": (49406, 33495, 49407),
    "raindrop": (49406, 3128, 3387, 49407),
    "rainy": (49406, 10222, 49407),
    "shadowed": (49406, 15243, 538, 49407),
    "snowy": (49406, 14191, 49407),
    "uncompleted": (49406, 569, 5976, 49407),
}

UNIVERSAL = ProcessConfig(options={"stationary_std": 50 / 255}, residual_std=0.15)


@dataclass(frozen=True)
class DaClipConfig:
    """Everything that must be the same in training and in sampling.

    Attributes:
        network: a `daclip-unet`.
        clip: a `daclip`.
        names_damage: whether its embedding of damage can be compared with `WORDS`.
        process: what lies between the degraded and the clean image.
        sampling: the sampler that goes with the weights.
    """

    network: NetworkConfig
    clip: NetworkConfig
    names_damage: bool = True
    process: ProcessConfig = UNIVERSAL
    sampling: PublishedSampling = PublishedSampling()


class DaClipRestorer(Diffusion):
    """Looks at the whole picture once, small, and then samples; tiles are told what the whole picture is."""

    config: DaClipConfig
    follows_paths = True
    max_batch = 1  # pictures of unequal size share a canvas, which is not what should be looked at

    def __init__(self, config: DaClipConfig) -> None:
        super().__init__()
        self.config = config
        self.network: DaClipUNet = build_network(config.network)
        self.clip: DaClip = build_network(config.clip)
        self.process = build_process(config.process, Process)
        self.parameterisation = Parameterisation(config.process.prediction, config.process.residual_std)
        check_outputs(self.network, self.parameterisation)

    @property
    def learnt(self) -> nn.Module:
        """See `Restorer.learnt`; DA-CLIP was trained before and stays as it is."""
        return self.network

    def conditioned(self, mu: Tensor) -> Told:
        """See `Diffusion.conditioned`."""
        with torch.no_grad():
            content, degradation = self.clip(looked_at(mu, self.clip.image_size))
        return Told(self.network, content, degradation)

    def resolve(self, asked: Sampling) -> Sampling:
        """See `Restorer.resolve`."""
        return self.resolved(asked, clip=True)

    def reverse(
        self, observation: Observation, randn_like: RandnLike, sampling: Sampling, evaluate: Evaluate
    ) -> Reverse:
        """See `Diffusion.reverse`."""
        degraded = observation.painted()
        path = self.process.path(degraded)

        predict_clean = clean_predictor(
            self.conditioned(degraded),
            self.parameterisation,
            self.process,
            path,
            degraded,
            evaluate,
            clip=bool(sampling.clip),
        )

        def start(t: int) -> Tensor:
            return self.process.start(degraded, t, randn_like)

        return Reverse(predict_clean, start, path, self.first(sampling))

    def seen(self, degraded: Tensor) -> dict[str, float]:
        """See `Restorer.seen`: the words of `WORDS` by their likeness to the embedding of the damage."""
        if not self.config.names_damage:
            return {}
        tokens = torch.zeros(len(WORDS), self.clip.context_length, dtype=torch.long, device=degraded.device)
        for row, word in zip(tokens, WORDS.values(), strict=True):
            row[: len(word)] = torch.tensor(word)
        with torch.inference_mode():
            texts = nn.functional.normalize(self.clip.encode_text(tokens), dim=-1)
            small = looked_at(in_unit(degraded)[None], self.clip.image_size)
            damage = nn.functional.normalize(self.clip(small)[1], dim=-1)
            likely = (100 * damage @ texts.T).softmax(dim=-1)[0].tolist()
        return dict(sorted(zip(WORDS, likely, strict=True), key=lambda pair: -pair[1]))
