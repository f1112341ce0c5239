"""The properties of MQTT 5.0 (section 2.2.2): which there are, of which type, in which packets, how often.

Rules: one table says it all; encoder and decoder read it. What stands where it may not is a malformed packet
(2.2.2.2), what stands twice or out of range a protocol error. An absent property is None, or () where it may
stand many times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fieldline_gateway.mqtt.codec import fields, reasons
from fieldline_gateway.mqtt.errors import ProtocolError, UsageError

# Where a property may stand: packet types (2.1.2), and the will, which has its own (3.1.3.2).
WILL: Final = 0
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(
    1, 12
)
DISCONNECT, AUTH = 14, 15
_ACKS = (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK)
_ALL = (WILL, CONNECT, CONNACK, PUBLISH, *_ACKS, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH)

MAX_USER_PROPERTIES = 1_000
"""In one packet; the standard has no bound. A thousand is far more than anybody writes."""


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties of a packet; None or () is absent. Which may stand where: table 2-4."""

    payload_format: bool | None = None
    """The payload is UTF-8 text."""
    message_expiry: int | None = None
    """Seconds."""
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry: int | None = None
    """Seconds; 0xFFFFFFFF is for ever (3.1.2.11.2)."""
    assigned_client_id: str | None = None
    server_keep_alive: int | None = None
    """Seconds."""
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem: bool | None = None
    will_delay: int | None = None
    """Seconds."""
    request_response: bool | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    user: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    """Bytes."""
    wildcard_available: bool | None = None
    identifiers_available: bool | None = None
    shared_available: bool | None = None


NONE = Properties()
FOR_EVER = 0xFFFF_FFFF
"""A session expiry that never comes (3.1.2.11.2)."""


