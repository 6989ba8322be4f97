"""Curves to explore: their numbers are those of the evidence, in words, and nothing that is missing is drawn."""

import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

from emo_ssl.evidence import lookup
from emo_ssl.figures import interactive_curves, style

ARMS = ["pretrained", "scratch", "statistics"]
NUMBERS = re.compile(r"^(.*), (\d+) labels: (−?[\d.]+)(?: \((−?[\d.]+) to (−?[\d.]+)\))?$")


def drawn(*arguments, **options) -> BeautifulSoup:
    return BeautifulSoup(interactive_curves(*arguments, **options).data, "html.parser")


def rows_of(page, arm: str) -> list[tuple]:
    words = [point["aria-label"] for point in page.select(f'[data-arm="{arm}"] .point')]
    return [NUMBERS.match(label).groups() for label in words]


def test_the_numbers_are_those_of_the_evidence(evidence):
    page = drawn(evidence, ARMS)
    for arm in ARMS:
        found = lookup.levels(evidence, arm, evidence["headline"])
        expected = found[["budget", "estimate", "low", "high"]].to_numpy()
        assert len(expected) == len(evidence["budgets"])
        numbers = np.array([row[1:] for row in rows_of(page, arm)], float)
        np.testing.assert_allclose(numbers, expected, atol=0.0005)
        # higher up on the page is a larger number
        heights = [float(ring["cy"]) for ring in page.select(f'[data-arm="{arm}"] .ring')]
        assert np.corrcoef(heights, expected[:, 1])[0, 1] == pytest.approx(-1, abs=1e-4)


def test_every_arm_has_a_name_a_colour_and_a_box_in_the_legend(evidence):
    arms = [arm for arm in lookup.arms_of(evidence) if arm in style.ARMS]
    page = drawn(evidence, arms)
    boxes = page.find_all("input")
    assert [box["value"] for box in boxes] == arms == [part["data-arm"] for part in page.select("[data-arm]")]
    for arm, box in zip(arms, boxes, strict=True):
        assert box.has_attr("checked") and box.parent.text.strip() == lookup.NAMES[arm]
        assert page.select_one(f'[data-arm="{arm}"]')["aria-label"] == lookup.NAMES[arm]
        assert page.select_one(f'[data-arm="{arm}"] polyline')["stroke"] == style.ARMS[arm]["color"]
        assert f'[value="{arm}"]:not(:checked)' in page.style.text


def test_one_tab_stop_a_curve_and_the_words_that_a_point_shows(evidence):
    page = drawn(evidence, ARMS, "What is <shown>.")
    for arm in ARMS:
        stops = [point["tabindex"] for point in page.select(f'[data-arm="{arm}"] .point')]
        assert stops == ["0", *["-1"] * (len(stops) - 1)]
    assert all(point["aria-label"] == point.select_one(".numbers").text for point in page.select(".point"))
    assert page.figcaption.text == "What is <shown>."
    assert len(page.select_one("svg[viewbox][role]")["aria-label"].split()) >= 5


def test_one_budget(evidence):
    evidence["budgets"] = [28]
    evidence["levels"] = [row for row in evidence["levels"] if row["budget"] == 28]
    page = drawn(evidence, ["scratch"])
    (row,) = rows_of(page, "scratch")
    assert row[1] == "28" and "nan" not in str(page)


def test_what_is_missing_is_left_out(evidence):
    before = rows_of(drawn(evidence, ["scratch"]), "scratch")
    missing = {"estimate": 28, "low": 56}
    for row in evidence["levels"]:
        if row["arm"] == "scratch":
            row |= {name: None for name, budget in missing.items() if row["budget"] == budget}
    page = drawn(evidence, ["scratch", "no-such-arm"])
    after = rows_of(page, "scratch")
    assert [row[1] for row in after] == [row[1] for row in before[1:]]
    assert after[0][3:] == (None, None) and after[1:] == before[2:]
    assert page.select("[data-arm]") == page.select('[data-arm="scratch"]') and "nan" not in str(page)


def test_nothing_to_draw(evidence):
    evidence["levels"] = []
    assert drawn(evidence, ARMS).select(".point") == []
