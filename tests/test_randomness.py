"""Where each draw comes from."""

import unicodedata

import torch

from irsde_cli.randomness import damage_for, generator_for, generator_from


def first(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def test_damage_and_noise_of_one_picture_are_apart() -> None:
    """Else a denoiser's start would be the very noise that it is to remove."""
    assert first(damage_for(0, "a")) != first(generator_for(0, b"a"))
    assert len({first(damage_for(seed, key)) for seed in (0, 1, -1) for key in ("a", "b", "a/b", "")}) == 12


def test_names_composed_and_decomposed_have_one_damage() -> None:
    names = [unicodedata.normalize(form, "été/写真 ガ") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    assert first(damage_for(3, names[0])) == first(damage_for(3, names[1]))


def test_noise_of_earlier_versions_stays() -> None:
    """The first number of a key's noise, as it was when the manifest's generator was named version 1."""
    assert generator_for(0, b"a.png").initial_seed() == 4780221315929262003
    assert generator_from(b"").initial_seed() == generator_from(b"", b"").initial_seed()
