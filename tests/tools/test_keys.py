"""Notebooks as data: the order in which they run, and the key, which says what an execution depends on."""

import re

import nbformat
import pytest
from book_tree import PARAMETERS, SHOW, code, only_notebook, text, write_notebook, write_profile

from emo_ssl.utils.io import UserError
from tools import notebooks


def keys(tree, profile="demo") -> dict[str, str]:
    return notebooks.keys_of(tree, notebooks.find(tree, profile))


def key(tree) -> str:
    return keys(tree)["01-first"]


@pytest.mark.parametrize("content", ["", "<html>", "{}", "[]", '{"cells": [], "nbformat": 4}'])
def test_files_that_are_no_notebooks(tree, content):
    (tree / "notebooks" / "01-first.ipynb").write_text(content)
    with pytest.raises(UserError, match="not a notebook"):
        notebooks.find(tree)


# What a notebook comes after, and what it reads


@pytest.mark.parametrize(
    ("links", "complaint"),
    [
        ({"after": ["09-absent"]}, "it comes after 09-absent, and notebooks/ has no such notebook"),
        ({"after": ["01-first"]}, "01-first wait for each other"),
        ({"inputs": ["results/absent"]}, "its input results/absent is not in"),
        ({"inputs": ["../elsewhere"]}, "its input ../elsewhere is not in"),
        ({"inputs": ["/"]}, "its input / is not in"),
        ({"after": "01-first"}, 'its metadata "emo_ssl" has to hold lists'),
        ({"after": [1]}, 'its metadata "emo_ssl" has to hold lists'),
        ({"before": []}, 'its metadata "emo_ssl" has to hold lists'),
    ],
)
def test_bad_links(tree, links, complaint):
    write_notebook(tree, "01-first", PARAMETERS, SHOW, **links)
    with pytest.raises(UserError, match=re.escape(complaint)) as refusal:
        notebooks.find(tree)
    assert "\n" not in str(refusal.value)


def test_a_circle_names_those_in_it(tree):
    write_notebook(tree, "02-second", SHOW, after=["03-third"])
    write_notebook(tree, "03-third", SHOW, after=["02-second", "01-first"])
    with pytest.raises(UserError, match="02-second, 03-third wait for each other"):
        notebooks.find(tree)


def test_in_the_order_of_names_but_after_what_they_need(tree):
    write_notebook(tree, "02-second", SHOW, after=["04-fourth"])
    write_notebook(tree, "03-third", SHOW)
    write_notebook(tree, "04-fourth", SHOW, after=["01-first", "03-third"])
    write_notebook(tree, "05-fifth", SHOW, after=[], inputs=[])
    order = [notebook.stem for notebook in notebooks.find(tree)]
    assert order == ["01-first", "03-third", "04-fourth", "02-second", "05-fifth"]


# The key


def test_key_changes_with_what_outputs_depend_on(tree):
    found = [key(tree)]
    write_profile(tree, "01-first: {videos: 8}\n")
    found.append(key(tree))
    write_notebook(tree, "01-first", text("# First"), PARAMETERS, code(SHOW.source + "\n"))
    found.append(key(tree))
    write_notebook(tree, "01-first", text("# First"), PARAMETERS, code(SHOW.source, "raises-exception"))
    found.append(key(tree))
    write_notebook(tree, "01-first", PARAMETERS, code("from emo_ssl import thing"), SHOW)
    found.append(key(tree))
    (tree / "src" / "emo_ssl" / "thing.py").write_text("x = 2\n")
    found.append(key(tree))
    (tree / "src" / "emo_ssl" / "thing.py").rename(tree / "src" / "emo_ssl" / "other.py")
    found.append(key(tree))
    (tree / "requirements.lock").write_text("a==2\n")
    found.append(key(tree))
    assert len(set(found)) == len(found)


