"""The data types of the standard (sections 1.5, 2.2, 2.3): what packets are made of.

Rules: a Body never reads past its end and says which clause was broken; encoders check ranges before they
pack.
"""

from __future__ import annotations

from fieldline_gateway.mqtt.errors import ProtocolError, UsageError

MAX_REMAINING = 268_435_455
"""Largest remaining length: four bytes of seven bits (section 2.2.3)."""

MAX_FIELD = 65_535
"""Largest string or binary field: its length is two bytes (section 1.5.3)."""

MAX_PACKET_ID = 65_535

PUBLISH_IDS = 65_000
"""Packet identifiers up to here are for runs of PUBLISH; those above for SUBSCRIBE and UNSUBSCRIBE, so that
the two never meet [MQTT-2.3.1-2]."""

PROTOCOL_NAME = "MQTT"  # 3.1.2.1 of both versions

MALFORMED = "MQTT-4.8.0-1"
"""Clause of violations that have no number of their own: close the connection."""


def remaining_length(length: int) -> bytes:
    """Remaining length as 1 to 4 bytes (section 2.2.3)."""
    if length > MAX_REMAINING:
        raise UsageError(f"a packet of {length} bytes is larger than MQTT can say ({MAX_REMAINING})")
    out = bytearray()
    while True:
        length, low = length >> 7, length & 0x7F
        if not length:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def packet(first: int, *parts: bytes) -> bytes:
    """A whole packet: type and flags byte, remaining length, parts."""
    body = b"".join(parts)
    return b"%c%b%b" % (first, remaining_length(len(body)), body)


def binary(value: bytes) -> bytes:
    """Two bytes of length, then the bytes."""
    if len(value) > MAX_FIELD:
        raise UsageError(f"a field of {len(value)} bytes is larger than {MAX_FIELD}")
    return len(value).to_bytes(2, "big") + value


def text(value: str) -> bytes:
    """A UTF-8 string (section 1.5.3)."""
    if "\0" in value:
        raise UsageError("a string must not hold U+0000 [MQTT-1.5.3-2]")
    try:
        return binary(value.encode())
    except UnicodeEncodeError:
        raise UsageError("a string must not hold surrogates [MQTT-1.5.3-1]") from None


def packet_id(value: int) -> bytes:
    """A packet identifier, 1 to 65,535 [MQTT-2.3.1-1]."""
    if not 1 <= value <= MAX_PACKET_ID:
        raise UsageError(f"packet identifier {value} is not in 1..{MAX_PACKET_ID} [MQTT-2.3.1-1]")
    return value.to_bytes(2, "big")


def checked_qos(value: int) -> int:
    """A quality of service, 0 to 2."""
    if not 0 <= value <= 2:
        raise UsageError(f"QoS {value} is not 0, 1 or 2")
    return value


class Body:
    """The bytes after a fixed header, read from the front."""

    __slots__ = ("_at", "_data", "_name")

    ILL_FORMED = "MQTT-1.5.3-1"
    NULL = "MQTT-1.5.3-2"

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        at = self._at
        if at + size > len(self._data):
            raise ProtocolError(MALFORMED, f"{self._name} ends {at + size - len(self._data)} bytes early")
        self._at = at + size
        return self._data[at : at + size]

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self) -> int:
        """Two bytes, most significant first (section 1.5.2)."""
        return int.from_bytes(self.take(2), "big")

    def binary(self) -> bytes:
        return self.take(self.integer())

    def text(self) -> str:
        """A UTF-8 string; a byte order mark is a character like others [MQTT-1.5.3-3]."""
        raw = self.binary()
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            raise ProtocolError(self.ILL_FORMED, f"a string in {self._name} is not UTF-8") from None
        if "\0" in value:
            raise ProtocolError(self.NULL, f"a string in {self._name} holds U+0000")
        return value

    def packet_id(self) -> int:
        value = self.integer()
        if not value:
            raise ProtocolError("MQTT-2.3.1-1", f"packet identifier 0 in {self._name}")
        return value

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def end(self) -> None:
        """Nothing may follow."""
        if self.left:
            raise ProtocolError(MALFORMED, f"{self._name} has {self.left} bytes too many")
