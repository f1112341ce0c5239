"""A serial port that is read by a thread of its own and comes back after a reset.

Rules: one reader a port, however many listen; nobody else has it meanwhile (flock, as the gateway takes it).
pyserial's errors become BoardError here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import serial

from fieldline_boards.errors import BoardError

_BAUD = 115200  # of MicroPython's UART consoles; USB and ptys ignore it
_POLL_S = 0.1
_CHUNK = 4096
_RETRY_S = 0.02


def _ignore() -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Listener:
    """`received(bytes)` gets what came, `opened()` is called when the port is there again; both in the thread."""

    received: Callable[[bytes], None]
    opened: Callable[[], None] = _ignore


class SerialPort:
    """The port `path` (a device path, or a URL that pyserial knows). `with` opens and closes it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listeners: list[Listener] = []
        self._line: serial.SerialBase | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"port {path}", daemon=True)

    def open(self, within_s: float = 0.0) -> None:
        """Begin; BoardError where the port cannot be opened within `within_s` seconds."""
        end = time.monotonic() + within_s
        while self._line is None:
            try:
                self._line = self._opened()
            except BoardError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_RETRY_S)
        self._thread.start()

    def close(self) -> None:
        """End; nothing is called any more when it returns."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._line is not None:
            self._line.close()
            self._line = None

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` from now on; the function that ends it."""
        self._listeners = [*self._listeners, listener]

        def leave() -> None:
            self._listeners = [each for each in self._listeners if each is not listener]

        return leave

    def write(self, data: bytes, within_s: float = 0.0) -> None:
        """Bytes to the board; BoardError where the port is not there within `within_s` seconds."""
        end = time.monotonic() + within_s
        while self._line is None and time.monotonic() < end:
            time.sleep(_RETRY_S)
        with self._lock:
            if self._line is None:
                raise BoardError(f"{self.path} is not there: is the board on, and its cable plugged in?")
            try:
                self._line.write(data)
            except (serial.SerialException, OSError) as error:
                raise BoardError(f"{self.path}: {error}") from None

    def _read(self) -> None:
        while not self._stop.is_set():
            line = self._line or self._again()
            if line is None:
                self._stop.wait(_RETRY_S)
                continue
            try:
                data = line.read(max(1, min(line.in_waiting, _CHUNK)))
            except (serial.SerialException, OSError):
                with self._lock:
                    self._line = None
                    line.close()
                continue
            if data:
                for listener in self._listeners:
                    listener.received(data)

    def _again(self) -> serial.SerialBase | None:
        """The port when it is back."""
        try:
            line = self._opened()
        except BoardError:
            return None
        with self._lock:
            self._line = line
        for listener in self._listeners:
            listener.opened()
        return line

    def _opened(self) -> serial.SerialBase:
        options = {} if "://" in self.path else {"exclusive": True}
        try:
            return serial.serial_for_url(self.path, baudrate=_BAUD, timeout=_POLL_S, **options)
        except (serial.SerialException, OSError, ValueError) as error:
            raise BoardError(
                f"{self.path}: {error}. Is the board on, and does nobody else use the port (a gateway, a terminal)?"
            ) from None
