"""One style: arms that nobody confuses, legends that name everything once, no matplotlib elsewhere."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from emo_ssl.figures import style
from emo_ssl.study import grid

# From linear RGB to what an eye without one kind of cone makes of it (Machado, Oliveira and Fernandes 2009, severity 1)
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    scaled = xyz / [0.9505, 1.0, 1.089]
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast_with_paper(colour: str) -> float:
    return 1.05 / (float([0.2126, 0.7152, 0.0722] @ linear(colour)) + 0.05)


def test_every_arm_has_a_look_of_its_own():
    assert set(grid.ARMS) | {"constants"} <= set(style.ARMS)
    # each of the three alone tells arms apart: a grey print keeps two of them
    for part in ("color", "linestyle", "marker"):
        assert len({str(look[part]) for look in style.ARMS.values()}) == len(style.ARMS), part


def test_arms_stand_out_from_the_paper():
    assert style.PAPER == "#ffffff"
    for arm, look in style.ARMS.items():
        assert contrast_with_paper(look["color"]) >= 2.4, arm
    assert contrast_with_paper(style.ARMS["pretrained"]["color"]) >= 4.5 and contrast_with_paper(style.INK) > 7


@pytest.mark.parametrize("eye", EYES)
def test_arms_differ_for_every_kind_of_colour_vision(eye):
    seen = {arm: lab(EYES[eye] @ linear(look["color"])) for arm, look in style.ARMS.items()}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 10, f"{one} and {other} look alike with {eye}"
    assert np.linalg.norm(seen["pretrained"] - seen["scratch"]) > 40


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 3, 1), (3, 3, 1), (5, 3, 2), (2, 1, 2)])
def test_small_multiples_name_the_axes_at_the_left_and_below(count, columns, rows):
    figure, panels = style.small_multiples(count, columns, 1.0, 0.5, "x", "y", sharex=True)
    plt.close(figure)
    assert [axes.get_visible() for axes in figure.axes] == [True] * count + [False] * (len(figure.axes) - count)
    assert figure.get_size_inches().tolist() == [style.WIDTH, rows + 0.5]
    assert [i for i, axes in enumerate(panels) if axes.get_xlabel()] == list(range(max(count - columns, 0), count))
    assert [i for i, axes in enumerate(panels) if axes.get_ylabel()] == list(range(0, count, columns))


def test_a_legend_names_everything_once_and_lines_last():
    figure, panels = plt.subplots(1, 2)
    for axes in panels:
        axes.axhline(0, label="line")
        axes.errorbar([0], [0], yerr=[1], label="interval")
    panels[1].bar([0], [1], label="bar")
    style.legend(figure, 2)
    plt.close(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["interval", "bar", "line"]


def test_whiskers_reach_from_the_estimate_to_both_ends():
    found = pd.DataFrame({"estimate": [0.5, 0.5, np.nan], "low": [0.4, np.nan, np.nan], "high": [0.7, np.nan, np.nan]})
    np.testing.assert_allclose(style.whiskers(found), [[0.1, 0, 0], [0.2, 0, 0]])
