"""A board in the hands of a test: the Board port for plain functions, pins by the board's own names.

Rules: what this board cannot do skips the test and says why. Waits end after `patience_s`, unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from fieldline_boards.board import Board, Edge, Tear
from fieldline_boards.errors import BoardError
from fieldline_boards.real import CannotError
from fieldline_boards.spec import BoardSpec, Pin
from fieldline_boards.testing.loop import LoopThread

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


class BoardUnderTest:
    """The board that a test was given. `kind`: vm, rp2040 or real; `spec`: what the catalog says of it."""

    def __init__(self, board: Board, spec: BoardSpec, kind: str, loop: LoopThread, patience_s: float) -> None:
        self.spec = spec
        self.kind = kind
        self.simulated = board.simulated
        self.port = board.port
        self.patience_s = patience_s
        self._board = board
        self._loop = loop
        self.power = PowerUnderTest(board, self._do, patience_s)
        self.pins = PinsUnderTest(board, self._do, named_pins(spec), patience_s)
        self.flash = FlashUnderTest(board, self._do)

    def now(self) -> float:
        """The time of a pin's edges, in seconds."""
        return self._loop.now()

    def plug(self) -> None:
        """Put the serial cable in."""
        self._do(self._board.plug())

    def unplug(self) -> None:
        """Pull the serial cable; the board runs on."""
        self._do(self._board.unplug())

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run(coroutine)
        except CannotError as error:
            pytest.skip(f"{self.spec.name}, {self.kind}: {error}")


class PowerUnderTest:
    """The board's supply and reset line."""

    def __init__(self, board: Board, run: Callable[..., Any], patience_s: float) -> None:
        self._power = board.power
        self._run = run
        self._patience_s = patience_s

    @property
    def is_on(self) -> bool:
        return self._power.is_on

    def on(self) -> None:
        """Power it; returns when the chip runs."""
        self._run(self._power.on())

    def off(self) -> None:
        """Take the power away at once."""
        self._run(self._power.off())

    def reset(self) -> None:
        """Press the reset button."""
        self._run(self._power.reset())

    def cut_at(self, operation: int, tear: Tear = "half") -> None:
        """Take the power away at the `operation`th flash operation from now; `tear` is what it leaves there."""
        self._run(self._power.cut_at(operation, tear))

    def lost(self, within_s: float | None = None) -> None:
        """Wait for that cut; BoardError where it does not come."""
        self._run(self._power.lost(self._patience_s if within_s is None else within_s))


class PinsUnderTest:
    """The world at the board's pins: by GPIO number, by a sensor's name, or "led", "reflex", "output-1", ..."""

    def __init__(
        self, board: Board, run: Callable[..., Any], named: Mapping[str, Pin], patience_s: float
    ) -> None:
        self._pins = board.pins
        self._run = run
        self._named = named
        self._patience_s = patience_s

    def read(self, pin: Pin) -> int:
        """Level of a pin, 0 or 1."""
        return int(self._run(self._pins.read(self._pin(pin))))

    def drive(self, pin: Pin, level: int | None) -> None:
        """Hold an input at `level`, or let go of it (None)."""
        self._run(self._pins.drive(self._pin(pin), level))

    def pulse(self, pin: Pin, hz: float) -> None:
        """A train of `hz` pulses a second at an input, over resets too; 0 stops it."""
        self._run(self._pins.pulse(self._pin(pin), hz))

    def edges(self, pin: Pin) -> list[Edge]:
        """The recorded changes of an output, oldest first."""

        async def edges() -> list[Edge]:
            return self._pins.edges(self._pin(pin))

        found: list[Edge] = self._run(edges())
        return found

    def edge(self, pin: Pin, level: int, since: float | None = None, within_s: float | None = None) -> Edge:
        """The first change of an output to `level` at or after `since` (board.now(); default: this moment);
        BoardError where there is none in time."""
        patience_s = self._patience_s if within_s is None else within_s
        found: Edge = self._run(self._pins.edge(self._pin(pin), level, patience_s, since))
        return found

    def _pin(self, pin: Pin) -> Pin:
        if isinstance(pin, int):
            return pin
        if pin not in self._named:
            raise BoardError(
                f"this board has no pin '{pin}'; it has {', '.join(self._named)}, or give its number"
            )
        return self._named[pin]


class FlashUnderTest:
    """The board's raw flash regions, "state" and "outbox"."""

    def __init__(self, board: Board, run: Callable[..., Any]) -> None:
        self._flash = board.flash
        self._run = run

    @property
    def operations(self) -> int:
        """Pages programmed, sectors erased and files changed so far."""

        async def count() -> int:
            return self._flash.operations

        return int(self._run(count()))

    def read(self, region: str) -> bytes:
        """The region's bytes."""
        found: bytes = self._run(self._flash.read(region))
        return found

    def write(self, region: str, image: bytes) -> None:
        """Replace the region's bytes; the power must be off."""
        self._run(self._flash.write(region, image))


def named_pins(spec: BoardSpec) -> dict[str, Pin]:
    """The board's pins by name."""
    found = {sensor.name: sensor.pin for sensor in spec.sensors if sensor.pin is not None}
    found |= {name: pin for name, pin in (("led", spec.led), ("reflex", spec.reflex)) if pin is not None}
    return found | {f"output-{place}": pin for place, pin in enumerate(spec.outputs, 1)}
