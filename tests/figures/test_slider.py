"""Pictures under a slider: all are there, one is shown, and each says in words what it shows."""

import base64
import json

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup

from emo_ssl.figures import slider


def picture(height):
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, height])
    return figure


def test_one_picture_is_shown_and_the_slider_names_it():
    shown = slider("after", {"0 steps": picture(0), 'many "steps"': picture(1)}, "A curve.", start=1)
    page = BeautifulSoup(shown.data, "html.parser")
    images = page.find_all("img")
    assert [image.has_attr("hidden") for image in images] == [True, False]
    assert [image["alt"] for image in images] == ["A curve. Here: 0 steps.", 'A curve. Here: many "steps".']
    drawn = [base64.b64decode(image["src"].partition(",")[2]) for image in images]
    assert all(data.startswith(b"\x89PNG") for data in drawn) and drawn[0] != drawn[1]
    control = page.find("input")
    assert (control["min"], control["max"], control["value"]) == ("0", "1", "1")
    assert control["aria-valuetext"] == page.find("output").text == 'many "steps"'
    assert control.find_parent("label").text.strip() == "after"
    assert plt.get_fignums() == []


def test_two_sliders_and_a_picture_for_every_pair():
    names = [("few", "narrow"), ("few", "wide"), ("many", "narrow"), ("many", "wide")]
    shown = slider(("share", "span"), {pair: picture(i) for i, pair in enumerate(names)}, "Bars.", start=2)
    page = BeautifulSoup(shown.data, "html.parser")
    share, span = page.find_all("input")
    assert [json.loads(one["data-names"]) for one in (share, span)] == [["few", "many"], ["narrow", "wide"]]
    assert (share["value"], span["value"], share["max"], span["max"]) == ("1", "0", "1", "1")
    assert [output.text for output in page.find_all("output")] == ["many", "narrow"]
    assert [one.find_parent("label").find_next_sibling().name for one in (share, span)] == ["output", "output"]
    images = page.find_all("img")
    assert [image.has_attr("hidden") for image in images] == [True, True, False, True]
    assert images[1]["alt"] == "Bars. Here: few, wide."


@pytest.mark.parametrize("pairs", [[], [("few", "narrow"), ("few", "wide"), ("many", "narrow")]])
def test_a_pair_without_a_picture(pairs):
    with pytest.raises(ValueError, match="a picture for every combination"):
        slider(("share", "span"), {pair: picture(1) for pair in pairs}, "Bars.")
    plt.close("all")


def test_the_same_pictures_give_the_same_bytes():
    one, two = (slider("x", {"a": picture(1)}, "A line.").data for _ in range(2))
    assert one == two
