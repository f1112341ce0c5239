"""How an edge node is configured.

Rules: checked when it is made; each time and bound has its unit and the reason for its default here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fieldline_gateway.sparkplug.errors import UsageError
from fieldline_gateway.sparkplug.topics import Topics, state_topic

MIN_PAYLOAD = 2048
"""Bytes; one metric must always fit: the largest is a log line of 200 bytes with its properties."""

MIN_WINDOW = 8


class Confirm(Enum):
    """How the server shows that it has taken what was sent (docs/sparkplug.md, clause 5.3)."""

    ECHO = "echo"  # our own NDATA comes back by a subscription
    PING = "ping"  # PINGRESP


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """One edge node."""

    group: str
    edge: str
    primary_host: str | None = None
    """Id of the host without which nothing is sent."""
    servers: int = 1
    """How many servers the driver can connect to."""
    software: str = "Fieldline"
    confirm: Confirm = Confirm.ECHO
    settle_ms: int = 60_000
    """How long data waits for bad news before its cursor moves. The server knows of a host's death after 1.5
    times the host's keep-alive (30 s is common); a host waits a few seconds more for a missing seq."""
    mark_ms: int = 1_000
    confirm_ms: int = 30_000
    """A server that confirms nothing for so long is given up: a satellite link answers in 2 s."""
    window: int = 400
    """Messages on their way and not confirmed."""
    host_wait_ms: int = 10_000
    """With several servers: how long to wait on one for any STATE message; a retained one comes at once."""
    fresh_ms: int = 60_000
    """A reading that waited longer at the gateway is historical."""
    linger_ms: int = 10_000
    """A silent device whose backlog was sent is declared dead again after so long."""
    max_payload: int = 65_536
    """Bytes of an NDATA or DDATA; a birth cannot be divided and may be larger."""
    max_metrics: int = 500

    def __post_init__(self) -> None:
        Topics(self.group, self.edge)
        if self.primary_host is not None:
            state_topic(self.primary_host)
        for name, value, least in (
            ("servers", self.servers, 1),
            ("settle_ms", self.settle_ms, 0),
            ("mark_ms", self.mark_ms, 1),
            ("confirm_ms", self.confirm_ms, 1),
            ("host_wait_ms", self.host_wait_ms, 1),
            ("window", self.window, MIN_WINDOW),
            ("fresh_ms", self.fresh_ms, 0),
            ("linger_ms", self.linger_ms, 0),
            ("max_payload", self.max_payload, MIN_PAYLOAD),
            ("max_metrics", self.max_metrics, 1),
        ):
            if value < least:
                raise UsageError(f"sparkplug {name} is {value}, must be {least} or more")
