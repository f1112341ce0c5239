"""Constants written out: the sources say the same afterwards, on the same lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from fieldline_boards.fold import constants, fold

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for package in ("wire/fieldline_wire", "firmware/fieldline_node")
    for path in (ROOT / package).rglob("*.py")
    if "circuitpython" not in path.parts
)

KNOWN = {"here.codes": {"ONE": 1, "LOW": -5, "const": 7}, "here.more": {"TWO": 2}}


def folded(source: str) -> str:
    return fold(source, lambda module: KNOWN.get(module, {}))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_what_counts_as_a_constant() -> None:
    source = """
A = const(3)
B = -0x10
C = const(1 << 4)
D = "text"
E = True
F = 1
F = 2
G = 4
def f(G): pass
H: int = 5
class K:
    L = 6
"""
    assert constants(source) == {"A": 3, "B": -16}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from here.codes import ONE\nx = ONE", "pass\nx = (1)"),
        ("from here.codes import LOW, const\ny = 2 ** LOW", "pass\ny = 2 ** (-5)"),
        (
            "from here.codes import ONE, other\nONE.to_bytes(1)",
            "from here.codes import (other)\n(1).to_bytes(1)",
        ),
        (
            "from here.codes import (\n    ONE,\n    a as b,\n)\nONE",
            "from here.codes import (a as b\n\n\n)\n(1)",
        ),
        (
            "def f():\n    from here.more import TWO\n    return 'é', TWO",
            "def f():\n    pass\n    return 'é', (2)",
        ),
        ("from here.more import TWO\nf(TWO=TWO).TWO", "pass\nf(TWO=(2)).TWO"),
    ],
)
def test_written_out(source: str, expected: str) -> None:
    assert folded(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "from elsewhere import ONE\nONE",
        "from .codes import ONE\nONE",
        "import here.codes\nhere.codes.ONE",
        "from here.codes import ONE as one\none",
        "from here.codes import *\nONE",
        "from here.codes import ONE\nONE += 1",
        "from here.codes import ONE\ndef f(ONE): return ONE",
        "from here.codes import ONE\ntry: pass\nexcept E as ONE: pass",
        "from here.codes import ONE\ndef ONE(): pass",
        "from here.codes import ONE\nf'{ONE}'",
    ],
)
def test_left_alone(source: str) -> None:
    assert folded(source) == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import x\ny = 1", "pass\npass\n\ny = 1"),
        ("if TYPE_CHECKING:\n    from here.codes import ONE\nx = 1", "pass\n\nx = 1"),
        ("class A:\n    __slots__ = (\n        'a',\n    )", "class A:\n    pass\n\n"),
    ],
)
def test_left_out(source: str, expected: str) -> None:
    assert folded(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "TYPE_CHECKING = False\nprint(TYPE_CHECKING)",
        "if TYPE_CHECKING:\n    pass\nelse:\n    x = 1",
        "class A(B):\n    __slots__ = ('a',)",  # the base may ask for it
        "class A:\n    __slots__ = ('a',)\ndef f(a):\n    return a.__slots__",
        "__slots__ = 1",
    ],
)
def test_not_left_out(source: str) -> None:
    assert folded(source) == source


class _LeftOut(ast.NodeTransformer):
    """What fold() should leave out of our own sources."""

    def __init__(self, asked: bool) -> None:
        self._asked = asked

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.copy_location(ast.Pass(), node) if ast.unparse(node.test) == "TYPE_CHECKING" else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        gone = ("TYPE_CHECKING = False", *(() if self._asked else ("__slots__ =",)))
        return ast.copy_location(ast.Pass(), node) if ast.unparse(node).startswith(gone) else node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node if node.bases else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node


class _WrittenOut(ast.NodeTransformer):
    """What fold() should make of a tree, by the values that CPython imports; imports and docstrings away."""

    def __init__(self, values: dict[str, int]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self._values:
            return ast.copy_location(_number(self._values[node.id]), node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)


def _number(value: int) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _lines(tree: ast.AST) -> list[tuple[str, int]]:
    """Each statement with its line."""
    return [(ast.dump(node), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def _value(module: str, name: str) -> int:
    """The constant's value; without importing, as a driver's modules are there on its board alone."""
    file = next(each for each in SOURCES if module_name(each) == module)
    written = re.search(rf"^{name} = (?:const\(\s*)?(-?\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert written is not None
    return int(written[1], 0)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_own_sources_say_the_same_on_the_same_lines(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    def known(module: str) -> dict[str, int]:
        file = next((each for each in SOURCES if module_name(each) == module), None)
        return constants(file.read_text(encoding="utf-8")) if file else {}

    before = _LeftOut(".__slots__" in source).visit(ast.parse(source))
    after = ast.parse(fold(source, known))
    kept = {alias.asname or alias.name for node in ast.walk(after) for alias in _names(node)}
    values = {
        alias.name: _value(node.module, alias.name)
        for node in ast.walk(before)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if (alias.asname or alias.name) not in kept | {"const"}
    }
    assert _lines(_WrittenOut(values).visit(before)) == _lines(_WrittenOut({}).visit(after))


def _names(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else []
