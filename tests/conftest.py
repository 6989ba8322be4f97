import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and tables; tests that need it are skipped where there is none."""
    name = os.environ.get("EMO_SSL_REAL_DATA", "")
    if not name:
        pytest.skip("needs real data: set EMO_SSL_REAL_DATA to its folder")
    folder = Path(name)
    if not folder.is_dir():
        pytest.skip(f"EMO_SSL_REAL_DATA is {name}, which is not a folder")
    return folder
