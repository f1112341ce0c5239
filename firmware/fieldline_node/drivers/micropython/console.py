"""The console (USB or UART 0) as the stream under a serial link.

Rules: while it is open, Ctrl-C is a byte like any other; close() gives it back to the REPL. Nothing waits: the
one call of MicroPython that never blocks is a poll and a read of one byte.
"""

import select
import sys

import micropython

from fieldline_wire.codes import const

MAX_READ = const(512)  # bytes in one step: a frame

_CTRL_C = const(3)


class Console:
    """sys.stdin and sys.stdout as bytes."""

    __slots__ = ("_buffer", "_poll", "_view")

    def __init__(self) -> None:
        self._buffer = bytearray(MAX_READ)
        self._view = memoryview(self._buffer)
        self._poll = select.poll()

    def open(self) -> None:
        """Takes the console from the REPL."""
        micropython.kbd_intr(-1)
        self._poll.register(sys.stdin, select.POLLIN)

    def close(self) -> None:
        """Gives the console back to the REPL."""
        self._poll.unregister(sys.stdin)
        micropython.kbd_intr(_CTRL_C)

    def read(self) -> "bytes | memoryview":
        """What came, b"" where nothing did; valid until the next call."""
        count = 0
        while count < MAX_READ and self._poll.poll(0):
            sys.stdin.buffer.readinto(self._view[count : count + 1])
            count += 1
        return self._view[:count] if count else b""

    def write(self, data: bytes) -> None:
        """Sends `data`."""
        sys.stdout.buffer.write(data)
