"""The chips around an emulated board: its buses, what is on them, and the answers to what the board does.

Rules: one rig outlives the board's resets. Its time is that of `now_us` where there is one; else it stands still
but for what goes over the buses, and `advance` moves it. The questions are those of vm/buses.mjs. `{"rig": ...}` is
for tests that run on the board: the world's side of the chips, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fieldline_boards.emulated.chips.bme280 import Bme280
from fieldline_boards.emulated.chips.clock import Clock
from fieldline_boards.emulated.chips.ds18b20 import Ds18b20
from fieldline_boards.emulated.chips.i2c import I2cBus, I2cChip, I2cFault
from fieldline_boards.emulated.chips.ina219 import Ina219
from fieldline_boards.emulated.chips.lis3dh import Lis3dh
from fieldline_boards.emulated.chips.one_wire import OneWireBus, OneWireChip
from fieldline_boards.errors import BoardError

Chip = I2cChip | OneWireChip

_I2C: Mapping[str, Callable[..., I2cChip]] = {"bme280": Bme280, "ina219": Ina219, "lis3dh": Lis3dh}


class Rig:
    """Buses by number (I2C) and pin (1-Wire), chips by name, levels of ADC channels."""

    def __init__(self, now_us: Callable[[], int] | None = None) -> None:
        self.clock = Clock()
        self.i2c: dict[int, I2cBus] = {}
        self.wires: dict[int, OneWireBus] = {}
        self.chips: dict[str, Chip] = {}
        self.analog: dict[int, float] = {}
        """Share of full scale, 0 to 1, by the number of the ADC's channel or pin."""
        self._now_us = now_us
        self._lines: dict[int, tuple[I2cBus, bool]] = {}  # by pin: the bus, whether it is its clock
        self._pins: dict[int, tuple[int, int]] = {}  # by number of the bus: clock and data

    def add_i2c(self, number: int, *, scl: int, sda: int, hz: int = 400_000) -> I2cBus:
        """An I2C bus at two pins."""
        bus = self.i2c[number] = I2cBus(self.clock, hz=hz)
        self._lines[scl], self._lines[sda] = (bus, True), (bus, False)
        self._pins[number] = scl, sda
        return bus

    def i2c_pins(self, number: int) -> tuple[int, int]:
        """Clock and data pin of a bus."""
        return self._pins[number]

    def add_wire(self, pin: int) -> OneWireBus:
        """A 1-Wire bus at a pin."""
        return self.wires.setdefault(pin, OneWireBus(self.clock))

    def add(self, name: str, kind: str, place: int, **options: Any) -> Chip:
        """A chip of `kind` on the I2C bus number `place`, or on the 1-Wire bus at pin `place`."""
        if kind == "ds18b20":
            if "serial" in options:
                options["serial"] = bytes.fromhex(options["serial"])
            thermometer = Ds18b20(**options)
            self.add_wire(place).attach(thermometer)
            self.chips[name] = thermometer
        elif kind in _I2C:
            chip = _I2C[kind](**options)
            self.i2c[place].attach(chip)
            self.chips[name] = chip
        else:
            raise BoardError(f"there is no emulated chip '{kind}'; there are ds18b20, {', '.join(_I2C)}")
        return self.chips[name]

    def clear(self) -> None:
        """Take everything off the board; time goes on."""
        for things in (self.i2c, self.wires, self.chips, self.analog, self._lines, self._pins):
            things.clear()

    def advance(self, ms: float) -> None:
        """Let time pass."""
        self.clock.us += round(ms * 1000)

    @property
    def watched(self) -> list[int]:
        """Pins whose levels are the rig's, while they are used as pins."""
        return sorted(self._lines)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """What the board gets for what it does."""
        if self._now_us is not None:
            self.clock.us = max(self.clock.us, self._now_us())
        match question:
            case {"i2c": number, "address": address, "out": out, "count": count}:
                return self._transfer(number, address, bytes(out), count)
            case {"wire": pin, **what}:
                return self._wire(pin, what)
            case {"line": pin, "level": level}:
                bus, clock = self._lines[pin]
                if clock:
                    bus.set_scl(level)
                return {}
            case {"line": pin}:
                bus, clock = self._lines[pin]
                return {"level": 1 if clock else bus.sda}
            case {"analog": channel}:
                return {"share": self.analog.get(channel)}
            case {"rig": action, "with": arguments}:
                return {"value": self.act(action, *arguments), "pins": self.watched}
        raise BoardError(f"the emulated board asks what this version does not know: {question}")

    def act(self, action: str, *arguments: Any) -> Any:
        """The world's side, for tests that run on the board. Values are those that JSON has."""
        match action, arguments:
            case "bus", (number, scl, sda):
                self.add_i2c(number, scl=scl, sda=sda)
            case "add", (name, kind, place, options):
                self.add(name, kind, place, **options)
            case "set", (name, attribute, value):
                setattr(self._thing(name), attribute, value)
            case "get", (name, attribute):
                return getattr(self._thing(name), attribute)
            case "call", (name, method):
                getattr(self._thing(name), method)()
            case "after", (bus, count, name, method):
                self._thing(bus).after(count, getattr(self._thing(name), method))
            case "flip", (pin, slots):
                self.wires[pin].flips = set(slots)
            case "analog", (channel, share):
                self.analog[channel] = share
            case "advance", (ms,):
                self.advance(ms)
            case "us", ():
                return self.clock.us
            case "clear", ():
                self.clear()
            case _:
                raise BoardError(f"the rig has no action '{action}' with {arguments}")
        return None

    def _thing(self, name: str) -> Any:
        """A chip by name, or a bus as "i2c 0" or "wire 14"."""
        kind, space, number = name.partition(" ")
        if not space:
            return self.chips[name]
        return self.i2c[int(number)] if kind == "i2c" else self.wires[int(number)]

    def _transfer(self, number: int, address: int, out: bytes, count: int) -> dict[str, Any]:
        if number not in self.i2c:
            return {"fault": "nack"}
        try:
            return {"data": list(self.i2c[number].transfer(address, out, count))}
        except I2cFault as fault:
            return {"fault": str(fault)}

    def _wire(self, pin: int, what: dict[str, Any]) -> dict[str, Any]:
        bus = self.wires.get(pin) or OneWireBus(self.clock)
        match what:
            case {"slot": bit}:
                return {"bit": bus.slot(bit)}
            case {"out": out}:
                bus.write(bytes(out))
                return {}
            case {"count": count}:
                return {"data": list(bus.read(count))}
        return {"bit": bus.reset()}
