"""What a server says of itself in its CONNACK, and what its refusals mean to a person.

Rules: values and words, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from fieldline_gateway.mqtt.codec import reasons, v5, v311
from fieldline_gateway.mqtt.codec.properties import NONE, Properties

T = TypeVar("T")

NO_LIMIT = 65_535
"""Receive Maximum of a server that names none (5.0: 3.2.2.3.3), and of 3.1.1."""


@dataclass(frozen=True, slots=True)
class Server:
    """The terms of a connection. What 3.1.1 cannot say is as 5.0 has it where nothing is said."""

    level: int
    """5, or 4 for 3.1.1."""
    code: int
    """The reason code; 0 is yes."""
    session_present: bool
    client_id: str
    """Ours, or what the server gave us instead of none."""
    keep_alive: int
    """Seconds."""
    session_expiry: int
    """Seconds."""
    receive_maximum: int
    topic_alias_maximum: int
    maximum_qos: int
    maximum_packet_size: int | None
    """Bytes; None is no bound."""
    retain_available: bool
    properties: Properties
    """All that the server said."""


_CODES_311 = {
    v311.ACCEPTED: reasons.SUCCESS,
    v311.BAD_VERSION: reasons.UNSUPPORTED_VERSION,
    v311.BAD_CLIENT_ID: reasons.BAD_CLIENT_ID,
    v311.UNAVAILABLE: reasons.UNAVAILABLE,
    v311.BAD_CREDENTIALS: reasons.BAD_CREDENTIALS,
    v311.NOT_AUTHORISED: reasons.NOT_AUTHORISED,
}


def server_of(connect: v311.Connect | v5.Connect, packet: v311.Connack | v5.Connack) -> Server:
    """The terms that a CONNACK sets."""
    found = packet.properties if isinstance(packet, v5.Connack) else NONE
    asked = connect.properties.session_expiry if isinstance(connect, v5.Connect) else None
    code = packet.code if isinstance(packet, v5.Connack) else _CODES_311.get(packet.code, packet.code)
    if not code and found.maximum_qos == 0:
        code = reasons.QOS_NOT_SUPPORTED  # nothing can be proved delivered to such a server
    return Server(
        level=5 if isinstance(packet, v5.Connack) else 4,
        code=code,
        session_present=packet.session_present,
        client_id=_or(found.assigned_client_id, connect.client_id),
        keep_alive=_or(found.server_keep_alive, connect.keep_alive),
        session_expiry=_or(found.session_expiry, asked or 0),
        receive_maximum=_or(found.receive_maximum, NO_LIMIT),
        topic_alias_maximum=_or(found.topic_alias_maximum, 0),
        maximum_qos=2 if found.maximum_qos is None else found.maximum_qos,
        maximum_packet_size=found.maximum_packet_size,
        retain_available=found.retain_available is not False,
        properties=found,
    )


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


_ADVICE = {
    reasons.UNSUPPORTED_VERSION: "it does not speak MQTT 3.1.1; use a broker that does",
    reasons.BAD_CLIENT_ID: "it does not accept the client identifier {client!r}; choose another client_id",
    reasons.UNAVAILABLE: "it is not available now; see the broker's log",
    reasons.BUSY: "it is busy; it will be tried again",
    reasons.SHUTTING_DOWN: "it is shutting down; it will be tried again",
    reasons.BAD_CREDENTIALS: "user name or password is wrong; correct username and password",
    reasons.NOT_AUTHORISED: "this client is not allowed; check username, password and the broker's access list",
    reasons.BANNED: "this client is banned; ask who runs the broker",
    reasons.SESSION_TAKEN_OVER: "another client uses the client identifier {client!r}; "
    "give each gateway a client_id of its own",
    reasons.QUOTA_EXCEEDED: "a quota is exceeded; ask who runs the broker",
    reasons.PACKET_TOO_LARGE: "a packet was larger than it takes; raise its limit",
    reasons.QOS_NOT_SUPPORTED: "it does not take QoS 1, so nothing can be proved delivered; use a broker that does",
    reasons.USE_ANOTHER_SERVER: "it asks to use another server for now: {reference}",
    reasons.SERVER_MOVED: "the server has moved to {reference}; correct its url",
}


def refusal(code: int, found: Properties, client: str, what: str) -> str:
    """What a refusal means and what to do, for a person. what: "refused the connection" or the like."""
    advice = _ADVICE.get(code, reasons.name(code) + "; see the broker's log")
    reference = found.server_reference or "an address that it does not name"
    said = f' (it says "{found.reason_string}")' if found.reason_string else ""
    return f"the broker {what}: {advice.format(client=client, reference=reference)}{said}"
