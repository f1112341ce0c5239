"""The sensors on emulated chips, on CPython a test each; on the MicroPython VM, by the drivers, a test a module."""

from __future__ import annotations

from pathlib import Path

import pytest
from sensor_cases.bench import Bench

from fieldline_boards.emulated.chips import Rig
from fieldline_boards.emulated.vm import run_script
from tests import portable
from tests.node.sensors.host_bench import HostHardware

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CASES = HERE / "sensor_cases"


def bench() -> Bench:
    rig = Rig()
    return Bench(rig.act, HostHardware(rig), 1)


@pytest.mark.parametrize("case", portable.each_case(CASES))
def test_on_cpython(case: portable.Case) -> None:
    case(bench)


@pytest.mark.vm
@pytest.mark.parametrize("module", portable.modules(CASES))
def test_on_the_micropython_vm(module: str) -> None:
    code = portable.script(CASES, module, setup="from sensor_cases.vm_bench import bench", arguments="bench")
    paths = [ROOT / "wire", ROOT / "firmware", HERE]
    portable.judge(run_script(code, paths=paths, timeout_s=240, rig=Rig()), CASES, module)
