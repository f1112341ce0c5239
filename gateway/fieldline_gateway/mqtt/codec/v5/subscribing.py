"""Packets of MQTT 5.0 for subscriptions, and the two that are a fixed header and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from fieldline_gateway.mqtt.codec import fields, properties, reasons
from fieldline_gateway.mqtt.codec.properties import NONE, Body, Properties
from fieldline_gateway.mqtt.codec.v5.base import check_code, no_flags
from fieldline_gateway.mqtt.errors import ProtocolError, UsageError

# Retain handling, 3.8.3.1.
SEND_RETAINED, SEND_RETAINED_IF_NEW, NO_RETAINED = range(3)

SHARED = "$share/"
"""Begins the topic filter of a shared subscription (4.8.2)."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A topic filter with its subscription options (3.8.3.1)."""

    topic: str
    qos: int = 0
    no_local: bool = False
    """Do not send me what I publish."""
    retain_as_published: bool = False
    retain_handling: int = SEND_RETAINED


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE, 3.8."""

    TYPE: ClassVar[int] = 8

    packet_id: int
    filters: tuple[Filter, ...]
    """At least one."""
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        if not self.filters:
            raise UsageError("SUBSCRIBE without a topic filter [MQTT-3.8.3-2]")
        if len(self.properties.subscription_identifiers) > 1:
            raise UsageError("SUBSCRIBE has one subscription identifier at most (3.8.2.1.2)")
        body = []
        for item in self.filters:
            if not 0 <= item.retain_handling <= NO_RETAINED:
                raise UsageError(f"retain handling {item.retain_handling} is not 0, 1 or 2 (3.8.3.1)")
            options = fields.checked_qos(item.qos) | item.no_local << 2 | item.retain_as_published << 3
            body.append(fields.text(item.topic) + bytes((options | item.retain_handling << 4,)))
        block = properties.encode(self.properties, self.TYPE)
        return fields.packet(self.TYPE << 4 | 2, fields.packet_id(self.packet_id), block, *body)

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        no_flags("SUBSCRIBE", flags, 2)
        body = Body("SUBSCRIBE", data)
        ident = body.packet_id()
        found = body.properties(cls.TYPE)
        filters = []
        while body.left:
            filters.append(_filter(body.text(), body.byte()))
        if not filters:
            text = "SUBSCRIBE without a topic filter"
            raise ProtocolError("MQTT-3.8.3-2", text, reasons.PROTOCOL_ERROR)
        return cls(ident, tuple(filters), found)


def _filter(topic: str, options: int) -> Filter:
    qos, handling = options & 3, options >> 4 & 3
    if options & 0xC0:
        raise ProtocolError("MQTT-3.8.3-5", f"reserved bits in subscription options {options:#x}")
    if qos == 3 or handling == 3:
        text = f"subscription options {options:#x} ask for QoS or retain handling 3"
        raise ProtocolError("3.8.3.1", text, reasons.PROTOCOL_ERROR)
    if options & 0x04 and topic.startswith(SHARED):
        text = "no local on a shared subscription"
        raise ProtocolError("MQTT-3.8.3-4", text, reasons.PROTOCOL_ERROR)
    return Filter(topic, qos, bool(options & 0x04), bool(options & 0x08), handling)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """UNSUBSCRIBE, 3.10."""

    TYPE: ClassVar[int] = 10

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        if not self.filters:
            raise UsageError("UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
        ident, block = fields.packet_id(self.packet_id), properties.encode(self.properties, self.TYPE)
        return fields.packet(self.TYPE << 4 | 2, ident, block, *map(fields.text, self.filters))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        no_flags("UNSUBSCRIBE", flags, 2)
        body = Body("UNSUBSCRIBE", data)
        ident = body.packet_id()
        found = body.properties(cls.TYPE)
        filters = []
        while body.left:
            filters.append(body.text())
        if not filters:
            text = "UNSUBSCRIBE without a topic filter"
            raise ProtocolError("MQTT-3.10.3-2", text, reasons.PROTOCOL_ERROR)
        return cls(ident, tuple(filters), found)


@dataclass(frozen=True, slots=True)
class _Codes:
    """A packet identifier, properties, and a reason code for each topic filter, in their order."""

    TYPE: ClassVar[int]
    CODES: ClassVar[frozenset[int]]

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = NONE

    def to_bytes(self) -> bytes:
        for code in self.codes:
            check_code(type(self).__name__.upper(), code, self.CODES)
        block = properties.encode(self.properties, self.TYPE)
        return fields.packet(self.TYPE << 4, fields.packet_id(self.packet_id), block, bytes(self.codes))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        name = cls.__name__.upper()
        no_flags(name, flags)
        body = Body(name, data)
        ident = body.packet_id()
        found = body.properties(cls.TYPE)
        return cls(ident, tuple(body.rest()), found)


class Suback(_Codes):
    """SUBACK, 3.9."""

    __slots__ = ()
    TYPE = 9
    CODES = reasons.SUBACK_CODES


class Unsuback(_Codes):
    """UNSUBACK, 3.11."""

    __slots__ = ()
    TYPE = 11
    CODES = reasons.UNSUBACK_CODES


@dataclass(frozen=True, slots=True)
class _Bare:
    TYPE: ClassVar[int]

    def to_bytes(self) -> bytes:
        return bytes((self.TYPE << 4, 0))

    @classmethod
    def from_bytes(cls, flags: int, data: bytes) -> Self:
        name = cls.__name__.upper()
        no_flags(name, flags)
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
