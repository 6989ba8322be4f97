"""One style: arms that nobody confuses, legends that name everything once, no matplotlib elsewhere."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from emo_ssl.figures import style
from emo_ssl.study import grid


def test_every_arm_has_a_look_of_its_own():
    assert set(grid.ARMS) | {"constants"} <= set(style.ARMS)
    # each of the three alone tells arms apart: a grey print keeps two of them
    for part in ("color", "linestyle", "marker"):
        assert len({str(look[part]) for look in style.ARMS.values()}) == len(style.ARMS), part


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 3, 1), (3, 3, 1), (5, 3, 2), (2, 1, 2)])
def test_small_multiples_name_the_axes_at_the_left_and_below(count, columns, rows):
    figure, panels = style.small_multiples(count, columns, 1.0, 0.5, "x", "y", sharex=True)
    plt.close(figure)
    assert [axes.get_visible() for axes in figure.axes] == [True] * count + [False] * (len(figure.axes) - count)
    assert figure.get_size_inches().tolist() == [style.WIDTH, rows + 0.5]
    assert [i for i, axes in enumerate(panels) if axes.get_xlabel()] == list(range(max(count - columns, 0), count))
    assert [i for i, axes in enumerate(panels) if axes.get_ylabel()] == list(range(0, count, columns))


def test_whiskers_reach_from_the_estimate_to_both_ends():
    found = pd.DataFrame({"estimate": [0.5, 0.5, np.nan], "low": [0.4, np.nan, np.nan], "high": [0.7, np.nan, np.nan]})
    np.testing.assert_allclose(style.whiskers(found), [[0.1, 0, 0], [0.2, 0, 0]])
