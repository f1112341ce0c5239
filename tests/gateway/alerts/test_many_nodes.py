"""Looks at many nodes: what is skipped changes nothing, what the book did not get comes again, others have turns."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, cast
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.alerts.config import AlertConfig, Limits
from fieldline_gateway.alerts.engine import SLICE, Alerts
from fieldline_gateway.alerts.intervals import DesiredIntervals
from fieldline_gateway.alerts.watch import Watch
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.odd import Odd
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Caller, Operations, Role
from fieldline_gateway.registry import Node
from fieldline_gateway.store.store import Store
from fieldline_wire.codes import KEY_HEALTH_S, KEY_REPORT_MS, KEY_SAMPLE_MS, SENSOR_NODE
from fieldline_wire.messages import Config
from tests.gateway.alerts.test_alerts import STORE, UTC, scene

IDS = [bytes([0, 0, 0, 0, 0, 0, 0, at]) for at in range(1, 4)]


def states(ids: list[bytes] = IDS) -> dict[bytes, NodeState]:
    return {node: NodeState(Node(node, f"fan-{node[-1]}", 0, bytes(16), 1, None)) for node in ids}


STEP = st.fixed_dictionaries(
    {
        "after_s": st.integers(1, 200),
        "heard": st.sets(st.integers(0, 2)),
        "rpm": st.none() | st.sampled_from([0, 1, 1000]),
        "boots": st.booleans(),
        "revoke": st.sampled_from([None, None, None, 0, 1]),
        "speaks": st.sampled_from([None, 5.0, 100.0]),
    }
)


@given(st.lists(STEP, max_size=12), st.sampled_from([0, 30]), st.sets(st.integers(0, 2)))
def test_what_is_skipped_would_have_changed_nothing(
    steps: list[dict[str, Any]], silent_after_s: int, before: set[int]
) -> None:
    standing = [("node-silent", IDS[at].hex()) for at in before]
    lazy, eager = (Watch(Limits(silent_after_s=silent_after_s), "site", 0, standing) for _ in range(2))
    nodes, odd = states(), {IDS[2]: Odd()}
    now_s = 0
    for step in steps:
        now_s += step["after_s"]
        utc_ms = UTC + 1000 * now_s
        for at in step["heard"]:
            nodes[IDS[at]].heard_ms = utc_ms
            if step["rpm"] is not None:
                nodes[IDS[at]].readings[1, 1] = (10 * step["rpm"], utc_ms)
        if step["boots"]:
            odd[IDS[2]].boots = [utc_ms] * 5
        if step["revoke"] is not None:
            state = nodes[IDS[step["revoke"]]]
            state.node = Node(state.node.id, state.node.name, 0, bytes(16), 1, utc_ms)
        speaks = {} if step["speaks"] is None else dict.fromkeys(IDS, step["speaks"])
        seen = scene(now_s, nodes=nodes, odd=odd, speaks_s=speaks)
        found = [watch.look_at_nodes(seen, nodes.values(), anew=watch is eager) for watch in (lazy, eager)]
        assert [(type(each), each.kind, each.subject) for each in found[0]] == [
            (type(each), each.kind, each.subject) for each in found[1]
        ]
        for watch, changes in zip((lazy, eager), found, strict=True):
            watch.took(changes)


def test_a_node_that_was_silent_before_a_restart_is_so_until_it_speaks() -> None:
    (node, *_), nodes = IDS, states()
    watch = Watch(Limits(), "site", 0, [("node-silent", node.hex())])
    for second in (0, 1, 400):
        assert watch.look(scene(second, nodes=nodes)) == []
    nodes[node].heard_ms = UTC
    assert [(type(each).__name__, each.subject) for each in watch.look(scene(401, nodes=nodes))] == [
        ("Clear", node.hex())
    ]


def test_how_often_a_node_is_to_speak_follows_its_settings() -> None:
    def config(*settings: tuple[int, int]) -> bytes:
        return bytes(Config(1, [(SENSOR_NODE, key, value) for key, value in settings]).to_bytes())

    desired = {
        IDS[0]: (1, config((KEY_REPORT_MS, 5000))),
        IDS[1]: (1, config((KEY_SAMPLE_MS, 1000))),
        IDS[2]: (1, b"\xff"),
    }
    found = DesiredIntervals(lambda: desired)
    assert [found.get(node) for node in IDS] == [5.0, None, None] and found.get(bytes(8)) is None
    desired[IDS[0]] = (2, config((KEY_REPORT_MS, 600_000), (KEY_HEALTH_S, 60)))
    assert found.get(IDS[0]) == 60.0
    with mock.patch("fieldline_wire.messages.Config.from_bytes", side_effect=AssertionError("read again")):
        assert found.get(IDS[0]) == 60.0


class EmptyStore:
    def durable(self, _: int) -> int:
        return 0

    def status(self) -> dict[str, Any]:
        return STORE


async def test_a_site_that_falls_silent_is_in_the_book_whole_after_a_disk_that_refused(
    tmp_path: Path,
) -> None:
    count = 3 * SLICE + 7
    store = cast(Store, EmptyStore())
    ingest = Ingest(store, 1, 1)
    ids = [at.to_bytes(8, "big") for at in range(1, count + 1)]
    ingest.states.update(states(ids))
    config = AlertConfig(Limits(), (), ())
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Alerts(config, "site", tmp_path, store, ingest, 10_000, list, dict, [], lambda: UTC) as alerts:
        operations = Operations()
        alerts.add_to(operations)
        alerts._watch._began_ms = -(10**9)
        other = asyncio.create_task(beside())
        calls, apply = 0, alerts._book.apply

        def fails_once(*words: Any) -> int:
            nonlocal calls
            calls += 1
            if calls == 3:
                with alerts._book._wrapped():
                    raise sqlite3.OperationalError("disk I/O error")
            return apply(*words)

        with mock.patch.object(alerts._book, "apply", fails_once):
            await alerts.look()
        caller = Caller("olga", Role.OPERATOR, "cli")
        assert 0 < (await operations.call(caller, "alert.list", {}))["open"] < count
        await alerts.look()
        other.cancel()
        assert (await operations.call(caller, "alert.list", {}))["open"] == count
        assert turns >= 4 + count // 100, "others had their turns between the parts"
        assert alerts.silent_ms(ids[0]) == 10_000
