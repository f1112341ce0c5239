"""Work on a whole fleet at once: it takes turns with all else, a job shows how far it is, and can be stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.registry import Registry
from fieldline_gateway.slices import dumps, encoded_list, encoded_object
from fieldline_wire.messages import Command, Config, Result
from tests.fakes.gateway_node import KEY, FakeNode
from tests.gateway.fleet.conftest import World

NODES = 30_000
SPEAK = 50
"""So many of them are simulated to the byte; the others are known to have been heard, and never answer."""


class Fleet(World):
    """30,000 nodes on links; what goes down is taken in slices, as the gateway does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ms = 0
        self.nodes = [FakeNode(number) for number in range(1, SPEAK + 1)]
        others = [(0xF1EE << 48 | number).to_bytes(8, "big") for number in range(NODES - SPEAK)]
        self.registry = Registry(path)
        self.registry.open()
        ids = [*(node.id for node in self.nodes), *others]
        self.registry.enroll_all([(node, f"fan-{at}", 0, KEY) for at, node in enumerate(ids)], 1)
        self.turns = 0
        self.sent: list[Any] = []
        self.sent_at: list[int] = []
        self._begin()
        for state in self.ingest.states.values():
            state.link, state.epoch = "tty0", 1
        self._planned = False

    def flush(self) -> None:
        if self.ingest.orders and not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        self.ingest.orders.tell_some(Moment(self.utc_ms(), self.ms), 200)
        taken = self.ingest.downlinks.take()
        self.sent += taken
        self.sent_at += [self.turns] * bool(taken)
        self.flush()

    async def turning(self) -> None:
        """Counts the turns that everything else gets."""
        while True:
            await asyncio.sleep(0)
            self.turns += 1

    async def during(self, operation: str, **arguments: Any) -> tuple[Any, int]:
        """Result, and how many turns others had."""
        counting = asyncio.create_task(self.turning())
        before = self.turns
        try:
            told = await self.call(operation, **arguments)
            while self._planned:
                await asyncio.sleep(0)
            return told, self.turns - before
        finally:
            counting.cancel()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet") / "registry.db")
    yield made
    made.registry.close()


SLICES = NODES // 200 - 5
"""But for those at the ends."""


async def test_all_of_it_takes_turns_with_everything_else(fleet: Fleet) -> None:
    told, turns = await fleet.during(
        "twin.update", target="*", state={"desired": {"config": {"report_ms": 5000}}}
    )
    assert len(told["nodes"]) == NODES and turns >= 3 * SLICES, "chosen, changed, taken over: each in slices"
    assert len(fleet.sent) == NODES and len(fleet.sent_at) >= SLICES, "and sealed in slices"
    fleet.sent.clear()
    _, turns = await fleet.during("nodes.tag", target="*", add=["site:kiel"])
    assert turns >= 3 * SLICES
    _, turns = await fleet.during("nodes.list")
    assert turns >= 2 * SLICES
    fleet.ingest.reported = {node: Config(1, [(255, 2, 5000)], reported=True) for node in fleet.ingest.states}
    counting = asyncio.create_task(fleet.turning())
    before = fleet.turns
    await fleet.twins.keep_reported()
    counting.cancel()
    assert fleet.turns - before >= 3 * SLICES


async def test_a_job_for_all_has_progress_and_can_be_stopped_and_resumes_after_a_kill(fleet: Fleet) -> None:
    fleet.sent.clear()
    job, turns = await fleet.during("command.send", target="*", command="identify", once="all")
    assert (job["total"], job["waiting"]) == (NODES, NODES) and turns >= 2 * SLICES
    heard = {node.id: [m for m in node.hear(fleet.sent) if isinstance(m, Command)] for node in fleet.nodes}
    assert len(fleet.sent) == NODES and all(len(commands) == 1 for commands in heard.values())
    for node in fleet.nodes[:20]:
        fleet.hears(node.seal(Result(heard[node.id][0].id, 0).to_bytes()))
    fleet.checkpointed()
    told = await fleet.call("job.get", job=job["job"])
    assert (told["done"], told["waiting"]) == (20, NODES - 20)

    fleet.again()  # a kill
    assert (await fleet.call("command.send", target="*", command="identify", once="all"))["job"] == job["job"]
    for node in fleet.nodes[10:40]:
        fleet.hears(node.hello())
    await asyncio.sleep(0)
    fleet.sent.clear()
    fleet._flush()
    again = {node.id: [m for m in node.hear(fleet.sent) if isinstance(m, Command)] for node in fleet.nodes}
    assert all(not again[node.id] for node in fleet.nodes[:20]), "done is done"
    assert all([c.id for c in again[node.id]] == [heard[node.id][0].id] for node in fleet.nodes[20:40])

    stopped, turns = await fleet.during("job.stop", job=job["job"])
    assert (stopped["done"], stopped["cancelled"], stopped["waiting"]) == (20, NODES - 20, 0)
    assert stopped["told"] == 20 and turns >= SLICES
    fleet.sent.clear()
    for node in fleet.nodes[40:]:
        fleet.hears(node.hello())
    fleet._flush()
    assert not any(isinstance(m, Command) for node in fleet.nodes[40:] for m in node.hear(fleet.sent))
    late = fleet.nodes[30]
    fleet.hears(late.seal(Result(heard[late.id][0].id, 0).to_bytes()))
    fleet.checkpointed()
    assert (await fleet.call("job.get", job=job["job"]))["done"] == 21, "what a node did counts for more"


async def test_a_job_that_is_stopped_before_it_was_told_is_never_told(fleet: Fleet) -> None:
    for node in fleet.nodes:
        fleet.hears(node.hello())
    fleet._flush()
    fleet.sent.clear()
    fleet._planned = True  # nothing goes down for now
    job = await fleet.call("command.send", target="fan-*", command="ping")
    stopped = await fleet.call("job.stop", job=job["job"])
    assert (stopped["cancelled"], stopped["told"]) == (NODES, 0)
    fleet._flush()
    while fleet._planned:
        await asyncio.sleep(0)
    assert not any(isinstance(m, Command) for node in fleet.nodes for m in node.hear(fleet.sent))


async def test_a_job_for_all_expires(fleet: Fleet) -> None:
    job = await fleet.call("command.send", target="*", command="ping", ttl_s=5)
    fleet.ms += 5000
    counting = asyncio.create_task(fleet.turning())
    before = fleet.turns
    await fleet.commands.keep()
    counting.cancel()
    assert fleet.turns - before >= SLICES
    assert (await fleet.call("job.get", job=job["job"]))["expired"] == NODES


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"a": [], "b": {"c": list(range(1000))}},
        {"x": [{"ü": i} for i in range(401)]},
        "x",
        [[{"a": {f"n{i}": [i] for i in range(401)}}, 1], [2]],
        [[[[[[[1, {"a": 2}]]]]]]],
    ],
)
async def test_long_answers_are_the_same_json(value: Any) -> None:
    assert json.loads(await dumps(value)) == value


@pytest.mark.parametrize("count", [0, 1, 200, 201, 400])
async def test_what_is_encoded_already_is_taken_as_it_is(count: int) -> None:
    names = [f"n{i}" for i in range(count)]
    answer = {
        "nodes": await encoded_list(names, lambda name: {"name": name}),
        "sinks": [{"numbers": await encoded_object(names, lambda name: (name, [name]))}],
    }
    assert json.loads(await dumps(answer)) == {
        "nodes": [{"name": name} for name in names],
        "sinks": [{"numbers": {name: [name] for name in names}}],
    }
