import pytest
from book_tree import write_tree


@pytest.fixture
def tree(tmp_path):
    """A repository of its own for the book's machinery."""
    return write_tree(tmp_path)
