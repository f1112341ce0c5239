"""Modules of the node and the wire as sources on the host: where they are, what they import, constants written out.

Rules: nothing is imported: the node's code does not run on the host.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fieldline_boards.errors import BoardError
from fieldline_boards.fold import Constants, constants, fold

NODE = "fieldline_node"
PACKAGES = (NODE, "fieldline_wire")
_SOURCES = 512  # remembered: more than a node has


def folder_of(name: str) -> Path:
    """Folder of an installed package, without importing it: the node's code does not run on the host."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BoardError(f"the package {name} is not installed; run scripts/setup")
    return Path(spec.origin).parent


def find(module: str) -> Path | None:
    """The file of a module of our own, None where there is no such module."""
    package, *rest = module.split(".")
    path = folder_of(package).joinpath(*rest)
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def as_written(source: Path) -> str:
    """Its text."""
    return source.read_text(encoding="utf-8")


def folding() -> Callable[[Path], str]:
    """Gives a source with the constants that it imports of our own modules written out."""

    @functools.cache
    def known(module: str) -> Constants:
        file = find(module) if module.split(".")[0] in PACKAGES else None
        return {} if file is None else constants(as_written(file))

    return lambda source: fold(as_written(source), known)


def closure(modules: Iterable[str], text: Callable[[Path], str]) -> dict[str, str]:
    """Sources of our own among `modules` and what these import, by path on the board."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        parent = name.rpartition(".")[0]
        file = find(name)
        if file is None:
            waiting += [parent] if parent else []  # not a module but a name in one
            continue
        path = file.relative_to(folder_of(name.split(".")[0]).parent).as_posix()
        if path not in found:
            found[path] = text(file)
            waiting += [*imports(found[path]), *([parent] if parent else [])]
    return found


@functools.lru_cache(_SOURCES)
def imports(source: str) -> frozenset[str]:
    """What a source imports of our own, wherever in it: modules, and names that may be modules."""
    names: set[str] = set()
    for node in _carried_out(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] in PACKAGES)


def _carried_out(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that are for type checkers alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        waiting += ast.iter_child_nodes(node)
