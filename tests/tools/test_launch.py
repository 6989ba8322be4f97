"""What starts elsewhere: notebooks on Colab and Binder, workflows on GitHub. Here their files are held together."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


set_up = load("set_up_cells")


def config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def workflow(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> list[dict]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


# The set-up cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_begin_with_the_set_up_cell_of_this_repository(path):
    cells = nbformat.read(path, 4).cells
    (place,) = [i for i, cell in enumerate(cells) if "setup" in cell.metadata.get("tags", [])]
    assert place == 1 and cells[0].source.startswith("# "), "it stands after the title; run make format"
    assert set(cells[1].metadata.tags) == {"setup", "remove-cell"}
    where = config()["repository"]
    assert f'"{where["url"]}"' in cells[1].source and f"-qb {where['branch']} " in cells[1].source, "run make format"
    assert cells[1].source == set_up.source(ROOT) and len(cells[1].source.splitlines()) <= 6


class Shell:
    def __init__(self):
        self.commands = []

    def system(self, command: str) -> None:
        self.commands.append(command)

    def run_line_magic(self, name: str, line: str) -> None:
        self.commands.append(f"%{name} {line}")


@pytest.mark.parametrize("found", [True, False])
def test_set_up_installs_only_where_nothing_is_there(found, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if found and name == "emo_ssl" else None)
    shell = Shell()
    exec(compile(set_up.source(ROOT), "cell", "exec"), {"get_ipython": lambda: shell})
    if found:
        assert shell.commands == []
        return
    clone, then = shell.commands
    where = config()["repository"]
    assert clone.startswith(f"git clone -qb {where['branch']} {where['url']} it && pip install")
    assert then == "%cd -q it"


def test_the_set_up_cell_is_put_in_once_and_replaced():
    title, code = nbformat.v4.new_markdown_cell("# T", id="t"), nbformat.v4.new_code_cell("1", id="c")
    bare = nbformat.writes(nbformat.v4.new_notebook(cells=[title, code]))
    once = set_up.with_set_up(bare, "old")
    again = set_up.with_set_up(once, "new")
    assert [cell.source for cell in nbformat.reads(once, 4).cells] == ["# T", "old", "1"]
    assert [cell.source for cell in nbformat.reads(again, 4).cells] == ["# T", "new", "1"]
    assert set_up.with_set_up(again, "new") == again


def test_buttons_and_what_binder_needs():
    assert set(config()["launch_buttons"]) >= {"colab_url", "binderhub_url"}
    assert config()["html"]["use_repository_button"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    # Binder chooses its base by this very form, and copies the repository before it installs where it sees `-e .`
    assert [entry for entry in environment if re.fullmatch(r"python=3\.\d+", str(entry))]
    assert "-e ." in next(entry["pip"] for entry in environment if isinstance(entry, dict))


# The workflows


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_whole_and_ask_for_little(path):
    found = workflow(path)
    assert found["name"] == path.stem and found[True], "YAML reads the word on as true"
    assert found["permissions"] == {"contents": "read"} and "group" in found["concurrency"]
    for job in found["jobs"].values():
        assert job["runs-on"] and 0 < job["timeout-minutes"] <= 120
    for step in steps(path):
        assert ("run" in step) != ("uses" in step), step
        assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step["uses"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_use_commands_that_exist(path):
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    commands = [step["run"] for step in steps(path) if "run" in step]
    assert commands
    for command in commands:
        kind, word = command.split()
        if kind == "make":
            assert word in targets, command
        else:
            assert kind == ".venv/bin/python" and (ROOT / word).is_file(), command


def test_only_the_publishing_job_may_write():
    paths = {path.stem: path for path in WORKFLOWS}
    assert set(paths) == {"test", "pages", "weekly"}
    jobs = workflow(paths["pages"])["jobs"]
    assert {name: job.get("permissions") for name, job in jobs.items()} == {
        "build": None,
        "publish": {"pages": "write", "id-token": "write"},
    }
    assert jobs["publish"]["needs"] == "build" and workflow(paths["pages"])[True]["push"]["branches"] == ["main"]
    published = [step for step in steps(paths["pages"]) if "upload-pages" in step.get("uses", "")]
    assert [step["with"]["path"] for step in published] == ["build/site"]
    weekly = paths["weekly"].read_text(encoding="utf-8")
    assert "cache:" not in weekly and "actions/cache" not in weekly, "it has to begin from nothing"
