"""What the packets of MQTT 5.0 check alike."""

from __future__ import annotations

from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.errors import ProtocolError, UsageError


def no_flags(name: str, flags: int, expected: int = 0) -> None:
    """The low four bits of the first byte are what the standard reserves (2.1.3)."""
    if flags != expected:
        raise ProtocolError("MQTT-2.1.3-1", f"{name} with flags {flags:#x}, {expected:#x} is reserved")


def check_code(name: str, code: int, allowed: frozenset[int]) -> None:
    """A reason code that a packet may hold (2.4)."""
    if code not in allowed:
        raise UsageError(f"{name} cannot say {reasons.name(code)} (MQTT 5.0, table 2-6)")


def check_topic(topic: str, section: str) -> None:
    """A topic name; ProtocolError where it is none (3.3.2.1, 4.7.3)."""
    if not topic:
        raise ProtocolError("MQTT-4.7.3-1", "an empty topic name", reasons.TOPIC_NAME_INVALID)
    if "+" in topic or "#" in topic:
        text = f"a wildcard in topic name {topic[:64]!r}"
        raise ProtocolError(section, text, reasons.TOPIC_NAME_INVALID)