class Body(fields.Body):
    """The bytes of a packet of MQTT 5.0 after its fixed header."""

    __slots__ = ()
    ILL_FORMED = "MQTT-1.5.4-1"
    NULL = "MQTT-1.5.4-2"

    def boolean(self) -> bool:
        value = self.byte()
        if value > 1:
            raise ProtocolError("2.2.2.2", f"a property of {self._name} is {value}, not 0 or 1", _ERROR)
        return bool(value)

    def long(self) -> int:
        """Four bytes, most significant first (1.5.3)."""
        return int.from_bytes(self.take(4), "big")

    def varint(self) -> int:
        """A variable byte integer in as few bytes as can be (1.5.5)."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise ProtocolError("1.5.5", f"an integer in {self._name} has more than four bytes")
        if shift and not byte:
            raise ProtocolError("MQTT-1.5.5-1", f"an integer in {self._name} has bytes too many")
        return value

    def pair(self) -> tuple[str, str]:
        """A name and a value (1.5.7)."""
        return self.text(), self.text()

    def properties(self, where: int) -> Properties:
        """Property length and properties (2.2.2) of packet type `where`."""
        length = self.varint()
        if not length:
            return NONE
        if length > self.left:
            raise ProtocolError("2.2.2.1", f"the properties of {self._name} end after it")
        end = self.left - length
        found: dict[str, Any] = {}
        lists: dict[str, list[Any]] = {}
        known = _BY_CODE[where]
        while self.left > end:
            code = self.varint()
            entry = known.get(code)
            if entry is None:
                raise ProtocolError("2.2.2.2", f"property {code:#04x} does not belong into {self._name}")
            value = entry.read(self)
            if fault := entry.fault(value):
                raise ProtocolError(entry.section, f"{self._name}: {entry.field} {fault}", _ERROR)
            if (entry.many and where != SUBSCRIBE) or entry.field == "user":
                values = lists.setdefault(entry.field, [])
                values.append(value)
                if len(values) > MAX_USER_PROPERTIES:
                    text = f"{self._name} has more than {MAX_USER_PROPERTIES} properties of one kind"
                    raise ProtocolError("2.2.2.2", text, reasons.PACKET_TOO_LARGE)
            elif entry.field in found:
                raise ProtocolError(entry.section, f"{self._name} has {entry.field} twice", _ERROR)
            else:
                found[entry.field] = (value,) if entry.many else value
        if self.left < end:
            raise ProtocolError("2.2.2.1", f"a property of {self._name} ends after their length")
        if "authentication_data" in found and "authentication_method" not in found:
            text = f"{self._name} has authentication data without a method"
            raise ProtocolError("3.1.2.11.10", text, _ERROR)
        for field, values in lists.items():
            found[field] = tuple(values)
        return Properties(**found)


_ERROR = reasons.PROTOCOL_ERROR


def encode(properties: Properties, where: int) -> bytes:
    """Property length and properties; UsageError where one does not belong into packet type `where`."""
    if properties is NONE:
        return b"\0"
    block = encode_block(properties, where)
    return fields.remaining_length(len(block)) + block


def encode_block(properties: Properties, where: int) -> bytes:
    """Properties without their length."""
    parts: list[bytes] = []
    here = _BY_CODE[where]
    for entry in _TABLE:
        value = getattr(properties, entry.field)
        if value is None or value == ():
            continue
        if entry.code not in here:
            raise UsageError(f"property {entry.field} does not belong into this packet (MQTT 5.0, 2.2.2.2)")
        for one in value if entry.many else (value,):
            if fault := entry.fault(one):
                raise UsageError(f"property {entry.field} {fault} (MQTT 5.0, {entry.section})")
            parts += bytes((entry.code,)), entry.write(one)
    if properties.authentication_data is not None and properties.authentication_method is None:
        raise UsageError("authentication data needs a method (MQTT 5.0, 3.1.2.11.10)")
    return b"".join(parts)


def encode_message(
    *,
    message_expiry: int | None = None,
    user: Iterable[tuple[str, str]] = (),
    content_type: str | None = None,
) -> bytes:
    """Properties of a PUBLISH without their length, as window.Message holds them. message_expiry in s."""
    found = Properties(message_expiry=message_expiry, user=tuple(user), content_type=content_type)
    return encode_block(found, PUBLISH)


def encode_user(pairs: Iterable[tuple[str, str]]) -> bytes:
    """User properties alone, without length: blocks of properties can be joined."""
    return b"".join(b"\x26" + fields.text(name) + fields.text(value) for name, value in pairs)


class _Entry(NamedTuple):
    code: int
    field: str
    read: Callable[[Body], Any]
    write: Callable[[Any], bytes]
    where: tuple[int, ...]
    section: str
    low: int = 0
    high: int | None = None
    many: bool = False

    def fault(self, value: Any) -> str:
        """What is wrong with a value, "" where nothing is."""
        if self.high is not None and not self.low <= value <= self.high:
            return f"is {value}, not in {self.low}..{self.high}"
        if self.field == "response_topic" and (not value or "+" in value or "#" in value):
            return "is not a topic name"
        return ""


def _flag(code: int, field: str, where: tuple[int, ...], section: str) -> _Entry:
    return _Entry(code, field, Body.boolean, lambda value: b"\1" if value else b"\0", where, section)


def _byte(code: int, field: str, where: tuple[int, ...], section: str, high: int) -> _Entry:
    return _Entry(code, field, Body.byte, lambda value: bytes((value,)), where, section, 0, high)


def _two(code: int, field: str, where: tuple[int, ...], section: str, low: int = 0) -> _Entry:
    return _Entry(code, field, Body.integer, lambda v: v.to_bytes(2, "big"), where, section, low, 0xFFFF)


def _four(code: int, field: str, where: tuple[int, ...], section: str, low: int = 0) -> _Entry:
    return _Entry(code, field, Body.long, lambda v: v.to_bytes(4, "big"), where, section, low, 0xFFFF_FFFF)


def _text(code: int, field: str, where: tuple[int, ...], section: str) -> _Entry:
    return _Entry(code, field, Body.text, fields.text, where, section)


def _data(code: int, field: str, where: tuple[int, ...], section: str) -> _Entry:
    return _Entry(code, field, Body.binary, fields.binary, where, section)


def _write_pair(pair: tuple[str, str]) -> bytes:
    return fields.text(pair[0]) + fields.text(pair[1])


_IDENTIFIER = _Entry(
    0x0B,
    "subscription_identifiers",
    Body.varint,
    fields.remaining_length,
    (PUBLISH, SUBSCRIBE),
    "3.8.2.1.2",
    1,
    fields.MAX_REMAINING,
    many=True,
)

# Table 2-4, with the section that describes each.
_TABLE: tuple[_Entry, ...] = (
    _flag(0x01, "payload_format", (PUBLISH, WILL), "3.3.2.3.2"),
    _four(0x02, "message_expiry", (PUBLISH, WILL), "3.3.2.3.3"),
    _text(0x03, "content_type", (PUBLISH, WILL), "3.3.2.3.9"),
    _text(0x08, "response_topic", (PUBLISH, WILL), "3.3.2.3.5"),
    _data(0x09, "correlation_data", (PUBLISH, WILL), "3.3.2.3.6"),
    _IDENTIFIER,
    _four(0x11, "session_expiry", (CONNECT, CONNACK, DISCONNECT), "3.1.2.11.2"),
    _text(0x12, "assigned_client_id", (CONNACK,), "3.2.2.3.7"),
    _two(0x13, "server_keep_alive", (CONNACK,), "3.2.2.3.14"),
    _text(0x15, "authentication_method", (CONNECT, CONNACK, AUTH), "3.1.2.11.9"),
    _data(0x16, "authentication_data", (CONNECT, CONNACK, AUTH), "3.1.2.11.10"),
    _flag(0x17, "request_problem", (CONNECT,), "3.1.2.11.7"),
    _four(0x18, "will_delay", (WILL,), "3.1.3.2.2"),
    _flag(0x19, "request_response", (CONNECT,), "3.1.2.11.6"),
    _text(0x1A, "response_information", (CONNACK,), "3.2.2.3.15"),
    _text(0x1C, "server_reference", (CONNACK, DISCONNECT), "3.2.2.3.16"),
    _text(0x1F, "reason_string", (CONNACK, *_ACKS, DISCONNECT, AUTH), "3.2.2.3.9"),
    _two(0x21, "receive_maximum", (CONNECT, CONNACK), "3.1.2.11.3", low=1),
    _two(0x22, "topic_alias_maximum", (CONNECT, CONNACK), "3.1.2.11.5"),
    _two(0x23, "topic_alias", (PUBLISH,), "3.3.2.3.4", low=1),
    _byte(0x24, "maximum_qos", (CONNACK,), "3.2.2.3.4", 1),
    _flag(0x25, "retain_available", (CONNACK,), "3.2.2.3.5"),
    _Entry(0x26, "user", Body.pair, _write_pair, _ALL, "3.1.2.11.8", many=True),
    _four(0x27, "maximum_packet_size", (CONNECT, CONNACK), "3.1.2.11.4", low=1),
    _flag(0x28, "wildcard_available", (CONNACK,), "3.2.2.3.11"),
    _flag(0x29, "identifiers_available", (CONNACK,), "3.2.2.3.12"),
    _flag(0x2A, "shared_available", (CONNACK,), "3.2.2.3.13"),
)

_BY_CODE: dict[int, dict[int, _Entry]] = {
    where: {entry.code: entry for entry in _TABLE if where in entry.where} for where in _ALL
}
