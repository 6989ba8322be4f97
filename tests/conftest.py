import os
import signal
from pathlib import Path

import pytest

# For the tests and the processes that they start: no bars among the output, and one thread, which is faster for tiny
# models and far faster where another process trains beside them
os.environ["TQDM_DISABLE"] = os.environ["OMP_NUM_THREADS"] = "1"

# What a shell starts in its background ignores Ctrl-C, and so do its children: tests that interrupt would hang
signal.signal(signal.SIGINT, signal.default_int_handler)


SLOWEST = ("test_smoke.py", "test_golden.py", "test_claims.py", "test_notebooks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files come first, so that in the end no core waits for one that has just begun."""
    items.sort(key=lambda item: SLOWEST.index(item.path.name) if item.path.name in SLOWEST else len(SLOWEST))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and tables; tests that need it are skipped where there is none."""
    folder = Path(os.environ.get("EMO_SSL_REAL_DATA") or "none")
    if not folder.is_dir():
        pytest.skip("needs real data: set EMO_SSL_REAL_DATA to its folder")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A small prepared corpus, a new one for each file of tests."""
    from training import write_mosei_like

    return write_mosei_like(tmp_path_factory.mktemp("corpus"))
