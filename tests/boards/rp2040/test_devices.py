"""The bench: which device is asked, and what it does to the board."""

from __future__ import annotations

import pytest

from fieldline_boards.emulated.rp2040.devices import Bench, I2cDevice, PinDevice, SpiDevice, UartDevice
from fieldline_boards.errors import BoardError


class Echo(SpiDevice):
    """Answers with the byte before; counts selections."""

    def __init__(self, bus: int, select: int) -> None:
        super().__init__(bus, select)
        self.last = 0
        self.selections: list[bool] = []

    def selected(self, on: bool) -> None:
        self.selections.append(on)

    def exchange(self, byte: int) -> int:
        self.last, answer = byte, self.last
        return answer


class Register(I2cDevice):
    """One byte of memory."""

    value = 0
    stops = 0

    def write(self, byte: int) -> bool:
        self.value = byte
        return byte < 0x80

    def read(self) -> int:
        return self.value

    def stop(self) -> None:
        self.stops += 1


class Shout(UartDevice):
    def received(self, byte: int) -> None:
        self.wiring.send(self.bus, bytes([byte]).upper())


class Bell(PinDevice):
    def attached(self) -> None:
        self.wiring.drive(9, 1)

    def changed(self, pin: int, level: int) -> None:
        self.wiring.after(100 * level, lambda: self.wiring.drive(9, 0))


def test_spi_goes_to_the_selected_device() -> None:
    one, two = Echo(0, 5), Echo(0, 6)
    bench = Bench([one, two])
    assert bench.buses == ["spi0"]
    assert bench.pins == [5, 6]
    bench.power_on()
    assert bench.answer({"spi": 0, "value": 1, "us": 0})["value"] == 0xFF, "nobody is selected"
    bench.answer({"pin": 6, "level": 0, "us": 0})
    bench.answer({"spi": 0, "value": 7, "us": 0})
    bench.answer({"pin": 5, "level": 1, "us": 0})
    assert bench.answer({"spi": 0, "value": 8, "us": 0})["value"] == 7
    assert two.selections == [True]
    assert one.selections == [False]
    bench.answer({"pin": 6, "level": 1, "us": 0})
    assert bench.answer({"spi": 0, "value": 9, "us": 0})["value"] == 0xFF


def test_i2c_addresses_acknowledges_and_stops() -> None:
    register = Register(1, 0x40)
    bench = Bench([register])
    bench.power_on()

    def ask(step: str, **more: object) -> object:
        return bench.answer({"i2c": 1, "step": step, "us": 0, **more})["value"]

    assert ask("start", address=0x41, read=False) is False
    assert ask("stop") is False
    assert ask("start", address=0x40, read=False) is True
    assert ask("write", value=0x12) is True
    assert ask("write", value=0x92) is False
    assert ask("start", address=0x40, read=True) is True, "repeated start"
    assert ask("read") == 0x92
    ask("stop")
    assert register.stops == 1
    assert ask("read") == 0xFF


def test_what_devices_do_goes_along_with_the_answer() -> None:
    bench = Bench([Shout(0), Bell([3])])
    assert bench.buses == ["uart0"]
    assert bench.power_on() == [{"do": "drive", "pin": 9, "level": 1}]
    assert bench.answer({"uart": 0, "value": ord("a"), "us": 0})["do"] == [
        {"do": "uart", "bus": 0, "text": "A"}
    ]
    (timer,) = bench.answer({"pin": 3, "level": 1, "us": 0})["do"]
    assert timer == {"do": "timer", "timer": timer["timer"], "us": 100}
    rung = bench.answer({"timer": timer["timer"], "us": 4711})
    assert rung["do"] == [{"do": "drive", "pin": 9, "level": 0}]
    assert bench.us == 4711


def test_a_question_of_another_version_is_refused() -> None:
    with pytest.raises(BoardError, match="can bus"):
        Bench([]).answer({"can bus": 0, "us": 0})
