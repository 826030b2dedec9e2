"""How other people's files are written: one row each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from irsde_cli.registry import Registry

READERS = Registry(
    "reader",
    {
        "tensors": "irsde_cli.conversions.official:read_tensors",
        "maxim": "irsde_cli.conversions.maxim:read_state",
        "ncnn": "irsde_cli.conversions.ncnn:read_state",
    },
)


@dataclass(frozen=True)
class Dialect:
    """What stands between the names in a file and those of the bare module.

    Attributes:
        reader: a row of `READERS`: from a path to tensors in float32 by the file's names.
        prefixes: of wrappers, dropped as often as they come.
        averaged: prefix of the weights that are taken where a file holds others too: mostly the averaged ones.
        dropped: pattern of the names of tensors that nothing reads, or that are made anew of the hyper-parameters.
        renamed_from: patterns of names, and what stands there instead.
    """

    reader: str = "tensors"
    prefixes: tuple[str, ...] = ("module.",)
    averaged: str = ""
    dropped: str = ""
    renamed_from: tuple[tuple[str, str], ...] = ()

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file by the bare module's names."""
        averaged = {name: value for name, value in tensors.items() if self.averaged and name.startswith(self.averaged)}
        bare = {self._bare(name): value for name, value in (averaged or tensors).items()}
        return {name: value for name, value in bare.items() if not (self.dropped and re.search(self.dropped, name))}

    def _bare(self, name: str) -> str:
        found = next((prefix for prefix in self.prefixes if name.startswith(prefix)), None)
        if found is not None:
            return self._bare(name.removeprefix(found))
        for pattern, instead in self.renamed_from:
            name = re.sub(pattern, instead, name)
        return name


DIALECTS = {
    "reference": Dialect(prefixes=("module.", "online_model.", "ema_model.", "model."), averaged="ema_model."),
    "bare": Dialect(),
    "mambair": Dialect(dropped="^relative_position_index_SA$"),
    # Whole modules, with a critic; and layers that nothing calls.
    "transport": Dialect(
        prefixes=("Tnet.", "module."),
        averaged="Tnet.",
        dropped=r"^(res_patch_embed|resdown3_4|chnl_reduce\d|reduce_noise_channel_\d|resup3_2|resup2_1"
        r"|resreduce_chan_level2|resdecoder_level[12])\.",
    ),
    "mpmf-net": Dialect(dropped=r"\.relative_positions$"),
    "dcpt": Dialect(renamed_from=((r"^decoder(\d+)\.", r"decoders.\1."),)),
    "moce-ir": Dialect(prefixes=("module.", "net."), dropped=r"\.routing\.complexity$"),
    # CLIP twice, of which the tower for pictures is needed, and a layer that nothing calls.
    "vlu-net": Dialect(
        prefixes=("module.", "net.", "model_degradation.ad_imageEncoder."),
        dropped=r"^(down1_2_i\.|model_degradation\.|clip_model\.(?!visual\.))",
    ),
    # What TUR's training needs.
    "tur": Dialect(
        dropped=r"(^|\.)var_conv\.|^E\.E\.(queue|encoder_k\.|encoder_q\.(E|mlp)\.)|\.relative_position_index$"
    ),
    # The classifier twice, and averages that its authors do not use.
    "deblurgan-v2": Dialect(dropped=r"^fpn\.(features|inception)\.|\.(running_mean|running_var|num_batches_tracked)$"),
    "maxim": Dialect("maxim"),
    "ncnn": Dialect("ncnn"),
}


def read_state(path: Path, dialect: str = "reference") -> dict[str, Tensor]:
    """The tensors of a file by the bare module's names, in float32.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    row = DIALECTS[dialect]
    tensors: dict[str, Tensor] = READERS.load(row.reader)(path)
    return row.renamed(tensors)
