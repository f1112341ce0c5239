"""Commands: in order, once in effect, over kills; too late, taken back, refused; to many, with a stop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.errors import UsageError
from fieldline_gateway.fleet.commands import MAX_WAITING, decode, encode
from fieldline_gateway.ingest.orders import RETRY_MS
from fieldline_wire.messages import Command, Result
from tests.fakes.gateway_node import FakeNode
from tests.gateway.fleet.conftest import World


def commands(world: World, node: FakeNode) -> list[Command]:
    return [message for message in world.down(node) if isinstance(message, Command)]


async def send(world: World, target: str = "fan-1", command: str = "ping", **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = await world.call("command.send", target=target, command=command, **more)
    return told


async def states(world: World, **which: Any) -> list[str]:
    """The oldest first."""
    return [each["state"] for each in (await world.call("command.list", **which))["commands"]][::-1]


async def test_one_at_a_time_in_order_each_until_it_is_answered(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    world.down(node)
    await send(world, command="identify", seconds=3)
    await send(world)
    assert await states(world) == ["sent", "queued"]
    (first,) = commands(world, node)
    assert (first.code, first.argument, first.ttl) == (3, b"\x03", 3600)
    world.hears(node.report(1))
    assert commands(world, node) == [], "it was told a moment ago"
    world.ms += RETRY_MS
    world.hears(node.report(2))
    assert [again.id for again in commands(world, node)] == [first.id]
    world.hears(node.seal(Result(first.id, 1).to_bytes()))
    assert await states(world) == ["in progress", "queued"]
    world.hears(node.seal(Result(first.id, 0).to_bytes()))
    (second,) = commands(world, node)
    assert second.code == 1 and second.id > first.id
    world.hears(node.seal(Result(second.id, 3, b"why").to_bytes()))
    world.checkpointed()
    told = (await world.call("command.list", node="fan-1"))["commands"]
    assert [(each["state"], each["reason"], each["result"]) for each in told] == [
        ("rejected", "bad argument", b"why".hex()),
        ("done", "", ""),
    ]


async def test_what_waits_survives_kills_and_keeps_its_id(world: World) -> None:
    node = world.nodes[0]
    await send(world)
    await send(world, command="restart")
    ids = []
    for _ in range(3):
        world.again()
        world.hears(node.hello())
        (told,) = commands(world, node)
        ids.append(told.id)
    assert len(set(ids)) == 1
    world.hears(node.seal(Result(ids[0], 0).to_bytes()))
    (told,) = commands(world, node)
    assert told.code == 2
    world.again()  # before the checkpoint: the node is asked again, by the same id, and answers what it kept
    world.hears(node.hello())
    assert [told.id for told in commands(world, node)] == ids[:1]


async def test_too_late_is_expired_and_not_sent(world: World) -> None:
    node = world.nodes[0]
    await send(world, ttl_s=5)
    await send(world, command="restart", ttl_s=600)
    world.ms += 5000
    world.hears(node.hello())
    assert [told.code for told in commands(world, node)] == [2]
    await world.commands.keep()
    assert await states(world) == ["expired", "sent"]
    world.again()
    assert await states(world) == ["expired", "queued"]


async def test_what_is_taken_back_is_not_sent_and_what_was_told_may_still_be_answered(world: World) -> None:
    node = world.nodes[0]
    await send(world)
    await send(world, command="restart")
    first, second = (each["id"] for each in (await world.call("command.list"))["commands"][::-1])
    assert await world.call("command.cancel", command=first) == {"cancelled": 1, "told": 0}
    with pytest.raises(UsageError, match="does not wait"):
        await world.call("command.cancel", command=first)
    world.hears(node.hello())
    assert [told.id for told in commands(world, node)] == [second]
    assert await world.call("command.cancel", command=second) == {"cancelled": 1, "told": 1}
    world.ms += RETRY_MS
    world.hears(node.report(1))
    assert commands(world, node) == []
    assert await states(world) == ["cancelled", "cancelled"]
    world.hears(node.seal(Result(second, 0).to_bytes()))
    world.checkpointed()
    assert await states(world) == ["cancelled", "done"], "the node did it: that counts for more"


async def test_a_result_that_waits_for_the_checkpoint_counts_for_more_than_a_cancel(world: World) -> None:
    node = world.nodes[0]
    world.hears(node.hello())
    await send(world)
    world.hears(node.seal(Result(1, 0).to_bytes()))
    await world.call("command.cancel", command=1)
    world.checkpointed()
    assert await states(world) == ["done"]


async def test_an_order_with_an_id_is_one_order(world: World) -> None:
    job = await send(world, "*", once="a")
    assert await send(world, "*", once="a") == job and job["total"] == 5
    world.again()
    assert (await send(world, "*", once="a"))["job"] == job["job"]
    assert len(await states(world)) == 5
    with pytest.raises(UsageError, match="stands for job 1"):
        await send(world, "*", "restart", once="a")


async def test_a_job_has_progress_and_can_be_stopped(world: World) -> None:
    job = (await send(world, "*", "identify"))["job"]
    for at, node in enumerate(world.nodes[:3]):
        world.hears(node.hello())
        (told,) = commands(world, node)
        world.hears(node.seal(Result(told.id, (0, 5, 0)[at]).to_bytes()))
    world.checkpointed()
    told = await world.call("job.get", job=job)
    assert (told["total"], told["done"], told["failed"], told["waiting"]) == (5, 2, 1, 2)
    world.hears(world.nodes[3].hello())
    stopped = await world.call("job.stop", job=job)
    assert (stopped["cancelled"], stopped["told"], stopped["waiting"]) == (2, 1, 0)
    assert stopped["stopped_ms"] == world.utc_ms()
    world.again()
    world.hears(world.nodes[4].hello())
    assert commands(world, world.nodes[4]) == []
    (listed,) = (await world.call("job.list"))["jobs"]
    assert (listed["cancelled"], listed["target"], listed["who"]) == (2, "*", "olga")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": "fly"}, "no command"),
        ({"command": "identify", "seconds": 256}, "from 0 to 255"),
        ({"command": "output", "pin": 1}, "'level' is missing"),
        ({"command": "ping", "x": 1}, "no argument of ping"),
        ({"command": "ping", "ttl_s": 0}, "'ttl_s'"),
        ({"command": "ping", "target": "nobody"}, "no node"),
        ({"command": "ping", "once": ""}, "'once'"),
    ],
)
async def test_what_is_refused_leaves_nothing(world: World, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        await world.call("command.send", **{"target": "*", **arguments})
    assert (await world.call("job.list"))["jobs"] == []


async def test_what_waits_for_a_node_is_bounded(world: World) -> None:
    for _ in range(MAX_WAITING):
        await send(world)
    with pytest.raises(UsageError, match="wait for"):
        await send(world)
    await send(world, "fan-2")


async def test_a_node_answers_for_itself_alone(world: World) -> None:
    await send(world)
    world.hears(world.nodes[1].hello(), world.nodes[1].seal(Result(1, 0).to_bytes()))
    world.checkpointed()
    assert await states(world) == ["queued"]


async def test_old_jobs_go_and_what_waits_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline_gateway.fleet.tables.KEEP_JOBS", 2)
    await send(world, "fan-1")
    await send(world, "fan-2")
    await world.call("job.stop", job=2)
    for _ in range(3):
        await send(world, "fan-3")
    assert [job["job"] for job in (await world.call("job.list"))["jobs"]] == [5, 4, 3, 1]


@given(st.integers(0, 255), st.binary(max_size=128))
def test_any_command_can_be_told_in_words(code: int, payload: bytes) -> None:
    assert decode(code, payload)


def test_the_words_are_those_of_the_wire() -> None:
    assert encode({"command": "erase", "stream": 7}) == (6, b"\0\0\0\7", "erase stream=7")
    assert encode({"command": "output", "pin": 2, "level": 1})[:2] == (4, b"\2\1")


async def test_what_is_too_late_does_not_count_as_waiting(world: World) -> None:
    """Of a node that is away: nobody tells it anything, so nobody looks at the time."""
    away = world.nodes[1].id
    for ttl_s in (5, 600, 5):
        await send(world, "fan-2", ttl_s=ttl_s)
    world.ms += 4000
    await world.commands.keep()
    assert world.ingest.orders.waiting(away) == 3
    world.ms += 1000
    await world.commands.keep()
    assert world.ingest.orders.waiting(away) == 1
    world.ms += 600_000
    await world.commands.keep()
    assert world.ingest.orders.waiting(away) == 0 and await states(world) == ["expired"] * 3
