"""Power of an emulated RP2040 board: its process, its resets, its power cuts.

Rules: power that goes away is a killed process; what was not in flash is gone. The serial port is there while
the chip's USB is: it goes at a reset and comes back when the firmware has enumerated.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldline_boards.board import Tear
from fieldline_boards.emulated.rp2040.devices import Bench
from fieldline_boards.emulated.rp2040.flash import CutOperation, FlashFile
from fieldline_boards.emulated.rp2040.news import News
from fieldline_boards.emulated.rp2040.pins import Rp2040Pins
from fieldline_boards.emulated.rp2040.process import MachineProcess, Message
from fieldline_boards.emulated.vm.cable import SerialCable
from fieldline_boards.errors import BoardError

_START_S = 120.0  # engine "py" on a loaded machine; a firmware that has no USB by then is broken

Setup = Callable[[], tuple[list[str | Path], dict[str, Any]]]


class Rp2040Power:
    """The Power port, and the way to the running machine. `setup` gives its command line and its setup."""

    def __init__(
        self, setup: Setup, cable: SerialCable, pins: Rp2040Pins, flash: FlashFile, bench: Bench, log: Path
    ) -> None:
        self.starts: list[
            str
        ] = []  # how the chip started each time: "power", "run" (button), "own", "watchdog"
        self._setup = setup
        self._cable = cable
        self._pins = pins
        self._flash = flash
        self._bench = bench
        self._log = log
        self._news = News()
        self._open = True
        self._cut: tuple[int, Tear] = (0, "before")
        self._lost = False
        self._how = "power"
        self._process: MachineProcess | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        return self._life is not None and not self._life.done()

    async def on(self) -> None:
        """Power it; returns when its serial port is there, or a power cut came first."""
        if self.is_on:
            return
        command, setup = self._setup()
        self._log.write_bytes(b"")
        self._how, self._lost = "power", False
        process = MachineProcess(self._report, self._bench.answer, self._log)
        at_once = self._bench.power_on()
        first: list[Message] = [
            {"do": "open", "open": self._open},
            {"do": "listen", "pins": self._bench.pins},
            {"do": "cut", "at": self._cut[0]},
            *self._pins.standing(),
            *at_once,
        ]
        await process.start(command, {**setup, "buses": self._bench.buses}, first)
        self._process = process
        self._pins.connect(process.tell)
        self._life = asyncio.create_task(self._live(process))
        await self._until_started(len(self.starts))

    async def off(self) -> None:
        """Take the power away at once. What broke the machine down, if anything did, is raised here."""
        if self._process:
            await self._process.kill()
        life, self._life = self._life, None
        if life:
            await life

    async def reset(self) -> None:
        """Press the reset button; returns when the serial port is there again."""
        before = len(self.starts)
        self._running().tell({"do": "reset"})
        await self._until_started(before)

    async def cut_at(self, operation: int, tear: Tear) -> None:
        """Take the power away at the `operation`th flash operation from now."""
        if operation < 1:
            raise BoardError(f"the next flash operation is number 1, there is no {operation}")
        self._cut = self._flash.operations + operation, tear
        if self._process:
            self._process.tell({"do": "cut", "at": self._cut[0]})

    async def lost(self, within_s: float) -> None:
        """Wait until a cut has happened."""
        with contextlib.suppress(TimeoutError):
            await self._news.until(lambda: not self.is_on, within_s)
        if not self._lost:
            raise BoardError(f"the power was not cut within {within_s} s: no such flash operation came")

    async def started(self, how: str, within_s: float, after: int) -> None:
        """Wait until the chip started by `how` once more after the first `after` starts."""
        try:
            await self._news.until(lambda: how in self.starts[after:], within_s)
        except TimeoutError:
            raise BoardError(f"the board did not start by '{how}' within {within_s} s") from None

    def console(self, data: bytes) -> None:
        """Bytes from the serial port. Without power nobody hears them."""
        if self._process:
            self._process.tell({"do": "console", "text": data.decode("latin-1")})

    def open(self, is_open: bool) -> None:
        """Whether someone at the host has the port open (DTR)."""
        self._open = is_open
        if self._process:
            self._process.tell({"do": "open", "open": is_open})

    async def status(self) -> Message:
        """Emulated time ("us"), instructions done ("steps"), level of each pin ("levels")."""
        return await self._running().status()

    async def levels(self) -> list[int]:
        """Level of each pin."""
        levels: list[int] = (await self.status())["levels"]
        return levels

    def _running(self) -> MachineProcess:
        if self._process is None:
            raise BoardError("the board is off; switch it on first")
        return self._process

    async def _until_started(self, before: int) -> None:
        try:
            await self._news.until(lambda: len(self.starts) > before or not self.is_on, _START_S)
        except TimeoutError:
            raise BoardError(f"the firmware's serial port did not come up within {_START_S} s") from None
        if not self.is_on and not self._lost:
            await self.off()
            raise BoardError(f"the emulated RP2040 ended; see {self._log}")

    async def _live(self, process: MachineProcess) -> None:
        try:
            await process.ended()
        finally:
            self._process = None
            self._pins.connect(lambda message: None)
            self._cable.power(False)
            asyncio.get_running_loop().call_soon(self._news.tell)  # when is_on is False

    def _report(self, message: Message) -> None:
        match message["say"]:
            case "console":
                self._cable.send(message["text"].encode("latin-1"))
            case "edges":
                self._pins.record(message["edges"])
            case "ready":
                self._cable.power(True)
                self.starts.append(self._how)
            case "reset":
                self._cable.power(False)
                self._how = message["cause"]
            case "power_lost":
                cut = CutOperation(message["address"], message["size"], bytes.fromhex(message["data"]))
                self._flash.tear(cut, self._cut[1])
                self._cut, self._lost = (0, "before"), True
            case "trouble":
                with self._log.open("a") as log:
                    log.write(message["text"] + "\n")
        self._news.tell()
