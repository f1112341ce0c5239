"""The serial cable of an emulated board: a pty under a path that stays the same.

Rules: the port is there while the cable is in and, where the chip itself is the USB device, the chip runs.
Bytes for a port that nobody reads are dropped and counted after a while, as a USB serial device drops them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable
from pathlib import Path

_CHUNK = 1024
_UNREAD_MOST = 2048  # bytes left with the reader; the kernel would keep up to 64 kB and hand them over stale
_RETRY_S = 0.005
_PATIENCE_S = 0.5  # MICROPY_HW_USB_CDC_TX_TIMEOUT of MicroPython's ports: then output is dropped


class SerialCable:
    """A pty whose slave is linked at `path`. `received(bytes)` gets what the host writes."""

    def __init__(self, path: Path, received: Callable[[bytes], None]) -> None:
        self.path = path
        self.dropped = 0  # bytes of the board that nobody read
        self._received = received
        self._plugged = True
        self._powered = False  # the device at the board's end of the cable
        self._fds: tuple[int, int] | None = None
        self._pending = bytearray()
        self._progress = 0.0
        self._retry: asyncio.TimerHandle | None = None

    @property
    def attached(self) -> bool:
        """Whether the port is there."""
        return self._fds is not None

    def plug(self) -> None:
        """Put the cable in."""
        self._plugged = True
        self._update()

    def unplug(self) -> None:
        """Pull the cable: a reader gets end of file, the path goes away."""
        self._plugged = False
        self._update()

    def power(self, on: bool) -> None:
        """The device at the board's end came up or went away."""
        self._powered = on
        self._update()

    def send(self, data: bytes) -> None:
        """Bytes from the board. Lost where the port is not there."""
        if not self.attached:
            self.dropped += len(data)
            return
        if not self._pending:
            self._progress = asyncio.get_running_loop().time()
        self._pending += data
        self._pump()

    def _update(self) -> None:
        wanted = self._plugged and self._powered
        if wanted and self._fds is None:
            self._attach()
        elif not wanted and self._fds is not None:
            self._detach(self._fds)

    def _attach(self) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        link = self.path.with_name(f".{self.path.name}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        link.replace(self.path)
        self._fds = master, slave  # the slave stays open: else the master reads errors between two readers
        asyncio.get_running_loop().add_reader(master, self._read, master)

    def _detach(self, fds: tuple[int, int]) -> None:
        if self._retry:
            self._retry.cancel()
            self._retry = None
        self.dropped += len(self._pending)
        self._pending.clear()
        asyncio.get_running_loop().remove_reader(fds[0])
        self.path.unlink(missing_ok=True)
        self._fds = None
        for fd in fds:
            os.close(fd)

    def _read(self, master: int) -> None:
        try:
            data = os.read(master, _CHUNK)
        except (BlockingIOError, OSError):
            return
        self._received(data)

    def _pump(self) -> None:
        self._retry = None
        if self._fds is None:
            return
        loop = asyncio.get_running_loop()
        while self._pending and self._unread(self._fds[1]) < _UNREAD_MOST:
            try:
                written = os.write(self._fds[0], self._pending[:_CHUNK])
            except BlockingIOError:
                break
            del self._pending[:written]
            self._progress = loop.time()
        if self._pending and loop.time() - self._progress > _PATIENCE_S:
            self.dropped += len(self._pending)
            self._pending.clear()
        if self._pending:
            self._retry = loop.call_later(_RETRY_S, self._pump)

    @staticmethod
    def _unread(slave: int) -> int:
        return int(struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, bytes(4)))[0])
