import pytest
from book_tree import write_tree


@pytest.fixture
def tree(tmp_path):
    """A repository of its own for the book's machinery."""
    return write_tree(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def bars_are_back_afterwards():
    """Executing a notebook switches progress bars off for the rest of the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQDM_DISABLE", "1")
        yield
