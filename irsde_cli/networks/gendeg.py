"""A diffusion model that damages pictures, told in words and in numbers by how much (GenDeg, CVPR 2025).

InstructPix2Pix (Brooks et al., CVPR 2023) as `diffusers` builds it, from the extra `irsde[flux]`: the clean picture's
latent goes in beside the noisy one. Two layers of GenDeg's own add the mean and the spread of what is to be changed to
the words; see `irsde_cli.degradations.matched`.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from irsde_cli.errors import WeightsError
from irsde_cli.extras import load
from irsde_cli.networks.facts import round_up
from irsde_cli.networks.network import pad_to
from irsde_cli.randomness import RandnLike

BINS = 128
NULL = BINS  # the number that says nothing
OWN = "gendeg.safetensors"
STEPS = 1000
FIRST, LAST = 0.00085, 0.012  # beta, whose root rises evenly


class Words(nn.Module):
    """What the model is told: words (T, C), and the bins of the two numbers.

    Fresh ones hand the words on as they are.

    Args:
        tokens: T, 77 as published.
        channels: C, 768 as published.
    """

    def __init__(self, tokens: int = 77, channels: int = 768) -> None:
        super().__init__()
        self.stats_proj = nn.Linear(BINS + 1, tokens)
        self.cc_projection = nn.Linear(channels + 2, channels)
        with torch.no_grad():
            self.cc_projection.weight.copy_(torch.eye(channels, channels + 2))
            self.cc_projection.bias.zero_()

    def forward(self, words: Tensor, bins: Tensor) -> Tensor:
        """Words (T, C) with bins (B, 2): (B, T, C)."""
        numbers: Tensor = self.stats_proj(nn.functional.one_hot(bins, BINS + 1).to(words.dtype)).mT
        told: Tensor = self.cc_projection(torch.cat((words.expand(len(bins), -1, -1), numbers), 2))
        return told


class GenDeg(nn.Module):
    """Makes a damaged picture of a clean one.

    Args:
        unet: a `UNet2DConditionModel` of eight channels.
        vae: an `AutoencoderKL` of four.
        words: GenDeg's own layers.
        prompt: the words of the damage, (T, C), as the text encoder gives them.
        empty: those of an empty text.
    """

    def __init__(self, unet: Any, vae: Any, words: Words, prompt: Tensor, empty: Tensor) -> None:
        super().__init__()
        self.unet = unet
        self.vae = vae
        self.words = words
        self.prompt = nn.Buffer(prompt, persistent=False)
        self.empty = nn.Buffer(empty, persistent=False)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.multiple = self.factor * 2 ** (len(unet.config.block_out_channels) - 1)

    def noise(
        self, state: Tensor, t: Tensor, image: Tensor, bins: Tensor, text_scale: float, image_scale: float
    ) -> Tensor:
        """The noise in states (B, 4, h, w), away from what is seen without words and without the picture.

        Args:
            state: as the model takes it.
            t: its time index, ().
            image: latents of the clean pictures.
            bins: what they are to be changed by, (B, 2).
            text_scale: how far from what the picture alone says; 1 is the model itself.
            image_scale: how far that is from what nothing says.
        """
        silent = torch.full_like(bins, NULL)
        told = torch.cat((self.words(self.prompt, bins), *(2 * [self.words(self.empty, silent)])))
        seen = torch.cat((image, image, torch.zeros_like(image)))
        both, picture, nothing = self.unet(
            torch.cat((state.repeat(3, 1, 1, 1), seen), 1), t, encoder_hidden_states=told
        ).sample.chunk(3)
        guided: Tensor = nothing + text_scale * (both - picture) + image_scale * (picture - nothing)
        return guided

    def forward(
        self,
        clean: Tensor,
        bins: Tensor,
        randn_like: RandnLike,
        *,
        steps: int = 100,
        text_scale: float = 7.5,
        image_scale: float = 1.5,
    ) -> Tensor:
        """Damaged pictures of clean ones (B, 3, H, W) in [0, 1]; see `noise`. Euler's method with fresh noise."""
        height, width = clean.shape[-2:]
        padded = pad_to(clean, (round_up(height, self.multiple), round_up(width, self.multiple)), "reflect")
        image = self.vae.encode(2 * padded - 1).latent_dist.mode()
        sigmas, times = levels(steps)
        state = sigmas[0] * randn_like(image)
        for index, time in enumerate(times):
            sigma, after = float(sigmas[index]), float(sigmas[index + 1])
            scaled = state / (sigma**2 + 1) ** 0.5
            found = self.noise(scaled, time, image, bins, text_scale, image_scale)
            fresh = min(after, after * (max(sigma**2 - after**2, 0.0) ** 0.5) / sigma)
            kept = (after**2 - fresh**2) ** 0.5
            state = state + (kept - sigma) * found
            if after > 0:
                state = state + fresh * randn_like(state)
        damaged: Tensor = self.vae.decode(state / self.vae.config.scaling_factor).sample
        return ((damaged + 1) / 2).clamp(0, 1)[..., :height, :width]


def levels(steps: int) -> tuple[Tensor, Tensor]:
    """So many + 1 falling ratios of noise to signal, the last of them 0, and the time indices, not always whole."""
    betas = torch.linspace(FIRST**0.5, LAST**0.5, STEPS, dtype=torch.float64) ** 2
    table = ((1 - (1 - betas).cumprod(0)) / (1 - betas).cumprod(0)).sqrt()
    times = torch.linspace(STEPS - 1, 0, steps, dtype=torch.float64)
    low = times.floor().long()
    high = (low + 1).clamp_max(STEPS - 1)
    sigmas = torch.lerp(table[low].log(), table[high].log(), times - low).exp()
    return torch.cat((sigmas, torch.zeros(1, dtype=torch.float64))), times.float()


def load_gendeg(folder: Path) -> GenDeg:
    """The model of a folder: `unet` and `vae` as diffusers saves them, and `gendeg.safetensors`.

    Raises:
        WeightsError: a part is missing or damaged.
        MachineError: diffusers is missing, or does not load.
    """
    diffusers = load("flux", "the degradation 'generated'")
    try:
        own = load_file(folder / OWN)
        prompt, empty = own.pop("prompt"), own.pop("empty")
        words = Words(*prompt.shape)
        words.load_state_dict(own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the package about its own parts
            unet, vae = (
                cls.from_pretrained(folder / name, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False)
                for cls, name in ((diffusers.UNet2DConditionModel, "unet"), (diffusers.AutoencoderKL, "vae"))
            )
    except Exception as error:  # of a file, of JSON, of a tensor's shape
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"'{folder}' holds no model that damages pictures: {first}",
            hint=f"It needs unet/, vae/ and {OWN}; docs/degradations.md says how they are made.",
        ) from None
    if unet.config.in_channels != 2 * vae.config.latent_channels:
        raise WeightsError(
            f"the U-Net of '{folder}' takes {unet.config.in_channels} channels, not a picture beside the noise."
        )
    model = GenDeg(unet, vae, words, prompt, empty)
    return model.requires_grad_(False).eval()
