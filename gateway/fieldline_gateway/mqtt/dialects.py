"""What is said the same way in 3.1.1 and 5.0 but for its bytes: one object a version, without state.

Rules: callers say what they mean in the words of 5.0; a version leaves out what it has no words for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fieldline_gateway.mqtt.codec import fields, properties, reasons, v5, v311
from fieldline_gateway.mqtt.codec.levels import Packet
from fieldline_gateway.mqtt.codec.properties import NONE, Properties


class Dialect(Protocol):
    """A protocol version, from values to bytes."""

    @property
    def level(self) -> int:
        """4 is 3.1.1, 5 is 5.0."""
        ...

    @property
    def decoders(self) -> Mapping[int, Callable[[int, bytes], Packet]]:
        """For a Reader."""
        ...

    def publish(self, head: int, topic: bytes, ident: bytes, payload: bytes, block: bytes = b"") -> bytes:
        """A PUBLISH. head: its first byte; topic as fields.text gives it; block: properties without length."""
        ...

    def puback(self, packet_id: int, code: int = reasons.SUCCESS) -> bytes: ...

    def subscribe(self, packet_id: int, filters: Sequence[tuple[str, int]]) -> bytes: ...

    def unsubscribe(self, packet_id: int, filters: Sequence[str]) -> bytes: ...

    def suback(self, packet_id: int, codes: Sequence[int]) -> bytes: ...

    def unsuback(self, packet_id: int, codes: Sequence[int]) -> bytes: ...

    def connack(self, code: int, session_present: bool, found: Properties = NONE) -> bytes: ...

    def goodbye(self, code: int, text: str = "") -> bytes:
        """A server's DISCONNECT; b"" where a server cannot say it."""
        ...


class _V311:
    level = 4
    decoders = v311.DECODERS

    _RETURN_CODES = {
        reasons.SUCCESS: v311.ACCEPTED,
        reasons.UNSUPPORTED_VERSION: v311.BAD_VERSION,
        reasons.BAD_CLIENT_ID: v311.BAD_CLIENT_ID,
        reasons.BAD_CREDENTIALS: v311.BAD_CREDENTIALS,
        reasons.NOT_AUTHORISED: v311.NOT_AUTHORISED,
    }

    def publish(self, head: int, topic: bytes, ident: bytes, payload: bytes, block: bytes = b"") -> bytes:
        return fields.packet(head, topic, ident, payload)

    def puback(self, packet_id: int, code: int = reasons.SUCCESS) -> bytes:
        return v311.Puback(packet_id).to_bytes()

    def subscribe(self, packet_id: int, filters: Sequence[tuple[str, int]]) -> bytes:
        return v311.Subscribe(packet_id, tuple(filters)).to_bytes()

    def unsubscribe(self, packet_id: int, filters: Sequence[str]) -> bytes:
        return v311.Unsubscribe(packet_id, tuple(filters)).to_bytes()

    def suback(self, packet_id: int, codes: Sequence[int]) -> bytes:
        told = tuple(code if code < 0x80 else v311.SUBACK_FAILURE for code in codes)
        return v311.Suback(packet_id, told).to_bytes()

    def unsuback(self, packet_id: int, codes: Sequence[int]) -> bytes:
        return v311.Unsuback(packet_id).to_bytes()

    def connack(self, code: int, session_present: bool, found: Properties = NONE) -> bytes:
        return v311.Connack(self._RETURN_CODES.get(code, v311.UNAVAILABLE), session_present).to_bytes()

    def goodbye(self, code: int, text: str = "") -> bytes:
        return b""


class _V5:
    level = 5
    decoders = v5.DECODERS

    def publish(self, head: int, topic: bytes, ident: bytes, payload: bytes, block: bytes = b"") -> bytes:
        return fields.packet(head, topic, ident, fields.remaining_length(len(block)), block, payload)

    def puback(self, packet_id: int, code: int = reasons.SUCCESS) -> bytes:
        return v5.Puback(packet_id, code).to_bytes()

    def subscribe(self, packet_id: int, filters: Sequence[tuple[str, int]]) -> bytes:
        return v5.Subscribe(packet_id, tuple(v5.Filter(topic, qos) for topic, qos in filters)).to_bytes()

    def unsubscribe(self, packet_id: int, filters: Sequence[str]) -> bytes:
        return v5.Unsubscribe(packet_id, tuple(filters)).to_bytes()

    def suback(self, packet_id: int, codes: Sequence[int]) -> bytes:
        return v5.Suback(packet_id, tuple(codes)).to_bytes()

    def unsuback(self, packet_id: int, codes: Sequence[int]) -> bytes:
        return v5.Unsuback(packet_id, tuple(codes)).to_bytes()

    def connack(self, code: int, session_present: bool, found: Properties = NONE) -> bytes:
        return v5.Connack(code, session_present, found).to_bytes()

    def goodbye(self, code: int, text: str = "") -> bytes:
        found = properties.Properties(reason_string=text) if text else NONE
        return v5.Disconnect(code, found).to_bytes()


V311: Dialect = _V311()
V5: Dialect = _V5()
