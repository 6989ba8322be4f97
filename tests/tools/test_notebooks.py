"""Notebooks of a few lines: what is refused, what the key follows, what becomes of a run that fails or is stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from book_tree import (
    PARAMETERS,
    ROOT,
    SHOW,
    TITLE,
    code,
    text,
    write_contents,
    write_notebook,
    write_profile,
    write_room,
)

from emo_ssl.utils.io import UserError
from tools import book, notebooks


def key(tree: Path) -> str:
    return notebooks.find(tree, "demo")[0].key


# Refused before anything runs


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        ("01-first: {vidoes: 7}\n", "01-first.ipynb has no parameter vidoes"),
        ("02-second: {}\n", "notebooks/ has no notebook 02-second"),
        ("01-first: 7\n", "has to map notebooks to their parameters"),
        ("[1, 2]\n", "has to map notebooks to their parameters"),
        ("01-first: {videos: 7\n", "not readable as YAML"),
        ("!!python/object/apply:os.getcwd []\n", "not readable as YAML"),
        ("01-first: {rate: 2e-3}\n", "rate of 01-first.ipynb is '2e-3', no float"),  # text in YAML
    ],
)
def test_bad_profiles(tree, profile, complaint):
    write_profile(tree, profile)
    with pytest.raises(UserError, match=re.escape(complaint)) as refusal:
        notebooks.find(tree, "demo")
    assert "demo.yml" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_profile_that_is_absent(tree):
    with pytest.raises(UserError, match=r"no such profile; take one of demo\.$"):
        notebooks.find(tree, "absent")


def test_parameters_of_a_profile(tree):
    write_profile(tree, "cell_limit: 7\n01-first: {rate: 1, corpus: here}\n", "quick")
    (found,) = notebooks.find(tree, "quick")
    assert found.parameters == {"rate": 1, "corpus": "here", "profile": "quick"} and found.cell_limit == 7


@pytest.mark.parametrize("name", ["smoke", "demo", "full"])
def test_our_own_profiles(name):
    assert len(notebooks.find(ROOT, name)) == len(list((ROOT / "notebooks").glob("*.ipynb")))


@pytest.mark.parametrize("content", ["", '{"cells": [], "nbformat": 4}'])
def test_files_that_are_no_notebooks(tree, content):
    (tree / "notebooks" / "01-first.ipynb").write_text(content)
    with pytest.raises(UserError, match="not a notebook"):
        notebooks.find(tree, "demo")
    assert not notebooks.is_fresh(notebooks.Notebook(tree, None, {}, 1, tree / "notebooks" / "01-first.ipynb", "key"))


# The key

NAMES = code("read('results/study/table.csv')")


def add_results(tree):
    (tree / "results" / "study").mkdir(parents=True)
    (tree / "results" / "study" / "table.csv").write_text("a\n1\n")


CHANGES = {
    "a parameter": lambda tree: write_profile(tree, "01-first: {videos: 8}\n"),
    "code": lambda tree: write_notebook(tree, "01-first", TITLE, PARAMETERS, code(SHOW.source + "\n")),
    "a module of the package": lambda tree: write_room(tree, "core/corpus.py", "x = 2\n"),
    "a new one": lambda tree: write_room(tree, "core/model.py", ""),
    "the versions": lambda tree: (tree / "requirements.lock").write_text("a==2\n"),
    "recorded results": add_results,
    "data of a parameter": lambda tree: (tree / "prepared.bin").write_bytes(bytes(9_000_000)),
}
NO_CHANGES = {
    "prose": lambda tree: write_notebook(tree, "01-first", text("# 1. Renamed"), PARAMETERS, text("More."), NAMES),
    "the command line": lambda tree: write_room(tree, "cli.py", "x = 2\n"),
    "the time limit": lambda tree: write_profile(tree, "cell_limit: 5\n01-first: {corpus: prepared.bin}\n"),
    "the set-up cell": lambda tree: write_notebook(tree, "01-first", code("!pip", "setup"), PARAMETERS, NAMES),
}


@pytest.mark.parametrize("change", [*CHANGES, *NO_CHANGES])
def test_the_key_follows_what_outputs_depend_on_and_nothing_else(tree, change):
    write_notebook(tree, "01-first", TITLE, PARAMETERS, NAMES)
    write_profile(tree, "01-first: {corpus: prepared.bin}\n")
    before = key(tree)
    {**CHANGES, **NO_CHANGES}[change](tree)
    assert (key(tree) != before) == (change in CHANGES)


# Execution


def run(tree: Path, only: str = "") -> tuple[list[str], list[str]]:
    return notebooks.execute_all(notebooks.find(tree, "demo"), tree, only)


def printed(tree: Path, name: str = "01-first") -> str:
    cells = nbformat.read(tree / "build" / "executed" / "demo" / f"{name}.ipynb", 4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_a_notebook_runs_once_in_the_root_with_its_parameters(tree, monkeypatch, capsys):
    write_notebook(tree, "01-first", TITLE, PARAMETERS, SHOW, code("import os\nprint(os.getcwd())"))
    write_notebook(tree, "02-second", code("print('second')"))
    assert run(tree, only="01") == ([], ["02-second"])
    shown, place = printed(tree).splitlines()
    assert shown == "videos 7 seed 0" and Path(place).samefile(tree)
    assert run(tree) == ([], [])
    monkeypatch.setattr(papermill, "execute_notebook", None)  # nothing is left to be done
    capsys.readouterr()
    assert run(tree) == ([], [])
    assert capsys.readouterr().out.count("unchanged") == 2
    with pytest.raises(UserError, match="no notebook begins with 03"):
        run(tree, only="03")


FAILURES = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "hangs": ("import time\ntime.sleep(60)", "CellTimeoutError: A cell timed out"),
    "is killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "DeadKernelError: Kernel died"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("way", FAILURES)
def test_a_notebook_that(way, tree, monkeypatch, capsys):
    """It costs its own page: the others are executed and kept; nothing is published; once mended, it goes on."""
    source, reason = FAILURES[way]
    write_profile(tree, "cell_limit: 2\n")
    write_notebook(tree, "01-first", PARAMETERS, code(source))
    write_notebook(tree, "02-second", code("print('second')"))
    write_contents(tree, "01-first", "02-second")
    monkeypatch.chdir(tree)
    assert book.main([]) == 1
    err = capsys.readouterr().err
    assert reason in err and "Not rendered, for 01-first failed." in err
    assert str(tree / "build" / "logs" / "01-first.ipynb") in err and "\x1b" not in err
    assert not (tree / "build" / "site").exists() and not (tree / "build/executed/demo/01-first.ipynb").exists()
    assert printed(tree, "02-second") == "second\n"
    write_notebook(tree, "01-first", PARAMETERS, code("print('mended')"))
    assert run(tree) == ([], []) and printed(tree) == "mended\n"


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupt_takes_the_kernel_along_and_keeps_what_is_done(tree):
    write_notebook(
        tree, "02-second", code("import os, time\nopen('pid', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(60)")
    )
    write_contents(tree, "01-first", "02-second")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    command = [sys.executable, "-m", "tools.book"]
    with subprocess.Popen(command, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True) as process:
        pid = tree / "pid"
        wait_for(lambda: pid.exists() and pid.read_text() and (tree / "build/executed/demo/01-first.ipynb").exists())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "emo-ssl: interrupted; run the same command again to continue" in err.splitlines()
    assert printed(tree) == "videos 7 seed 0\n" and not (tree / "build/executed/demo/02-second.ipynb").exists()
    wait_for(lambda: not is_alive(int(pid.read_text())))
