"""What can go wrong in MQTT, split by whose fault it is.

Rules: whatever a peer sends raises ProtocolError or nothing; UsageError is a fault of the program that calls;
errors of the operating system are wrapped once, in transport.py and listener.py, and each text says what to
do next.
"""

from __future__ import annotations

from fieldline_gateway.errors import GatewayError

MALFORMED_PACKET = 0x81  # reason codes of MQTT 5.0 (2.4)
UNSUPPORTED_VERSION = 0x84


class MqttError(GatewayError):
    """Base of all errors of this package."""


class UsageError(MqttError):
    """The caller asked for something that MQTT cannot say."""


class ProtocolError(MqttError):
    """The peer broke the standard: the connection is to be closed [MQTT-4.8.0-1], (5.0: 4.13.1)."""

    def __init__(self, clause: str, message: str, code: int = MALFORMED_PACKET) -> None:
        super().__init__(f"[{clause}] {message}")
        self.clause = clause
        self.code = code
        """The reason code with which MQTT 5.0 says it to the peer."""


class UnsupportedVersion(ProtocolError):
    """A CONNECT of another protocol level: a server answers it with return code 1 [MQTT-3.1.2-2]."""

    def __init__(self, clause: str, message: str) -> None:
        super().__init__(clause, message, UNSUPPORTED_VERSION)


class Refused(MqttError):
    """The server said no; the text says what to do."""

    def __init__(self, code: int, message: str, reference: str = "") -> None:
        super().__init__(message)
        self.code = code
        """Reason code of MQTT 5.0; a return code of 3.1.1 is given as the reason code of its meaning."""
        self.reference = reference
        """Where the server sends its clients (5.0: 4.11), or empty."""


class ConnectRefused(Refused):
    """The server said no in its CONNACK."""


class Disconnected(Refused):
    """The server ended a connection with DISCONNECT and a reason (5.0: 3.14)."""


class ConnectionLost(MqttError):
    """There is no connection, or no more; the text says why and what to look at."""
