"""The audit of the rendered book: what it counts, and a page on which everything is wrong."""

import os
from itertools import product
from pathlib import Path

import pytest
from book_tree import load

audit = load("audit")

NODE = {"target": ["#a"], "html": "<b>", "failureSummary": "too pale", "any": []}


def site(folder: Path, **pages: str) -> Path:
    (folder / "_static").mkdir(parents=True)
    (folder / "_static" / "template.html").write_text("")
    (folder / "index.html").write_text("")
    for name, body in pages.items():
        head = '<!doctype html><html lang="en"><head><title>t</title><link rel="icon" href="data:,"></head>'
        (folder / f"{name}.html").write_text(f"{head}<body>{body}</body></html>")
    return folder


def test_text_in_the_colour_of_its_ground_counts():
    same = {**NODE, "any": [{"data": {"messageKey": "equalRatio"}}]}
    other = {**NODE, "any": [{"data": {"messageKey": "bgImage"}}, {"data": None}]}
    undecided = [{"id": "color-contrast", "nodes": [same, other]}, {"id": "video-caption", "nodes": [same]}]
    assert audit.invisible(undecided) == [{"id": "color-contrast", "nodes": [same]}]
    assert audit.invisible([{"id": "color-contrast", "nodes": [other]}]) == []


@pytest.mark.parametrize(
    "fault", [{"console": ["x"]}, {"outside": ["x"]}, {"violations": [{"rule": "a"}]}, {"sideways": 1}], ids=str
)
def test_each_kind_of_finding_fails_the_audit(fault, tmp_path, capsys):
    clean = audit.Look("a", "phone", "dark")
    assert audit.report([clean], tmp_path) == 0
    assert audit.report([clean, audit.Look("b", "desk", "light", **fault)], tmp_path) == 1
    assert "1 of 2 looks found something" in capsys.readouterr().err and (tmp_path / "findings.json").is_file()


def test_without_a_browser_or_a_book_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit, "find_browser", lambda: "")
    assert audit.main([str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err == "No Chromium was found: install one, or name it: CHROMIUM=/path/to/it make audit\n"
    )
    monkeypatch.setattr(audit, "find_browser", lambda: os.devnull)
    assert audit.main([str(tmp_path)]) == 2
    assert "run make book first" in capsys.readouterr().err
    assert not (tmp_path.parent / "audit").exists()


FAULTY = """<main><h1>t</h1><h3>skipped</h3><p style="color: #ddd; background: #fff">pale</p>
<p style="color: #fff; background: #fff">unseen</p><p style="width: 900px">wide</p><p id="x">a</p><p id="x">b</p>
<img src="https://nowhere.example/a.png" alt="">
<details><summary>s</summary><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="></details>
<script>console.error("broken")</script></main>"""


@pytest.mark.timeout(1200)  # a browser on a busy machine
def test_a_page_on_which_everything_is_wrong(tmp_path, monkeypatch):
    if not os.environ.get("EMO_SSL_BROWSER"):
        pytest.skip("opens a browser: make audit runs it, with EMO_SSL_BROWSER=1")
    monkeypatch.setattr(audit, "SCHEMES", ("light",))
    folder = site(tmp_path / "site", faulty=FAULTY, fine="<main><h1>t</h1><p>dark on light</p></main>")
    looks = list(audit.audit(folder, audit.pages_of(folder), tmp_path, audit.find_browser()))
    assert [(look.page, look.width) for look in looks] == list(product(("faulty", "fine"), ("desk", "phone")))
    desk, phone, *fine = looks
    assert all(look.is_clean for look in fine) and not desk.is_clean and not phone.is_clean
    assert "broken" in desk.console and desk.outside == ["https://nowhere.example/a.png"]
    assert [entry["rule"] for entry in desk.violations].count("color-contrast") == 2
    assert {"heading-order", "duplicate-id", "image-alt"} <= {entry["rule"] for entry in desk.violations}
    assert desk.sideways == 0 and phone.sideways > 400 and phone.too_wide
    assert (tmp_path / "faulty-phone-light.png").stat().st_size > 1000
