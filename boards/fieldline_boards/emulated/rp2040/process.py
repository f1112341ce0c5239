"""The process of an emulated RP2040 board: an engine, its reports, and the questions to devices.

Rules: a process lives from power-on to power-off; resets happen inside it. A question to a device is
answered at once, since emulated time stands still until then. A device that raises ends the board, with
that error.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fieldline_boards.errors import BoardError

_ANSWER_S = 60.0  # an engine looks at its messages every few ms; on a loaded machine that may take seconds
_LINE_LIMIT = 1 << 20  # bytes; the longest report is a batch of 4,096 edges
_LOG_SHOWN = 2000

Message = dict[str, Any]


class MachineProcess:
    """A running machine. `report` gets its messages, `answer` its questions to devices."""

    def __init__(
        self, report: Callable[[Message], None], answer: Callable[[Message], Message], log: Path
    ) -> None:
        self._report = report
        self._answer = answer
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._life: asyncio.Task[None] | None = None

    async def start(self, command: Sequence[str | Path], setup: Message, first: Sequence[Message]) -> None:
        """Start the engine with its setup and first commands."""
        ours, theirs = socket.socketpair()
        theirs_fd = theirs.fileno()
        try:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                    pass_fds=[theirs_fd], limit=_LINE_LIMIT,
                )  # fmt: skip
        finally:
            theirs.close()
        reader, devices = await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT)
        for message in ({**setup, "devices": theirs_fd}, *first):
            self.tell(message)
        self._life = asyncio.create_task(self._live(self._process, reader, devices))

    def tell(self, message: Message) -> None:
        """A command."""
        if self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def status(self) -> Message:
        """Emulated time ("us"), instructions done ("steps"), level of each pin ("levels")."""
        self._asked += 1
        reply = self._replies[self._asked] = asyncio.get_running_loop().create_future()
        self.tell({"do": "status", "id": self._asked})
        await asyncio.wait({reply, self._lifetime}, timeout=_ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            raise BoardError(f"the emulated RP2040 does not answer: {self._said()}")
        answer: Message = reply.result()
        return answer

    async def ended(self) -> None:
        """Wait for the end of the process; the error of a device that ended it is raised here."""
        await asyncio.shield(self._lifetime)

    async def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process and self._process.returncode is None:
            self._process.kill()
        if self._life:
            await asyncio.wait({self._life})

    @property
    def _lifetime(self) -> asyncio.Task[None]:
        assert self._life, "the process was not started"
        return self._life

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-_LOG_SHOWN:] or "it said nothing"

    async def _live(
        self,
        process: asyncio.subprocess.Process,
        questions: asyncio.StreamReader,
        devices: asyncio.StreamWriter,
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve(questions, devices))
                group.create_task(self._listen(process))
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            devices.close()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        lost = False
        while line := await process.stdout.readline():
            message: Message = json.loads(line)
            if message["say"] == "answer":
                self._replies.pop(message["id"]).set_result(message)
                continue
            lost = lost or message["say"] == "power_lost"
            self._report(message)
        if await process.wait() > 0 and not lost:
            raise BoardError(f"the emulated RP2040 broke down: {self._said()}")

    async def _serve(self, questions: asyncio.StreamReader, devices: asyncio.StreamWriter) -> None:
        while line := await _line(questions):
            devices.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")


async def _line(reader: asyncio.StreamReader) -> bytes:
    """A line, or nothing at the end; a process that was killed may reset the connection."""
    try:
        return await reader.readline()
    except ConnectionError:
        return b""
