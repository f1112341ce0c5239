"""Asks other nodes' Configuration Servers: a question under the node's device key, its answer or none.

Rules: one question a node at a time, few at once, for they go over the air of all. Who is not heard has a queue of
its own, so that nobody who answers waits for it. A question that is not answered is said again; what comes late,
twice or to nothing is passed over. Forged answers fail at transport's MIC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fieldline_gateway.mesh.config_messages import Question
from fieldline_gateway.mesh.errors import ConfigurationError
from fieldline_gateway.mesh.station import WIDE_TTL, Station
from fieldline_wire.mesh.transport import NO_TTL, Access
from fieldline_wire.ports import Block

ANSWER_S = 6.0
"""From the question to its answer over five hops with lost segments on both ways."""
TRIES = 3
AT_ONCE, UNHEARD_AT_ONCE = 2, 1
"""Nodes that are asked at a time: of those that are heard, and of others, which are asked once and not in a row."""

KeyOf = Callable[[int], Block | None]


class ConfigClient:
    """`key_of(address)` gives the AES under a node's device key, None where it is no member."""

    def __init__(self, station: Station, key_of: KeyOf) -> None:
        self._station = station
        self._key_of = key_of
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._turn_unheard = asyncio.Semaphore(UNHEARD_AT_ONCE)
        self._open: dict[int, tuple[Question, asyncio.Future[bytes]]] = {}
        self.counts = dict.fromkeys(("asked", "again", "answered", "refused", "unanswered"), 0)
        node = station.node
        node.keys.remote = key_of
        node.remote = self._came

    async def ask(self, address: int, question: Question, heard: bool = True, wide: bool = False) -> bytes:
        """The answer's parameters, the setting being as wanted; ConfigurationError where it is not.

        `heard`: it was, not long ago; `wide`: at a TTL for a node whose place is not known.
        """
        async with self._turn if heard else self._turn_unheard:
            self.counts["asked"] += 1
            for number in range(TRIES if heard else 1):
                self.counts["again"] += number > 0
                try:
                    return await self._once(address, question, WIDE_TTL if wide or number else NO_TTL)
                except TimeoutError:
                    continue
            self.counts["unanswered"] += 1
            raise ConfigurationError(f"{question.name}: no answer")

    async def _once(self, address: int, question: Question, ttl: int) -> bytes:
        key = self._key_of(address)
        if key is None or not self._station.open:
            raise ConfigurationError("no way into the mesh is open" if key else "it is no member any more")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[address] = (question, answer)
        flight = _Flight()
        node = self._station.node
        subnet, ours = node.network.subnets[0], node.settings.address
        try:
            self._station.work(node.transport.send, subnet, ours, address, key, question.payload, ttl, flight)
            async with asyncio.timeout(ANSWER_S):
                return await answer
        finally:
            del self._open[address]
            self._station.work(node.transport.cancel, flight)

    def _came(self, now: int, message: Access) -> None:
        asked = self._open.get(message.src)
        if asked is None:
            return
        question, answer = asked
        size = len(question.answer)
        if answer.done() or message.payload[:size] != question.answer:
            return
        verdict = question.judge(message.payload[size:])
        if verdict is None:
            return
        if verdict:
            self.counts["refused"] += 1
            answer.set_exception(ConfigurationError(f"{question.name}: {verdict}"))
        else:
            self.counts["answered"] += 1
            answer.set_result(message.payload[size:])


class _Flight:
    """Takes transport's word on a segmented question; the answer alone counts."""

    def sent(self, now: int, ok: bool) -> None: ...
