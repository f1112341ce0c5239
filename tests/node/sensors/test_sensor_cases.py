"""The sensors on emulated chips, on CPython a test each; on the MicroPython VM, by the drivers, a test a module."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sensor_cases.bench import Bench

from fieldline_boards.emulated.chips import Rig
from fieldline_boards.emulated.vm import run_script
from tests.node.sensors.host_bench import HostHardware

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MODULES = sorted(path.stem for path in (HERE / "sensor_cases").glob("*_cases.py"))

_ON_THE_VM = """
import sys
import sensor_cases.{module} as module
from sensor_cases.vm_bench import bench
done = 0
for name in sorted(dir(module)):
    if name.startswith("case_"):
        try:
            getattr(module, name)(bench)
        except Exception as error:
            print("FAIL", name)
            sys.print_exception(error)
        else:
            done += 1
print("done", done)
"""


def cases(module: str) -> list[tuple[str, Callable[[Any], None]]]:
    found = importlib.import_module(f"sensor_cases.{module}")
    return [(name, getattr(found, name)) for name in sorted(vars(found)) if name.startswith("case_")]


def bench() -> Bench:
    rig = Rig()
    return Bench(rig.act, HostHardware(rig), 1)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{module}: {name}") for module in MODULES for name, case in cases(module)]
)
def test_on_cpython(case: Callable[[Any], None]) -> None:
    case(bench)


@pytest.mark.vm
@pytest.mark.parametrize("module", MODULES)
def test_on_the_micropython_vm(module: str) -> None:
    paths = [ROOT / "wire", ROOT / "firmware", HERE]
    output = run_script(_ON_THE_VM.format(module=module), paths=paths, timeout_s=240, rig=Rig())
    assert output.splitlines()[-1:] == [f"done {len(cases(module))}"], output
