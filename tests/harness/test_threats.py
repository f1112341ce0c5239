"""The threat model and its tests stay together: every line names tests that are there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fieldline_harness.pytest_report import ROOT
from fieldline_harness.threats import Threat, threats, untested

TABLE = threats(ROOT)


def test_the_table_is_read_whole() -> None:
    lines = [line for line in (ROOT / "docs/security.md").read_text().splitlines() if "`tests/" in line]
    assert len(TABLE) == len(lines) >= 40
    assert len({threat.name for threat in TABLE}) == len(TABLE)


@pytest.mark.parametrize("threat", TABLE, ids=lambda threat: threat.name)
def test_a_line_names_tests_that_are_there(threat: Threat) -> None:
    assert threat.tests
    for test in threat.tests:
        file, _, name = test.partition("::")
        tree = ast.parse(Path(ROOT / file).read_text())
        defined = {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name.partition("[")[0] in defined, f"{threat.name}: {test}"


def test_a_line_counts_only_when_each_of_its_tests_passed() -> None:
    one, two = "tests/a.py::test_one", "tests/a.py::test_two"
    table = [
        Threat("A1", "", "", (one,)),
        Threat("A2", "", "", (one, two)),
        Threat("A3", "", "", (f"{two}[x: y]",)),
        Threat("A4", "", "", ("tests/a.py::test_three",)),
    ]
    ran = [
        ("tests.a", "test_one", "passed", ""),
        ("tests.a", "test_two[x: y]", "passed", ""),
        ("tests.a", "test_two[z]", "skipped", "no browser"),
    ]
    assert set(untested(table, ran)) == {"A2", "A4"}
