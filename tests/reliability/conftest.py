from pathlib import Path

import pytest

from tests.cli.stub import save_stub


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stub(tmp_path_factory.mktemp("stub") / "stub.safetensors")