def test_key_ignores_prose_outputs_and_modules_out_of_reach(tree):
    before = key(tree)
    ran = code(SHOW.source, mystnb={"figure": {"caption": "Another."}})
    ran.outputs, ran.execution_count = [nbformat.v4.new_output("stream", text="old")], 9
    write_notebook(tree, "01-first", text("# Renamed"), PARAMETERS, text("More."), ran)
    (tree / "book" / "index.md").write_text("# Other\n")
    (tree / "src" / "emo_ssl" / "thing.py").write_text("x = 2\n")
    write_profile(tree, "cell_limit: 5\n01-first: {videos: 7}\n")
    assert key(tree) == before


def test_the_set_up_cell_reaches_no_module(tree):
    write_notebook(tree, "01-first", code("get_ipython().system('install')", "setup"), PARAMETERS, SHOW)
    before = key(tree)
    (tree / "src" / "emo_ssl" / "thing.py").write_text("x = 2\n")
    assert key(tree) == before
    write_notebook(tree, "01-first", code("get_ipython().system('install')"), PARAMETERS, SHOW)
    before = key(tree)
    (tree / "src" / "emo_ssl" / "thing.py").write_text("x = 3\n")
    assert key(tree) != before


def test_key_follows_the_contents_of_inputs(tree):
    folder = tree / "results" / "study"
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (tree / "one.json").write_text("{}")
    found = [key(tree)]
    write_notebook(tree, "01-first", PARAMETERS, SHOW, inputs=["results/study"])
    found.append(key(tree))
    (folder / "table.csv").write_text("a,b\n1,3\n")
    found.append(key(tree))
    (folder / "table.csv").rename(folder / "other.csv")
    found.append(key(tree))
    (folder / "more").mkdir()
    (folder / "more" / "new").write_text("")
    found.append(key(tree))
    write_notebook(tree, "01-first", PARAMETERS, SHOW, inputs=["results/study", "one.json"])
    found.append(key(tree))
    (tree / "one.json").write_text("[]")
    found.append(key(tree))
    assert len(set(found)) == len(found)
    (folder / ".DS_Store").write_text("")
    (tree / "two.json").write_text("")
    assert key(tree) == found[-1]


def test_key_follows_what_a_parameter_points_at(tree):
    write_notebook(tree, "01-first", code('corpus = ""', "parameters"))
    write_profile(tree, "01-first: {corpus: prepared}\n")
    found = [key(tree)]
    (tree / "prepared").mkdir()
    (tree / "prepared" / "frames.bin").write_bytes(bytes(200_000))
    found.append(key(tree))
    (tree / "prepared" / "frames.bin").write_bytes(bytes(100_000) + b"\1" + bytes(99_999))
    found.append(key(tree))
    (tree / "prepared" / "frames.bin").write_bytes(bytes(9_000_000))
    found.append(key(tree))
    (tree / "prepared" / "frames.bin").write_bytes(bytes(8_999_999) + b"\1")
    found.append(key(tree))
    assert len(set(found)) == len(found)


def test_key_follows_the_notebooks_before_it(tree):
    write_notebook(tree, "02-second", SHOW, after=["01-first"])
    write_notebook(tree, "03-third", SHOW, after=["02-second"])
    write_notebook(tree, "04-fourth", SHOW)
    before = keys(tree)
    write_profile(tree, "01-first: {videos: 8}\n")
    after = keys(tree)
    assert [stem for stem in before if before[stem] != after[stem]] == ["01-first", "02-second", "03-third"]


def test_profiles_do_not_mix(tree):
    write_profile(tree, "01-first: {videos: 7}\n", "full")
    (demo,), (full,) = notebooks.find(tree), notebooks.find(tree, "full")
    assert keys(tree) == keys(tree, "full")
    assert notebooks.executed_path(tree, demo) == tree / "build" / "executed" / "demo" / "01-first.ipynb"
    assert notebooks.executed_path(tree, full) == tree / "build" / "executed" / "full" / "01-first.ipynb"


def test_a_damaged_copy_is_none(tree):
    notebook = only_notebook(tree)
    path = notebooks.executed_path(tree, notebook)
    path.parent.mkdir(parents=True)
    for content in ("half a page", "", "{}"):
        path.write_text(content)
        assert notebooks.executed(tree, notebook) is None
        assert not notebooks.is_fresh(tree, notebook, key(tree))
