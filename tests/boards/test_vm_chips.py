"""What differs between the chips of a family, as their MicroPython shows it, on the emulated VM."""

from __future__ import annotations

import pytest

from fieldline_boards.chips import NODE_CHIPS
from fieldline_boards.emulated.vm import run_script

pytestmark = pytest.mark.vm

ASK = """
import machine
try:
    import esp32
except ImportError:
    esp32 = None
def refuses(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None
Pin = machine.Pin
print(hasattr(machine, "Counter"), len(machine.unique_id()), machine.freq() // 1000000)
print(hasattr(esp32, "mcu_temperature"), hasattr(esp32, "raw_temperature"))
def watched(ms):
    return refuses(lambda: machine.WDT(timeout=ms))
print(refuses(lambda: Pin(50)), watched(16777), watched(8000))
print(refuses(lambda: Pin(4).irq(None, Pin.IRQ_FALLING, hard=True)))
"""
SAID = {
    "rp2040": "False 8 125\nFalse False\nValueError ValueError None\nNone\n",
    "rp2350": "False 8 150\nFalse False\nValueError None None\nNone\n",
    "esp32": "True 6 160\nFalse True\nValueError None None\nTypeError\n",
    "esp32s3": "True 6 160\nTrue False\nValueError None None\nTypeError\n",
    "esp32c3": "False 6 160\nTrue False\nValueError None None\nTypeError\n",
    "esp32c6": "True 6 160\nTrue False\nValueError None None\nTypeError\n",
}


@pytest.mark.parametrize("chip", NODE_CHIPS)
def test_a_chips_modules_are_its_own(chip: str) -> None:
    assert run_script(ASK, chip=chip) == SAID[chip]


def test_counters_are_as_many_as_the_chip_has() -> None:
    script = """
import machine
def made(unit):
    try:
        machine.Counter(unit, machine.Pin(5))
    except ValueError:
        return False
    return True
print([made(unit) for unit in (0, 3, 4, 7, 8)])
"""
    assert run_script(script, chip="esp32") == "[True, True, True, True, False]\n"
    assert run_script(script, chip="esp32c6") == "[True, True, False, False, False]\n"


def test_an_esp32s_inputs_neither_drive_nor_pull() -> None:
    script = """
from machine import Pin
print(Pin(34, Pin.IN, Pin.PULL_UP).value(), Pin(33, Pin.IN, Pin.PULL_UP).value())
try:
    Pin(34, Pin.OUT)
except ValueError as error:
    print(error)
"""
    assert run_script(script, chip="esp32") == "0 1\npin can only be input\n"
