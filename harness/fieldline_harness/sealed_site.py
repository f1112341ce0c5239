"""Simulated nodes that send sealed reports into the gateway's rules: authentication and de-duplication in the path.

Rules: the whole way of a report: opened (AES-CCM), de-duplicated, stored, acknowledged, forwarded. A
report carries READINGS readings, each is published as a message of PAYLOAD_BYTES, as paho's are; so a seal and a
record serve READINGS messages. Sealing is done before the clock starts, for it is the nodes' work. One
report in REPEAT_EACH comes twice and must be refused. Acks are sealed; only the link is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.mqtt.codec import fields
from fieldline_gateway.mqtt.window import Message
from fieldline_gateway.records import KIND_REPORT, LIVE, Position, Record
from fieldline_gateway.registry import Node
from fieldline_gateway.store.store import Store
from fieldline_harness.fleet import READINGS, SimulatedNode
from fieldline_harness.turns import AHEAD, BATCH, PAYLOAD_BYTES, TURN_LIMIT_S, UNSAFE, Clock, Turn

Reached = Callable[[int], Awaitable[None]]

NODES = 100
REPEAT_EACH = 50


class NumberPayload:
    """PAYLOAD_BYTES for each reading of a report, as plain_record has them; nothing for what is no report."""

    def __init__(self) -> None:
        self._topic = fields.text("fieldline/bench/sealed/live")

    def forget(self) -> None:
        """It keeps nothing."""

    def messages(self, record: Record, late: bool = False) -> list[Message]:
        if record.kind != KIND_REPORT:
            return []
        rest = bytes(PAYLOAD_BYTES - 10)
        return [(self._topic, b"%010d" % n + rest, b"") for n in range(record.first, record.last + 1)]


class SealedSite:
    """Simulated nodes, and the gateway's ingest on a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ingest = Ingest(store, 1, 1)
        self._nodes = [SimulatedNode(number) for number in range(1, NODES + 1)]
        self._ingest.set_nodes(Node(n.id, f"fan-{n.id.hex()}", 0, n.key, 0, None) for n in self._nodes)
        store.on_durable.append(self._ingest.durable)
        for node in self._nodes:
            self._receive(node.seal(node.hello()))

    def _receive(self, sealed: bytes) -> None:
        self._ingest.receive(
            Moment(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000), "bench", sealed
        )

    async def turn(self, count: int, reached: Reached) -> Turn:
        """`count` messages; reached(seq) waits until the sink has delivered a record.

        RuntimeError where a report was stored twice or not at all, or no Ack made.
        """
        now_s = int(time.time())
        sealed = []
        for at in range(count // READINGS):
            node = self._nodes[at % NODES]
            sealed.append(node.seal(node.report(now_s)))
        repeats = 0
        refused_before = sum(self._ingest.refusals.counts.values())
        begin = self._store.durable(LIVE)
        clock = Clock()
        unsafe: list[Position] = []
        acks = 0
        step = BATCH // READINGS
        async with asyncio.timeout(TURN_LIMIT_S):
            for start in range(0, len(sealed), step):
                for at, message in enumerate(sealed[start : start + step], start):
                    self._receive(message)
                    if at % REPEAT_EACH == 0:
                        self._receive(message)
                        repeats += 1
                position = Position(LIVE, begin + min(start + step, len(sealed)))
                unsafe.append(position)
                if len(unsafe) * BATCH >= UNSAFE:
                    await self._store.wait_durable(unsafe.pop(0))
                acks += len(list(self._ingest.downlinks.take()))
                await reached(position.seq - AHEAD // READINGS)
            await reached(position.seq)
            acks += len(list(self._ingest.downlinks.take()))
        turn = clock.turn(len(sealed) * READINGS)
        stored = self._store.durable(LIVE) - begin
        refused = sum(self._ingest.refusals.counts.values()) - refused_before
        if stored != len(sealed) or not acks or refused != repeats:
            raise RuntimeError(
                f"{stored} of {len(sealed)} reports stored, {acks} Acks, {refused} of {repeats} repeats refused"
            )
        return turn
