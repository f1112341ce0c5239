"""MQTT over WebSocket: a layer between a TCP or TLS transport and an asyncio.Protocol (RFC 6455, 5.0: 6).

Rules: the protocol above sees a transport like any other and bytes as they come; frames and messages of
WebSocket mean nothing to MQTT [MQTT-6.0.0-2]. wsproto does the framing and is used only here. What the peer
sends is handed on as it comes, never collected; a peer that makes us answer and does not read is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.errors import ConnectionLost, MqttError, ProtocolError

SUBPROTOCOL = "mqtt"  # [MQTT-6.0.0-3], [MQTT-6.0.0-4]

MAX_UNREAD = 2 * 1024 * 1024
"""Bytes waiting for a peer that pings without reading the answers; then it is cut off."""

UNSUPPORTED_DATA = 1003  # RFC 6455, 7.4.1
PROTOCOL_VIOLATION = 1002
NORMAL = 1000


class WebSocketLayer(asyncio.Transport, asyncio.Protocol):
    """Below it a transport, above it `inner`, which it serves as a transport."""

    def __init__(self, inner: asyncio.Protocol, role: ConnectionType) -> None:
        super().__init__()
        self._inner = inner
        self._ws = WSConnection(role)
        self._lower: asyncio.Transport | None = None
        self._open = False
        self._error: MqttError | None = None

    # asyncio.Protocol, towards the network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._ws.receive_data(data)
            for event in self._ws.events():
                self._handle(event)
                if not self._lower or self._lower.is_closing():
                    return
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._fail(ProtocolError("RFC 6455", f"it does not speak WebSocket: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lower = None
        self._inner.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _handle(self, event: Event) -> None:
        match event:
            case BytesMessage():
                self._inner.data_received(bytes(event.data))
            case Ping():
                self._say(event.response())
            case CloseConnection():
                if event.code in (PROTOCOL_VIOLATION, UNSUPPORTED_DATA, 1007, 1009):
                    why = f"WebSocket was closed with code {event.code} {event.reason or ''}".rstrip()
                    self._error = self._error or ConnectionLost(why)
                self._finish(event.response())
            case TextMessage():
                self._error = ProtocolError("MQTT-6.0.0-1", "a text frame; MQTT is in binary frames")
                self._finish(CloseConnection(UNSUPPORTED_DATA))
            case _:
                self._handshake(event)

    def _handshake(self, event: Event) -> None:
        """An event of the opening handshake; what it may be depends on the side."""
        raise NotImplementedError

    def _say(self, event: Event) -> None:
        if self._lower and not self._lower.is_closing():
            self._lower.write(bytes(self._ws.send(event)))
            if self._lower.get_write_buffer_size() > MAX_UNREAD:
                self._lower.abort()

    def _finish(self, event: Event) -> None:
        """Say it and close when it is written."""
        with suppress(LocalProtocolError):  # both closed at once, or no WebSocket yet: then TCP's end says it
            self._say(event)
        if self._lower:
            self._lower.close()

    def _fail(self, error: MqttError) -> None:
        self._error = self._error or error
        if self._lower:
            self._lower.abort()

    # asyncio.Transport, towards inner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._open:
            self._say(BytesMessage(bytes(data)))

    def close(self) -> None:
        self._finish(CloseConnection(NORMAL))

    def abort(self) -> None:
        if self._lower:
            self._lower.abort()

    def is_closing(self) -> bool:
        return self._lower is None or self._lower.is_closing()

    def pause_reading(self) -> None:
        if self._lower:
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        if self._lower:
            self._lower.resume_reading()

    def is_reading(self) -> bool:
        return self._lower is not None and self._lower.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._lower:
            self._lower.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._lower.get_write_buffer_size() if self._lower else 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._lower.get_extra_info(name, default) if self._lower else default


class ClientLayer(WebSocketLayer):
    """Asks the server for the upgrade; `inner` sees its connection_made when that is done."""

    def __init__(self, inner: asyncio.Protocol, address: Address) -> None:
        super().__init__(inner, ConnectionType.CLIENT)
        self._address = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        address = self._address
        default = 443 if address.tls else 80
        host = address.authority.removesuffix(f":{address.port}") if address.port == default else None
        self._say(Request(host or address.authority, address.path or "/", subprotocols=[SUBPROTOCOL]))

    def _handshake(self, event: Event) -> None:
        match event:
            case AcceptConnection(subprotocol=chosen):
                if chosen != SUBPROTOCOL:
                    text = f"{self._address} answers WebSocket, but not MQTT over it; correct the path in its url"
                    self._fail(ProtocolError("MQTT-6.0.0-4", text))
                    return
                self._open = True
                self._inner.connection_made(self)
            case RejectConnection(status_code=status):
                self._fail(ConnectionLost(_refusal(self._address, status)))
            case RejectData():
                pass  # the page that came with the refusal


def _refusal(address: Address, status: int) -> str:
    advice: Mapping[int, str] = {
        401: "it asks for credentials before MQTT; check whether the path is the broker's own",
        403: "it does not let this machine in; check the firewall or proxy before the broker",
        404: "there is nothing at this path; correct the path in its url",
    }
    fallback = "check the path in its url, and the proxy before the broker"
    return f"{address} answered the WebSocket upgrade with HTTP {status}: {advice.get(status, fallback)}"


class ServerLayer(WebSocketLayer):
    """Answers a client's upgrade. `inner` has its connection_made already: the layer slips in below it."""

    def __init__(self, inner: asyncio.Protocol, lower: asyncio.Transport) -> None:
        super().__init__(inner, ConnectionType.SERVER)
        self._lower = lower

    def _handshake(self, event: Event) -> None:
        if isinstance(event, Request):
            if SUBPROTOCOL in event.subprotocols:
                self._say(AcceptConnection(subprotocol=SUBPROTOCOL))
                self._open = True
            else:
                self._error = ProtocolError("MQTT-6.0.0-3", "a WebSocket without subprotocol mqtt")
                self._finish(RejectConnection(status_code=400))
