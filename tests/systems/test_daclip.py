"""What DA-CLIP looks at, what it says of it, and that the network hears it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from irsde_cli import checkpoint
from irsde_cli.networks.daclip import MEAN, STD, looked_at
from irsde_cli.networks.daclip_unet import DaClipUNet
from irsde_cli.networks.tiling import Tiles
from irsde_cli.samplers.settings import Sampling
from irsde_cli.systems.daclip import WORDS, DaClipRestorer
from tests.cli.stub import Program, picture
from tests.systems.test_restorers import build, noise, run


@pytest.fixture
def universal() -> DaClipRestorer:
    restorer = build("daclip")
    assert isinstance(restorer, DaClipRestorer)
    return restorer


@pytest.mark.parametrize("size", [(481, 321), (321, 481), (224, 224), (225, 1000), (100, 37), (7, 7)])
def test_it_looks_at_the_middle_of_a_small_picture(
    universal: DaClipRestorer, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shorter side becomes 224, bicubic, what is too long is cut evenly: as the transforms that trained it."""
    monkeypatch.setattr(universal.clip, "image_size", 224)
    height, width = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if width <= height:
        resized = Image.fromarray(pixels).resize((224, int(224 * height / width)), Image.Resampling.BICUBIC)
    else:
        resized = Image.fromarray(pixels).resize((int(224 * width / height), 224), Image.Resampling.BICUBIC)
    left, top = round((resized.width - 224) / 2.0), round((resized.height - 224) / 2.0)
    cut = np.asarray(resized)[top : top + 224, left : left + 224]
    expected = (cut / 255 - np.array(MEAN)) / np.array(STD)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    found = looked_at(image, universal.clip.image_size)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_likeliest_word_comes_first(universal: DaClipRestorer) -> None:
    """Probabilities of the ten words, which follow the text tower."""
    image = torch.rand(3, 30, 41)
    seen = universal.seen(image)
    assert set(seen) == set(WORDS) and sum(seen.values()) == pytest.approx(1, abs=1e-5)
    assert list(seen.values()) == sorted(seen.values(), reverse=True)
    damage = universal.clip(looked_at(image[None], universal.clip.image_size))[1]
    likeness = {}
    for word, pairs in WORDS.items():
        tokens = torch.tensor([pairs + (0,) * (77 - len(pairs))])
        likeness[word] = float(nn.functional.cosine_similarity(universal.clip.encode_text(tokens), damage)[0])
    assert max(likeness, key=lambda word: likeness[word]) == next(iter(seen))
    assert build("daclip", names_damage=False).seen(image) == {}


def test_the_network_is_told_of_the_whole_picture(universal: DaClipRestorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each picture; every tile and every step hears the same, and it matters."""
    told: list[tuple[Tensor, Tensor]] = []
    forward = DaClipUNet.forward

    def listening(self: DaClipUNet, x: Tensor, mu: Tensor, t: Tensor, *embeddings: Tensor) -> Tensor:
        told.append((embeddings[0], embeddings[1]))
        return forward(self, x, mu, t, *embeddings)

    monkeypatch.setattr(DaClipUNet, "forward", listening)
    degraded = torch.rand(1, 3, 40, 40)
    whole = run(universal, degraded, noise(), steps=2)
    content, damage = universal.clip(looked_at(degraded, universal.clip.image_size))
    run(universal, degraded, noise(), Tiles(32, 16), steps=2)
    assert len(told) == 2 + 2 * 4
    for pair in told:
        torch.testing.assert_close(pair, (content, damage))
    with torch.no_grad():
        universal.clip.visual_control.proj.zero_()
    assert not torch.allclose(run(universal, degraded, noise(), steps=2), whole)


def test_restore_says_what_it_sees(universal: DaClipRestorer, tmp_path: Path) -> None:
    """`--task auto`: a line on standard error for each picture, an event in JSON."""
    path = tmp_path / "universal.safetensors"
    checkpoint.save(path, universal, task="auto")
    image = picture(tmp_path / "in" / "a.png", 40, 33)
    restore = Program(path)
    result = restore(tmp_path / "in", tmp_path / "out", task="auto")
    seen = universal.seen(torch.from_numpy(np.asarray(Image.open(image)).copy()).permute(2, 0, 1) / 255)
    word, share = next(iter(seen.items()))
    assert f"a.png: {word} {share:.0%}" in result.stderr
    (event,) = (
        event for event in restore.events(tmp_path / "in", tmp_path / "again", task="auto") if event["event"] == "seen"
    )
    assert event["name"] == "a.png" and next(iter(event["damage"])) == word


def test_it_restores_from_python(universal: DaClipRestorer) -> None:
    """A batch of pictures of one size: each is told about itself."""
    images = torch.rand(2, 3, 20, 24)
    options: dict[str, Any] = {"sampling": Sampling(steps=2)}
    together = universal(images, **options)
    torch.testing.assert_close(together[0], universal(images[0], **options), atol=1e-5, rtol=0)
