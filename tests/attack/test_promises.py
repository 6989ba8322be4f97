"""The page of promises names tests that exist, and its record of damaged files shows no fault that the page hides."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "notebooks" / "07-what-you-can-rely-on.ipynb").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_that_is_named_exists(file, test):
    assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_promise_names_a_test():
    cells = ["".join(cell["source"]) for cell in json.loads(PAGE)["cells"] if cell["cell_type"] == "markdown"]
    promised = "\n".join(cells).partition("## What is not promised")[0]
    promises = re.findall(r"^- .+\n(?:  .+\n?)*", promised, re.MULTILINE)
    assert len(promises) > 15 and all("::test_" in one for one in promises)
    assert len(NAMED) > 25


def test_the_record_adds_up():
    record = json.loads((ROOT / "results" / "fuzz" / "fuzz.json").read_text(encoding="utf-8"))
    for row in record["readers"]:
        assert row["cases"] == sum(
            value for name, value in row.items() if name not in ("reader", "cases", "megabytes", "seconds")
        )
    assert record["total"]["cases"] == sum(row["cases"] for row in record["readers"])
    assert record["provenance"]["commit"] and not record["provenance"]["commit"].endswith("+")
