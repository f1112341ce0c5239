"""Packets of MQTT 5.0 that begin and end a connection: CONNECT, CONNACK, DISCONNECT, AUTH."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from fieldline_gateway.mqtt.codec import fields, properties, reasons
from fieldline_gateway.mqtt.codec.fields import PROTOCOL_NAME
from fieldline_gateway.mqtt.codec.properties import NONE, Body, Properties
from fieldline_gateway.mqtt.codec.v5.base import check_code, check_topic, no_flags
from fieldline_gateway.mqtt.errors import ProtocolError, UnsupportedVersion, UsageError

_LEVEL = 5


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes for a client that goes without DISCONNECT (3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = NONE


@dataclass(frozen=True, slots=True)
class Connect:
    """CONNECT, 3.1."""

    TYPE: ClassVar[int] = 1

    client_id: str
    keep_alive: int = 60
    """Seconds, 0 to 65,535; 0 is none."""
    clean_start: bool = True
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        if not 0 <= self.keep_alive <= fields.MAX_FIELD:
            raise UsageError(f"keep alive of {self.keep_alive} s is not in 0..{fields.MAX_FIELD}")
        flags = 0x02 if self.clean_start else 0
        payload = [fields.text(self.client_id)]
        if will := self.will:
            flags |= 0x04 | fields.checked_qos(will.qos) << 3 | (0x20 if will.retain else 0)
            if not will.topic or "+" in will.topic or "#" in will.topic:
                raise UsageError(f"{will.topic[:64]!r} is not a topic name (3.1.3.3)")
            payload += properties.encode(will.properties, properties.WILL), fields.text(will.topic)
            payload.append(fields.binary(will.payload))
        if self.username is not None:
            flags |= 0x80
            payload.append(fields.text(self.username))
        if self.password is not None:
            flags |= 0x40
            payload.append(fields.binary(self.password))
        head = fields.text(PROTOCOL_NAME) + bytes((_LEVEL, flags)) + self.keep_alive.to_bytes(2, "big")
        return fields.packet(self.TYPE << 4, head, properties.encode(self.properties, self.TYPE), *payload)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        no_flags("CONNECT", flags)
        body = Body("CONNECT", data)
        name, level = body.text(), body.byte()
        if name != PROTOCOL_NAME:
            raise ProtocolError("3.1.2.1", f"protocol name {name[:16]!r} is not MQTT")
        if level != _LEVEL:
            raise UnsupportedVersion("3.1.2.2", f"protocol level {level} is not spoken here")
        bits, keep_alive = body.byte(), body.integer()
        _check_connect_flags(bits)
        found = body.properties(cls.TYPE)
        client_id = body.text()
        will = None
        if bits & 0x04:
            extra = body.properties(properties.WILL)
            topic = body.text()
            check_topic(topic, "3.1.3.3")
            will = Will(topic, body.binary(), bits >> 3 & 3, bool(bits & 0x20), extra)
        username = body.text() if bits & 0x80 else None
        password = body.binary() if bits & 0x40 else None
        body.end()
        return cls(client_id, keep_alive, bool(bits & 0x02), will, username, password, found)


def _check_connect_flags(bits: int) -> None:
    if bits & 0x01:
        raise ProtocolError("3.1.2.3", "the reserved bit of the connect flags is set")
    if bits & 0x18 == 0x18:
        raise ProtocolError("3.1.2.6", "will QoS is 3")
    if not bits & 0x04 and bits & 0x18:
        raise ProtocolError("3.1.2.6", "will QoS without a will")
    if not bits & 0x04 and bits & 0x20:
        raise ProtocolError("3.1.2.7", "will retain without a will")


@dataclass(frozen=True, slots=True)
class Connack:
    """CONNACK, 3.2."""

    TYPE: ClassVar[int] = 2

    code: int = reasons.SUCCESS
    session_present: bool = False
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        check_code("CONNACK", self.code, reasons.CONNACK_CODES)
        if self.code and self.session_present:
            raise UsageError("a refusal has no session [MQTT-3.2.2-6]")
        head = bytes((self.session_present, self.code))
        return fields.packet(self.TYPE << 4, head, properties.encode(self.properties, self.TYPE))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        no_flags("CONNACK", flags)
        if len(data) == 2 and not data[0] and data[1] in _CODES_311:
            # A server that knows only 3.1.1 refuses level 5 in its own words, without properties (its 3.2.2.3).
            return cls(_CODES_311[data[1]])
        body = Body("CONNACK", data)
        present, code = body.byte(), body.byte()
        if present > 1:
            raise ProtocolError("3.2.2.1", f"acknowledge flags {present:#x} in CONNACK")
        if code and present:
            raise ProtocolError("MQTT-3.2.2-6", f"CONNACK with {reasons.name(code)} and a session")
        found = body.properties(cls.TYPE)
        body.end()
        return cls(code, bool(present), found)


_CODES_311 = {
    1: reasons.UNSUPPORTED_VERSION,
    2: reasons.BAD_CLIENT_ID,
    3: reasons.UNAVAILABLE,
    4: reasons.BAD_CREDENTIALS,
    5: reasons.NOT_AUTHORISED,
}


@dataclass(frozen=True, slots=True)
class Disconnect:
    """DISCONNECT, 3.14."""

    TYPE: ClassVar[int] = 14

    code: int = reasons.SUCCESS
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        check_code("DISCONNECT", self.code, reasons.DISCONNECT_CODES)
        return _short(self.TYPE, self.code, self.properties)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        no_flags("DISCONNECT", flags)
        return cls(*_read_short("DISCONNECT", cls.TYPE, data))


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH, 3.15."""

    TYPE: ClassVar[int] = 15

    code: int = reasons.SUCCESS
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        check_code("AUTH", self.code, reasons.AUTH_CODES)
        if self.properties is not NONE and self.properties.authentication_method is None:
            raise UsageError("AUTH needs an authentication method (3.15.2.2.2)")
        return _short(self.TYPE, self.code, self.properties)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        no_flags("AUTH", flags)
        code, found = _read_short("AUTH", cls.TYPE, data)
        if data and found.authentication_method is None:
            raise ProtocolError("3.15.2.2.2", "AUTH without its method", reasons.PROTOCOL_ERROR)
        return cls(code, found)


def _short(kind: int, code: int, found: Properties) -> bytes:
    """Reason code and properties may be left out where there is nothing to say (3.14.2.1, 3.14.2.2.1)."""
    block = properties.encode(found, kind)
    if len(block) > 1:
        return fields.packet(kind << 4, bytes((code,)), block)
    return fields.packet(kind << 4, bytes((code,)) if code else b"")


def _read_short(name: str, kind: int, data: bytes) -> tuple[int, Properties]:
    body = Body(name, data)
    code = body.byte() if body.left else reasons.SUCCESS
    found = body.properties(kind) if body.left else NONE
    body.end()
    return code, found
