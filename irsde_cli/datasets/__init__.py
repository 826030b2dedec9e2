"""The test sets that the field reports on: one row each. No torch."""

from irsde_cli.datasets.dataset import Dataset, Layout
from irsde_cli.registry import unknown_name

_NOISE_25 = ("gaussian-noise", {"sigma_min": 25.0, "sigma_max": 25.0, "quantised_share": 0.0})
_JPEG_10 = ("jpeg", {"quality_min": 10, "quality_max": 10, "full_colour_share": 0.0})
_RESEARCH = "none stated; research use"


def _foundir(kind: str, folder: str, task: str, count: int) -> Dataset:
    """The test part of FoundIR, or one of the folders that it has for each kind of damage."""
    inner = f"/{folder}" if folder else ""
    return Dataset(
        f"FoundIR, test: real {kind}",
        "https://www.foundir.net",
        _RESEARCH,
        "Li et al., ICCV 2025",
        task,
        "plain-rgb",
        count,
        (f"foundir{inner}", f"FoundIR{inner}"),
        () if folder else (Layout("*/GT", "*/LQ"),),
    )


DATASETS = {
    "gopro": Dataset(
        "GoPro: motion blur from averaged video",
        "https://seungjunnah.github.io/Datasets/gopro",
        "CC BY 4.0",
        "Nah, Kim, Lee, CVPR 2017",
        "deblur",
        "irsde",
        1111,
        ("gopro", "GOPRO_Large", "GoPro"),
        (Layout("test/*/sharp", "test/*/blur"), Layout("test/target", "test/input")),
    ),
    "hide": Dataset(
        "HIDE: motion blur around people",
        "https://github.com/joanshen0508/HA_deblur",
        _RESEARCH,
        "Shen et al., ICCV 2019",
        "deblur",
        "plain-rgb",
        2025,
        ("hide", "HIDE_dataset", "HIDE"),
        (Layout("test/target", "test/input"),),
    ),
    "realblur": Dataset(
        "RealBlur-J: real camera shake; measured without its authors' alignment of colours and position",
        "https://cg.postech.ac.kr/research/realblur",
        "CC BY 4.0",
        "Rim et al., ECCV 2020",
        "deblur",
        "plain-rgb",
        980,
        ("realblur", "RealBlur_J", "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"),
        (Layout("test/target", "test/input"),),
    ),
    "rain100h": Dataset(
        "Rain100H: heavy synthetic rain",
        "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html",
        _RESEARCH,
        "Yang et al., CVPR 2017",
        "derain",
        "irsde-y",
        100,
        ("rain100h", "Rain100H", "rain_data_test_Heavy"),
        (
            Layout("norain", "rain/X2", "{stem}x2"),
            Layout("target", "input"),
            Layout("norain", "rain", "{stem}", "no{stem}"),
        ),
    ),
    "rain100l": Dataset(
        "Rain100L: light synthetic rain",
        "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html",
        _RESEARCH,
        "Yang et al., CVPR 2017",
        "derain",
        "irsde-y",
        100,
        ("rain100l", "Rain100L", "rain_data_test_Light"),
        (
            Layout("norain", "rain/X2", "{stem}x2"),
            Layout("target", "input"),
            Layout("norain", "rain", "{stem}", "no{stem}"),
        ),
    ),
    "rain12": Dataset(
        "Rain12: synthetic rain on twelve photographs",
        "https://yu-li.github.io/",
        _RESEARCH,
        "Li et al., CVPR 2016",
        "derain",
        "deraining-y",
        12,
        ("rain12", "Rain12"),
        (Layout("groundtruth", "input", "{stem}_in", "{stem}_GT"),),
    ),
    "rain1400": Dataset(
        "Rain1400 (DDN): fourteen rains on each of a hundred photographs",
        "https://xueyangfu.github.io/projects/cvpr2017.html",
        _RESEARCH,
        "Fu et al., CVPR 2017",
        "derain",
        "deraining-y",
        1400,
        ("rain1400", "Rain1400", "rainy_image_dataset"),
        (
            Layout("testing/ground_truth", "testing/rainy_image", "{stem}_*"),
            Layout("ground_truth", "rainy_image", "{stem}_*"),
        ),
    ),
    "rain-ssir": Dataset(
        "SSIR: streaks of many kinds",
        "https://github.com/wwzjer/Semi-supervised-IRR",
        _RESEARCH,
        "Wei et al., CVPR 2019",
        "derain",
        "deraining-y",
        400,
        ("rain_ssir", "rain-ssir"),
    ),
    "raindrop": Dataset(
        "RainDrop, test a: drops on glass",
        "https://github.com/rui1996/DeRaindrop",
        _RESEARCH,
        "Qian et al., CVPR 2018",
        "raindrop",
        "irsde",
        58,
        ("raindrop", "RainDrop"),
        (Layout("test_a/gt", "test_a/data", "{stem}_rain", "{stem}_clean"),),
    ),
    "snow100k": Dataset(
        "Snow100K-L: heavy synthetic snow",
        "https://sites.google.com/view/yunfuliu/desnownet",
        _RESEARCH,
        "Liu et al., IEEE TIP 2018",
        "desnow",
        "plain-rgb",
        16801,
        ("snow100k", "Snow100K"),
        (Layout("Snow100K-L/gt", "Snow100K-L/synthetic"),),
    ),
    "sots-indoor": Dataset(
        "SOTS indoor (RESIDE): synthetic haze over measured depth",
        "https://sites.google.com/view/reside-dehaze-datasets",
        _RESEARCH,
        "Li et al., IEEE TIP 2019",
        "dehaze",
        "plain-rgb",
        500,
        ("sots_indoor", "sots-indoor", "SOTS/indoor", "SOTS/nyuhaze500"),
        (Layout("gt", "hazy", "{stem}_*"), Layout("clear", "hazy", "{stem}_*")),
    ),
    "sots-outdoor": Dataset(
        "SOTS outdoor (RESIDE): synthetic haze over estimated depth",
        "https://sites.google.com/view/reside-dehaze-datasets",
        _RESEARCH,
        "Li et al., IEEE TIP 2019",
        "dehaze",
        "plain-rgb",
        500,
        ("sots_outdoor", "sots-outdoor", "SOTS/outdoor"),
        (Layout("gt", "hazy", "{stem}_*"), Layout("clear", "hazy", "{stem}_*")),
    ),
    "lol-v1": Dataset(
        "LOL, evaluation part: real low light",
        "https://daooshee.github.io/BMVC2018website/",
        "research use",
        "Wei et al., BMVC 2018",
        "lowlight",
        "lol",
        15,
        ("lol", "lol-v1", "LOLdataset", "LOLv1"),
        (Layout("eval15/high", "eval15/low"), Layout("high", "low")),
    ),
    "lol-v2": Dataset(
        "LOL-v2, real part, test: real low light",
        "https://github.com/flyywh/CVPR-2020-Semi-Low-Light",
        "research use",
        "Yang et al., IEEE TIP 2021",
        "lowlight",
        "lol",
        100,
        ("lol-v2", "LOL-v2", "LOLv2"),
        (Layout("Real_captured/Test/Normal", "Real_captured/Test/Low", "low{stem}", "normal{stem}"),),
    ),
    "istd": Dataset(
        "ISTD, test: shadows",
        "https://github.com/DeepInsight-PCALab/ST-CGAN",
        "research use",
        "Wang, Li, Yang, CVPR 2018",
        "deshadow",
        "plain-rgb",
        540,
        ("istd", "ISTD", "ISTD_Dataset"),
        (Layout("test/test_C", "test/test_A"),),
    ),
    "srd": Dataset(
        "SRD, test: shadows",
        "https://github.com/vinthony/ghost-free-shadow-removal",
        _RESEARCH,
        "Qu et al., CVPR 2017",
        "deshadow",
        "plain-rgb",
        408,
        ("srd", "SRD"),
        (
            Layout("test/shadow_free", "test/shadow", "{stem}", "{stem}_no_shadow"),
            Layout("test/shadow_free", "test/shadow"),
        ),
    ),
    "cbsd68": Dataset(
        "CBSD68 with white noise",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
        "non-commercial research and education",
        "Martin et al., ICCV 2001; Roth and Black, CVPR 2005",
        "denoise",
        "plain-rgb",
        68,
        ("cbsd68", "CBSD68"),
        degradation=_NOISE_25,
    ),
    "kodak24": Dataset(
        "Kodak24 with white noise",
        "https://r0k.us/graphics/kodak/",
        "released for unrestricted use, by common account",
        "Franzen, 1999",
        "denoise",
        "plain-rgb",
        24,
        ("kodak24", "Kodak24"),
        degradation=_NOISE_25,
    ),
    "mcmaster": Dataset(
        "McMaster with white noise",
        "https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        _RESEARCH,
        "Zhang et al., JEI 2011",
        "denoise",
        "plain-rgb",
        18,
        ("mcmaster", "McMaster"),
        degradation=_NOISE_25,
    ),
    "urban100": Dataset(
        "Urban100 with white noise",
        "https://github.com/jbhuang0604/SelfExSR",
        _RESEARCH,
        "Huang, Singh, Ahuja, CVPR 2015",
        "denoise",
        "plain-rgb",
        100,
        ("urban100", "Urban100"),
        degradation=_NOISE_25,
    ),
    "noise-cc": Dataset(
        "CC: real camera noise",
        "https://github.com/csjunxu/MCWNNM-ICCV2017",
        _RESEARCH,
        "Nam et al., CVPR 2016",
        "denoise",
        "plain-rgb",
        15,
        ("noise_cc", "noise-cc", "CC"),
    ),
    "noise-polyu": Dataset(
        "PolyU: real camera noise",
        "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
        _RESEARCH,
        "Xu et al., arXiv 2018",
        "denoise",
        "plain-rgb",
        100,
        ("noise_polyu", "noise-polyu", "PolyU"),
    ),
    "set5": Dataset(
        "Set5, four times smaller",
        "https://github.com/jbhuang0604/SelfExSR",
        _RESEARCH,
        "Bevilacqua et al., BMVC 2012",
        "sr4",
        "sr-y",
        5,
        ("set5", "Set5"),
        (Layout("HR", "LR_bicubic/X4", "{stem}x4"), Layout("image_SRF_4", "image_SRF_4", "{stem}_LR", "{stem}_HR")),
    ),
    "set14": Dataset(
        "Set14, four times smaller",
        "https://github.com/jbhuang0604/SelfExSR",
        _RESEARCH,
        "Zeyde et al., 2010",
        "sr4",
        "sr-y",
        14,
        ("set14", "Set14"),
        (Layout("HR", "LR_bicubic/X4", "{stem}x4"), Layout("image_SRF_4", "image_SRF_4", "{stem}_LR", "{stem}_HR")),
    ),
    "bsd100": Dataset(
        "BSD100, four times smaller",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
        "non-commercial research and education",
        "Martin et al., ICCV 2001",
        "sr4",
        "sr-y",
        100,
        ("bsd100", "BSD100", "B100"),
        (Layout("HR", "LR_bicubic/X4", "{stem}x4"), Layout("image_SRF_4", "image_SRF_4", "{stem}_LR", "{stem}_HR")),
    ),
    "div2k": Dataset(
        "DIV2K validation, four times smaller",
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        "academic research",
        "Agustsson and Timofte, CVPRW 2017",
        "sr4",
        "irsde",
        100,
        ("div2k", "DIV2K"),
        (Layout("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic/X4", "{stem}x4"),),
    ),
    "celeba-hq": Dataset(
        "CelebA-HQ 256, first hundred, with strokes of our own; the field's six mask sets with --mask",
        "https://github.com/tkarras/progressive_growing_of_gans",
        "CC BY-NC 4.0",
        "Karras et al., ICLR 2018; masks: Lugmayr et al., CVPR 2022",
        "inpaint",
        "irsde",
        100,
        ("celeba-hq", "CelebA-HQ", "celeba_hq_256", "testHQ"),
        degradation=("free-form-mask", {"hole_min": 0.3, "hole_max": 0.3}),
        obtain=(
            "Its terms forbid redistribution: make the 256 x 256 pictures with the authors' script. The mask sets "
            "(thin, thick, genhalf, ex64, ev2li, nn2; white is known) come with IR-SDE's and RePaint's code and go "
            "into masks/ or gt_keep_masks/ beside the pictures."
        ),
    ),
    "live1": Dataset(
        "LIVE1, JPEG of quality 10",
        "https://live.ece.utexas.edu/research/quality/subjective.htm",
        "any purpose, with its notice and credit to LIVE",
        "Sheikh, Sabir, Bovik, IEEE TIP 2006",
        "jpeg",
        "plain-rgb",
        29,
        ("live1", "LIVE1"),
        degradation=_JPEG_10,
        obtain="Its page asks who you are before it gives the reference pictures (refimgs/).",
    ),
    "classic5": Dataset(
        "Classic5, JPEG of quality 10, greyscale",
        "https://github.com/jiaxi-jiang/FBCNN",
        _RESEARCH,
        "Foi, Katkovnik, Egiazarian, IEEE TIP 2007",
        "jpeg",
        "plain-y",
        5,
        ("classic5", "Classic5"),
        degradation=_JPEG_10,
    ),
    "foundir": _foundir("damage of twenty kinds, one and several at once", "", "auto", 1500),
    "foundir-blur": _foundir("shake and motion", "01Blur", "deblur", 150),
    "foundir-noise": _foundir("a camera's noise", "05Noise", "denoise", 100),
    "foundir-jpeg": _foundir("JPEG", "06JPEG", "jpeg", 50),
    "foundir-haze": _foundir("haze", "08Haze", "dehaze", 200),
    "foundir-rain": _foundir("rain", "10Rain", "derain", 100),
    "foundir-raindrop": _foundir("drops on glass", "11Raindrop", "raindrop", 100),
    "foundir-lowlight": _foundir("darkness", "14Lowlight", "lowlight", 50),
    "realir-bench": Dataset(
        "RealIR-Bench: real damage of nine kinds, without clean pictures",
        "https://huggingface.co/datasets/RealRestorer/RealIR-Bench",
        "its own, on its page",
        "Yang et al., arXiv 2603.25502, 2026",
        "auto",
        "no-reference",
        464,
        ("realir-bench", "RealIR-Bench"),
        (Layout("*"), Layout(".")),
        obtain=(
            "Its page has one table with the pictures inside: write each into RealIR-Bench/KIND/, or all into "
            "RealIR-Bench/."
        ),
    ),
}


def dataset_name(text: str) -> str:
    """The row that people call so: its own name, or that of a folder of it, whatever its case and dashes.

    Raises:
        UsageError: there is none.
    """
    wanted = _plain(text)
    for name, row in DATASETS.items():
        if wanted in (_plain(name), *map(_plain, row.folders)):
            return name
    raise unknown_name("data set", text, DATASETS)


def get_dataset(name: str) -> Dataset:
    """The data set of that name, or of one of its folders.

    Raises:
        UsageError: there is none.
    """
    return DATASETS[dataset_name(name)]


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-")
