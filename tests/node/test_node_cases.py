"""The portable cases on CPython, a test each, and on the MicroPython VM, a test a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import run_script
from tests import portable

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
CASES = TESTS / "node" / "node_cases"


@pytest.mark.parametrize("case", portable.each_case(CASES))
def test_on_cpython(case: portable.Case) -> None:
    case()


@pytest.mark.vm
@pytest.mark.parametrize("module", portable.modules(CASES))
def test_on_the_micropython_vm(module: str) -> None:
    paths = [ROOT / "wire", ROOT / "firmware", TESTS, TESTS / "node"]
    portable.judge(run_script(portable.script(CASES, module), paths=paths, timeout_s=280), CASES, module)
