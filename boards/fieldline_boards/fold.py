"""Constants put in the place of their names, and what a node has no use for left out, before a module is compiled.

Rules: MicroPython folds a constant only in the module that defines it; one that is imported costs an entry in two
modules' dictionaries and a look-up at each use. So what `from module import NAME` brings, where NAME is an integer
assigned once at the module's top level, becomes that integer. Lines stay where they are, for tracebacks. A name that
is anything else in the importing module, or stands in an f-string, is left alone. Left out are what stands there for
type checkers, and `__slots__`, which MicroPython does not know: of classes without bases, where the module does not
ask for it.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

_CHECKING = "TYPE_CHECKING"
_SLOTS = "__slots__"
_CONST = "const"  # MicroPython's compiler knows it by this name and never calls it
_SOURCES = 512  # remembered: more than a node has, so that a second build of the same sources folds none

Span = tuple[int, int]
Constants = Mapping[str, int]


@functools.lru_cache(_SOURCES)
def constants(source: str) -> Constants:
    """The integers that `source` assigns once, at its top level, written out."""
    tree = ast.parse(source)
    bound = _bound(ast.walk(tree))
    found: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            value = _integer(node.value)
            name = node.targets[0].id
            if value is not None and bound[name] == 1:
                found[name] = value
    return found


def fold(source: str, of_module: Callable[[str], Constants]) -> str:
    """`source` with the constants that it imports written out, and without what a node has no use for.

    `of_module(name)`: the constants of a module, {} if none.
    """
    return _folded(source, tuple((name, frozenset(of_module(name).items())) for name in _modules(source)))


@functools.lru_cache(_SOURCES)
def _modules(source: str) -> tuple[str, ...]:
    """From which modules `source` imports names."""
    nodes = ast.walk(ast.parse(source))
    found = (node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level)
    return tuple(sorted({name for name in found if name}))


@functools.lru_cache(_SOURCES)
def _folded(source: str, of_module: tuple[tuple[str, frozenset[tuple[str, int]]], ...]) -> str:
    constants_of = {name: dict(known) for name, known in of_module}
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    useless = list(_useless(tree, nodes))
    passed = {inside for node in useless for inside in ast.walk(node)}
    kept = _bound(nodes)
    kept.update(_in_f_strings(nodes))
    values: dict[str, int] = {}
    changes: list[tuple[Span, str]] = []
    place = _Places(source)
    for node in nodes:
        if node in passed:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known = constants_of[node.module]
            names = {each.name for each in node.names if each.asname is None and not kept[each.name]}
            here = {name: known[name] for name in names & set(known)}
            gone = set(here) | (names & {_CONST} if known else set())
            if gone:
                values |= here
                changes.append((place.span(node), _import(node, gone, place.text(node))))
    changes += [
        (place.span(node), f"({values[node.id]})")
        for node in nodes
        if isinstance(node, ast.Name) and node.id in values and node not in passed
    ]
    changes += [(place.span(node), "pass" + _lines(place.text(node))) for node in useless]
    return place.changed(changes)


class _Places:
    """Where a node of the tree stands in its source; columns of a tree count bytes."""

    def __init__(self, source: str) -> None:
        self._data = source.encode()
        self._starts = [0]
        for line in self._data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.stmt | ast.expr) -> Span:
        """From the first byte of `node` to the one after its last."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.stmt) -> str:
        """What stands there."""
        start, end = self.span(node)
        return self._data[start:end].decode()

    def changed(self, changes: list[tuple[Span, str]]) -> str:
        """The source with other text in some spans, none of which overlap."""
        data = self._data
        for (start, end), text in sorted(changes, reverse=True):
            data = data[:start] + text.encode() + data[end:]
        return data.decode()

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column


def _useless(tree: ast.Module, nodes: list[ast.AST]) -> Iterator[ast.stmt]:
    """Statements that change nothing on a node; `nodes`: all of the tree."""
    asked = any(isinstance(node, ast.Attribute) and node.attr == _SLOTS for node in nodes)
    for node in tree.body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == _CHECKING:
            if not node.orelse:
                yield node
        elif isinstance(node, ast.ClassDef) and not node.bases and not asked:
            yield from (each for each in node.body if _assigns(each, _SLOTS))
    names = [node for node in nodes if isinstance(node, ast.Name) and node.id == _CHECKING]
    tests = [
        node for node in tree.body if isinstance(node, ast.If) and node.test in names and not node.orelse
    ]
    if len(names) == len(tests) + 1:  # given its value and tested, nothing else
        yield from (node for node in tree.body if _assigns(node, _CHECKING))


def _assigns(node: ast.stmt, name: str) -> bool:
    """Whether a statement gives `name` its value and does nothing else."""
    return isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == [name]


def _import(node: ast.ImportFrom, gone: set[str], text: str) -> str:
    """The import without the names that are gone, on as many lines as it had."""
    rest = [ast.unparse(each) for each in node.names if each.name not in gone]
    if not rest:
        return "pass" + _lines(text)
    return f"from {node.module} import ({', '.join(rest)}{_lines(text)})"


def _lines(text: str) -> str:
    return "\n" * text.count("\n")


def _integer(node: ast.expr) -> int | None:
    """The value of an integer, with or without const() around it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == _CONST:
        node = node.args[0]
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if type(value) is int else None


def _bound(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often a name is given a value, other than by an import."""
    return Counter(name for node in nodes for name in _names_bound_by(node))


def _names_bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
        yield from [node.name] if node.name else []


def _in_f_strings(nodes: list[ast.AST]) -> Counter[str]:
    """Names in f-strings, whose places the parser of Python 3.11 gives wrong."""
    strings = (node for node in nodes if isinstance(node, ast.JoinedStr))
    return Counter(node.id for string in strings for node in ast.walk(string) if isinstance(node, ast.Name))
