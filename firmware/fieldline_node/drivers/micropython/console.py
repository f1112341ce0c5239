"""The console (USB or UART 0) as the stream under a serial link.

Rules: while it is open, Ctrl-C is a byte like any other; close() gives it back to the REPL. Nothing waits: the
one call of MicroPython that never blocks is a poll and a read of one byte. What follows CR Ctrl-C CR is for the
REPL (wire.md 2.5): behind a Ctrl-C bytes are taken one at a time.
"""

import asyncio
import select
import sys
from asyncio import core  # pyright: ignore[reportAttributeAccessIssue] - not in the stubs

import micropython

from fieldline_wire.codes import const

MAX_READ = const(512)  # bytes in one step: a frame

_CTRL_C = const(3)
_POLL_MS = const(10)  # what a UART brings in this time fits in MicroPython's buffer of 256 bytes


class Console:
    """sys.stdin and sys.stdout as bytes."""

    __slots__ = ("_buffer", "_most", "_poll", "_view")

    def __init__(self) -> None:
        self._buffer = bytearray(MAX_READ)
        self._view = memoryview(self._buffer)
        self._poll = select.poll()
        self._most = MAX_READ  # bytes that the next read() takes

    def open(self) -> None:
        """Takes the console from the REPL."""
        micropython.kbd_intr(-1)
        self._poll.register(sys.stdin, select.POLLIN)

    def close(self) -> None:
        """Gives the console back to the REPL."""
        self._poll.unregister(sys.stdin)
        micropython.kbd_intr(_CTRL_C)

    async def rest(self, ms: int) -> None:
        """Sleeps for `ms`, or until bytes come. The chip sleeps too: nothing looks for them meanwhile."""
        if hasattr(core, "_io_queue") and ms > 0:
            try:
                await asyncio.wait_for_ms(_readable(), ms)
            except asyncio.TimeoutError:
                pass
        else:  # a host whose event loop knows no streams
            await asyncio.sleep_ms(min(ms, _POLL_MS))

    def read(self) -> "bytes | memoryview":
        """What came, b"" where nothing did; valid until the next call."""
        count = 0
        most, self._most = self._most, MAX_READ
        while count < most and self._poll.poll(0):
            sys.stdin.buffer.readinto(self._view[count : count + 1])
            count += 1
            if self._buffer[count - 1] == _CTRL_C:
                self._most = 1
                break
        return self._view[:count] if count else b""

    def write(self, data: bytes) -> None:
        """Sends `data`."""
        sys.stdout.buffer.write(data)


def _readable():
    """Until stdin has bytes; as asyncio.Stream waits for them."""
    yield core._io_queue.queue_read(sys.stdin)
