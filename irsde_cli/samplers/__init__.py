"""Reverse processes: one file a family, one row a sampler.

A sampler is a generator function `(predict_clean, x, path, times, randn_like, **options) -> Iterator[Tensor]`. `times`
holds `steps + 1` falling integers that end with 0; the network is evaluated once at each but the last. The samplers of
`irsde_cli.samplers.fit.PAIRED` take a predictor of the clean image and of something beside it, `(x, t) -> two tensors`.
"""

from irsde_cli.registry import Registry

SAMPLERS = Registry(
    "sampler",
    {
        "ode-2": "irsde_cli.samplers.multistep:ode_2",
        "ode-1": "irsde_cli.samplers.multistep:ode_1",
        "sde-2": "irsde_cli.samplers.multistep:sde_2",
        "sde-1": "irsde_cli.samplers.multistep:sde_1",
        "ddim": "irsde_cli.samplers.multistep:ddim",
        "posterior": "irsde_cli.samplers.posterior:posterior",
        "euler-maruyama": "irsde_cli.samplers.euler:euler_maruyama",
        "euler-ode": "irsde_cli.samplers.euler:euler_ode",
        "euler-mean": "irsde_cli.samplers.euler:euler_mean",
        "ancestral": "irsde_cli.samplers.first_order:ancestral",
        "renoise": "irsde_cli.samplers.first_order:renoise",
        "residual": "irsde_cli.samplers.first_order:residual",
        "rddm": "irsde_cli.samplers.first_order:residual_and_noise",
        "fod-mc": "irsde_cli.samplers.forward_only:mc",
        "fod-nmc": "irsde_cli.samplers.forward_only:nmc",
        "fod-variance": "irsde_cli.samplers.forward_only:with_variance",
        "fod-euler": "irsde_cli.samplers.forward_only:euler_forward",
        "sde-noise-1": "irsde_cli.samplers.noise_form:sde_noise_1",
        "sde-noise-2": "irsde_cli.samplers.noise_form:sde_noise_2",
        "driftrec": "irsde_cli.samplers.euler:drifting",
        "noiseless": "irsde_cli.samplers.multistep:noiseless",
    },
)
