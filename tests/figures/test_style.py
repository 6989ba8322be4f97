"""Figures: one style, arms that nobody confuses, and pictures that show the numbers they were given."""

import ast
import inspect
import io
import re
from itertools import combinations
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from emo_ssl.figures import panels
from emo_ssl.figures import prediction as heard
from emo_ssl.figures import pretraining as pictures
from emo_ssl.figures import study as curves
from emo_ssl.figures import style as figures

ROOT = Path(__file__).parents[2]
DRAWING = ("figures.py", "curves.py", "pictures.py", "panels.py", "heard.py")
EMOTIONS = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
ARMS = (
    *("scratch", "pretrained", "frozen-pretrained", "frozen-random", "permuted"),
    *("statistics", "pca", "length", "floor", "constants"),
)
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


def contrast(colour: str, ground: str) -> float:
    light, dark = sorted((float([0.2126, 0.7152, 0.0722] @ linear(c)) for c in (colour, ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def segment() -> tuple[np.ndarray, list]:
    values = np.random.default_rng(0).normal(size=(120, 9))
    values[10:15, 2] = np.nan
    return values, [("pitch", np.arange(2)), ("rest", np.arange(2, 9))]


def leak_scores() -> pd.DataFrame:
    rows = [
        (split, answer, metric, 0.5 + 0.01 * repetition)
        for split in ("segment", "video")
        for answer in ("median", "copy")
        for metric in ("MAE", "AUROC")
        for repetition in range(3)
    ]
    return pd.DataFrame(rows, columns=["split", "answer", "metric", "value"])


def floor_values() -> dict:
    rng = np.random.default_rng(1)
    return {c: {"mae": rng.random(6), "acc4": rng.random(6)} for c in ("train mean", "train median", "always 0")}


DRAWN = {
    "segment_picture": lambda: figures.segment_picture(*segment(), 100),
    "voice_trace": lambda: figures.voice_trace(np.linspace(100, 200, 50), np.arange(50) % 10 < 5, 100),
    "geometry": lambda: figures.geometry(np.random.default_rng(0).gamma(4, 2, 50), np.arange(1, 12)),
    "video_strip": lambda: figures.video_strip(np.array([5.0, 0.0]), np.array([9.0, 6.0]), 20.0),
    "label_distribution": lambda: figures.label_distribution(np.full((6, 4), 0.25), np.full(6, 0.8), EMOTIONS),
    "correlation": lambda: figures.correlation(np.eye(6), EMOTIONS),
    "floors": lambda: figures.floors(floor_values(), EMOTIONS),
    "leak": lambda: figures.leak(leak_scores()),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_opaque_closed_small_and_fits_the_page(name):
    before = dict(plt.rcParams)
    figure = DRAWN[name]()
    assert plt.get_fignums() == [], "an open figure would be shown twice by a notebook"
    assert dict(plt.rcParams) == before, "the style must not leak"
    assert to_rgba(figure.get_facecolor()) == to_rgba(figures.PAPER) and figure.dpi == 200
    assert figure.get_figwidth() <= figures.WIDTH
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight", facecolor=figure.get_facecolor())
    assert len(stored.getvalue()) < 400_000
    stored.seek(0)
    picture = plt.imread(stored)
    assert picture.shape[-1] == 3 or (picture[..., 3] == 1).all()
    assert picture[..., :3].std() > 0.02, "an empty picture"


PHONE = 390  # CSS pixels from edge to edge; there a figure takes the whole width
LEGIBLE = 8  # pixels


def letters(figure) -> list[float]:
    """Sizes in points of all that is written in a figure."""
    return [text.get_fontsize() for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", DRAWN)
def test_letters_are_legible_on_a_phone(name):
    figure = DRAWN[name]()
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight", dpi=72)  # a pixel a point
    stored.seek(0)
    width = plt.imread(stored).shape[1]
    assert min(letters(figure)) * PHONE / width >= LEGIBLE


def test_no_drawing_asks_for_smaller_letters():
    least = LEGIBLE * 72 * figures.WIDTH / PHONE
    for name in DRAWING:
        source = (ROOT / "src/emo_ssl" / name).read_text(encoding="utf-8")
        asked = re.findall(r"(?:fontsize|labelsize|font_size)=([0-9.]+)", source)
        assert all(float(size) >= least for size in asked), f"{name}: {asked}"


def test_every_drawing_function_is_drawn_here():
    tree = ast.parse((ROOT / "src/emo_ssl/figures.py").read_text(encoding="utf-8"))
    drawing = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    data_part = {name for name in drawing if name in DRAWN}
    assert data_part == set(DRAWN)


def test_every_arm_has_a_look_of_its_own():
    assert set(ARMS) <= set(figures.STYLE) and figures.STYLE["constants"] == figures.STYLE["floor"]
    looks = {arm: look for arm, look in figures.STYLE.items() if arm != "constants"}
    # each of the three alone tells arms apart: a grey print keeps two of them
    for part in ("color", "linestyle", "marker"):
        assert len({str(look[part]) for look in looks.values()}) == len(looks), part
    assert figures.STYLE["floor"]["linestyle"] not in ("-", "solid")


def test_arms_stand_out_from_the_paper():
    for arm, look in figures.STYLE.items():
        assert contrast(look["color"], figures.PAPER) >= 2.4, arm
    assert contrast(figures.STYLE["pretrained"]["color"], figures.PAPER) >= 4.5
    assert contrast(figures.INK, figures.PAPER) > 7


@pytest.mark.parametrize("eye", EYES)
def test_arms_differ_for_every_kind_of_colour_vision(eye):
    colours = {arm: look["color"] for arm, look in figures.STYLE.items() if arm != "constants"}
    seen = {arm: lab(EYES[eye] @ linear(colour)) for arm, colour in colours.items()}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 10, f"{one} and {other} look alike with {eye}"
    assert np.linalg.norm(seen["pretrained"] - seen["scratch"]) > 40


def test_picture_shows_missing_values_in_their_own_colour():
    figure = figures.segment_picture(*segment(), 100)
    image = figure.axes[0].images[0]
    assert image.get_array().mask.sum() == 5
    assert tuple(image.get_cmap().get_bad()) == to_rgba(figures.YELLOW)
    assert figure.axes[0].get_legend() is not None
    whole = figures.segment_picture(np.zeros((20, 9)), segment()[1], 100)
    assert whole.axes[0].get_legend() is None
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["pitch (2)", "rest (7)"]


def test_picture_puts_groups_in_order_wherever_their_features_are():
    values = np.tile(np.arange(4.0), (5, 1))
    image = figures.segment_picture(values, [("a", np.array([3, 0])), ("b", np.array([1, 2]))], 10).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array()[:, 0], [3, 0, 1, 2])


def test_labels_are_spread_without_overlap():
    moved = figures.spread_out(np.array([1.0, 1.5, 2.0, 70.0, 74.0]), 3.0, 74.0)
    assert (np.diff(moved) >= 3 - 1e-9).all() and moved[-1] <= 74
    np.testing.assert_array_equal(figures.spread_out(np.array([10.0, 20.0]), 3.0, 74.0), [10, 20])


def test_stacked_bars_end_at_one():
    classes = np.array([[0.5, 0.3, 0.15, 0.05], [0.9, 0.1, 0, 0]])
    axes = figures.label_distribution(classes, np.array([0.7, 0.2]), ["a", "b"]).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, 1)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.3, 0.8])


def test_floors_show_every_value():
    values = floor_values()
    mae, accuracy = figures.floors(values, EMOTIONS).axes
    for line, (constant, row) in zip(mae.lines, values.items(), strict=True):
        assert line.get_label() == constant
        np.testing.assert_allclose(line.get_xdata(), row["mae"])
    np.testing.assert_allclose(accuracy.lines[2].get_xdata(), values["always 0"]["acc4"])


def test_a_table_is_the_same_on_every_run_and_escapes_nothing_away():
    frame = pd.DataFrame({"a": [0.12345, np.nan]}, index=pd.Index(["x", "y"], name="row"))
    html = figures.table(frame, "twin", "{:.2f}").to_html()
    assert html == figures.table(frame, "twin", "{:.2f}").to_html()
    assert "0.12" in html and "–" in html and "T_twin" in html and ">row<" not in html
    assert "min-width" in figures.table(frame, "twin", wide=True).to_html()
    assert ">x<" not in figures.table(frame, "twin", index=False).to_html()


def test_only_figures_needs_the_plotting_libraries():
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy = [name for name in names if name.split(".")[0] in ("matplotlib", "seaborn", "plotly")]
            assert not heavy or path.name in DRAWING, f"{path.name} imports {heavy}"
            inner = [name for name in names if name.removeprefix("emo_ssl.") + ".py" in DRAWING]
            assert not inner or path.name in DRAWING, f"{path.name} imports {inner}, which only notebooks may"


@pytest.mark.parametrize("module", [figures, curves, panels, pictures, heard])
def test_every_figure_is_drawn_in_the_style(module):
    drawn = [
        thing for thing in vars(module).values() if inspect.isfunction(thing) and thing.__module__ == module.__name__
    ]
    drawn = [thing for thing in drawn if inspect.signature(thing).return_annotation is Figure]
    assert drawn and [thing.__name__ for thing in drawn if not hasattr(thing, "__wrapped__")] == []


def test_a_folded_table_opens_on_a_click():
    shown = figures.table(pd.DataFrame({"a": [1]}), "folded")
    found = figures.folded(shown, "more & more")
    assert found.startswith("<details><summary>more &amp; more</summary>") and found.endswith("</details>")
    assert shown.to_html() in found
