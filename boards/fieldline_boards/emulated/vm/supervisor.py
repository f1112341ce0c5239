"""Keeps an emulated board's chip running: power, resets, power cuts.

Rules: a reset is a new process; power that goes away is a killed one. What was not in flash is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fieldline_boards.board import Tear
from fieldline_boards.emulated.vm.cable import SerialCable
from fieldline_boards.emulated.vm.line import ConsoleLine
from fieldline_boards.emulated.vm.process import Ended, VmProcess
from fieldline_boards.emulated.vm.radio import VmRadio
from fieldline_boards.emulated.vm.setup import Places
from fieldline_boards.emulated.vm.world import World
from fieldline_boards.errors import BoardError

_START_S = 60.0  # a loaded machine takes its time; without an answer by then node is broken
_LOG_SHOWN = 2000

# machine.reset_cause() by how the chip started. The RP2040 resets itself only by its watchdog, so that
# machine.reset() and deepsleep() look like it (ports/rp2/modmachine.c); its soft reset changes nothing.
SOFT_RESET = 5  # of the ESP32 family: its boot loader has no part in it
_CAUSES = {
    "rp2": {"power": 1, "hard": 3, "watchdog": 3, "deepsleep": 3},
    "esp32": {"power": 1, "hard": 2, "watchdog": 3, "deepsleep": 4, "soft": SOFT_RESET},
}
_NO_CUT: tuple[int, Tear] = (0, "before")  # the operation, 0 is never; how it is torn


class Supervisor:
    """Runs one process after the other while the power is on. `setup(cause)` makes what a process is told."""

    def __init__(
        self,
        places: Places,
        chip: str,
        setup: Callable[[int], dict[str, object]],
        *,
        usb: bool,
        radio: VmRadio | None = None,
    ) -> None:
        self.starts: list[str] = []
        """How the chip started each time: "power", "soft", "hard", "watchdog", "deepsleep"."""
        self.world = World(self.ask)
        self.cable = SerialCable(places.tty, self._hear)
        self._places = places
        self._causes = _CAUSES[chip]
        self._setup = setup
        self._usb = usb
        self._radio = radio
        self._cut = _NO_CUT
        self._process: VmProcess | None = None
        self._line: ConsoleLine | None = None
        self._task: asyncio.Task[None] | None = None
        self._pressed = False  # the reset button
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._started = asyncio.Condition()
        self._failure: str | None = None

    @property
    def is_on(self) -> bool:
        return self._task is not None and not self._task.done()

    async def on(self) -> None:
        if self.is_on:
            return
        self._failure = None
        self._lost.clear()
        self._up.clear()
        self._line = ConsoleLine(self.cable.send)
        self._task = asyncio.create_task(self._live(self._line))
        await self._until_up()

    async def off(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._process:
            await self._process.kill()
        self._gone()

    async def reset(self) -> None:
        if not self.is_on or self._process is None:
            raise BoardError("the board is off; switch it on first")
        self._up.clear()
        self._pressed = True
        await self._process.kill()
        await self._until_up()

    async def cut_at(self, operation: int, tear: Tear) -> None:
        if operation < 1:
            raise BoardError(f"the next flash operation is number 1, there is no {operation}")
        self._cut = self._places.operation_count() + operation, tear
        if self._process:
            self._process.tell({"type": "cut", **self._order()})

    async def lost(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._lost.wait()
        except TimeoutError:
            raise BoardError(f"no power cut within {within_s} s: the flash operation did not come") from None

    async def started(self, how: str, within_s: float, after: int) -> None:
        """Wait until the chip started by `how` once more after the first `after` starts."""
        try:
            async with asyncio.timeout(within_s), self._started:
                await self._started.wait_for(lambda: how in self.starts[after:])
        except TimeoutError:
            raise BoardError(f"the board did not start by '{how}' within {within_s} s") from None

    async def ended(self) -> None:
        """Wait until the power is off; BoardError where the VM broke down."""
        if self._task:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()
        if self._failure:
            raise BoardError(self._failure)

    def _hear(self, data: bytes) -> None:
        """Bytes from the serial port. Without power nobody hears them."""
        if self._line:
            self._line.send(data)

    async def ask(self, message: dict[str, Any]) -> Any:
        """A question to the running VM."""
        if self._process is None:
            raise BoardError("the board is off; switch it on first")
        return await self._process.ask(message)

    async def _until_up(self) -> None:
        assert self._task
        up = asyncio.create_task(self._up.wait())
        try:
            await asyncio.wait({up, self._task}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if self._task.done():
            self._task.result()  # a fault of ours, or of the toolchain, is raised here
        if self._failure:
            raise BoardError(self._failure)
        if not self._up.is_set() and not self._lost.is_set():
            await self.off()
            raise BoardError(f"the emulated board did not start within {_START_S} s; see {self._places.log}")

    async def _live(self, line: ConsoleLine) -> None:
        """Until the power goes: start, run, see why it ended."""
        cause, ended = self._causes["power"], Ended("power")
        while True:
            watchdog = ended.watchdog_ms if ended.why == "soft" else 0
            more = {"raw": ended.raw, "input": ended.rest, "watchdog": watchdog, "cut": self._order()}
            setup = self._setup(cause) | more
            ended = await self._run(setup, line, ended.why)
            if ended.why == "killed" and self._pressed:
                self._pressed = False
                ended = Ended("power")
            elif ended.why in ("killed", "crash"):
                self._power_lost(ended)
                return
            if ended.why != "soft":
                line.take()
                line.forget()
                self.cable.power(not self._usb)
            await asyncio.sleep(ended.duration_ms / 1000)
            cause = self._causes.get(ended.why, cause)

    async def _run(self, setup: dict[str, object], line: ConsoleLine, how: str) -> Ended:
        process = self._process = VmProcess(self._event)
        await process.start(setup, line.chip_fd, self._places.log)
        self.world.connect(process.tell)
        if self._radio is not None:
            self._radio.connect(process.tell)
        if await process.ready():
            self.cable.power(True)
            async with self._started:
                self.starts.append(how)
                self._started.notify_all()
            self._up.set()
        try:
            return await process.ended()
        finally:
            if self._radio is not None:
                self._radio.silence()

    def _event(self, message: dict[str, Any]) -> None:
        if message["type"] != "radio":
            self.world.record(message)
        elif self._radio is not None:
            self._radio.command(message)

    def _order(self) -> dict[str, object]:
        """The cut that stands, for the chip."""
        at, mode = self._cut
        return {"at": at, "mode": mode}

    def _power_lost(self, ended: Ended) -> None:
        self._gone()
        at, _ = self._cut
        if ended.why == "killed" and 0 < at <= self._places.operation_count():
            self._cut = _NO_CUT
            self._lost.set()
            return
        said = ended.text or self._places.log.read_text(errors="replace")[-_LOG_SHOWN:]
        self._failure = f"the emulated board's VM broke down; {self._places.log} says: {said or 'nothing'}"

    def _gone(self) -> None:
        self._process = None
        if self._line:
            self._line.close()
            self._line = None
        self.cable.power(not self._usb)
