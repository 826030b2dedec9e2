"""What a run begins with: its pictures and its weights."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from irsde_cli import checkpoint
from irsde_cli.config import to_mapping
from irsde_cli.conversions.dialects import read_state
from irsde_cli.conversions.official import WEIGHT_SUFFIXES
from irsde_cli.datasets.halves import find_pair_folders
from irsde_cli.degradations import DegradationConfig, build_degradation
from irsde_cli.degradations.matched import amounts
from irsde_cli.errors import UsageError, WeightsError
from irsde_cli.networks.layers import TimeMLP
from irsde_cli.networks.network import Network
from irsde_cli.randomness import generator_from
from irsde_cli.restorer import Restorer
from irsde_cli.systems.one_pass import UNASKED, UNTOLD, OnePass
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.data import Augmentation, Source, load_clean, load_pairs
from irsde_cli.training.trainer import Trainer
from irsde_cli.weights import find_weights
from irsde_cli.workflows.train.options import RunConfig

NETWORK = "network."
MATCHED = 64  # crops that are measured, at least


def find_source(
    folder: Path,
    config: TrainConfig,
    run: RunConfig,
    device: torch.device,
    paired: bool,
    skip_bad: Callable[[str], None] | None,
) -> Source:
    """The pictures of a folder: pairs where nothing degrades them, clean ones where something does."""
    scale = config.model.get("scale", 1)
    if paired:
        folders = find_pair_folders(folder, scale)
        if folders is None:
            raise UsageError(
                f"'{folder}' has no folders of pairs, and these settings degrade nothing themselves.",
                hint="Put clean pictures into GT/ and degraded ones into LQ/, or give --degradation a name.",
            )
        return load_pairs(*folders, template=run.pairs, crop=config.crop, scale=scale, device=device, skip_bad=skip_bad)
    assert config.degradation is not None, "not paired"
    degradation = build_degradation(config.degradation)
    if degradation.scale != scale:
        raise UsageError(
            f"the degradation '{config.degradation.name}' makes pictures {degradation.scale} times smaller, but the "
            f"model enlarges {scale} times."
        )
    augmentation = Augmentation(**{field.name: getattr(config, field.name) for field in fields(Augmentation)})
    return load_clean(
        folder, degradation, crop=config.crop, device=device, skip_bad=skip_bad, augmentation=augmentation
    )


def matched(config: TrainConfig, folder: Path, run: RunConfig) -> TrainConfig:
    """The settings with damage as strong as that of the pairs in a folder, measured on crops like those to come.

    Raises:
        UsageError: the folder holds no pairs, or the settings damage nothing.
        InputError: some pictures cannot be used.
    """
    if config.degradation is None:
        raise UsageError(
            "--match says how strongly clean pictures are damaged, and these settings damage none.",
            hint="Give --degradation a name, or leave --match out and let --data be the pairs.",
        )
    folders = find_pair_folders(folder)
    if folders is None:
        raise UsageError(
            f"'{folder}' has no folders of pairs to match.",
            hint="Put clean pictures into GT/ and the same ones, damaged, into LQ/.",
        )
    cpu = torch.device("cpu")
    pairs = load_pairs(*folders, template=run.pairs, crop=config.crop, scale=1, device=cpu, skip_bad=None)
    crops = -(-MATCHED // len(pairs))
    found = [
        amounts(one.clean, one.observation.image)
        for index in range(len(pairs))
        for one in (
            pairs.sample_of(index, config.crop, generator_from(repr((index, place)).encode(), b"match"))
            for place in range(crops)
        )
    ]
    rounded = [[round(x, 4) for x in pair] for pair in torch.cat(found).tolist()]
    if config.degradation.name == "generated":  # it takes the amounts itself
        own = DegradationConfig("generated", {**config.degradation.options, "amounts": rounded})
        return replace(config, degradation=own)
    options = {"part": to_mapping(config.degradation), "amounts": rounded}
    return replace(config, degradation=DegradationConfig("matched", options))


def check_apart(learnt: Sequence[Path], measured: Sequence[Path]) -> None:
    """Refuse to measure on what is learnt from, by whatever path it is reached; files or folders.

    Raises:
        UsageError: some are the same.
    """
    known = {_identity(path) for path in learnt}
    both = [path for path in measured if _identity(path) in known]
    if both:
        count = f"{len(both)} of its {len(measured)} files are" if both[0].is_file() else "it is"
        raise UsageError(
            f"--validation is to measure what was not learnt, but {count} in --data too: '{both[0]}'.",
            hint="Put some pictures into a folder of their own, apart from those of --data.",
        )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def begin(trainer: Trainer, run: RunConfig) -> None:
    """Fresh weights, or those of a checkpoint."""
    if run.init is None:
        reason, hint = trainer.system.unlearnt
        if reason:
            raise UsageError(reason, hint=hint)
        return
    path = Path(run.init)
    expected = trainer.system.state_dict()
    if path.suffix in WEIGHT_SUFFIXES:
        bare = read_state(path)
        part = "network" if any(name.startswith("network.") for name in expected) else "autoencoder"
        if "latent_conv.weight" in bare:
            part = "autoencoder"
        tensors = {f"{part}.{name}": tensor for name, tensor in bare.items()}
    else:
        path = find_weights(run.init, "").path
        known = checkpoint.load(path).restorer
        tensors = known.state_dict() | _untold(known, trainer.system)
    network = getattr(trainer.system, "network", None)
    if isinstance(network, Network):
        inside = {name: tensor for name, tensor in tensors.items() if name.startswith(NETWORK)}
        grown = network.grown({name.removeprefix(NETWORK): tensor for name, tensor in inside.items()})
        tensors = {name: tensor for name, tensor in tensors.items() if name not in inside}
        tensors |= {NETWORK + name: tensor for name, tensor in grown.items()}
    _check_init(path, expected, tensors)
    trainer.start_from(tensors)


def _untold(known: Restorer, system: Restorer) -> dict[str, Tensor]:
    """Where `known` can be told of noise and `system` cannot: what makes it see what `known` does when nobody says."""
    both = isinstance(known, OnePass) and isinstance(system, OnePass)
    if not both or not known.config.noise_level_max or system.config.noise_level_max:
        return {}
    mlp = getattr(known.network, "time_mlp", None)
    if not isinstance(mlp, TimeMLP):
        return {}
    bias = cast(Tensor, mlp[-1].bias)
    with torch.no_grad():
        apart = mlp(torch.tensor([UNTOLD])) - mlp(torch.tensor([UNASKED]))
        return {f"{NETWORK}time_mlp.{len(mlp) - 1}.bias": bias + apart[0]}


def _check_init(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Every part that the file has a tensor of must be whole and fit; other parts keep their fresh weights."""
    parts = {name.split(".")[0] for name in found} & {name.split(".")[0] for name in expected}
    wanted = {name: tensor for name, tensor in expected.items() if name.split(".")[0] in parts}
    hint = "The network of the settings must be the one that the file was trained with."
    if not parts:
        raise WeightsError(f"'{path}' has nothing that this system could begin with.", hint=hint)
    for name, tensor in wanted.items():
        if name not in found:
            raise WeightsError(f"'{path}' lacks '{name}', which these settings ask for.", hint=hint)
        if found[name].shape != tensor.shape:
            shapes = f"{list(found[name].shape)}, these settings ask for {list(tensor.shape)}"
            raise WeightsError(f"'{path}': '{name}' has shape {shapes}.", hint=hint)
    for name in found:
        if name.split(".")[0] in parts and name not in wanted:
            raise WeightsError(f"'{path}' holds '{name}', which these settings do not know.", hint=hint)
    if "network" not in parts and "autoencoder" not in parts:
        raise WeightsError(f"'{path}' has nothing that this system could begin with.", hint=hint)
