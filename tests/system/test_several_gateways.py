"""Several gateways on one broker, or on a cluster that loses a node, hear the same nodes; one of them is destroyed
and replaced by an empty one.

Rules: nodes are simulated and talk to whoever hears them, as on radio: each frame reaches each gateway or not, by a
seeded source of losses, and so do the answers. Gateways are real processes on a disk that forgets; the judge is a
stock subscriber behind Dedup.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_harness.clusters import Cluster, ClusterMissing, NatsCluster
from fieldline_harness.dedup import Dedup
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.line import Line
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.soak import BROKER, LOSSY, SoakNode
from fieldline_harness.subscriber import Subscriber
from fieldline_wire.errors import PeerError
from fieldline_wire.seal import peek
from fieldline_wire.serial import DELIMITER, Reader

SEED = 20_261_130
LOSS = 0.1
MOST_S = 240.0


class Ear:
    """A gateway and what it hears."""

    def __init__(self, folder: Path, name: str, brokers: list[int], air: Air) -> None:
        urls = ", ".join(f'"mqtt://127.0.0.1:{port}"' for port in brokers)
        self._air, self._reader = air, Reader()
        self.line = Line(folder / name / "ttyAIR", self._said)
        self.gateway = GatewayProcess(
            folder / name,
            f'[gateway]\nname = "{name}"\n[serial]\nports = ["{self.line.path}"]\n'
            f'[[sink]]\nkind = "json"\nurls = [{urls}]\nprogress_timeout_s = 5\n',
            command=LOSSY,
        )
        self.gateway.enroll({node.id: node.key for node in air.nodes.values()})

    def _said(self, data: bytes) -> None:
        for _, sealed in self._reader.feed(data):
            self._air.answer(sealed)


class Air:
    """The nodes, and the way between them and all ears."""

    def __init__(self, nodes: int) -> None:
        self.random = Random(SEED)
        self.nodes = {node.id: node for node in (SoakNode(i, self.random) for i in range(1, nodes + 1))}
        self.ears: list[Ear] = []
        self.quiet = False

    def answer(self, sealed: bytes) -> None:
        with suppress(PeerError):
            node = self.nodes.get(peek(sealed).node)
            if node is not None and self.random.random() >= LOSS:
                node.hear(int(time.monotonic() * 1000), sealed)

    async def live(self) -> None:
        while True:
            for node in self.nodes.values():
                if not self.quiet and self.random.random() < 0.5:
                    node.give(1)
                said = node.step(int(time.monotonic() * 1000))
                for ear in self.ears:
                    if said and self.random.random() >= LOSS:
                        ear.line.offer(DELIMITER + said)
            await asyncio.sleep(0.02)

    async def acknowledged(self) -> None:
        async with asyncio.timeout(MOST_S):
            while not all(node.acknowledged for node in self.nodes.values()):
                await asyncio.sleep(0.05)


@pytest.mark.system
def test_one_gateway_of_two_is_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", BROKER) as broker:
        asyncio.run(one_of_two_is_replaced(tmp_path, [broker.port]))


@pytest.mark.system
@pytest.mark.timeout(480)
def test_the_same_on_a_cluster_of_brokers_that_loses_the_node_in_use(tmp_path: Path) -> None:
    try:
        cluster = NatsCluster(tmp_path / "cluster")
    except ClusterMissing as error:
        pytest.skip(str(error))
    with cluster:
        asyncio.run(one_of_two_is_replaced(tmp_path, cluster.ports, cluster))


async def one_of_two_is_replaced(tmp_path: Path, brokers: list[int], cluster: Cluster | None = None) -> None:
    """The gateways prefer the first of the brokers, the judge is at the last."""

    async with AsyncExitStack() as stack:
        judge = Subscriber(brokers[-1], ready_s=60)
        judge.connect()
        stack.enter_context(judge)
        air = Air(3)

        async def hears(name: str) -> Ear:
            ear = Ear(tmp_path, name, brokers, air)
            stack.enter_context(ear.line)
            await ear.gateway.start()
            stack.push_async_callback(ear.gateway.kill)
            await ear.gateway.until_runs(60)
            air.ears.append(ear)
            return ear

        async def more(count: int) -> None:
            wanted = judge.ledger.count()[0] + count
            async with asyncio.timeout(MOST_S):
                while judge.ledger.count()[0] < wanted:
                    await asyncio.sleep(0.05)

        first = await hears("a")
        await hears("b")
        living = asyncio.create_task(air.live())
        await more(150)
        # Settled at `a` and drained; then it is gone with its disk, and a new one begins with nothing.
        await first.gateway.stop()
        air.ears.remove(first)
        shutil.rmtree(first.gateway.data)
        await more(50)
        third = await hears("c")
        await more(150)
        if cluster is not None:
            cluster.kill(0)
            await more(100)
            cluster.start(0)
            await asyncio.to_thread(cluster.until_up, 0)
        await air.ears[0].gateway.kill()  # now `c` alone, while `b` is started again
        await more(50)
        await air.ears[0].gateway.start()
        await more(100)
        air.quiet = True
        await air.acknowledged()
        given = {(node.id.hex(), node.stream, "live"): node.given for node in air.nodes.values()}
        async with asyncio.timeout(MOST_S):
            while found := [f for f in judge.ledger.faults(given) if "out of order" not in f]:
                await asyncio.sleep(0.2)
        living.cancel()
        readings, repeats, in_gaps = judge.ledger.count()
        print(f"\n{readings} readings, {repeats} repeats removed, {in_gaps} in gaps")
        assert (found, in_gaps) == ([], 0)
        assert repeats, "both gateways were heard"  # how often says how busy the machine was
        assert readings == sum(given.values())
        status = await third.gateway.status()
        assert status["nodes"] and not status["refused"].get("clone")


@given(st.lists(st.integers(1, 40), max_size=200))
def test_dedup_is_a_set_of_what_came(numbers: list[int]) -> None:
    dedup, seen = Dedup(), set()
    for number in numbers:
        message = json.loads(json.dumps({"node": "n", "stream": 1, "class": "live", "number": number}))
        assert dedup.is_new(message) == (number not in seen)
        seen.add(number)
    assert dedup.repeats == len(numbers) - len(seen) and dedup.is_new({"node": "n", "log": "x"})
