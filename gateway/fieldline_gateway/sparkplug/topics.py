"""Sparkplug's names and topics (specification 3.0, section 4.1).

Rules: an id is checked once, when it is configured, so that no topic can come out malformed. Parsing never
raises: what is not a command to this edge node or its host's STATE is None.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from fieldline_gateway.sparkplug.errors import UsageError

NAMESPACE = "spBv1.0"
STATE = "STATE"

MAX_ID = 255
"""Longest id in bytes: a topic of three of them stays far below MQTT's 65,535, and ids travel with each
message."""

RESERVED = "+/#"
"""Section 4.1.2, 4.1.4, 4.1.5: not in an id."""


def check_id(what: str, value: str) -> str:
    """`value`, if it can be a Sparkplug id; else UsageError with `what` it is and what is wrong with it."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{what} {value!r} holds surrogates: give it as UTF-8") from None
    if not 1 <= size <= MAX_ID:
        raise UsageError(f"{what} has {size} bytes, must be 1 to {MAX_ID}")
    wrong = [char for char in value if char in RESERVED or unicodedata.category(char) == "Cc"]
    if wrong:
        raise UsageError(
            f"{what} {value!r} holds {wrong[0]!r}: leave out + / # and characters that cannot be seen"
        )
    return value


class Command(NamedTuple):
    """A command topic that is ours: `device` None for the edge node itself."""

    device: str | None


class Topics:
    """All topics of one edge node."""

    def __init__(self, group: str, edge: str) -> None:
        self.group = check_id("group id", group)
        self.edge = check_id("edge node id", edge)
        if group == STATE:
            raise UsageError("group id STATE would make host and edge topics the same: choose another")
        self.nbirth = self._node("NBIRTH")
        self.ndeath = self._node("NDEATH")
        self.ndata = self._node("NDATA")
        self.ncmd = self._node("NCMD")
        self._dcmd = self.device("DCMD", "")

    def _node(self, kind: str) -> str:
        return f"{NAMESPACE}/{self.group}/{kind}/{self.edge}"

    def device(self, kind: str, device: str) -> str:
        """Topic of a DBIRTH, DDATA, DDEATH or DCMD."""
        return f"{self._node(kind)}/{device}"

    def command(self, topic: str) -> Command | None:
        """Whom a command on `topic` is for; None where the topic is no command topic of ours."""
        if topic == self.ncmd:
            return Command(None)
        device = topic.removeprefix(self._dcmd)
        return None if device == topic or not device or "/" in device else Command(device)


def state_topic(host: str) -> str:
    """Where the host application of that id says whether it is online (section 4.2.3)."""
    return f"{NAMESPACE}/{STATE}/{check_id('host id', host)}"
