"""Opens MQTT connections: at 5.0, and at 3.1.1 where that is asked for or all that a server has.

Rules: one attempt at a time, each of them bounded in time; who asks decides when to try again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fieldline_gateway.mqtt import transport
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Connection, Events
from fieldline_gateway.mqtt.codec import reasons, v5, v311
from fieldline_gateway.mqtt.codec.reader import MAX_PACKET
from fieldline_gateway.mqtt.errors import ConnectionLost, ConnectRefused

REMEMBER_S = 3600.0
"""How long a server that speaks only 3.1.1 is not asked for 5.0 again: it may have been updated."""


class Dialer:
    """Opens connections at protocol level 5, and at 4 (3.1.1) where that is asked for or all a server has."""

    def __init__(self, level: int = 5) -> None:
        self._level = level
        self._only_311: dict[str, float] = {}  # by address: until when it is not asked for 5.0

    async def open(
        self, address: Address, connect: v5.Connect, events: Events, timeout_s: float
    ) -> Connection:
        """Connect and wait for CONNACK at most `timeout_s` an attempt; MqttError says why not and what to do."""
        now = asyncio.get_running_loop().time()
        if self._level == 5 and self._only_311.get(str(address), 0.0) <= now:
            try:
                bounded = replace(connect.properties, maximum_packet_size=MAX_PACKET)
                return await _open(address, replace(connect, properties=bounded), events, timeout_s)
            except ConnectRefused as error:
                if error.code != reasons.UNSUPPORTED_VERSION:
                    raise
                self._only_311[str(address)] = now + REMEMBER_S
        return await _open(address, _downgraded(connect), events, timeout_s)


def _downgraded(connect: v5.Connect) -> v311.Connect:
    """The same CONNECT in 3.1.1: a session that expires with its connection is a clean one (5.0: 3.1.2.4)."""
    will = connect.will
    return v311.Connect(
        connect.client_id,
        connect.keep_alive,
        not connect.properties.session_expiry,
        v311.Will(will.topic, will.payload, will.qos, will.retain) if will else None,
        connect.username,
        connect.password,
    )


async def _open(
    address: Address, connect: v311.Connect | v5.Connect, events: Events, timeout_s: float
) -> Connection:
    connection = Connection(connect, events)
    lower: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(timeout_s):
            lower = await transport.connect(address, connection)
            await asyncio.wait((connection.opened, connection.closed), return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        text = f"no answer from {address} within {timeout_s:g} s; check host, port and firewall"
        connection.abort(ConnectionLost(text))
    except asyncio.CancelledError:
        connection.abort(ConnectionLost("closed by this side"))
        raise
    finally:
        if lower and connection.closed.done():  # WebSocket may not be up yet
            lower.abort()
    if connection.closed.done():
        raise connection.closed.result()
    return connection
