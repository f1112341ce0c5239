"""The packets of MQTT 3.1.1 (chapter 3), one class each.

Rules: `to_bytes` gives the whole packet; `from_bytes(flags, body)` takes the low four bits of the first byte
and what follows the remaining length, and raises ProtocolError with the clause. No state is kept: which
packet may come when is for the client and the server to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from fieldline_gateway.mqtt.codec import fields
from fieldline_gateway.mqtt.codec.fields import MALFORMED, PROTOCOL_NAME, Body
from fieldline_gateway.mqtt.errors import ProtocolError, UnsupportedVersion, UsageError

PROTOCOL_LEVEL = 4  # 3.1.2.2

# Return codes of CONNACK, 3.2.2.3.
ACCEPTED, BAD_VERSION, BAD_CLIENT_ID, UNAVAILABLE, BAD_CREDENTIALS, NOT_AUTHORISED = range(6)

SUBACK_FAILURE = 0x80  # 3.9.3


def _no_flags(name: str, flags: int, expected: int = 0, clause: str = "MQTT-2.2.2-2") -> None:
    if flags != expected:
        raise ProtocolError(clause, f"{name} with flags {flags:#x}, {expected:#x} is reserved")


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes for a client that goes without DISCONNECT (3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """CONNECT, 3.1."""

    TYPE: ClassVar[int] = 1

    client_id: str
    keep_alive: int = 60
    """Seconds, 0 to 65,535; 0 is none."""
    clean_session: bool = True
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None

    def to_bytes(self) -> bytes:
        if self.password is not None and self.username is None:
            raise UsageError("a password needs a user name [MQTT-3.1.2-22]")
        if not 0 <= self.keep_alive <= fields.MAX_FIELD:
            raise UsageError(f"keep alive of {self.keep_alive} s is not in 0..{fields.MAX_FIELD}")
        if not self.client_id and not self.clean_session:
            raise UsageError("an empty client identifier needs a clean session [MQTT-3.1.3-7]")
        flags = 0x02 if self.clean_session else 0
        payload = [fields.text(self.client_id)]
        if will := self.will:
            flags |= 0x04 | fields.checked_qos(will.qos) << 3 | (0x20 if will.retain else 0)
            payload += fields.text(will.topic), fields.binary(will.payload)
        if self.username is not None:
            flags |= 0x80
            payload.append(fields.text(self.username))
        if self.password is not None:
            flags |= 0x40
            payload.append(fields.binary(self.password))
        head = (
            fields.text(PROTOCOL_NAME) + bytes((PROTOCOL_LEVEL, flags)) + self.keep_alive.to_bytes(2, "big")
        )
        return fields.packet(self.TYPE << 4, head, *payload)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        _no_flags("CONNECT", flags)
        body = Body("CONNECT", data)
        name, level = body.text(), body.byte()
        if name != PROTOCOL_NAME and name != "MQIsdp":
            raise ProtocolError("MQTT-3.1.2-1", f"protocol name {name[:16]!r} is not MQTT")
        if name != PROTOCOL_NAME or level != PROTOCOL_LEVEL:
            raise UnsupportedVersion("MQTT-3.1.2-2", f"protocol {name} level {level} is not spoken here")
        bits, keep_alive = body.byte(), body.integer()
        _check_connect_flags(bits)
        client_id = body.text()
        will = None
        if bits & 0x04:
            will = Will(body.text(), body.binary(), bits >> 3 & 3, bool(bits & 0x20))
            check_topic(will.topic)
        username = body.text() if bits & 0x80 else None
        password = body.binary() if bits & 0x40 else None
        body.end()
        return cls(client_id, keep_alive, bool(bits & 0x02), will, username, password)


def _check_connect_flags(bits: int) -> None:
    if bits & 0x01:
        raise ProtocolError("MQTT-3.1.2-3", "the reserved bit of the connect flags is set")
    if bits & 0x18 == 0x18:
        raise ProtocolError("MQTT-3.1.2-14", "will QoS is 3")
    if not bits & 0x04 and bits & 0x18:
        raise ProtocolError("MQTT-3.1.2-13", "will QoS without a will")
    if not bits & 0x04 and bits & 0x20:
        raise ProtocolError("MQTT-3.1.2-15", "will retain without a will")
    if bits & 0x40 and not bits & 0x80:
        raise ProtocolError("MQTT-3.1.2-22", "a password without a user name")


@dataclass(frozen=True, slots=True)
class Connack:
    """CONNACK, 3.2."""

    TYPE: ClassVar[int] = 2

    code: int = ACCEPTED
    session_present: bool = False

    def to_bytes(self) -> bytes:
        if self.code and self.session_present:
            raise UsageError("a refusal has no session [MQTT-3.2.2-4]")
        return bytes((self.TYPE << 4, 2, self.session_present, self.code))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        _no_flags("CONNACK", flags)
        body = Body("CONNACK", data)
        present, code = body.byte(), body.byte()
        body.end()
        if present > 1:
            raise ProtocolError(MALFORMED, f"acknowledge flags {present:#x} in CONNACK (3.2.2.1)")
        if code and present:
            raise ProtocolError("MQTT-3.2.2-4", f"CONNACK with return code {code} and a session")
        return cls(code, bool(present))


def check_topic(topic: str) -> None:
    """A topic name, as in PUBLISH; ProtocolError where it is none (3.3.2.1, 4.7.3)."""
    if not topic:
        raise ProtocolError("MQTT-4.7.3-1", "an empty topic name")
    if "+" in topic or "#" in topic:
        raise ProtocolError("MQTT-3.3.2-2", f"a wildcard in topic name {topic[:64]!r}")


@dataclass(frozen=True, slots=True)
class Publish:
    """PUBLISH, 3.3."""

    TYPE: ClassVar[int] = 3

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    """1 to 65,535 for QoS 1 and 2, 0 for QoS 0."""

    def to_bytes(self) -> bytes:
        if not self.topic or "+" in self.topic or "#" in self.topic:
            raise UsageError(f"{self.topic[:64]!r} is not a topic name [MQTT-3.3.2-2]")
        if self.dup and not self.qos:
            raise UsageError("DUP needs QoS 1 or 2 [MQTT-3.3.1-2]")
        first = self.TYPE << 4 | self.dup << 3 | fields.checked_qos(self.qos) << 1 | self.retain
        ident = fields.packet_id(self.packet_id) if self.qos else b""
        return fields.packet(first, fields.text(self.topic), ident, self.payload)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        qos = flags >> 1 & 3
        if qos == 3:
            raise ProtocolError("MQTT-3.3.1-4", "PUBLISH with QoS 3")
        if flags & 0x08 and not qos:
            raise ProtocolError("MQTT-3.3.1-2", "PUBLISH with QoS 0 and DUP")
        body = Body("PUBLISH", data)
        topic = body.text()
        check_topic(topic)
        ident = body.packet_id() if qos else 0
        return cls(topic, body.rest(), qos, bool(flags & 1), bool(flags & 8), ident)


@dataclass(frozen=True, slots=True)
class _Identified:
    """A packet that holds a packet identifier and nothing else."""

    TYPE: ClassVar[int]
    FLAGS: ClassVar[int] = 0
    CLAUSE: ClassVar[str] = "MQTT-2.2.2-2"

    packet_id: int

    def to_bytes(self) -> bytes:
        return bytes((self.TYPE << 4 | self.FLAGS, 2)) + fields.packet_id(self.packet_id)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        name = cls.__name__.upper()
        _no_flags(name, flags, cls.FLAGS, cls.CLAUSE)
        body = Body(name, data)
        ident = body.packet_id()
        body.end()
        return cls(ident)


class Puback(_Identified):
    """PUBACK, 3.4."""

    __slots__ = ()
    TYPE = 4


class Pubrec(_Identified):
    """PUBREC, 3.5."""

    __slots__ = ()
    TYPE = 5


class Pubrel(_Identified):
    """PUBREL, 3.6."""

    __slots__ = ()
    TYPE = 6
    FLAGS = 2
    CLAUSE = "MQTT-3.6.1-1"


class Pubcomp(_Identified):
    """PUBCOMP, 3.7."""

    __slots__ = ()
    TYPE = 7


class Unsuback(_Identified):
    """UNSUBACK, 3.11."""

    __slots__ = ()
    TYPE = 11


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE, 3.8."""

    TYPE: ClassVar[int] = 8

    packet_id: int
    filters: tuple[tuple[str, int], ...]
    """(topic filter, requested QoS), at least one."""

    def to_bytes(self) -> bytes:
        if not self.filters:
            raise UsageError("SUBSCRIBE without a topic filter [MQTT-3.8.3-3]")
        body = [fields.text(topic) + bytes((fields.checked_qos(qos),)) for topic, qos in self.filters]
        return fields.packet(self.TYPE << 4 | 2, fields.packet_id(self.packet_id), *body)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        _no_flags("SUBSCRIBE", flags, 2, "MQTT-3.8.1-1")
        body = Body("SUBSCRIBE", data)
        ident = body.packet_id()
        filters = []
        while body.left:
            topic, qos = body.text(), body.byte()
            if qos > 2:
                raise ProtocolError("MQTT-3-8.3-4", f"requested QoS byte {qos:#x} in SUBSCRIBE")
            filters.append((topic, qos))
        if not filters:
            raise ProtocolError("MQTT-3.8.3-3", "SUBSCRIBE without a topic filter")
        return cls(ident, tuple(filters))


