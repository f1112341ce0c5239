"""Reason codes of MQTT 5.0 (section 2.4, and 3.x.2.1 or 3.x.3 for the packets that may hold them).

Rules: numbers below 0x80 mean success. Words here are for people; nothing compares them.
"""

from __future__ import annotations

SUCCESS = 0x00  # also "normal disconnection" and "granted QoS 0"
GRANTED_QOS_1 = 0x01
GRANTED_QOS_2 = 0x02
DISCONNECT_WITH_WILL = 0x04
NO_MATCHING_SUBSCRIBERS = 0x10
NO_SUBSCRIPTION_EXISTED = 0x11
CONTINUE_AUTHENTICATION = 0x18
REAUTHENTICATE = 0x19
UNSPECIFIED = 0x80
MALFORMED_PACKET = 0x81
PROTOCOL_ERROR = 0x82
IMPLEMENTATION_SPECIFIC = 0x83
UNSUPPORTED_VERSION = 0x84
BAD_CLIENT_ID = 0x85
BAD_CREDENTIALS = 0x86
NOT_AUTHORISED = 0x87
UNAVAILABLE = 0x88
BUSY = 0x89
BANNED = 0x8A
SHUTTING_DOWN = 0x8B
BAD_AUTHENTICATION_METHOD = 0x8C
KEEP_ALIVE_TIMEOUT = 0x8D
SESSION_TAKEN_OVER = 0x8E
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = 0x90
PACKET_ID_IN_USE = 0x91
PACKET_ID_NOT_FOUND = 0x92
RECEIVE_MAXIMUM_EXCEEDED = 0x93
TOPIC_ALIAS_INVALID = 0x94
PACKET_TOO_LARGE = 0x95
MESSAGE_RATE_TOO_HIGH = 0x96
QUOTA_EXCEEDED = 0x97
ADMINISTRATIVE_ACTION = 0x98
PAYLOAD_FORMAT_INVALID = 0x99
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B
USE_ANOTHER_SERVER = 0x9C
SERVER_MOVED = 0x9D
SHARED_NOT_SUPPORTED = 0x9E
CONNECTION_RATE_EXCEEDED = 0x9F
MAXIMUM_CONNECT_TIME = 0xA0
IDENTIFIERS_NOT_SUPPORTED = 0xA1
WILDCARDS_NOT_SUPPORTED = 0xA2

_NAMES = {
    SUCCESS: "success",
    GRANTED_QOS_1: "granted QoS 1",
    GRANTED_QOS_2: "granted QoS 2",
    DISCONNECT_WITH_WILL: "disconnect with will message",
    NO_MATCHING_SUBSCRIBERS: "no matching subscribers",
    NO_SUBSCRIPTION_EXISTED: "no subscription existed",
    CONTINUE_AUTHENTICATION: "continue authentication",
    REAUTHENTICATE: "re-authenticate",
    UNSPECIFIED: "unspecified error",
    MALFORMED_PACKET: "malformed packet",
    PROTOCOL_ERROR: "protocol error",
    IMPLEMENTATION_SPECIFIC: "implementation specific error",
    UNSUPPORTED_VERSION: "unsupported protocol version",
    BAD_CLIENT_ID: "client identifier not valid",
    BAD_CREDENTIALS: "bad user name or password",
    NOT_AUTHORISED: "not authorized",
    UNAVAILABLE: "server unavailable",
    BUSY: "server busy",
    BANNED: "banned",
    SHUTTING_DOWN: "server shutting down",
    BAD_AUTHENTICATION_METHOD: "bad authentication method",
    KEEP_ALIVE_TIMEOUT: "keep alive timeout",
    SESSION_TAKEN_OVER: "session taken over",
    TOPIC_FILTER_INVALID: "topic filter invalid",
    TOPIC_NAME_INVALID: "topic name invalid",
    PACKET_ID_IN_USE: "packet identifier in use",
    PACKET_ID_NOT_FOUND: "packet identifier not found",
    RECEIVE_MAXIMUM_EXCEEDED: "receive maximum exceeded",
    TOPIC_ALIAS_INVALID: "topic alias invalid",
    PACKET_TOO_LARGE: "packet too large",
    MESSAGE_RATE_TOO_HIGH: "message rate too high",
    QUOTA_EXCEEDED: "quota exceeded",
    ADMINISTRATIVE_ACTION: "administrative action",
    PAYLOAD_FORMAT_INVALID: "payload format invalid",
    RETAIN_NOT_SUPPORTED: "retain not supported",
    QOS_NOT_SUPPORTED: "QoS not supported",
    USE_ANOTHER_SERVER: "use another server",
    SERVER_MOVED: "server moved",
    SHARED_NOT_SUPPORTED: "shared subscriptions not supported",
    CONNECTION_RATE_EXCEEDED: "connection rate exceeded",
    MAXIMUM_CONNECT_TIME: "maximum connect time",
    IDENTIFIERS_NOT_SUPPORTED: "subscription identifiers not supported",
    WILDCARDS_NOT_SUPPORTED: "wildcard subscriptions not supported",
}

