"""What several tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder of real images and annotations to check against, where there is one."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERAS_SIMPLEPOSE_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip("no folder of real data; KERAS_SIMPLEPOSE_SHARED_DATA names one")
    return folder
