"""The serial port of an emulated chip for other processes: a pseudo-terminal, a TCP port, or RFC 2217.

Rules: one thread a port, and it only moves bytes; what they mean is the line's business. No busy waiting.
DTR and RTS can't be seen through a pseudo-terminal or plain TCP, so there the line is told when a host
opens the port (at its first byte; one who closes it and opens it again within a millisecond may be missed);
RFC 2217 tells it DTR and RTS.
"""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fieldline_boards.emulated.esp_rom.rfc2217 import ControlLines, Telnet
from fieldline_boards.errors import BoardError

_PORTION = 64 * 1024


class Line(Protocol):
    """The far end of the serial line."""

    def opened(self) -> None:
        """A host has opened a port that has no control lines."""

    def control(self, lines: ControlLines) -> None:
        """The host has set DTR or RTS."""

    def receive(self, data: bytes) -> bytes:
        """Bytes of the host in, the answer out."""


class Port(Protocol):
    """What a host opens: `url` is a device path or a pyserial URL, empty while it is stopped."""

    url: str
    in_use: bool

    def start(self) -> None: ...

    def stop(self) -> None:
        """Nothing happens where it was not started."""


class _Thread:
    """A thread and the file descriptor that ends it."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self.stop_fd, self._stopper = os.pipe()
        self._thread = threading.Thread(target=work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        os.write(self._stopper, b"\0")
        self._thread.join()
        os.close(self._stopper)
        os.close(self.stop_fd)


class PtyPort:
    """A pseudo-terminal; `link` is a path that leads to it under a name of one's own."""

    def __init__(self, line: Line, link: Path | None = None) -> None:
        self._line = line
        self._link = link
        self._thread: _Thread | None = None
        self._master = -1
        self.in_use = False
        self.url = ""

    def start(self) -> None:
        try:
            self._master, slave = pty.openpty()
        except OSError as error:
            raise BoardError(f"no pseudo-terminal to be had: {error.strerror}") from error
        tty.setraw(slave)
        path = os.ttyname(slave)
        os.close(slave)  # from now on a hang-up tells that nobody has the port open
        os.set_blocking(self._master, False)
        try:
            self.url = path if self._link is None else str(self._point_link_at(path))
        except BoardError:
            os.close(self._master)
            raise
        self._thread = _Thread(self._run, f"pty {path}")
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
            self.in_use = False
            self.url = ""
            os.close(self._master)
            if self._link is not None:
                self._link.unlink(missing_ok=True)

    def _point_link_at(self, path: str) -> Path:
        assert self._link is not None
        if self._link.exists() and not self._link.is_symlink():
            raise BoardError(f"{self._link} is there and is no link to a port; name another path")
        try:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(path)
        except OSError as error:
            raise BoardError(f"{self._link}: {error.strerror}; name a place that can be written") from error
        return self._link

    def _run(self) -> None:
        assert self._thread is not None
        with select.epoll() as poll:
            poll.register(self._thread.stop_fd, select.EPOLLIN)
            # Edge-triggered: a port that nobody has open reports its hang-up once, not all the time.
            poll.register(self._master, select.EPOLLIN | select.EPOLLET)
            while True:
                if any(fd == self._thread.stop_fd for fd, _ in poll.poll()):
                    return
                while data := self._read():
                    self._write(self._line.receive(data))

    def _read(self) -> bytes:
        try:
            data = os.read(self._master, _PORTION)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: closed by the last who had it open
            self.in_use = False
            return b""
        if not self.in_use:
            self.in_use = True
            self._line.opened()
        return data

    def _write(self, data: bytes) -> None:
        assert self._thread is not None
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                if not _writable(self._master, self._thread.stop_fd):
                    return
            except OSError:  # closed meanwhile: what nobody reads is lost, as on a wire
                return


class TcpPort:
    """A TCP port on loopback for one host at a time, raw bytes: pyserial's socket:// URL."""

    SCHEME = "socket"

    def __init__(self, line: Line, port: int = 0) -> None:
        self._line = line
        self._port = port
        self._thread: _Thread | None = None
        self._listener: socket.socket | None = None
        self.in_use = False
        self.url = ""

    def start(self) -> None:
        try:
            self._listener = socket.create_server(("127.0.0.1", self._port))
        except OSError as error:
            raise BoardError(f"TCP port {self._port}: {error.strerror}; name another or 0") from error
        self.url = f"{self.SCHEME}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = _Thread(self._run, self.url)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None and self._listener is not None:
            self._thread.stop()
            self._thread = None
            self.in_use = False
            self.url = ""
            self._listener.close()

    def _run(self) -> None:
        assert self._thread is not None and self._listener is not None
        while _readable(self._listener.fileno(), self._thread.stop_fd):
            connection, _ = self._listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.setblocking(False)
                self.in_use = True
                self._serve(connection)
            self.in_use = False

    def _serve(self, connection: socket.socket) -> None:
        assert self._thread is not None
        exchange = self._opened()
        while _readable(connection.fileno(), self._thread.stop_fd):
            try:
                data = connection.recv(_PORTION)
                if not data:
                    return
                out = exchange(data)
                while out:
                    if not _writable(connection.fileno(), self._thread.stop_fd):
                        return
                    out = out[connection.send(out) :]
            except OSError:  # the host is gone
                return

    def _opened(self) -> Callable[[bytes], bytes]:
        """What turns the bytes of a new connection into the bytes to answer."""
        self._line.opened()
        return self._line.receive


class Rfc2217Port(TcpPort):
    """A TCP port with DTR and RTS: pyserial's rfc2217:// URL."""

    SCHEME = "rfc2217"

    def _opened(self) -> Callable[[bytes], bytes]:
        telnet = Telnet()

        def exchange(data: bytes) -> bytes:
            parsed = telnet.feed(data)
            out = bytearray(parsed.replies)
            for event in parsed.events:
                if isinstance(event, ControlLines):
                    self._line.control(event)
                else:
                    out += telnet.escape(self._line.receive(event))
            return bytes(out)

        return exchange


def _readable(fd: int, stop_fd: int) -> bool:
    """Wait until `fd` can be read (True) or the thread is to stop (False)."""
    return _wait(fd, select.POLLIN, stop_fd)


def _writable(fd: int, stop_fd: int) -> bool:
    return _wait(fd, select.POLLOUT, stop_fd)


def _wait(fd: int, events: int, stop_fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, events)
    poll.register(stop_fd, select.POLLIN)
    return all(ready != stop_fd for ready, _ in poll.poll())
