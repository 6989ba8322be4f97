"""What holds the repository together: dependencies declared once, and rooms."""

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path

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


def test_every_pin_but_that_of_torch_has_hashes():
    """So that pip installs nothing whose bytes are others than those that were locked."""
    parts = re.split(r"^(?=[a-z])", (ROOT / "hashes.lock").read_text(), flags=re.MULTILINE)[1:]
    found = [re.fullmatch(r"([a-z0-9-]+)==(\S+)(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n", part) for part in parts]
    assert {match[1]: match[2] for match in found} == {name: v for name, v in pins().items() if name != "torch"}
    assert "install --require-hashes --no-deps -r hashes.lock" in (ROOT / "Makefile").read_text()


def test_actions_of_others_are_pinned_by_commit():
    used = [line for path in (ROOT / ".github").rglob("*.yml") for line in re.findall(r"uses: (.*)", path.read_text())]
    assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v[\d.]+.*", line) for line in used)


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
    brought = {"ipython", "traitlets", "jupyter-client", "ipykernel", "matplotlib-inline"}  # by what needs them
    brought |= {"myst-nb", "sphinx", "pybtex", "requests", "urllib3", "huggingface-hub", "dask"}
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
