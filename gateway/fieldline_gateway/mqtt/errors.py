"""What can go wrong in MQTT, split by whose fault it is.

Rules: whatever a peer sends raises ProtocolError or nothing; UsageError is a fault of the program that calls;
errors of the operating system are wrapped once, in client.py, and each text says what to do next.
"""

from __future__ import annotations

from fieldline_gateway.errors import GatewayError


class MqttError(GatewayError):
    """Base of all errors of this package."""


class UsageError(MqttError):
    """The caller asked for something that MQTT cannot say."""


class ProtocolError(MqttError):
    """The peer broke the standard: the connection is to be closed [MQTT-4.8.0-1]."""

    def __init__(self, clause: str, message: str) -> None:
        super().__init__(f"[{clause}] {message}")
        self.clause = clause


class UnsupportedVersion(ProtocolError):
    """A CONNECT of another protocol level: a server answers it with return code 1 [MQTT-3.1.2-2]."""


class ConnectRefused(MqttError):
    """The server said no in its CONNACK; the text says what to do."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectionLost(MqttError):
    """There is no connection, or no more; the text says why and what to look at."""
