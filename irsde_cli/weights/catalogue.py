"""The released files of IR-SDE, Refusion, latent Refusion and DA-CLIP, one row each, and of their peers. No torch.

A file of the reference holds tensors and nothing else: lambda, T, schedule and sampler come from here. They were read
in the reference's settings and issues; `certainty` says how. What nobody can know for sure is `Unknown`, and a user
decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from irsde_cli.config import put
from irsde_cli.registry import Checked
from irsde_cli.weights.peers import PEERS
from irsde_cli.weights.rows import File, Row, Unknown

DRIVE = "https://drive.google.com/drive/folders/"
IRSDE_FOLDER = DRIVE + "14SvJXvp0HPKFHpGaaHy7h2I2fkRnIXAG"
REFUSION_FOLDER = DRIVE + "1T5_UL4BgOIftEEkAzoa-SYX49P7COVa6"
REPOSITORY = "https://github.com/Algolzw/image-restoration-sde"
DACLIP = "weblzw/daclip-uir-ViT-B-32-irsde"

GOUB_FOLDER = DRIVE + "1rxHiZTxNSlvM9VSoRUY_rdoDp8DBbX8C"
UNIDB_FOLDER = DRIVE + "1UUeeQREpX98bwHdtmOqBqExlr_QmN4bZ"

NOTHING: Mapping[str, Any] = MappingProxyType({})
BRIDGE = "settings and network by its authors' code; the file itself was seen by nobody here"
CODE = "the reference's settings and the authors' answers"
NAME = "its name and size in third-party records"


LAMBDA = "process.options.stationary_std"
# Where two values are said.
LAMBDAS = (10 / 255, 30 / 255)
UPSAMPLINGS = ("nearest", "bicubic")


def _sde(
    title: str,
    task: str,
    files: tuple[File, ...],
    source: str,
    data: str,
    certainty: str,
    *,
    system: str = "mean-reverting",
    process: str = "mean-reverting",
    process_options: Mapping[str, Any] = NOTHING,
    network: str = "unet",
    licence: str = "MIT, as the repository; the files say nothing",
    max_sigma: float | None = 10,
    num_timesteps: int = 100,
    schedule: str = "cosine",
    eps: float = 0.005,
    sampler: str = "posterior",
    scale: int = 1,
    upsampling: str | None = "bicubic",
    doubt: str = "",
    settings: Mapping[str, Any] = NOTHING,
    **more: Any,
) -> Row:
    """A row of the reference's: a system of an SDE.

    Args, besides those of `Row`:
        process: a row of `irsde_cli.processes.PROCESSES`.
        process_options: its settings besides those below.
        max_sigma: lambda, of 255; `None` where two are said.
        num_timesteps: T.
        schedule: shape of theta_t.
        eps: alpha_T.
        sampler: of the reference's test, with T steps.
        scale: how many times larger the restored image is.
        upsampling: how the degraded image is enlarged first; `None` where two ways are said.
        doubt: what is not known where there is a `None`.
        settings: of the system, besides.
    """
    known = {"num_timesteps": num_timesteps, "schedule": schedule, "eps": eps, **process_options}
    config: dict[str, Any] = {
        "process": {"name": process, "options": known},
        "sampling": {"sampler": sampler, "steps": num_timesteps, "clip": False},
        **settings,
    }
    unknown = []
    if max_sigma is None:
        unknown.append(Unknown(LAMBDA, LAMBDAS, doubt))
    else:
        put(config, LAMBDA, max_sigma / 255)
    if system == "mean-reverting":
        config["scale"] = scale
        if upsampling is None:
            unknown.append(Unknown("upsampling", UPSAMPLINGS, doubt))
        else:
            config["upsampling"] = upsampling
    return Row(
        title,
        task,
        files,
        source,
        data,
        certainty,
        system=system,
        network=network,
        licence=licence,
        settings=config,
        unknown=tuple(unknown),
        sized=LAMBDA,
        **more,
    )


NAF = {"width": 64, "enc_blk_nums": (1, 1, 1, 28), "middle_blk_num": 1, "dec_blk_nums": (1, 1, 1, 1)}
LATENT_NAF = {**NAF, "img_channel": 8, "long_skip": True}
UNET_64 = {"nf": 64, "depth": 4}
STEREO = "it restores two views at once, which no system here does."
TEN = "GoPro, RESIDE-6k, DIV2K and Flickr2K, LOL, RainDrop, Rain100H, SRD, Snow100K, CelebA-HQ"
DACLIP_UNET = {"nf": 64, "ch_mult": (1, 2, 4, 8), "context_dim": 512}
BOKEH = "it needs lens data with each picture, which no system here takes."


def _bridge(title: str, task: str, data: str, folder: str, licence: str, **more: Any) -> Row:
    """A row of GOUB or of UniDB, which have IR-SDE's network and settings of their own."""
    return _sde(
        title,
        task,
        (File("the folder's file for this task", 523.2),),
        folder,
        data,
        BRIDGE,
        process="goub",
        options=UNET_64,
        max_sigma=30,
        sampler="euler-maruyama",
        licence=licence,
        **more,
    )


