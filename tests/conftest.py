import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

# Records of single pictures lie in the user's state folder. Set before other modules copy the environment.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="irsde-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name says nothing: names of folders, and of those beside, tell the halves of data sets apart."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden numbers, photographs and peers' weights, which is not part of the project."""
    default = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("IRSDE_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data folder (IRSDE_SHARED), not found at '{folder}'")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws without a generator of its own, and what is logged, do not depend on tests before it."""
    torch.manual_seed(0)
    logging.getLogger("irsde_cli").setLevel(logging.NOTSET)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: give --slow"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if "network" in item.keywords and "IRSDE_NETWORK" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="needs the internet: set IRSDE_NETWORK=1"))
