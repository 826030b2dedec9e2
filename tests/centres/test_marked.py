"""Holes that a network can see."""

import torch

from irsde_cli.centres.filled import filled
from irsde_cli.centres.marked import MARK, marked
from irsde_cli.degradations.free_form_mask import FreeFormMask


def test_holes_alone_are_marked_and_their_mean_stays() -> None:
    """Neighbours in a hole go opposite ways from the surface that `filled` makes; what is known is left as it is."""
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    known = FreeFormMask(0.3, 0.3).masks(1, 32, 48, torch.Generator().manual_seed(1))
    before = image.clone()
    board = marked(image, known) - filled(image, known)
    assert torch.equal(image, before)
    assert not board[known.expand_as(board)].any()
    holes = ~known
    assert torch.allclose(board.abs()[holes.expand_as(board)], torch.tensor(MARK), atol=1e-6)
    beside = (holes[..., 1:] & holes[..., :-1]).expand_as(board[..., 1:])
    assert (board[..., 1:] + board[..., :-1])[beside].abs().max() < 1e-6


def test_without_holes_there_is_nothing_to_mark() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert marked(image, None) is image
    assert torch.equal(marked(image, torch.ones(1, 1, 8, 8, dtype=torch.bool)), image)
