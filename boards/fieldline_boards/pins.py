"""The pins of a board: its headers, and who uses which pin.

Rules: each pin is given once, and only to what it can be; whatever cannot work is a ConfigError that names the line:
a pin that the board does not bring out, one that another has, an input as an output, a strapping pin as a sensor.
What is soldered on the board (its LED, its radio) may have strapping pins and pins that no header has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from fieldline_boards.chips import LINUX, Chip
from fieldline_boards.spec import Header, HeaderPin, Pin, Pinout, Use
from fieldline_host.tomlfile import Table

MOST_HEADERS = 8
MOST_PINS = 64  # of a header
_PLACES = ("left", "right")
_GPIO = re.compile(r"([0-9]{1,3})(?: (\S+))?")  # "36", or "36 VP" where the board says VP


class BoardPins:
    """The pins of one board. `console`: "usb" or "uart", whose pins are taken, as is USB; None on a Linux host."""

    def __init__(self, root: Table, chip: Chip, console: str | None) -> None:
        self._chip = chip
        self._table = root.table("pins")
        self._named = frozenset(self._table.strings("named"))
        self._top = root.get("top", str) or "USB"
        self._headers = tuple(self._read_headers(root))
        self._brought_out = frozenset(
            pin.gpio for header in self._headers for pin in header.pins if pin.gpio is not None
        )
        self._uses: dict[Pin, Use] = {}
        usb = (
            Use("board", "the console", "console")
            if console == "usb"
            else Use("board", "the chip's USB", "USB")
        )
        self._uses.update(dict.fromkeys(chip.usb, usb))
        if console == "uart":
            self._uses.update(dict.fromkeys(chip.uart0, Use("board", "the console", "console")))
        self._read_onboard(root.table("onboard"))

    @property
    def pinout(self) -> Pinout:
        """Headers, and all that was given out so far."""
        return Pinout(self._top, self._headers, dict(self._uses))

    def named(self, use: str, text: str) -> Pin | None:
        """The output pin in [pins] for `use`, said of it in a few words; None where there is none."""
        name = self._table.get(use, str)
        if name is None:
            return None
        return self._take(self._table, use, name, Use("output", text, use), output=True)

    def led(self) -> Pin | None:
        """The board's own LED, or None."""
        name = self._table.get("led", str)
        use = Use("board", "the LED", "LED")
        return None if name is None else self._take(self._table, "led", name, use, output=True, soldered=True)

    def outputs(self) -> tuple[Pin, ...]:
        """The pins that a Command may drive, in their order."""
        return tuple(
            self._take(
                self._table, "outputs", text, Use("output", "an output", f"output {place}"), output=True
            )
            for place, text in enumerate(self._table.strings("outputs"))
        )

    def radio(self, table: Table, key: str) -> Pin:
        """A wire to the board's own radio."""
        use = Use("radio", f"the radio's {key}", f"LoRa {key}")
        return self._take(table, key, table.need(key, str), use, output=False, soldered=True)

    def wire(self, table: Table, key: str, use: str) -> Pin:
        """The pin that `key` names, which can be driven, for the bus that `table` describes."""
        short = table.need("name", str) + ("" if key == "pin" else f" {key}")
        return self._take(table, key, table.need(key, str), Use("bus", use, short), output=True)

    def sensor(self, table: Table, name: str) -> Pin:
        """The input pin of a sensor."""
        text = table.need("pin", str)
        if text in self._named and self._chip.family != LINUX:
            raise table.error("pin", f"pin {text} is no GPIO of the chip, and no input; give a GPIO's number")
        return self._take(table, "pin", text, Use("sensor", f"sensor '{name}'", name), output=False)

    def known(self, table: Table, key: str, text: str) -> Pin:
        """The pin `text` of a header, or a named one, whatever it is used for."""
        if text in self._named:
            return text
        pin = self._of_the_chip(table, key, text)
        if pin not in self._brought_out:
            raise table.error(key, f"this board has no pin {text} at a header; {self._has()}")
        return pin

    def _of_the_chip(self, table: Table, key: str, text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or len(text) > 3:
            raise table.error(key, f"this board has no pin '{text}'; give a GPIO's number: {self._has()}")
        if int(text) not in self._chip.gpio:
            raise table.error(key, f"this board has no pin {text}: {self._chip.title} has no such GPIO")
        return int(text)

    def _has(self) -> str:
        names = f", and {', '.join(sorted(self._named))}" if self._named else ""
        return f"it has {ranges(self._brought_out) or 'none: add a [[header]]'}{names}"

    def _take(
        self, table: Table, key: str, text: str, use: Use, *, output: bool, soldered: bool = False
    ) -> Pin:
        pin: Pin = text
        if text not in self._named:
            pin = self._of_the_chip(table, key, text) if soldered else self.known(table, key, text)
            self._check(table, key, pin, use, output=output, soldered=soldered)
        if pin in self._uses:
            raise table.error(
                key, f"pin {pin} is {self._uses[pin].text} already; choose another for {use.text}"
            )
        self._uses[pin] = use
        return pin

    def _check(self, table: Table, key: str, pin: Pin, use: Use, *, output: bool, soldered: bool) -> None:
        if pin in self._chip.flash:
            raise table.error(key, f"pin {pin} is wired to the flash or PSRAM; choose another for {use.text}")
        if output and pin in self._chip.input_only:
            raise table.error(key, f"pin {pin} is an input only; choose another for {use.text}")
        if pin in self._chip.strapping and not soldered:
            raise table.error(
                key,
                f"pin {pin} is a strapping pin: its level at reset decides how the {self._chip.title} starts, so "
                f"what is wired to it can keep the board from starting; choose another for {use.text}",
            )

    def _read_onboard(self, table: Table) -> None:
        for text in list(table.keys()):
            what = table.need(text, str)
            pin = self._of_the_chip(table, text, text)
            if pin in self._uses:
                raise table.error(text, f"pin {pin} is {self._uses[pin].text} already")
            self._uses[pin] = Use("board", what, what.removeprefix("the "))

    def _read_headers(self, root: Table) -> Iterator[Header]:
        tables = root.tables("header")
        if len(tables) > MOST_HEADERS:
            raise tables[MOST_HEADERS].error(None, f"a board has at most {MOST_HEADERS} headers")
        seen: dict[int, str] = {}
        for table in tables:
            side = table.choice("side", _PLACES)
            first = table.integer("first", low=1, high=999)
            step = table.integer("step", 1, low=-2, high=2)
            if step == 0:
                raise table.error("step", "'step' must be -2, -1, 1 or 2")
            pins: list[HeaderPin] = []
            for place, text in enumerate(table.strings("pins")[:MOST_PINS]):
                pins.append(self._header_pin(table, text, first + place * step))
                if (gpio := pins[-1].gpio) is not None and gpio in seen:
                    raise table.error("pins", f"pin {gpio} stands in the headers twice")
                if gpio is not None:
                    seen[gpio] = text
            if not pins:
                raise table.error(None, "a header has pins; list them from the top")
            yield Header(side, table.get("block", str), tuple(pins))

    def _header_pin(self, table: Table, text: str, number: int) -> HeaderPin:
        match = _GPIO.fullmatch(text)
        if match is None:
            return HeaderPin(number, text, None)
        gpio = self._of_the_chip(table, "pins", match[1])
        return HeaderPin(number, match[2] or self._chip.label(gpio), gpio)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in the shortest words: "0-22, 26-28"."""
    ordered = sorted(numbers)
    starts = [number for before, number in pairwise([-2, *ordered]) if number != before + 1]
    ends = [number for number, after in pairwise([*ordered, 1 << 16]) if number + 1 != after]
    return ", ".join(
        str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)
    )
