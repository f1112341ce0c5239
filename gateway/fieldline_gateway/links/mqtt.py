"""Nodes with Wi-Fi: sealed messages that they publish to the gateway's own listener are a link like any other.

A node publishes to node/up/ID (its id, 16 hexadecimal digits) and subscribes to node/down/ID; a payload is one
sealed message (docs/wire.md 3), whole. QoS 0 is enough: what says that a reading is on disk is the Ack of wire.md
5.10, and a PUBACK says nothing of the kind.

Rules: a link carries sealed messages and knows nothing of what is in them; the topic is a hint where to answer, and
the seal says who speaks. Whoever may publish to the listener may send rubbish here, which ingest counts. Nobody else
is given what nodes say: it is of use to whoever has their keys, and to no one besides.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable

from fieldline_gateway.mqtt.broker import Broker
from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.sessions import Session

ROOT = "node"
UP, DOWN = "up", "node/down/"
SCHEME = "mqtt:"
"""Before the last level of the topic it makes the name of the link."""
MAX_MESSAGE = 2048
"""A sealed message is no longer on any link (wire.md 4.2)."""
_NAME = re.compile(r"[0-9a-f]{16}")
MAX_LINKS = 1000
"""Links that are remembered for `status`, the last that spoke: ten times the clients that the listener takes."""

Receive = Callable[[str, bytes], None]
"""Takes the name of the link and a sealed message."""


class MqttLinks:
    """The links through one listener."""

    def __init__(self, broker: Broker, receive: Receive) -> None:
        self._broker = broker
        self._receive = receive
        self._links: OrderedDict[str, list[int]] = OrderedDict()
        self.refused = 0
        broker.taps[ROOT] = self._published

    def send(self, link: str, sealed: bytes) -> bool:
        """Publish one sealed message; False where the link is none of these or nobody listens at its other end."""
        if not link.startswith(SCHEME):
            return False
        topic = DOWN + link.removeprefix(SCHEME)
        try:
            code = self._broker.publish(topic, sealed, 0, False, asyncio.get_running_loop().time())
        except MqttError:
            return False
        if code != reasons.SUCCESS:
            return False
        if link in self._links:
            self._links[link][1] += 1
        return True

    def status(self) -> list[dict[str, object]]:
        """One entry for each link that spoke, as plain JSON values."""
        return [
            {"link": link, "open": True, "messages_in": came, "messages_out": went}
            for link, (came, went) in self._links.items()
        ]

    def _published(self, levels: list[str], sealed: bytes, _: Session | None) -> int | None:
        if len(levels) != 3 or levels[1] != UP:
            return None
        self._take(levels[2], sealed)
        return reasons.SUCCESS

    def _take(self, name: str, sealed: bytes) -> None:
        if not sealed or len(sealed) > MAX_MESSAGE or not _NAME.fullmatch(name):
            self.refused += 1
            return
        link = SCHEME + name
        counts = self._links.pop(link, [0, 0])
        counts[0] += 1
        self._links[link] = counts
        if len(self._links) > MAX_LINKS:
            self._links.popitem(last=False)
        self._receive(link, sealed)
