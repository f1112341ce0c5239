"""Serial links: every port that matches, opened when it appears and again when it comes back.

Rules: a link carries sealed messages and knows nothing of what is in them. A port that fails is closed, said
once, and tried again at each scan; no port slows another. What a line brings is bounded before anyone looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import serial
import serial_asyncio_fast

from fieldline_gateway import logs
from fieldline_wire.errors import PeerError
from fieldline_wire.fragments import Assembler, split
from fieldline_wire.serial import (
    DELIMITER,
    KIND_FRAGMENT,
    KIND_SEALED,
    MAX_PAYLOAD,
    Reader,
    encode,
)

MAX_UNFINISHED = 4  # messages in fragments, for each link; wire.md 4.2
MAX_WAITING = 64 * 1024
"""Bytes written that the line has not taken; beyond it nobody reads at the other end, and more is dropped."""

Receive = Callable[[str, bytes], None]
"""Takes the name of the link and a sealed message."""


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """Which ports, and how. `ports` are paths or patterns ("/dev/ttyACM*"); `scan_s` in seconds.

    `without`: paths or patterns of ports that are somebody else's, though `ports` may name them.
    """

    ports: tuple[str, ...]
    baud: int = 115_200
    scan_s: float = 1.0
    without: tuple[str, ...] = ()


class SerialLinks:
    """All serial links of a gateway: run() keeps them open until cancelled, send() uses them."""

    def __init__(self, settings: SerialSettings, receive: Receive) -> None:
        self._settings = settings
        self._receive = receive
        self._links: dict[str, _Line] = {}
        self._failed: dict[str, str] = {}  # path: what was said of it
        self._counters: dict[str, _Counters] = {}  # also of links that are closed

    async def run(self) -> None:
        """Open what appears, again and again; closes all when cancelled."""
        try:
            while True:
                await self._scan()
                await asyncio.sleep(self._settings.scan_s)
        finally:
            for line in list(self._links.values()):
                line.close()

    def send(self, link: str, sealed: bytes) -> bool:
        """Write one sealed message; False where the link is closed or nobody reads at its other end."""
        line = self._links.get(link)
        return line is not None and line.send(sealed)

    def status(self) -> list[dict[str, object]]:
        """One entry a port that was ever open or failed to open, as plain JSON values."""
        found = [
            {"link": path, "open": path in self._links, **counters.values()}
            for path, counters in self._counters.items()
        ]
        return found + [{"link": path, "open": False, "error": why} for path, why in self._failed.items()]

    async def _scan(self) -> None:
        taken = {_real(path) for path in self._links} | {
            _real(path) for path in matching(self._settings.without)
        }
        for path in matching(self._settings.ports):
            if path not in self._links and _real(path) not in taken:
                taken.add(_real(path))
                await self._open(path)

    async def _open(self, path: str) -> None:
        try:
            port = await asyncio.to_thread(serial.Serial, path, self._settings.baud, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            if self._failed.get(path) != str(error):
                self._failed[path] = str(error)
                todo = "is the port free, and may this user open it (group dialout)?"
                logs.event(logs.WARNING, "link-refused", link=path, error=error, todo=todo)
            return
        self._failed.pop(path, None)
        counters = self._counters.setdefault(path, _Counters())
        line = _Line(path, counters, self._receive, self._closed)
        self._links[path] = line
        LineTransport(asyncio.get_running_loop(), line, port)
        logs.event(logs.INFO, "link-open", link=path, baud=self._settings.baud)

    def _closed(self, line: _Line, error: Exception | None) -> None:
        self._links.pop(line.path, None)
        logs.event(logs.WARNING if error else logs.INFO, "link-closed", link=line.path, error=error)


class LineTransport(serial_asyncio_fast.SerialTransport):
    """The library's; but a port that is gone when we write to it is a lost connection and no fault of the loop."""

    def _fatal_error(self, exc: BaseException, message: str = "") -> None:
        if isinstance(exc, serial.SerialException):
            self._abort(exc)
        else:
            super()._fatal_error(exc, message)


class _Counters:
    """What a port has carried since the gateway started."""

    __slots__ = ("dropped", "fragments_refused", "messages_in", "messages_out", "opened", "reader")

    def __init__(self) -> None:
        self.reader = Reader()
        self.opened = 0
        self.messages_in = 0
        self.messages_out = 0
        self.fragments_refused = 0
        self.dropped = 0

    def values(self) -> dict[str, object]:
        return {
            "opened": self.opened,
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "crc_errors": self.reader.crc_errors,
            "noise_bytes": self.reader.noise_bytes,
            "overruns": self.reader.overruns,
            "unknown_kinds": self.reader.unknown_kinds,
            "fragments_refused": self.fragments_refused,
            "dropped": self.dropped,
        }


class _Line(asyncio.Protocol):
    """One open port."""

    def __init__(
        self,
        path: str,
        counters: _Counters,
        receive: Receive,
        closed: Callable[[_Line, Exception | None], None],
    ) -> None:
        self.path = path
        self._counters = counters
        self._receive = receive
        self._closed = closed
        self._assembler = Assembler(MAX_UNFINISHED)
        self._transport: asyncio.WriteTransport | None = None
        self._message_id = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._counters.opened += 1
        self._counters.reader.reset()
        transport.write(DELIMITER)  # ends whatever stood on the line; wire.md 2.1

    def data_received(self, data: bytes) -> None:
        now = int(asyncio.get_running_loop().time() * 1000)
        for kind, payload in self._counters.reader.feed(data):
            sealed: bytes | None = payload
            if kind == KIND_FRAGMENT:
                try:
                    sealed = self._assembler.feed(now, payload)
                except PeerError:
                    self._counters.fragments_refused += 1
                    continue
            if sealed is not None:
                self._counters.messages_in += 1
                self._receive(self.path, sealed)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closed(self, exc)

    def send(self, sealed: bytes) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MAX_WAITING:
            self._counters.dropped += 1
            return False
        if len(sealed) <= MAX_PAYLOAD:
            transport.write(encode(KIND_SEALED, sealed))
        else:
            self._message_id = (self._message_id + 1) & 0xFF
            pieces = split(sealed, MAX_PAYLOAD, self._message_id)
            transport.write(b"".join(encode(KIND_FRAGMENT, piece) for piece in pieces))
        self._counters.messages_out += 1
        return True

    def close(self) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.abort()


def matching(patterns: tuple[str, ...]) -> list[str]:
    """Paths that exist now, each once, in the order of the patterns."""
    found = (path for pattern in patterns for path in sorted(Path("/").glob(pattern.lstrip("/"))))
    return list(dict.fromkeys(map(str, found)))


def _real(path: str) -> str:
    return str(Path(path).resolve())
