"""One VM process: node running chip.mjs, and its control messages.

Rules: a process lives from one power-on or reset to the next; when it ends it says why, or was killed.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldline_boards.emulated.vm.toolchain import find_node
from fieldline_boards.errors import BoardError

_CHIP = Path(__file__).with_name("chip.mjs")
_READ = 65536
_REPLY_S = 10.0  # a busy VM answers when it sleeps; this long without is a hang


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a process ended: "soft", "hard", "watchdog", "deepsleep", "crash", or "killed"."""

    why: str
    raw: bool = False
    """A soft reset from the raw REPL goes back there."""
    rest: tuple[int, ...] = ()
    """Console bytes that were not read."""
    watchdog_ms: int = 0
    """A watchdog that was started runs on through a soft reset; 0 where none was."""
    duration_ms: int = 0
    text: str = ""

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Ended:
        """The halt message of chip.mjs."""
        return cls(
            why=message["why"],
            raw=bool(message.get("raw")),
            rest=tuple(message.get("rest", ())),
            watchdog_ms=int(message.get("watchdog", 0)),
            duration_ms=int(message.get("duration", 0)),
            text=message.get("text", ""),
        )


class VmProcess:
    """A running VM. `event(message)` gets its pin edges and the like."""

    def __init__(self, event: Callable[[dict[str, Any]], None]) -> None:
        self._event = event
        self._process: asyncio.subprocess.Process | None = None
        self._control: asyncio.StreamWriter | None = None
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._ready = asyncio.Event()
        self._ended: asyncio.Task[Ended] | None = None

    async def start(self, setup: dict[str, object], console_fd: int, log: Path) -> None:
        """Start node; its own messages go to `log`."""
        ours, theirs = socket.socketpair()
        fds = (console_fd, theirs.fileno())
        told = json.dumps({**setup, "console_fd": fds[0], "control_fd": fds[1]})
        with theirs, log.open("ab") as stream:
            self._process = await asyncio.create_subprocess_exec(
                find_node(), "--no-warnings", _CHIP, told,
                pass_fds=fds, stdin=asyncio.subprocess.DEVNULL, stdout=stream, stderr=stream,
                process_group=0,  # a Ctrl-C in our terminal is not for it
            )  # fmt: skip
        reader, self._control = await asyncio.open_connection(sock=ours)
        self._ended = asyncio.create_task(self._run(self._process, reader))

    async def ready(self) -> bool:
        """Wait until the VM is up, about to run boot.py; False where it ended instead."""
        assert self._ended
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([ready, self._ended], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        return self._ready.is_set()

    async def ended(self) -> Ended:
        """Wait for the end."""
        assert self._ended
        return await asyncio.shield(self._ended)

    def tell(self, message: dict[str, Any]) -> None:
        """A control message; nothing where the process is gone."""
        if self._control and not self._control.is_closing():
            self._control.write(json.dumps(message).encode() + b"\n")

    async def ask(self, message: dict[str, Any]) -> Any:
        """A control message that is answered; BoardError where the board went away or hangs."""
        assert self._ended
        self._asked += 1
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies[self._asked] = reply
        self.tell({**message, "id": self._asked})
        await asyncio.wait([reply, self._ended], timeout=_REPLY_S, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise BoardError(f"the emulated board did not answer '{message['type']}': it is off or hangs")
        return reply.result()

    async def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process and self._process.returncode is None:
            self._process.kill()
        if self._ended:
            await self.ended()

    async def _run(self, process: asyncio.subprocess.Process, control: asyncio.StreamReader) -> Ended:
        ended = await self._read(control)
        await process.wait()
        if self._control:
            self._control.close()
        return ended

    async def _read(self, control: asyncio.StreamReader) -> Ended:
        ended, partial = Ended("killed"), b""
        while data := await _received(control):
            *lines, partial = (partial + data).split(b"\n")
            for message in map(json.loads, lines):
                if message["type"] == "halt":
                    ended = Ended.from_message(message)
                elif message["type"] == "ready":
                    self._ready.set()
                elif message["type"] == "reply":
                    self._replies.pop(message["id"]).set_result(message["value"])
                else:
                    self._event(message)
        return ended


async def _received(reader: asyncio.StreamReader) -> bytes:
    """Bytes, or none at the end; a process that was killed may reset the connection."""
    try:
        return await reader.read(_READ)
    except ConnectionError:
        return b""