GOUB_LICENCE = "MIT, as the repository; the files say nothing"
UNIDB_LICENCE = "none stated for UniDB, MIT for UniDB++; the files say nothing"
# UniDB's s_t is that of c = 0, and its penalty changes m_t by 4e-8 at most.
UNIDB = {"penalty": 1e-7, "released_std": True}
ENLARGED = {"scale": 4, "upsampling": None, "doubt": "its code does not say how pictures are enlarged first"}

REFERENCE = {
    "goub-rain100h": _bridge("GOUB on heavy rain", "derain", "Rain100H", GOUB_FOLDER, GOUB_LICENCE, protocol="irsde-y"),
    "goub-celeba-hq": _bridge("GOUB on holes in faces", "inpaint", "CelebA-HQ 256", GOUB_FOLDER, GOUB_LICENCE),
    "goub-div2k-x4": _bridge("GOUB, four times larger", "sr4", "DIV2K", GOUB_FOLDER, GOUB_LICENCE, **ENLARGED),
    "unidb-rain100h": _bridge(
        "UniDB on heavy rain",
        "derain",
        "Rain100H",
        UNIDB_FOLDER,
        UNIDB_LICENCE,
        process_options=UNIDB,
        protocol="irsde-y",
    ),
    "unidb-celeba-hq": _bridge(
        "UniDB on holes in faces", "inpaint", "CelebA-HQ 256", UNIDB_FOLDER, UNIDB_LICENCE, process_options=UNIDB
    ),
    "unidb-div2k-x4": _bridge(
        "UniDB, four times larger", "sr4", "DIV2K", UNIDB_FOLDER, UNIDB_LICENCE, process_options=UNIDB, **ENLARGED
    ),
    "rain100h": _sde(
        "IR-SDE on heavy rain",
        "derain",
        (File("rain100h_sde.pth", 523.2),),
        IRSDE_FOLDER,
        "Rain100H, 1,800 pairs",
        CODE,
        options=UNET_64,
        protocol="irsde-y",
    ),
    "rain100l": _sde(
        "IR-SDE on light rain",
        "derain",
        (File("ir-sde-derainL100.pth", 523.2),),
        IRSDE_FOLDER,
        "Rain100L",
        NAME,
        options=UNET_64,
        protocol="irsde-y",
    ),
    "gopro": _sde(
        "IR-SDE on motion blur",
        "deblur",
        (File("ir-sde-deblurring.pth", 523.2),),
        IRSDE_FOLDER,
        "GoPro",
        NAME,
        options=UNET_64,
        sampler="euler-maruyama",
    ),
    "gaussian-noise": _sde(
        "Denoising-SDE on white noise up to 75 of 255",
        "denoise",
        (File("ir-sde-denoising.pth", 523.2),),
        IRSDE_FOLDER,
        "DIV2K, Flickr2K, BSD500, Waterloo",
        f"{CODE}: lambda 75 and T 100, though the published training says 70 and 1000",
        system="denoising",
        process="denoising",
        options={**UNET_64, "conditional": False, "full_attention": True},
        max_sigma=75,
        eps=0.04,
        sampler="euler-ode",
        protocol="plain-rgb",
    ),
    "div2k-x4": _sde(
        "IR-SDE, four times larger",
        "sr4",
        (File("ir-sde-srx4.pth", 523.2),),
        IRSDE_FOLDER,
        "DIV2K and Flickr2K",
        NAME,
        options=UNET_64,
        max_sigma=30,
        sampler="euler-maruyama",
        scale=4,
        upsampling=None,
        doubt="its authors say in one place that pictures are enlarged with 'nearest' first, in another with 'bicubic'",
    ),
    "celeba-hq": _sde(
        "IR-SDE on holes in faces",
        "inpaint",
        (File("ir-sde.pth", 132.8),),
        IRSDE_FOLDER,
        "CelebA-HQ 256, thin masks",
        f"{CODE}: width 32, though the published settings say 64",
        options={"nf": 32, "depth": 4},
        max_sigma=30,
        sampler="euler-maruyama",
    ),
    "ntire-shadow": _sde(
        "IR-SDE on shadows",
        "deshadow",
        (File("ir-sde.pth", 516.4),),
        IRSDE_FOLDER,
        "NTIRE 2023 shadow removal",
        "two settings files that disagree",
        options={"nf": 32, "depth": 5},
        max_sigma=None,
        sampler="euler-maruyama",
        doubt="its test settings say lambda 30 with a network of width 32, its training settings 10 with one of 64",
    ),
    "refusion-gaussian-noise": _sde(
        "Refusion on white noise up to 70 of 255",
        "denoise",
        (File("refusion-denoising.pth", 292.5),),
        REFUSION_FOLDER,
        "DIV2K, Flickr2K, BSD500, Waterloo",
        "both settings files, which agree; the file by its name",
        system="denoising",
        process="denoising",
        network="nafnet",
        options={**NAF, "conditional": False},
        max_sigma=70,
        num_timesteps=1000,
        eps=0.04,
        sampler="euler-ode",
        protocol="plain-rgb",
    ),
    "refusion-ntire-shadow": _sde(
        "Refusion on shadows",
        "deshadow",
        (File("refusion.pth", 292.5),),
        REFUSION_FOLDER,
        "NTIRE 2023 shadow removal",
        CODE,
        network="nafnet",
        options=NAF,
        max_sigma=50,
        sampler="euler-maruyama",
    ),
    "latent-refusion-dehaze": _sde(
        "latent Refusion on haze in large pictures",
        "dehaze",
        (File("latent-dehazing.pth", 7.7, "autoencoder"), File("latent-reffusion-dehazing.pth", 292.5)),
        f"{REPOSITORY}/tree/main/codes/config/latent-dehazing/pretrained_models (latent-dehazing.pth) and "
        f"{REFUSION_FOLDER}",
        "NTIRE 2023 HR dehazing",
        CODE,
        system="latent",
        network="nafnet",
        options=LATENT_NAF,
        max_sigma=50,
        sampler="euler-maruyama",
    ),
    "universal": _sde(
        "IR-SDE told by DA-CLIP which of ten kinds of damage it is",
        "auto",
        (
            File(
                "universal-ir.pth",
                186.9,
                sha256="87575b2559ca122d27b56fe7f24fe63d8099795cdd5b16af2bab41ecc2bb02a8",
            ),
            File(
                "daclip_ViT-B-32.pt",
                1663.9,
                "clip",
                sha256="ea948854d4293f2d222ead043fd5b4090fba984c8e2db8656934d768dc4f8230",
            ),
        ),
        DACLIP,
        TEN,
        CODE,
        system="daclip",
        network="daclip-unet",
        options=DACLIP_UNET,
        max_sigma=50,
        licence="MIT",
    ),
    "universal-mix": _sde(
        "the same, taught mixtures of damage too",
        "auto",
        (File("universal-ir-mix.pth", 186.9), File("daclip_ViT-B-32_mix.pt", 1663.9, "clip")),
        DACLIP,
        TEN,
        f"{CODE}; nobody published the SHA-256",
        system="daclip",
        network="daclip-unet",
        options=DACLIP_UNET,
        max_sigma=50,
        licence="MIT",
    ),
    "wild": _sde(
        "IR-SDE told by DA-CLIP, for damage of unknown kinds",
        "auto",
        (
            File(
                "wild-ir.pth",
                188.8,
                sha256="a8eea3b6945904de174123bc8220214990b67e85eac7214ad425f6b6ef46fdc5",
            ),
            File(
                "wild-daclip_ViT-L-14.pt",
                5398.8,
                "clip",
                sha256="35db86f3cf74a42360b7346a124d3484605d24bcbdc33057e74449eab65fe246",
            ),
        ),
        DACLIP,
        "photographs damaged as for Real-ESRGAN",
        CODE,
        system="daclip",
        network="daclip-unet",
        options={**DACLIP_UNET, "context_dim": 768, "degradation_context": False, "halved": True},
        max_sigma=50,
        settings={"names_damage": False},
        licence="MIT",
    ),
    "latent-refusion-bokeh": _sde(
        "latent Refusion for bokeh",
        "",
        (File("latent-bokeh.pth", 23.5, "autoencoder"), File("latent-reffusion-bokeh.pth", 501.5)),
        REFUSION_FOLDER,
        "pairs with lens data",
        CODE,
        system="latent",
        network="nafnet",
        max_sigma=50,
        refused=BOKEH,
    ),
    "refusion-stereo": _sde(
        "Refusion, two views four times larger",
        "",
        (File("reffusion-ssr.pth", 427.4),),
        REFUSION_FOLDER,
        "stereo pairs",
        CODE,
        network="nafnet",
        max_sigma=50,
        refused=STEREO,
    ),
    "reside": _sde(
        "IR-SDE on haze",
        "dehaze",
        (),
        "",
        "RESIDE indoor",
        CODE,
        refused="its authors lost the weights (their issue 39).",
    ),
    "refusion-gopro": _sde(
        "Refusion on motion blur",
        "deblur",
        (),
        "",
        "GoPro",
        CODE,
        network="nafnet",
        max_sigma=50,
        refused="its authors never released the weights (their issue 85).",
    ),
}


