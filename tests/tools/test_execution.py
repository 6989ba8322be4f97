"""Executing notebooks of a few lines: once for each key, in order, and what becomes of those that fail."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from book_tree import (
    OWED,
    PARAMETERS,
    SHOW,
    code,
    executed,
    only_notebook,
    played,
    printed,
    refuse_to_run,
    text,
    write_notebook,
    write_profile,
    write_toc,
)

from emo_ssl.said import SAID
from emo_ssl.utils.io import UserError
from tools import book, execution, notebooks, watch
from tools.execution import Outcome

THIRD = code("print('third')")
REAL = execution.run_cells


@pytest.fixture
def play(monkeypatch):
    monkeypatch.setattr(execution, "run_cells", played)


@pytest.fixture
def only_first(monkeypatch):
    """A kernel for the notebook that matters, and none for the others."""

    def choose(root, notebook, *log_and_watch):
        runs = REAL if notebook.stem == "01-first" else played
        return runs(root, notebook, *log_and_watch)

    monkeypatch.setattr(execution, "run_cells", choose)


def run(tree: Path, only: str | None = None, profile: str = "demo") -> Outcome:
    return execution.execute_all(tree, notebooks.find(tree, profile), only)


def test_executed_once_and_prose_is_merged(tree, monkeypatch, capsys):
    assert run(tree) == Outcome()
    assert printed(executed(tree)) == "videos 7 seed 0\n"
    assert [path.name for path in executed(tree).parent.iterdir()] == ["01-first.ipynb"]
    write_notebook(tree, "01-first", text("# A new title"), PARAMETERS, text("A new sentence."), SHOW)
    monkeypatch.setattr(execution, "run_cells", refuse_to_run)
    assert run(tree) == Outcome()
    assert "unchanged" in capsys.readouterr().out
    notebook = only_notebook(tree)
    page = notebooks.with_outputs(notebook, notebooks.executed(tree, notebook))
    kinds = [(cell.cell_type, cell.source.splitlines()[0]) for cell in page.cells]
    assert kinds == [
        ("markdown", "# A new title"),
        ("code", "seed = 0"),
        ("code", "# Parameters"),
        ("markdown", "A new sentence."),
        ("code", SHOW.source),
    ]
    assert page.cells[-1].outputs[0].text == "videos 7 seed 0\n"
    folded = page.cells[2].metadata
    assert "hide-input" in folded["tags"] and folded["mystnb"]["code_prompt_show"] == "Set by the profile demo"


def test_what_is_said_to_jupyterlab_stays_out_of_the_page(tree):
    run(tree)
    notebook = only_notebook(tree)
    page = notebooks.executed(tree, notebook)
    aside = nbformat.v4.new_output("display_data", data={"text/plain": "few: 28"}, metadata={SAID: True})
    page.cells[-1].outputs.insert(0, aside)
    assert [output.output_type for output in notebooks.with_outputs(notebook, page).cells[-1].outputs] == ["stream"]


def test_profiles_are_kept_apart(tree, play, monkeypatch):
    write_profile(tree, "01-first: {videos: 3}\n", "smoke")
    run(tree)
    run(tree, profile="smoke")
    monkeypatch.setattr(execution, "run_cells", refuse_to_run)
    run(tree)
    made = [nbformat.read(executed(tree, profile=name), 4).metadata for name in ("demo", "smoke")]
    assert [entry[notebooks.RUN]["profile"] for entry in made] == ["demo", "smoke"]
    assert made[0][notebooks.KEY] != made[1][notebooks.KEY]


def test_what_changed_and_what_builds_on_it(tree, play, capsys):
    write_notebook(tree, "02-second", code("2"), after=["01-first"])
    write_notebook(tree, "03-third", THIRD)
    assert run(tree) == Outcome()
    write_notebook(tree, "01-first", PARAMETERS, code("print('changed')"))
    capsys.readouterr()
    assert run(tree) == Outcome()
    said = capsys.readouterr().out
    assert "01-first (1 of 2): executing" in said and "02-second (2 of 2): executing" in said
    assert "03-third: unchanged" in said


def test_only_takes_along_what_it_builds_on(tree, play):
    write_notebook(tree, "02-second", THIRD, after=["01-first"])
    write_notebook(tree, "03-third", THIRD)
    assert run(tree, "02") == Outcome(stale=["03-third"])
    assert executed(tree).exists() and executed(tree, "02-second").exists()
    with pytest.raises(UserError, match="no notebook starts with 07"):
        run(tree, "07")


def test_notebooks_run_in_the_root_of_the_repository(tree):
    write_notebook(tree, "01-first", PARAMETERS, code("import os\nprint(os.getcwd())"))
    before = os.getcwd()
    run(tree)
    assert Path(printed(executed(tree)).strip()).samefile(tree)
    assert os.getcwd() == before


def test_a_copy_says_what_it_was_made_with(tree, play):
    run(tree)
    made = nbformat.read(executed(tree), 4).metadata
    assert made[notebooks.KEY] == notebooks.keys_of(tree, notebooks.find(tree))["01-first"]
    made = made[notebooks.RUN]
    assert made["profile"] == "demo" and made["seconds"] > 0
    assert {"emo-ssl", "torch", "numpy"} <= set(made["versions"])
    assert made["hardware"]["device"] in ("cpu", "cuda")


# What fails

FAILURES = {
    "raises": ("print('before')\n1 / 0", "ZeroDivisionError: division by zero"),
    "hangs": ("import time\ntime.sleep(60)", "CellTimeoutError: it ran for more than 2 s"),
    "is killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "DeadKernelError: its process was killed"),
    "ends itself": ("import os\nos._exit(1)", "DeadKernelError: its process was killed"),
    "is out of memory": ("raise MemoryError('no room')", "MemoryError: no room"),
}


@pytest.fixture
def five(tree, only_first, monkeypatch):
    """A good copy of 01, which then fails; 02 and 03 build on it, 04 does not, 05 did not change."""
    write_profile(tree, "cell_limit: 2\n01-first: {videos: 7}\n")
    write_notebook(tree, "05-fifth", THIRD)
    with monkeypatch.context() as patch:
        patch.setattr(execution, "run_cells", played)
        run(tree)
    write_notebook(tree, "02-second", THIRD, after=["01-first"])
    write_notebook(tree, "03-third", THIRD, after=["02-second"])
    write_notebook(tree, "04-fourth", THIRD)
    write_toc(tree, "01-first", "02-second", "03-third", "04-fourth", "05-fifth")
    site = tree / "build" / "site"
    site.mkdir()
    (site / "index.html").write_text("the last good one")
    return tree


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("way", FAILURES)
def test_a_notebook_that(way, five, monkeypatch, capsys):
    """Its stale copy goes, what builds on it does not run, the rest does and is kept, nothing is published."""
    source, reason = FAILURES[way]
    write_notebook(five, "01-first", PARAMETERS, code("x = 1"), code(source))
    monkeypatch.setattr(book, "render", refuse_to_run)
    monkeypatch.chdir(five)
    capsys.readouterr()
    assert book.main([]) == 1
    said = capsys.readouterr()
    log = five / "build" / "logs" / "01-first.log"
    assert "01-first.ipynb failed in cell 4 of 4:" in said.err
    assert source.splitlines()[-1] in said.err and reason in said.err and str(log) in said.err
    assert "Traceback" not in said.err + said.out
    assert reason.partition(":")[0] in log.read_text() and "\x1b" not in log.read_text()
    assert not executed(five).exists()
    assert "02-second: not executed, it builds on 01-first" in said.err
    assert "03-third: not executed, it builds on 02-second" in said.err
    assert "04-fourth: done" in said.out and "05-fifth: unchanged" in said.out
    assert "Not rendered, for 01-first failed; not executed: 02-second, 03-third." in said.err
    assert [executed(five, stem).exists() for stem in ("02-second", "03-third", "04-fourth", "05-fifth")] == [
        False,
        False,
        True,
        True,
    ]
    assert (five / "build" / "site" / "index.html").read_text() == "the last good one"


def test_what_a_failed_cell_said_is_in_the_log(tree):
    write_notebook(tree, "01-first", PARAMETERS, code(FAILURES["raises"][0]))
    assert run(tree) == Outcome(failed=["01-first"])
    log = (tree / "build" / "logs" / "01-first.log").read_text()
    assert "before" in log and "Traceback" in log and "Cell 3 of 3" in log


def test_a_wrong_parameter_runs_nothing(five, monkeypatch, capsys):
    write_profile(five, "01-first: {videos: seven}\n")
    monkeypatch.setattr(execution, "run_cells", refuse_to_run)
    monkeypatch.chdir(five)
    assert book.main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("book: ") and "videos of 01-first is a whole number" in said and said.count("\n") == 1
    assert executed(five).exists()


def test_a_failure_mended(five):
    write_notebook(five, "01-first", PARAMETERS, code("1 / 0"))
    assert run(five) == Outcome(failed=["01-first"], waiting=["02-second", "03-third"])
    write_notebook(five, "01-first", PARAMETERS, code("1 / 1"))
    assert run(five) == Outcome()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupt_takes_the_kernel_along(tree):
    write_notebook(
        tree,
        "01-first",
        text("# 1. First"),
        PARAMETERS,
        code("import os, time\nopen('pid', 'w').write(f'{os.getpid()}\\n')"),
        code("time.sleep(60)"),
        *OWED,
    )
    command = [sys.executable, "-m", "tools.book"]
    with subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pid = tree / "pid"
        wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "book: interrupted; run the same command again to continue"
    assert "Traceback" not in err
    assert not executed(tree).exists()
    wait_for(lambda: not is_alive(int(pid.read_text())))


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


# Progress


def test_line_of_progress_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    shown = watch.Watch("02-pretraining (1 of 3)", 20, before=95, later=10)
    shown.cell(code("x"), cell_index=3)
    now[0] += 30
    assert shown.line() == "02-pretraining (1 of 3): cell 1 of 20, 30 s, about 1 min 15 s left"
    now[0] += 90
    assert shown.line() == "02-pretraining (1 of 3): cell 1 of 20, 2 min 00 s, about 10 s left"
    unknown = watch.Watch("02-pretraining (1 of 3)", 20, before=95, later=None)
    assert unknown.line() == "02-pretraining (1 of 3): cell 0 of 20, 0 s"


def test_a_line_now_and_then_while_a_cell_runs(tree, monkeypatch, capsys):
    log = io.StringIO()
    monkeypatch.setattr(watch, "IN_LOG", 0.2)
    monkeypatch.setattr(watch, "stream", lambda: log)
    with monkeypatch.context() as patch:
        patch.setattr(execution, "run_cells", played)
        run(tree)  # from here on it is known how long it takes
    assert log.getvalue() == ""
    write_notebook(tree, "01-first", PARAMETERS, code("import time\ntime.sleep(1)"))
    run(tree)
    lines = [line for line in log.getvalue().splitlines() if line.startswith("01-first (1 of 1): cell 3 of 3, ")]
    assert lines and all(line.endswith(" left") for line in lines)


def test_a_terminal_has_one_line_that_is_gone_at_the_end(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(watch, "IN_TERMINAL", 0.01)
    monkeypatch.setattr(watch, "stream", lambda: terminal)
    with watch.Watch("01-data", 2):
        wait_for(lambda: "cell 0 of 2" in terminal.getvalue())
    assert "\n" not in terminal.getvalue() and terminal.getvalue().endswith("\r\x1b[K")
