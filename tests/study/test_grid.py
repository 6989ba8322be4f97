"""The grid: which members there are, and which settings cannot be."""

from dataclasses import replace

import pytest
from training import STUDY

from emo_ssl.study.grid import Chunk, StudyConfig, budgets_of, budgets_under, chunks_of


def test_budgets_end_with_all_there_is():
    config = StudyConfig(budgets=(56, 28, 1000))
    assert budgets_of(config, 100) == (28, 56, 100)
    assert budgets_of(config, 28) == (28,)
    assert budgets_of(config, 1) == (1,)


def test_a_second_protocol_is_run_at_some_budgets_and_at_all_of_the_pool():
    assert budgets_under(STUDY, (4, 8, 24)) == {"speaker-independent": (4, 8, 24)}
    assert budgets_under(replace(STUDY, adapted=(8,)), (4, 8, 24)) == {
        "speaker-independent": (4, 8, 24),
        "speaker-adapted": (8, 24),
    }


def test_chunks_are_the_grid():
    grid = chunks_of(replace(STUDY, arms=("scratch", "pca"), seeds=2, adapted=(4,)), [0, 1], (4, 24))
    assert len(grid) == len({chunk.name for chunk in grid}) == 2 * 2 * 2
    assert grid[0] == Chunk(0, "scratch", (4, 24), (0, 1))
    assert grid[0].members == [(4, 0), (4, 1), (24, 0), (24, 1)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"arms": ("scratch", "magic")}, "no arm is called magic"),
        ({"arms": ()}, "at least one arm"),
        ({"arms": ("pca", "pca")}, "name each arm and budget once"),
        ({"budgets": (4, 4)}, "name each arm and budget once"),
        ({"budgets": (0, 4)}, "at least 1"),
        ({"seeds": 0}, "at least 1"),
        ({"rates": ()}, "one to six settings"),
        ({"adapted": (5,)}, "adapted names 5"),
        ({"head": "tail"}, "head 'tail' is none of"),
        ({"keep": "first"}, "keep 'first' is none of last, best"),
        ({"labels": "nice"}, "labels 'nice' is none of"),
    ],
)
def test_settings_that_cannot_be(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(STUDY, **changes)
