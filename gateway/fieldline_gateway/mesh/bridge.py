"""Mesh bridges on serial lines: adverts as frames of wire.md 2.6, both ways.

Rules: all that are plugged in are used; one that goes is said once and opened again when it is back. What a line
brings is bounded before anyone looks, and what is none of a bridge's frames is counted and dropped. Nothing waits for
a bridge: it takes an event or loses it, as the air would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import serial

from fieldline_gateway import logs
from fieldline_gateway.links.serial import LineTransport, matching
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.bridge import NO_RSSI, WANT_RSSI, BridgeState, advert, read_advert, read_heard
from fieldline_wire.serial import (
    BRIDGE_KINDS,
    DELIMITER,
    KIND_ADVERT,
    KIND_BRIDGE,
    KIND_HEARD,
    Reader,
    encode,
)

SCAN_S = 1.0
MAX_BODY = 64
"""Kind, state and board's name of a bridge, CRC are the longest: 59 bytes."""
MAX_WAITING = 2048
"""Bytes that the line has not taken, some 45 events: beyond it the bridge does not read, and more is dropped."""

Heard = Callable[[str, int, bytes, int | None], None]
"""Takes the bridge's path, AD type, data, and dBm where it is known."""


class Bridges:
    """All bridges of a gateway: run() keeps them open until cancelled, send() uses those that are."""

    def __init__(self, paths: tuple[str, ...], baud: int, heard: Heard) -> None:
        self._paths = paths
        self._baud = baud
        self._heard = heard
        self._bridges: dict[str, _Bridge] = {}

    @property
    def open(self) -> bool:
        """Whether anything goes on air."""
        return any(bridge.open for bridge in self._bridges.values())

    async def run(self) -> None:
        """Open what appears, again and again; closes all when cancelled."""
        try:
            while self._paths:
                for path in matching(self._paths):
                    bridge = self._bridges.setdefault(path, _Bridge(path, self._heard))
                    if not bridge.open:
                        await self._open(bridge)
                await asyncio.sleep(SCAN_S)
        finally:
            for bridge in self._bridges.values():
                bridge.close()

    def send(self, kind: int, data: bytes) -> None:
        """One advertising event on every bridge."""
        frame = encode(KIND_ADVERT, advert(kind, data))
        for bridge in self._bridges.values():
            bridge.write(frame)

    def status(self) -> list[dict[str, object]]:
        """One entry a bridge that was ever there, and one a path that names none yet, as plain JSON values."""
        missing = [path for path in self._paths if not matching((path,)) and path not in self._bridges]
        return [bridge.status() for bridge in self._bridges.values()] + [
            {"link": f"bridge {path}", "open": False, "error": "no such port"} for path in missing
        ]

    async def _open(self, bridge: _Bridge) -> None:
        try:
            port = await asyncio.to_thread(serial.Serial, bridge.path, self._baud, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            bridge.failed(str(error))
            return
        LineTransport(asyncio.get_running_loop(), bridge, port)


class _Bridge(asyncio.Protocol):
    """One line, open or not."""

    def __init__(self, path: str, heard: Heard) -> None:
        self.path = path
        self._heard = heard
        self._reader = Reader(MAX_BODY, (*BRIDGE_KINDS, KIND_HEARD))
        self._state: BridgeState | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._tells_rssi = False
        self._error = ""
        self._counts = dict.fromkeys(("opened", "adverts_in", "adverts_out", "refused", "dropped"), 0)

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._counts["opened"] += 1
        self._error = ""
        self._reader.reset()
        # A zero byte ends whatever stood on the line (wire.md 2.1); then the bridge is asked how it is.
        transport.write(DELIMITER + encode(KIND_BRIDGE, b"") + encode(KIND_BRIDGE, WANT_RSSI))
        logs.event(logs.INFO, "bridge-open", bridge=self.path)

    def data_received(self, data: bytes) -> None:
        for kind, payload in self._reader.feed(data):
            try:
                if kind == KIND_BRIDGE:
                    self._take_state(BridgeState.from_bytes(payload))
                elif kind == KIND_HEARD:
                    self._take(True, *read_heard(payload))
                else:
                    self._take(False, *read_advert(payload), NO_RSSI)
            except PeerError:
                self._counts["refused"] += 1

    def _take(self, tells_rssi: bool, ad_type: int, data: bytes, rssi: int) -> None:
        self._tells_rssi = tells_rssi
        self._counts["adverts_in"] += 1
        self._heard(self.path, ad_type, data, None if rssi == NO_RSSI else rssi)

    def _take_state(self, state: BridgeState) -> None:
        self._state = state
        if not self._tells_rssi and self.open and self._transport is not None:
            # It may have started anew. One that does not know the question passes over it (wire.md 2.6).
            self._transport.write(encode(KIND_BRIDGE, WANT_RSSI))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._state = None
        self._tells_rssi = False
        self._error = str(exc or "closed")
        logs.event(logs.WARNING if exc else logs.INFO, "bridge-closed", bridge=self.path, error=exc)

    def write(self, frame: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_WAITING:
            self._counts["dropped"] += 1
            return
        self._transport.write(frame)
        self._counts["adverts_out"] += 1

    def failed(self, why: str) -> None:
        if why != self._error:
            self._error = why
            todo = "is the port free, and may this user open it (group dialout)?"
            logs.event(logs.WARNING, "bridge-refused", bridge=self.path, error=why, todo=todo)

    def close(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def status(self) -> dict[str, object]:
        reader = self._reader
        noise = {
            "crc_errors": reader.crc_errors,
            "noise_bytes": reader.noise_bytes,
            "overruns": reader.overruns,
        }
        found = {"link": f"bridge {self.path}", "open": self.open, **self._counts, **noise}
        found["refused"] = self._counts["refused"] + reader.unknown_kinds
        if self._state is not None:
            state = self._state
            found |= {"board": state.board, "lost": state.lost, "not_sent": state.dropped}
            found["rssi"] = self._tells_rssi
        return found | ({"error": self._error} if self._error and not self.open else {})
