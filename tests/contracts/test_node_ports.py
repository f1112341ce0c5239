"""The contracts of the node's ports, kept by the fakes that the node's tests run on, and by MicroPython's drivers.

CircuitPython's drivers keep them in tests/circuitpython (cp_cases/contract_cases.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "node")]

from contracts.node_ports import CASES  # noqa: E402 - it runs on MicroPython too, and so finds its own on sys.path
from fakes.flash import FakeFlash  # noqa: E402
from fakes.hardware import FakeFan, FakeHardware, Restarted  # noqa: E402
from fakes.node_peer import Line  # noqa: E402

from fieldline_boards.emulated.vm import run_script  # noqa: E402

ROOT = TESTS.parent


class FlashRig:
    def region(self) -> FakeFlash:
        self._flash = FakeFlash(6)
        return self._flash

    def restart(self) -> FakeFlash:
        self._flash = FakeFlash(6, data=self._flash.data)
        return self._flash


class HardwareRig:
    def __init__(self) -> None:
        self.hardware = FakeHardware()

    def wait(self, ms: int) -> None:
        self.hardware.now += ms

    def source(self) -> FakeFan:
        return self.hardware.edges(5)

    def pulse(self, count: int, hz: int) -> None:
        fan = self.hardware.edges(5)
        fan.spin(hz)
        self.wait(1000 * count // hz)
        fan.read()
        fan.spin(0)

    def restart(self) -> bool:
        try:
            self.hardware.restart()
        except Restarted:
            return True
        return False

    def warm(self, celsius: float | None) -> None:
        self.hardware.celsius = celsius


class StreamRig:
    def __init__(self) -> None:
        self.stream = Line()

    def say(self, data: bytes) -> None:
        self.stream.down.append(data)

    def heard(self) -> bytes:
        return b"".join(self.stream.up)

    def unplug(self) -> None:
        self.stream.broken = True

    def plug(self) -> None:
        self.stream.broken = False


RIGS: dict[str, type[Any]] = {
    "flash": FlashRig,
    "clock": HardwareRig,
    "edges": HardwareRig,
    "chip": HardwareRig,
    "stream": StreamRig,
}


@pytest.mark.parametrize(
    ("case", "rig"),
    [pytest.param(case, RIGS[port], id=case.__name__) for port in RIGS for case in CASES[port]],
)
def test_the_fakes_keep_the_contract(case: Callable[[Any], None], rig: type[Any]) -> None:
    case(rig())


@pytest.mark.vm
@pytest.mark.parametrize("chip", ["rp2", "esp32"])
def test_micropythons_drivers_keep_the_contract(chip: str) -> None:
    script = f"""
import time
from contracts.node_ports import CASES
from fieldline_node.drivers.micropython.flash import find_region
from fieldline_node.drivers.micropython.hardware import Hardware

class Rig:
    def __init__(self):
        self.hardware = Hardware({chip!r})
    def wait(self, ms):
        time.sleep_ms(ms)
    def region(self):
        return find_region({chip!r}, "fl_outbox", 0x94000, 0x8000)
    restart = region

done = 0
for port in ("flash", "clock", "chip"):
    for case in CASES[port]:
        if case.__name__ in ("chip_restarts", "chip_measures_its_temperature_or_says_that_it_does_not"):
            continue  # ends the VM; has a temperature of its own
        case(Rig())
        done += 1
print(done)
"""
    paths = [ROOT / "wire", ROOT / "firmware", TESTS, TESTS / "node"]
    flash = [("fl_outbox", 0x94000, 0x8000)]
    assert run_script(script, paths=paths, chip=chip, flash=flash) == "5\n"
