"""What holds the repository together: dependencies declared once, rooms, set-up that starts from nothing."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKED_EXTRAS = ("book", "scaling", "dev")


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared(*, with_build: bool) -> list[Requirement]:
    project = pyproject()["project"]
    lines = list(project["dependencies"])
    for extra in LOCKED_EXTRAS:
        lines += project["optional-dependencies"][extra]
    if with_build:
        lines += pyproject()["build-system"]["requires"]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line), f"not a bare pin: {line}"
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines) and list(found) == sorted(found)
    return found


def test_lock_names_every_direct_dependency_within_its_bounds():
    locked = pins()
    for requirement in declared(with_build=True):
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is declared and not locked; run make lock"
        assert requirement.specifier.contains(locked[name], prereleases=True), f"{name} {locked[name]} is out of bounds"


def test_lock_is_closed():
    """Whatever a locked package needs on this computer is locked too, but for the libraries of a GPU."""
    locked = pins()
    for name in locked:
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for child in map(Requirement, lines):
            needed = child.marker is None or child.marker.evaluate({"extra": ""})
            if needed and not child.name.startswith(("nvidia", "cuda", "triton", "pytorch-triton")):
                assert canonicalize_name(child.name) in locked, f"{name} needs {child.name}, which is not locked"


def test_what_forbids_commercial_use_is_optional_and_not_locked():
    extras = pyproject()["project"]["optional-dependencies"]
    names = {extra: {Requirement(line).name for line in lines} for extra, lines in extras.items()}
    assert names["audio"] - names["book"] == {"opensmile"}
    assert "opensmile" not in pins()


def test_conda_environment_says_what_pyproject_says():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    inner = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    assert inner[-1] == "-e ."
    plain = [entry.replace("python=", "python==") for entry in entries if isinstance(entry, str)] + inner[:-1]
    parsed = [Requirement(line) for line in plain]
    conda = {requirement.name: requirement.specifier for requirement in parsed}
    assert len(conda) == len(parsed)
    conda.pop("pip")
    conda["torch"] = conda.pop("pytorch")  # its name on conda-forge
    assert SpecifierSet(pyproject()["project"]["requires-python"]).contains(str(conda.pop("python")).removeprefix("=="))
    assert conda == {requirement.name: requirement.specifier for requirement in declared(with_build=False)}


def test_what_is_imported_is_declared():
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    known = {canonicalize_name(Requirement(line).name) for line in lines} | {"emo-ssl"}
    brought = {"ipython", "traitlets", "myst-nb", "requests", "urllib3"}  # by Jupyter, jupyter-book and pooch
    packages = importlib.metadata.packages_distributions()
    imported = set()
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        imported |= {name.split(".")[0] for name in modules_of(path.read_text(encoding="utf-8"))}
    outside = {canonicalize_name(name) for module in imported for name in packages.get(module, [])}
    assert outside - known - brought == set()


def test_one_version_everywhere():
    import emo_ssl

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == emo_ssl.__version__ == importlib.metadata.version("emo-ssl")
    assert f"## {emo_ssl.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# The house: who may import whom

MAY_IMPORT = {
    "utils": set(),
    "core": {"utils"},
    "corpora": {"core", "utils"},
    "study": {"core", "utils"},
    "evidence": {"study", "core", "utils"},
    "predict": {"corpora", "core", "utils"},
    "figures": {"evidence", "study", "predict", "core", "utils"},
    "__main__": {"cli"},
}
EVERYTHING = {*MAY_IMPORT, "notebook", "doctor"}


def modules_of(source: str) -> set[str]:
    """Whatever a source imports anywhere in it: `from a import b` may mean the module a.b or a name in a."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def violations(path: str, source: str) -> list[str]:
    """path: relative to the package. The rooms that it imports against the rule."""
    own = path.removesuffix(".py").split("/")[0]
    parts = [name.split(".") for name in modules_of(source)]
    rooms = {part[1] for part in parts if part[0] == "emo_ssl" and len(part) > 1} & (EVERYTHING | {"cli"})
    rooms |= {"tools" for part in parts if part[0] == "tools"}
    allowed = MAY_IMPORT.get(own, EVERYTHING) | {own}
    return [f"{path} imports {name}" for name in sorted(rooms - allowed)]


def test_each_room_imports_only_what_it_may():
    folder = ROOT / "src" / "emo_ssl"
    paths = [path for path in folder.rglob("*.py") if path != folder / "__init__.py"]  # which imports when asked
    wrong = [violations(path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    assert [what for found in wrong for what in found] == []


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("core/model.py", "from emo_ssl import figures", ["core/model.py imports figures"]),
        ("study/run.py", "def later():\n    from tools import book", ["study/run.py imports tools"]),
        ("figures/study.py", "import emo_ssl.corpora.csd", ["figures/study.py imports corpora"]),
        ("study/run.py", "from emo_ssl import __version__\nfrom emo_ssl.core.model import pool", []),
        ("cli.py", "from emo_ssl.figures import style", []),
    ],
)
def test_the_rule_sees_each_kind_of_import(path, source, found):
    assert violations(path, source) == found


# Set-up by make, with an interpreter that only pretends

FAKE = """#!/bin/sh
echo "$*" >> "{log}"
case "$1 $2" in
    "-m venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """`make("book", python="…")` in a copy of what make reads, where no Python is found but this script."""
    if shutil.which("make") is None or shutil.which("bash") is None:
        pytest.skip("needs make and bash")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("bash", "sh", "mkdir", "cp", "touch"):
        (commands / name).symlink_to(shutil.which(name))
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL")}

    def run(target: str, **pythons: str) -> subprocess.CompletedProcess:
        for name, text in pythons.items():
            path = commands / name.replace("_", ".")
            path.write_text(text)
            path.chmod(0o755)
        command = [shutil.which("make"), f"SHELL={shutil.which('bash')}", target]
        return subprocess.run(
            command, cwd=tmp_path, env={**kept, "PATH": str(commands)}, capture_output=True, text=True
        )

    return run


def test_make_skips_a_python_that_fails_and_sets_up_once(make, tmp_path):
    log, shim = tmp_path / "log", "#!/bin/sh\necho no such version >&2\nexit 127\n"
    assert make("book", python3_11=shim, python3_12=FAKE.format(log=log)).returncode == 0
    calls = log.read_text().splitlines()
    assert "-m venv --clear .venv" in calls
    assert calls[-3:-1] == [
        "-m pip --disable-pip-version-check --quiet install -r requirements.lock",
        "-m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .",
    ]
    log.write_text("")
    assert make("book").returncode == 0
    assert log.read_text() == f"{calls[-1]}\n"  # nothing changed, so only the book was made
    later = (tmp_path / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(tmp_path / "requirements.lock", (later, later))
    assert make("book").returncode == 0
    assert log.read_text().splitlines()[-3:] == calls[-3:] and "venv --clear" not in log.read_text()


def test_make_says_what_to_do_without_a_suitable_python(make, tmp_path):
    done = make("test", python3="#!/bin/sh\nexit 1\n")  # a Python of the wrong version
    assert done.returncode != 0
    assert "No Python 3.11, 3.12 or 3.13 with its venv module was found" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_notebooks_are_stored_without_outputs():
    import nbformat

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert not [cell for cell in cells if cell.outputs or cell.execution_count], f"{path.name} holds outputs"
