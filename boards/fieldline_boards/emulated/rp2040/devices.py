"""Devices at the pins of an emulated RP2040 board: Python objects, at the level of bytes and registers.

Rules: a device is called while emulated time stands still, and what it does to the board happens at that
moment; it keeps time by `wiring.after`, never by the host's clock. Devices outlive resets of the chip, and
at each power-on are attached anew. One way for both engines: the machine asks over a socket and waits for
the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from fieldline_boards.errors import BoardError

_NOTHING_ON_SPI = 0xFF  # a data line that nobody drives is pulled high
_NOTHING_ON_I2C = 0xFF


class Wiring(Protocol):
    """What a device can do to the board, in emulated time."""

    @property
    def us(self) -> int:
        """Microseconds since power on."""
        ...

    def drive(self, pin: int, level: int | None) -> None:
        """Drive a pin, or let go of it (None)."""
        ...

    def send(self, bus: int, data: bytes) -> None:
        """Bytes on the RX line of UART `bus`, at its baud rate."""
        ...

    def after(self, us: float, action: Callable[[], None]) -> None:
        """Call `action` in `us` microseconds."""
        ...


class Device:
    """Something wired to the board. Subclasses say where, and answer."""

    wiring: Wiring

    def attached(self) -> None:
        """The board was switched on; `wiring` works from here."""


class SpiDevice(Device):
    """A device on SPI `bus` that listens while pin `select` is low."""

    def __init__(self, bus: int, select: int) -> None:
        self.bus = bus
        self.select = select

    def selected(self, on: bool) -> None:
        """Chip select fell or rose."""

    def exchange(self, byte: int) -> int:
        """A byte came in; the byte that goes out with it."""
        raise NotImplementedError


class I2cDevice(Device):
    """A device on I2C `bus` at a 7-bit `address`."""

    def __init__(self, bus: int, address: int) -> None:
        self.bus = bus
        self.address = address

    def start(self, read: bool) -> bool:
        """Addressed for reading or writing; whether it acknowledges."""
        return True

    def write(self, byte: int) -> bool:
        """A byte from the board; whether it acknowledges."""
        raise NotImplementedError

    def read(self) -> int:
        """The next byte for the board."""
        raise NotImplementedError

    def stop(self) -> None:
        """The transfer ended."""


class UartDevice(Device):
    """A device at UART `bus`; it answers by `wiring.send`."""

    def __init__(self, bus: int) -> None:
        self.bus = bus

    def received(self, byte: int) -> None:
        """A byte from the board."""
        raise NotImplementedError


class PinDevice(Device):
    """A device at `pins` alone (1-Wire, a relay, a strobe)."""

    def __init__(self, pins: Sequence[int]) -> None:
        self.pins = tuple(pins)

    def changed(self, pin: int, level: int) -> None:
        """A pin shows another level, whoever drives it."""
        raise NotImplementedError


class Bench:
    """All devices of a board: who is where, and the answers to the machine's questions. It is their
    Wiring."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = tuple(devices)
        self._spi = [device for device in devices if isinstance(device, SpiDevice)]
        self._i2c = {
            (device.bus, device.address): device for device in devices if isinstance(device, I2cDevice)
        }
        self._uart = {device.bus: device for device in devices if isinstance(device, UartDevice)}
        self._pins = [device for device in devices if isinstance(device, PinDevice)]
        self._selected: dict[int, SpiDevice] = {}
        self._talking: dict[int, I2cDevice] = {}
        self._timers: dict[int, Callable[[], None]] = {}
        self._timer = 0
        self._commands: list[dict[str, Any]] = []
        self.us = 0

    @property
    def buses(self) -> list[str]:
        """Buses with a device, as the machine names them."""
        return sorted(
            {f"spi{device.bus}" for device in self._spi}
            | {f"i2c{bus}" for bus, _ in self._i2c}
            | {f"uart{bus}" for bus in self._uart}
        )

    @property
    def pins(self) -> list[int]:
        """Pins whose changes the devices must see."""
        return sorted(
            {device.select for device in self._spi} | {pin for device in self._pins for pin in device.pins}
        )

    def power_on(self) -> list[dict[str, Any]]:
        """The board was switched on; what the devices do at once, as commands to the machine."""
        self._selected.clear()
        self._talking.clear()
        self._timers.clear()
        self._commands, self.us = [], 0
        for device in self._devices:
            device.wiring = self
            device.attached()
        return self._taken()

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The machine asks; emulated time stands still until it has this."""
        self.us = question["us"]
        return {"value": self._answer(question), "do": self._taken()}

    def drive(self, pin: int, level: int | None) -> None:
        """Drive a pin, or let go of it (None)."""
        self._commands.append({"do": "drive", "pin": pin, "level": level})

    def send(self, bus: int, data: bytes) -> None:
        """Bytes on the RX line of UART `bus`."""
        self._commands.append({"do": "uart", "bus": bus, "text": data.decode("latin-1")})

    def after(self, us: float, action: Callable[[], None]) -> None:
        """Call `action` in `us` microseconds."""
        self._timer += 1
        self._timers[self._timer] = action
        self._commands.append({"do": "timer", "timer": self._timer, "us": us})

    def _taken(self) -> list[dict[str, Any]]:
        commands, self._commands = self._commands, []
        return commands

    def _answer(self, question: dict[str, Any]) -> int | bool:
        match question:
            case {"spi": bus, "value": byte}:
                device = self._selected.get(bus)
                return device.exchange(byte) if device else _NOTHING_ON_SPI
            case {"i2c": bus, "step": step}:
                return self._i2c_step(bus, step, question)
            case {"uart": bus, "value": byte}:
                self._uart[bus].received(byte)
            case {"pin": pin, "level": level}:
                self._changed(pin, level)
            case {"timer": timer}:
                self._timers.pop(timer)()
            case _:
                raise BoardError(f"the emulated machine asks what this version does not know: {question}")
        return 0

    def _i2c_step(self, bus: int, step: str, question: dict[str, Any]) -> int | bool:
        if step == "start":
            self._talking.pop(bus, None)
            device = self._i2c.get((bus, question["address"]))
            if device is None or not device.start(question["read"]):
                return False
            self._talking[bus] = device
            return True
        talking = self._talking.get(bus)
        if talking is None:
            return _NOTHING_ON_I2C if step == "read" else False
        if step == "write":
            return talking.write(question["value"])
        if step == "read":
            return talking.read()
        del self._talking[bus]
        talking.stop()
        return True

    def _changed(self, pin: int, level: int) -> None:
        for device in self._spi:
            if device.select == pin:
                if level == 0:
                    self._selected[device.bus] = device
                elif self._selected.get(device.bus) is device:
                    del self._selected[device.bus]
                device.selected(level == 0)
        for listener in self._pins:
            if pin in listener.pins:
                listener.changed(pin, level)
