"""A raw REPL over a serial port, for tests: what a person would type, with an end.

Rules: blocking; tests call it by asyncio.to_thread. Every wait has a limit.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import serial

PATIENCE_S = 150.0  # for what takes a second or two on a machine that is not busy


class RawRepl:
    """An open port in raw REPL mode. What runs on the board is stopped by Ctrl-C."""

    def __init__(self, port: str, *, enter: bool = True) -> None:
        self._serial = _open(port)
        if enter:
            self._serial.write(b"\r\x03\x03\r\x01")
            self.until(b"raw REPL; CTRL-B to exit\r\n>")

    @classmethod
    def listen(cls, port: str) -> Self:
        """Open the port and leave the board as it is."""
        return cls(port, enter=False)

    def exec(self, code: str) -> str:
        """Output of `code`; AssertionError with the traceback where it raised."""
        self.start(code)
        output, error = self.until(b"\x04"), self.until(b"\x04>")
        assert not error, error.decode()
        return output.decode().replace("\r\n", "\n")

    def start(self, code: str) -> None:
        """Begin `code` and do not wait for its end."""
        self.send(code.encode() + b"\x04")
        self.until(b"OK")

    def send(self, data: bytes) -> None:
        """Bytes to the board; returns when they are on the wire."""
        self._serial.write(data)
        self._serial.flush()

    def until(self, end: bytes) -> bytes:
        """What the board sends before `end`."""
        got: bytes = self._serial.read_until(end)
        assert got.endswith(end), f"no {end!r} in {got!r}"
        return got.removesuffix(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._serial.close()


def run(port: str, code: str) -> str:
    """Output of `code` on the board at `port`."""
    with RawRepl(port) as repl:
        return repl.exec(code)


def _open(port: str) -> serial.Serial:
    """A port that is just coming up is waited for."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return serial.Serial(port, 115200, timeout=PATIENCE_S)
        except serial.SerialException:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