@dataclass(frozen=True, slots=True)
class Suback:
    """SUBACK, 3.9."""

    TYPE: ClassVar[int] = 9

    packet_id: int
    codes: tuple[int, ...]
    """Granted QoS or SUBACK_FAILURE, one for each filter, in their order [MQTT-3.9.3-1]."""

    def to_bytes(self) -> bytes:
        if any(code not in (0, 1, 2, SUBACK_FAILURE) for code in self.codes):
            raise UsageError("SUBACK codes are 0, 1, 2 and 0x80 [MQTT-3.9.3-2]")
        return fields.packet(self.TYPE << 4, fields.packet_id(self.packet_id), bytes(self.codes))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        _no_flags("SUBACK", flags)
        body = Body("SUBACK", data)
        ident, codes = body.packet_id(), tuple(body.rest())
        if any(code not in (0, 1, 2, SUBACK_FAILURE) for code in codes):
            raise ProtocolError("MQTT-3.9.3-2", "a reserved return code in SUBACK")
        return cls(ident, codes)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """UNSUBSCRIBE, 3.10."""

    TYPE: ClassVar[int] = 10

    packet_id: int
    filters: tuple[str, ...]

    def to_bytes(self) -> bytes:
        if not self.filters:
            raise UsageError("UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
        ident = fields.packet_id(self.packet_id)
        return fields.packet(self.TYPE << 4 | 2, ident, *map(fields.text, self.filters))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        _no_flags("UNSUBSCRIBE", flags, 2, "MQTT-3.10.1-1")
        body = Body("UNSUBSCRIBE", data)
        ident = body.packet_id()
        filters = []
        while body.left:
            filters.append(body.text())
        if not filters:
            raise ProtocolError("MQTT-3.10.3-2", "UNSUBSCRIBE without a topic filter")
        return cls(ident, tuple(filters))


@dataclass(frozen=True, slots=True)
class _Bare:
    """A packet that is its fixed header and nothing else."""

    TYPE: ClassVar[int]
    CLAUSE: ClassVar[str] = "MQTT-2.2.2-2"

    def to_bytes(self) -> bytes:
        return bytes((self.TYPE << 4, 0))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        name = cls.__name__.upper()
        _no_flags(name, flags, clause=cls.CLAUSE)
        Body(name, data).end()
        return cls()


class Pingreq(_Bare):
    """PINGREQ, 3.12."""

    __slots__ = ()
    TYPE = 12


class Pingresp(_Bare):
    """PINGRESP, 3.13."""

    __slots__ = ()
    TYPE = 13


class Disconnect(_Bare):
    """DISCONNECT, 3.14."""

    __slots__ = ()
    TYPE = 14
    CLAUSE = "MQTT-3.14.1-1"


Packet = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
)

DECODERS: dict[int, Callable[[int, bytes], Packet]] = {
    kind.TYPE: kind.from_bytes
    for kind in (
        Connect,
        Connack,
        Publish,
        Puback,
        Pubrec,
        Pubrel,
        Pubcomp,
        Subscribe,
        Suback,
        Unsubscribe,
        Unsuback,
        Pingreq,
        Pingresp,
        Disconnect,
    )
}
"""What a Reader of this version decodes with, by packet type (2.2.1); 0 and 15 are forbidden."""
