"""The node on CircuitPython's ports, whose modules are fakes: on CPython, the MicroPython VM and CircuitPython.

FIELDLINE_CIRCUITPYTHON names a CircuitPython interpreter for this machine (its unix port, with aesio, struct,
traceback and a Python stack of 1,024 words or more); without it what needs one is skipped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import run_script
from tests import portable

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PATHS = [
    ROOT / "wire",
    ROOT / "firmware",
    TESTS,
    TESTS / "node",
    TESTS / "circuitpython",
    TESTS / "fakes" / "circuitpython",
]
CASES = TESTS / "circuitpython" / "cp_cases"
MODULES = portable.modules(CASES)
HEAP = 8 * 1024 * 1024  # of the fakes: the volumes are large
CIRCUITPYTHON = os.environ.get("FIELDLINE_CIRCUITPYTHON", "")


def on_a_node(module: str) -> str:
    return portable.script(CASES, module, printer="traceback")


@pytest.mark.parametrize("case", portable.each_case(CASES))
def test_on_cpython(case: portable.Case) -> None:
    case()


@pytest.mark.vm
@pytest.mark.parametrize("module", MODULES)
def test_on_the_micropython_vm(module: str) -> None:
    output = run_script(on_a_node(module), paths=PATHS, timeout_s=280, heap=HEAP)
    portable.judge(output, CASES, module)


@pytest.mark.skipif(not CIRCUITPYTHON, reason="FIELDLINE_CIRCUITPYTHON names no CircuitPython interpreter")
@pytest.mark.parametrize("module", [*MODULES, "on_fat"])
def test_on_circuitpythons_own_interpreter(module: str) -> None:
    paths = [*PATHS, TESTS / "fakes" / "circuitpython" / "native"]
    script = f"import sys\nsys.path[:0] = {[str(path) for path in paths]}\n" + on_a_node(module)
    done = subprocess.run(
        [CIRCUITPYTHON, "-X", "heapsize=16M", "-c", script],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    portable.judge(done.stderr + done.stdout, CASES, module)
