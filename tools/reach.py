"""What a notebook can reach by import, however lazily: its outputs depend on these modules and on no others."""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SOURCE, PACKAGE, LOCK = "src", "emo_ssl", "requirements.lock"
# What starts code that no import statement names; whoever uses one of these may reach everything
DYNAMIC = {"import_module", "exec_module", "__import__", "runpy", "exec", "eval"}
BUILT_IN = {"exec", "eval"}  # as methods, of a model for one, these are something else
PROGRAMS = {"subprocess", "system", "popen", "get_ipython"}  # in a notebook these may start our own command


@dataclass(frozen=True)
class Graph:
    """The modules of the package, and which of them each imports; None: cannot be told, so all of them."""

    paths: dict[str, Path]
    imports: dict[str, set[str] | None]

    @classmethod
    def of(cls, root: Path) -> "Graph":
        folder = root / SOURCE
        paths = {module_name(path.relative_to(folder)): path for path in sorted((folder / PACKAGE).rglob("*.py"))}
        texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
        return cls(paths, {name: imports_of(text, set(paths)) for name, text in texts.items()})

    def reached(self, sources: Iterable[str]) -> set[str]:
        """Names of the modules that these sources import, or that a module they import imports, and so on."""
        first = [imports_of(source, set(self.paths), DYNAMIC | PROGRAMS) for source in sources]
        if None in first:
            return set(self.paths)
        found, ahead = set(), [name for names in first for name in names]
        while ahead:
            name = ahead.pop()
            if name in found:
                continue
            found.add(name)
            if self.imports[name] is None:
                return set(self.paths)
            ahead += self.imports[name]
        return found

    def code_hash(self, root: Path, sources: Iterable[str]) -> str:
        """sha256 of those modules, of whatever lies beside them that is no module, and of the locked versions."""
        data = [path for path in (root / SOURCE).rglob("*") if path.is_file() and is_data(path)]
        modules = [self.paths[name] for name in self.reached(sources)]
        digest = hashlib.sha256()
        for path in [*sorted(modules + data), root / LOCK]:
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()


def is_data(path: Path) -> bool:
    return path.suffix not in (".py", ".pyc") and not path.name.startswith(".")


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports_of(source: str, modules: set[str], dynamic: set[str] = DYNAMIC) -> set[str] | None:
    """The modules of ours that a source imports anywhere in it, each with the packages around it."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # a cell with `!command` or `%magic`
        return None
    found, used = set(), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                return None
            names = {alias.name for alias in node.names}
            found |= {node.module, *(f"{node.module}.{name}" for name in names)}
            if "*" in names:
                found |= {name for name in modules if name.startswith(f"{node.module}.")}
            used |= names
        elif isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr not in BUILT_IN:
            used.add(node.attr)
    used |= {name.partition(".")[0] for name in found}
    if used & dynamic:
        return None
    parts = [name.split(".") for name in found]
    return {".".join(name[:depth]) for name in parts for depth in range(1, len(name) + 1)} & modules
