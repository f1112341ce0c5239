"""Packets of MQTT 5.0 that carry and acknowledge messages: PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from fieldline_gateway.mqtt.codec import fields, properties, reasons
from fieldline_gateway.mqtt.codec.properties import NONE, Body, Properties
from fieldline_gateway.mqtt.codec.v5.base import check_code, check_topic, no_flags
from fieldline_gateway.mqtt.errors import ProtocolError, UsageError


@dataclass(frozen=True, slots=True)
class Publish:
    """PUBLISH, 3.3."""

    TYPE: ClassVar[int] = 3

    topic: str
    """Empty where a topic alias stands for it (3.3.2.3.4)."""
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    """1 to 65,535 for QoS 1 and 2, 0 for QoS 0."""
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        if "+" in self.topic or "#" in self.topic:
            raise UsageError(f"{self.topic[:64]!r} is not a topic name [MQTT-3.3.2-2]")
        if not self.topic and self.properties.topic_alias is None:
            raise UsageError("an empty topic needs a topic alias (3.3.2.1)")
        if self.dup and not self.qos:
            raise UsageError("DUP needs QoS 1 or 2 [MQTT-3.3.1-2]")
        first = self.TYPE << 4 | self.dup << 3 | fields.checked_qos(self.qos) << 1 | self.retain
        ident = fields.packet_id(self.packet_id) if self.qos else b""
        block = properties.encode(self.properties, self.TYPE)
        return fields.packet(first, fields.text(self.topic), ident, block, self.payload)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        qos = flags >> 1 & 3
        if qos == 3:
            raise ProtocolError("MQTT-3.3.1-4", "PUBLISH with QoS 3")
        if flags & 0x08 and not qos:
            raise ProtocolError("MQTT-3.3.1-2", "PUBLISH with QoS 0 and DUP")
        body = Body("PUBLISH", data)
        topic = body.text()
        ident = body.packet_id() if qos else 0
        found = body.properties(cls.TYPE)
        if topic:
            check_topic(topic, "MQTT-3.3.2-2")
        elif found.topic_alias is None:
            raise ProtocolError("3.3.2.1", "an empty topic without an alias", reasons.PROTOCOL_ERROR)
        return cls(topic, body.rest(), qos, bool(flags & 1), bool(flags & 8), ident, found)


@dataclass(frozen=True, slots=True)
class _Ack:
    """A packet identifier, a reason code, properties; the last two left out where there is nothing to say."""

    TYPE: ClassVar[int]
    FLAGS: ClassVar[int] = 0
    CODES: ClassVar[frozenset[int]] = reasons.PUBACK_CODES

    packet_id: int
    code: int = reasons.SUCCESS
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        check_code(type(self).__name__.upper(), self.code, self.CODES)
        first = self.TYPE << 4 | self.FLAGS
        ident, block = fields.packet_id(self.packet_id), properties.encode(self.properties, self.TYPE)
        if len(block) > 1:
            return fields.packet(first, ident, bytes((self.code,)), block)
        return fields.packet(first, ident, bytes((self.code,)) if self.code else b"")

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        name = cls.__name__.upper()
        no_flags(name, flags, cls.FLAGS)
        body = Body(name, data)
        ident = body.packet_id()
        code = body.byte() if body.left else reasons.SUCCESS
        found = body.properties(cls.TYPE) if body.left else NONE
        body.end()
        return cls(ident, code, found)


class Puback(_Ack):
    """PUBACK, 3.4."""

    __slots__ = ()
    TYPE = 4


class Pubrec(_Ack):
    """PUBREC, 3.5."""

    __slots__ = ()
    TYPE = 5


class Pubrel(_Ack):
    """PUBREL, 3.6."""

    __slots__ = ()
    TYPE = 6
    FLAGS = 2
    CODES = reasons.PUBREL_CODES


class Pubcomp(_Ack):
    """PUBCOMP, 3.7."""

    __slots__ = ()
    TYPE = 7
    CODES = reasons.PUBREL_CODES
