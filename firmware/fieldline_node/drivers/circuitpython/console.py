"""The USB data port as the stream under a serial link; boot.py switches it on.

Rules: not the console, on which Ctrl-C is no byte and CircuitPython prints. Nothing waits for longer than
WRITE_S. Before a byte leaves, what it may speak of is made durable (flash.py).
"""

import usb_cdc

from fieldline_node.errors import FlashError
from fieldline_wire.codes import const
from fieldline_wire.serial import DELIMITER

MAX_READ = const(512)  # bytes in one step: a frame
WRITE_S = 0.25  # a host that reads takes a frame in 1 ms; six frames of a step stay below the watchdog's time


class Console:
    """usb_cdc.data as bytes. `settle()` makes durable what was kept so far; FlashError where it can't."""

    __slots__ = ("_buffer", "_port", "_settle", "_torn", "_view")

    def __init__(self, settle) -> None:
        self._settle = settle
        self._buffer = bytearray(MAX_READ)
        self._view = memoryview(self._buffer)
        self._port = None
        self._torn = False  # the last write went out in part

    def open(self) -> None:
        """Takes the port. OSError where boot.py did not switch it on."""
        port = usb_cdc.data
        if port is None:
            raise OSError("no USB data port: is boot.py on the board, and was it reset since?")
        port.timeout = 0
        port.write_timeout = WRITE_S
        self._port = port

    def close(self) -> None:
        """Lets the port go."""
        self._port = None

    def read(self) -> "bytes | memoryview":
        """What came, b"" where nothing did; valid until the next call."""
        count = 0
        if self._port is not None and self._port.in_waiting:
            count = self._port.readinto(self._buffer)
        return self._view[:count] if count else b""

    def write(self, data: bytes) -> None:
        """Sends `data`. OSError where no host listens or takes it, or what was kept can't be made durable."""
        if self._port is None or not self._port.connected:
            raise OSError("no host has the port open")
        try:
            self._settle()
        except FlashError as error:
            raise OSError("not durable: %s" % error) from None
        if self._torn:
            data = DELIMITER + data
        sent = self._port.write(data)
        self._torn = sent < len(data)
        if self._torn:
            raise OSError("the host took %d of %d bytes" % (sent, len(data)))


class BridgeConsole:
    """A Console to whose host a bridge speaks: what no host takes is gone, as it would be on air.

    A host that is there and takes nothing costs a step WRITE_S once, and not for each advert that came.
    """

    __slots__ = ("_console", "_stuck")

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stuck = False

    def read(self) -> "bytes | memoryview":
        """What came: the beginning of a step."""
        self._stuck = False
        return self._console.read()

    def write(self, data: bytes) -> None:
        """Sends `data`, if the host takes it."""
        if self._stuck:
            return
        try:
            self._console.write(data)
        except OSError:
            self._stuck = True
