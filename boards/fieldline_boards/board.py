"""The Board port: serial port, power, flash and pins of a board, real or emulated.

Rules: whoever uses it can't tell which; what a board cannot do raises BoardError with what to do instead.
Times are seconds on the host's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, Self

from fieldline_boards.spec import BoardSpec, Pin

Tear = Literal["before", "half", "random", "almost", "after"]
"""What the operation in which the power ends leaves: nothing, its first half, some of its bits, all but its
last bytes, all of it."""

TEARS: tuple[Tear, ...] = ("before", "half", "random", "almost", "after")


@dataclass(frozen=True, slots=True)
class Edge:
    """An output pin changed to `level` at `time`."""

    pin: Pin
    level: int
    time: float


class Power(Protocol):
    """The board's supply and reset line."""

    @property
    def is_on(self) -> bool: ...

    async def on(self) -> None:
        """Power it; returns when the chip runs. Nothing where it is on."""
        ...

    async def off(self) -> None:
        """Take the power away at once: what is in RAM is gone. Nothing where it is off."""
        ...

    async def reset(self) -> None:
        """Press the reset button; returns when the chip runs again."""
        ...

    async def cut_at(self, operation: int, tear: Tear) -> None:
        """Take the power away at the `operation`th flash operation from now (1 is the next).

        On a running board "now" is not sharp: where that operation has passed meanwhile, the next one is cut.
        """
        ...

    async def lost(self, within_s: float) -> None:
        """Wait until a cut has happened; BoardError where it has not `within_s` seconds from now."""
        ...


class FlashMemory(Protocol):
    """The board's raw flash regions, by name ("state", "outbox")."""

    @property
    def operations(self) -> int:
        """Pages programmed, sectors erased and files changed since the board was made."""
        ...

    async def read(self, region: str) -> bytes:
        """The region's bytes."""
        ...

    async def write(self, region: str, image: bytes) -> None:
        """Replace the region's bytes; the power must be off."""
        ...


class Pins(Protocol):
    """The world at the board's pins."""

    async def read(self, pin: Pin) -> int:
        """Level of `pin`, 0 or 1."""
        ...

    async def drive(self, pin: Pin, level: int | None) -> None:
        """Hold an input at `level`, or let go of it (None)."""
        ...

    async def pulse(self, pin: Pin, hz: float) -> None:
        """A train of `hz` pulses a second at an input until told otherwise, over resets too; 0 stops it."""
        ...

    def edges(self, pin: Pin) -> list[Edge]:
        """The recorded changes of an output pin, oldest first."""
        ...

    async def edge(self, pin: Pin, level: int, within_s: float, since: float | None = None) -> Edge:
        """The first change of an output pin to `level` at or after `since` (now); BoardError where there is
        none `within_s` seconds from now."""
        ...


class Board(Protocol):
    """A board. `async with` opens it (power as it is) and closes it."""

    @property
    def spec(self) -> BoardSpec: ...

    @property
    def simulated(self) -> bool: ...

    @property
    def port(self) -> str:
        """Serial port: a device path or URL that pyserial and mpremote open."""
        ...

    @property
    def power(self) -> Power: ...

    @property
    def flash(self) -> FlashMemory: ...

    @property
    def pins(self) -> Pins: ...

    async def plug(self) -> None:
        """Put the serial cable in."""
        ...

    async def unplug(self) -> None:
        """Pull the serial cable: the port goes away, the board runs on."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...
