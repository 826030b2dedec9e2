from pathlib import Path

import pytest

from tests.cli.stub import Program, picture, save_stub


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that say no task, and so may be taken for any."""
    return save_stub(tmp_path_factory.mktemp("stub") / "stub.safetensors", task="")


@pytest.fixture
def restore(stub: Path) -> Program:
    return Program(stub)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for index, (height, width) in enumerate([(9, 14), (16, 16), (15, 13), (8, 24), (1, 1), (3, 40)]):
        picture(folder / f"p{index}.png", height, width)
    picture(folder / "sub" / "q.jpg", 20, 20)
    return folder
