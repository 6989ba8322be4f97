"""One of everything for all attacks, which leave it as it was."""

from pathlib import Path

import pytest
from attack.examples import write_everything


@pytest.fixture(scope="package")
def made(tmp_path_factory) -> Path:
    return write_everything(tmp_path_factory.mktemp("made"))
