"""The line between an emulated board's chip and its serial port.

Rules: it outlives the VM's processes, so that bytes sent during a soft reset wait for the next one, as they do in a
chip's USB buffer. What the kernel's buffer does not hold is lost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_CHUNK = 65536


class ConsoleLine:
    """Bytes both ways. `received(bytes)` gets the board's output; `chip_fd` is for the VM's process."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received
        self._ours, self._chip = socket.socketpair()
        for end in (self._ours, self._chip):
            end.setblocking(False)
        asyncio.get_running_loop().add_reader(self._ours, self.take)

    @property
    def chip_fd(self) -> int:
        """File descriptor of the chip's end."""
        return self._chip.fileno()

    def send(self, data: bytes) -> None:
        """Bytes for the board; lost where it has not read for long."""
        try:
            self._ours.send(data)
        except BlockingIOError:
            return

    def take(self) -> None:
        """Hand over what the board has put out so far."""
        while data := _receive(self._ours):
            self._received(data)

    def forget(self) -> None:
        """Bytes that a chip in reset does not hear."""
        while _receive(self._chip):
            pass

    def close(self) -> None:
        """Hand over the rest and end."""
        self.take()
        asyncio.get_running_loop().remove_reader(self._ours)
        self._ours.close()
        self._chip.close()


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(_CHUNK)
    except BlockingIOError:
        return b""
