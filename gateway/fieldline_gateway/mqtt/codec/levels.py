"""Which version a CONNECT speaks, for a server that speaks two.

Rules: nothing but the protocol level is looked at here; the packet is decoded by its own version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fieldline_gateway.mqtt.codec import v5, v311
from fieldline_gateway.mqtt.errors import ProtocolError

Packet = v311.Packet | v5.Packet

_LEVEL_AT = 6  # after two bytes of length and "MQTT" (3.1.2.1 of both versions)


def _connect(flags: int, data: bytes) -> v311.Connect | v5.Connect:
    if data[:_LEVEL_AT] == b"\0\4MQTT" and data[_LEVEL_AT : _LEVEL_AT + 1] == b"\5":
        return v5.Connect.from_bytes(flags, data)
    return v311.Connect.from_bytes(flags, data)


def _too_early(_flags: int, _data: bytes) -> Packet:
    raise ProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT")


FIRST: Mapping[int, Callable[[int, bytes], Packet]] = {1: _connect} | dict.fromkeys(range(2, 15), _too_early)
"""For a Reader's first packet; then Reader.switch to the DECODERS of the version it turned out to be."""
