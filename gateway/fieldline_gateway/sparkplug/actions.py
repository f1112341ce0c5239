"""What the edge node asks its driver to do, as values, in the order in which it is to be done.

Rules: nothing here does anything. A driver carries out a list of actions from first to last before it hands
in the next event; docs/sparkplug.md says what each needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldline_gateway.records import Position
from fieldline_gateway.sparkplug.datatypes import Value


@dataclass(frozen=True, slots=True)
class SaveBdSeq:
    """Keep this number where a restart finds it, before anything that follows is done."""

    bd_seq: int


@dataclass(frozen=True, slots=True)
class Publish:
    """An MQTT PUBLISH."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """An MQTT CONNECT with this Will. Clean Session true; with MQTT 5 Clean Start and Session Expiry 0."""

    will: Publish
    clean_start: bool = True
    session_expiry_s: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    """An MQTT SUBSCRIBE: (topic filter, QoS). Its SUBACK comes back as EdgeNode.subscribed."""

    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """An MQTT UNSUBSCRIBE."""

    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """An MQTT PINGREQ now. Its PINGRESP comes back as EdgeNode.pong."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Send what stands before this, then an MQTT DISCONNECT, then close; then EdgeNode.lost."""

    why: str
    next_server: bool = False
    """Connect to the next server of the list, not to this one again."""
    reason_code: int = 0x04
    """MQTT 5 only: Disconnect with Will Message (section 6.4.25, publisher-disconnect-mqtt50)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Move the sink's cursor: Reader.commit."""

    position: Position


@dataclass(frozen=True, slots=True)
class Rewind:
    """Reader.rewind; throw away what was read and not handed in."""


@dataclass(frozen=True, slots=True)
class DeviceCommand:
    """A host wrote to a control of a device; what comes of it goes out with the node's Result."""

    node: bytes
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class SaveCatalogue:
    """EdgeNode.catalogue() has changed: keep it, so that the next start knows all metrics at once."""


Action = (
    SaveBdSeq
    | Publish
    | Connect
    | Subscribe
    | Unsubscribe
    | Ping
    | Disconnect
    | Commit
    | Rewind
    | DeviceCommand
    | SaveCatalogue
)