# Which codes a packet may hold, by packet type (table 2-6).
CONNACK_CODES = frozenset(
    (
        SUCCESS,
        *range(UNSPECIFIED, BAD_AUTHENTICATION_METHOD + 1),
        TOPIC_NAME_INVALID,
        PACKET_TOO_LARGE,
        QUOTA_EXCEEDED,
        PAYLOAD_FORMAT_INVALID,
        RETAIN_NOT_SUPPORTED,
        QOS_NOT_SUPPORTED,
        USE_ANOTHER_SERVER,
        SERVER_MOVED,
        CONNECTION_RATE_EXCEEDED,
    )
) - {SHUTTING_DOWN}
PUBACK_CODES = frozenset(
    (
        SUCCESS,
        NO_MATCHING_SUBSCRIBERS,
        UNSPECIFIED,
        IMPLEMENTATION_SPECIFIC,
        NOT_AUTHORISED,
        TOPIC_NAME_INVALID,
        PACKET_ID_IN_USE,
        QUOTA_EXCEEDED,
        PAYLOAD_FORMAT_INVALID,
    )
)
PUBREL_CODES = frozenset((SUCCESS, PACKET_ID_NOT_FOUND))
SUBACK_CODES = frozenset(
    (
        SUCCESS,
        GRANTED_QOS_1,
        GRANTED_QOS_2,
        UNSPECIFIED,
        IMPLEMENTATION_SPECIFIC,
        NOT_AUTHORISED,
        TOPIC_FILTER_INVALID,
        PACKET_ID_IN_USE,
        QUOTA_EXCEEDED,
        SHARED_NOT_SUPPORTED,
        IDENTIFIERS_NOT_SUPPORTED,
        WILDCARDS_NOT_SUPPORTED,
    )
)
UNSUBACK_CODES = frozenset(
    (
        SUCCESS,
        NO_SUBSCRIPTION_EXISTED,
        UNSPECIFIED,
        IMPLEMENTATION_SPECIFIC,
        NOT_AUTHORISED,
        TOPIC_FILTER_INVALID,
        PACKET_ID_IN_USE,
    )
)
DISCONNECT_CODES = frozenset(
    (
        SUCCESS,
        DISCONNECT_WITH_WILL,
        UNSPECIFIED,
        MALFORMED_PACKET,
        PROTOCOL_ERROR,
        IMPLEMENTATION_SPECIFIC,
        NOT_AUTHORISED,
        BUSY,
        SHUTTING_DOWN,
        BAD_AUTHENTICATION_METHOD,
        KEEP_ALIVE_TIMEOUT,
        SESSION_TAKEN_OVER,
        TOPIC_FILTER_INVALID,
        TOPIC_NAME_INVALID,
        *range(RECEIVE_MAXIMUM_EXCEEDED, WILDCARDS_NOT_SUPPORTED + 1),
    )
)
AUTH_CODES = frozenset((SUCCESS, CONTINUE_AUTHENTICATION, REAUTHENTICATE))

PERMANENT = frozenset(
    (NOT_AUTHORISED, TOPIC_NAME_INVALID, PACKET_TOO_LARGE, PAYLOAD_FORMAT_INVALID, RETAIN_NOT_SUPPORTED)
)
"""A message that was refused so will be refused again: sending it once more helps nobody."""

MOVED = frozenset((USE_ANOTHER_SERVER, SERVER_MOVED))
"""The server sends its clients elsewhere (4.11)."""


def name(code: int) -> str:
    """The standard's words for a code."""
    return _NAMES.get(code, f"code {code} is unknown")
