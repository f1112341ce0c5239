"""The node on CircuitPython's ports, whose modules are fakes: on CPython, the MicroPython VM and CircuitPython.

FIELDLINE_CIRCUITPYTHON names a CircuitPython interpreter for this machine (its unix port, with aesio, struct,
traceback and a Python stack of 1,024 words or more); without it what needs one is skipped.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import run_script

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
MODULES = sorted(path.stem for path in (TESTS / "circuitpython" / "cp_cases").glob("*_cases.py"))
HEAP = 8 * 1024 * 1024  # of the fakes: the volumes are large
CIRCUITPYTHON = os.environ.get("FIELDLINE_CIRCUITPYTHON", "")

_ON_A_NODE = """
import cp_cases.{module} as module
from traceback import print_exception
done = 0
for name in sorted(dir(module)):
    if name.startswith("case_"):
        try:
            getattr(module, name)()
        except Exception as error:
            print("FAIL", name)
            print_exception(error)
        else:
            done += 1
print("done", done)
"""


def cases(module: str) -> list[tuple[str, Callable[[], None]]]:
    found = importlib.import_module(f"cp_cases.{module}")
    return [(name, getattr(found, name)) for name in sorted(vars(found)) if name.startswith("case_")]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{module}: {name}") for module in MODULES for name, case in cases(module)]
)
def test_on_cpython(case: Callable[[], None]) -> None:
    case()


@pytest.mark.vm
@pytest.mark.parametrize("module", MODULES)
def test_on_the_micropython_vm(module: str) -> None:
    output = run_script(_ON_A_NODE.format(module=module), paths=PATHS, timeout_s=280, heap=HEAP)
    assert output.splitlines()[-1:] == [f"done {len(cases(module))}"], output


@pytest.mark.skipif(not CIRCUITPYTHON, reason="FIELDLINE_CIRCUITPYTHON names no CircuitPython interpreter")
@pytest.mark.parametrize("module", [*MODULES, "on_fat"])
def test_on_circuitpythons_own_interpreter(module: str) -> None:
    paths = [*PATHS, TESTS / "fakes" / "circuitpython" / "native"]
    script = f"import sys\nsys.path[:0] = {[str(path) for path in paths]}\n" + _ON_A_NODE.format(
        module=module
    )
    done = subprocess.run(
        [CIRCUITPYTHON, "-X", "heapsize=16M", "-c", script],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == [f"done {len(cases(module))}"], done.stdout + done.stderr
