"""Profiles: what is refused before anything runs, and what a notebook is executed with."""

import re

import pytest
from book_tree import PARAMETERS, ROOT, SHOW, code, only_notebook, write_notebook, write_profile

from emo_ssl.utils.io import UserError
from tools import notebooks, profiles

TYPED = code(
    'count = 3\nshare = 0.5\nname = "a"\nflag = False\nsizes = []  # labels\nloss: float = -1e-3\nprofile = "demo"',
    "parameters",
)


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        ("01-first: {vidoes: 7}\n", "01-first has no parameter vidoes"),
        ("02-second: {}\n", "it names 02-second"),
        ("01-first: 7\n", "has to map each notebook's name to its parameters"),
        ("[1, 2]\n", "has to map each notebook's name to its parameters"),
        ("01-first: {videos: 7\n", "not readable as YAML"),
        ("01-first: {videos: 2024-01-01}\n", "put it in quotes"),
        ("!!python/object/apply:os.getcwd []\n", "not readable as YAML"),
        ("cell_limit: 0\n", "cell_limit has to be a whole number of seconds, 0 is none"),
        ("cell_limit: true\n", "cell_limit has to be a whole number of seconds, True is none"),
        ("01-first: {videos: many}\n", "videos of 01-first is a whole number in the notebook (4), and 'many' is text"),
    ],
)
def test_bad_profiles(tree, profile, complaint):
    write_profile(tree, profile)
    with pytest.raises(UserError, match=re.escape(complaint)) as refusal:
        notebooks.find(tree)
    assert "demo.yml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("count", ["4", "0", "-1"], ["4.0", "true", "four", "[4]", "null", "{a: 1}"]),
        ("share", ["0.25", "1", "2.0e-3"], ["true", "2e-3", "[0.5]", "null"]),  # 2e-3 is text in YAML
        ("loss", ["0", "-0.1"], ["no"]),
        ("name", ["b", "''", "'4'"], ["4", "true", "[b]"]),
        ("flag", ["true", "no"], ["0", "1", "'true'"]),
        ("sizes", ["[]", "[28, 56]"], ["28", "'28, 56'", "{a: 1}"]),
    ],
)
def test_a_value_has_the_type_of_the_notebook(tree, name, good, bad):
    write_notebook(tree, "01-first", TYPED)
    for value in good:
        write_profile(tree, f"01-first: {{{name}: {value}}}\n")
        assert name in only_notebook(tree).parameters
    for value in bad:
        write_profile(tree, f"01-first: {{{name}: {value}}}\n")
        with pytest.raises(UserError, match=f"demo.yml: {name} of 01-first is ") as refusal:
            notebooks.find(tree)
        assert "\n" not in str(refusal.value)


def test_the_profile_s_name_is_a_parameter_that_nobody_has_to_type(tree):
    write_notebook(tree, "01-first", TYPED)
    write_profile(tree, "cell_limit: 7\n01-first: {count: 5}\n", "quick")
    (quick,) = notebooks.find(tree, "quick")
    assert quick.parameters == {"count": 5, "profile": "quick"}
    assert quick.cell_limit == 7
    write_profile(tree, "01-first: {profile: demo}\n", "quick")
    with pytest.raises(UserError, match="profile of 01-first has to be quick"):
        notebooks.find(tree, "quick")


@pytest.mark.parametrize("name", ["absent", "", "../profiles/demo", "demo.yml"])
def test_profile_that_is_absent(tree, name):
    with pytest.raises(UserError, match=r"no such profile; take one of demo\.$"):
        notebooks.find(tree, name)


def test_no_profile_at_all(tree):
    (tree / "notebooks" / "profiles" / "demo.yml").unlink()
    with pytest.raises(UserError, match="no such profile; write one"):
        notebooks.find(tree)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([SHOW], "no cell tagged `parameters`"),
        ([PARAMETERS, code("videos = 5", "parameters")], "2 cells tagged `parameters`"),
        ([code("videos = = 4", "parameters")], "its `parameters` cell is not Python"),
        ([code("videos = 2 * 2", "parameters")], "its parameter videos is 2 * 2, which has no type"),
        ([code("videos = None", "parameters")], "its parameter videos is None, which has no type"),
    ],
)
def test_bad_parameters_cells(tree, cells, complaint):
    write_notebook(tree, "01-first", *cells)
    with pytest.raises(UserError, match=re.escape(complaint)):
        notebooks.find(tree)


def test_a_notebook_without_parameters_needs_no_cell_for_them(tree):
    write_notebook(tree, "01-first", SHOW)
    write_profile(tree, "")
    assert only_notebook(tree).parameters == {}


def test_declared_parameters_are_plain_assignments(tree):
    source = "a = b = 1\nc: list = [2]\nd += 1\nimport e\nif a:\n    f = 3\ng: int\nh.i = 4"
    assert profiles.defaults_of(source, tree) == {"a": 1, "b": 1, "c": [2]}


@pytest.mark.parametrize("name", ["smoke", "demo", "full"])
def test_our_own_profiles(name):
    found = notebooks.find(ROOT, name)
    given = profiles.read(ROOT, name).parameters
    assert set(given) == {notebook.stem for notebook in found}
    for notebook in found:
        assert notebook.parameters == given[notebook.stem] | {"profile": name}
