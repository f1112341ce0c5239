"""The packets of MQTT 5.0 (chapter 3), one class each.

Rules: as in v311.py: `to_bytes` gives the whole packet, `from_bytes(flags, body)` raises ProtocolError with
the section and the reason code that says it to the peer. What a packet may hold is checked, not what may come
when. A reason code that table 2-6 does not allow in its packet is never written, but read as it is: from 0x80
on it is a failure in any case, and a connection that is dropped for a strange word in it would be dropped for
ever.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldline_gateway.mqtt.codec.v5.connecting import Auth, Connack, Connect, Disconnect, Will
from fieldline_gateway.mqtt.codec.v5.publishing import Puback, Pubcomp, Publish, Pubrec, Pubrel
from fieldline_gateway.mqtt.codec.v5.subscribing import (
    Filter,
    Pingreq,
    Pingresp,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)

PROTOCOL_LEVEL = 5  # 3.1.2.2

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
    | Auth
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
        Auth,
    )
}
"""What a Reader of this version decodes with, by packet type (2.1.2); 0 is forbidden."""

__all__ = [
    "DECODERS",
    "PROTOCOL_LEVEL",
    "Auth",
    "Connack",
    "Connect",
    "Disconnect",
    "Filter",
    "Packet",
    "Pingreq",
    "Pingresp",
    "Puback",
    "Pubcomp",
    "Publish",
    "Pubrec",
    "Pubrel",
    "Suback",
    "Subscribe",
    "Unsuback",
    "Unsubscribe",
    "Will",
]
