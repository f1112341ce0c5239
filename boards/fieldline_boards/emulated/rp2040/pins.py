"""The pins of an emulated RP2040 board: what drives them, and what the chip drove.

Rules: what the world does outlives power and resets: it is told to each new process anew. Edges are
recorded in emulated time; their host time is when they came in, less how long ago that was where the board
has a pace.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fieldline_boards.board import Edge
from fieldline_boards.emulated.rp2040.news import News
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import Pin

_EDGES_KEPT = 100_000
_PINS = range(30)  # RP2040 datasheet 1.4.1: GPIO0 to GPIO29
_ADC_FULL = 4095  # RP2040 datasheet 4.9: 12 bits
_TEMPERATURE = 4  # the ADC channel of the chip's own sensor
_ROOM_C = 27.0
_TEMPERATURE_AT_C = 27.0  # RP2040 datasheet 4.9.5: 0.706 V there, 1.721 mV less for each degree more
_TEMPERATURE_V = 0.706
_TEMPERATURE_V_K = 0.001721
_REFERENCE_V = 3.3

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EmulatedEdge(Edge):
    """An edge with its emulated time, `us` microseconds since power on."""

    us: int


class Rp2040Pins:
    """The Pins port, and what else can be set from outside. `levels()` asks the running machine."""

    def __init__(self, levels: Callable[[], Awaitable[list[int]]], pace: float) -> None:
        self._levels = levels
        self._pace = pace
        self._standing: dict[tuple[str, int], Message] = {("adc", _TEMPERATURE): _temperature(_ROOM_C)}
        self._tell: Callable[[Message], None] = lambda message: None
        self._edges: deque[EmulatedEdge] = deque(maxlen=_EDGES_KEPT)
        self._news = News()

    async def read(self, pin: Pin) -> int:
        """Level of `pin`."""
        return (await self._levels())[_number(pin)]

    async def drive(self, pin: Pin, level: int | None) -> None:
        """Hold an input at `level`, or let go of it."""
        self._set("pin", _number(pin), {"do": "drive", "pin": _number(pin), "level": level})

    async def pulse(
        self, pin: Pin, hz: float, *, duty: float = 0.5, count: int | None = None, open_drain: bool = False
    ) -> None:
        """A train of `hz` pulses a second; 0 stops it. `duty` is the high share; `count` ends it, and it is
        not begun again at the next power-on; `open_drain` lets go of the pin where others drive it high, as
        a fan."""
        if hz < 0 or not 0 < duty < 1:
            raise BoardError(
                f"a pulse train of {hz} Hz with a high share of {duty} cannot be; give 0 Hz to stop it"
            )
        train = {"pin": _number(pin), "hz": hz, "duty": duty, "count": count, "openDrain": open_drain}
        self._set("pin", _number(pin), {"do": "pulses", **train})
        if count is not None:
            del self._standing["pin", _number(pin)]

    async def analog(self, channel: int, share: float) -> None:
        """An ADC channel (0 to 3 are GPIO26 to GPIO29) at `share` of full scale, 0 to 1."""
        self._set("adc", channel, _analog(channel, share))

    async def temperature(self, celsius: float) -> None:
        """The chip's temperature."""
        self._set("adc", _TEMPERATURE, _temperature(celsius))

    def edges(self, pin: Pin) -> list[Edge]:
        """The recorded changes of an output pin, oldest first; each is an EmulatedEdge."""
        return [edge for edge in self._edges if edge.pin == pin]

    async def edge(self, pin: Pin, level: int, within_s: float, since: float | None = None) -> Edge:
        """The first change of an output pin to `level` at or after `since` (now)."""
        since = asyncio.get_running_loop().time() if since is None else since
        found: list[Edge] = []

        def seen() -> bool:
            found[:] = [edge for edge in self.edges(pin) if edge.level == level and edge.time >= since][:1]
            return bool(found)

        try:
            await self._news.until(seen, within_s)
        except TimeoutError:
            raise BoardError(f"pin {pin} did not go to {level} within {within_s} s") from None
        return found[0]

    def standing(self) -> list[Message]:
        """What a new process must be told."""
        return list(self._standing.values())

    def connect(self, tell: Callable[[Message], None]) -> None:
        """Where commands go from now on."""
        self._tell = tell

    def record(self, batch: list[tuple[int, int, int]]) -> None:
        """The chip changed pins: [pin, level, microseconds]."""
        now = asyncio.get_running_loop().time()
        last = batch[-1][2]
        for pin, level, us in batch:
            ago = (last - us) / 1e6 / self._pace if self._pace else 0.0
            self._edges.append(EmulatedEdge(pin=pin, level=level, time=now - ago, us=us))
        self._news.tell()

    def _set(self, kind: str, place: int, message: Message) -> None:
        self._standing[kind, place] = message
        self._tell(message)


def _analog(channel: int, share: float) -> Message:
    return {"do": "adc", "channel": channel, "value": round(share * _ADC_FULL)}


def _temperature(celsius: float) -> Message:
    volts = _TEMPERATURE_V - (celsius - _TEMPERATURE_AT_C) * _TEMPERATURE_V_K
    return _analog(_TEMPERATURE, volts / _REFERENCE_V)


def _number(pin: Pin) -> int:
    if not isinstance(pin, int) or pin not in _PINS:
        raise BoardError(f"pin {pin!r} is not one of the RP2040's: GPIO 0 to {_PINS[-1]}")
    return pin