CATALOGUE: dict[str, Row] = {**REFERENCE, **PEERS}


@dataclass(frozen=True)
class Web:
    """A file at an address, with the SHA-256 of its bytes, or the first digits of it that its name carries."""

    url: str
    sha256: str


@dataclass(frozen=True)
class MetricWeights:
    """Weights of a metric.

    Attributes:
        title: what it is.
        metric: a row of `irsde_cli.metrics.METRICS`.
        files: what it is made of.
        mib: what is fetched, in MiB.
        licence: of the weights.
        paper: its number at arXiv.
        checked: how the weights are known to give the published numbers.
        evidence: the test that shows it.
    """

    title: str
    metric: str
    files: tuple[Web, ...]
    mib: float
    licence: str = "BSD 2-Clause; ImageNet's terms may bear on the backbone"
    paper: str = "1801.03924"
    checked: Checked = "weights"
    evidence: str = "tests/metrics/test_metrics.py::test_lpips_equals_the_published_network"


LPIPS_HEADS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"

METRIC_WEIGHTS = {
    "lpips": MetricWeights(
        "LPIPS on AlexNet",
        "lpips-alex",
        (
            Web("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
            Web(f"{LPIPS_HEADS}alex.pth", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
        ),
        233.1,
    ),
    "lpips-squeeze": MetricWeights(
        "LPIPS on SqueezeNet",
        "lpips-squeeze",
        (
            Web("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
            Web(f"{LPIPS_HEADS}squeeze.pth", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"),
        ),
        4.7,
    ),
}
