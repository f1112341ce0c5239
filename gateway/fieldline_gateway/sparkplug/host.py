"""What the primary host says of itself: STATE messages and which of them count (specification 3.0, sections
5.4, 5.5 and 6.4.27).

Rules: a message that is not what the specification describes is None, never an error. A timestamp is compared
with those of the same server only, because a host keeps one for each server; they outlive the connection.
"""

from __future__ import annotations

import json
from typing import NamedTuple

MAX_STATE = 1024
"""Largest STATE payload read, in bytes: two keys need about 50."""

MAX_TIMESTAMP = 1 << 53
"""JSON numbers are exact up to here, and no clock shows more milliseconds."""


class HostState(NamedTuple):
    """One STATE message."""

    online: bool
    timestamp: int
    """ms since 1970: of the host's CONNECT, or of its intentional end."""


def parse(payload: bytes) -> HostState | None:
    """The STATE message in `payload`, or None where it is none."""
    if len(payload) > MAX_STATE:
        return None
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    online, timestamp = found.get("online"), found.get("timestamp")
    if not isinstance(online, bool) or isinstance(timestamp, bool):
        return None
    if isinstance(timestamp, float) and timestamp.is_integer():
        timestamp = int(timestamp)
    if not isinstance(timestamp, int) or not 0 <= timestamp <= MAX_TIMESTAMP:
        return None
    return HostState(online, timestamp)


class HostGate:
    """Whether the primary host is online on the server that we are connected to."""

    def __init__(self) -> None:
        self.state: bool | None = None
        """None until this connection has brought a STATE message that counts."""
        self.renewed = False
        """The last STATE message that counted began a new session of a host that was online here before."""
        self.ignored = 0
        """STATE messages that did not count: malformed or stale."""
        self._server = ""
        self._last: dict[str, int] = {}
        self._last_online: dict[str, int] = {}

    def connected(self, server: str) -> None:
        """A new connection: what the host said on an earlier one is void, but its timestamps stay."""
        self.state = None
        self._server = server

    def offer(self, payload: bytes) -> bool:
        """Whether `payload` counts; then `state` is what it says.

        Online counts with a timestamp not below that of the last STATE message, offline with one not below
        that of the last online STATE message (section 5.4, phid-wait-timestamp and phid-offline).
        """
        said = parse(payload)
        last = self._last_online if said is not None and not said.online else self._last
        if said is None or said.timestamp < last.get(self._server, 0):
            self.ignored += 1
            return False
        before = self._last_online.get(self._server)
        self.renewed = bool(self.state and said.online and before is not None and said.timestamp > before)
        self.state = said.online
        self._last[self._server] = max(said.timestamp, self._last.get(self._server, 0))
        if said.online:
            self._last_online[self._server] = said.timestamp
        return True
