"""`live`: whole once, then only what changed; and that a thousand nodes stay cheap on the line."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.live import Live
from fieldline_gateway.records import LIVE
from fieldline_gateway.registry import Node
from fieldline_gateway.top import State, draw
from fieldline_wire.messages import Hello, Reading, Report

NOW_MS = 1_790_000_000_000
PARTS: dict[str, Any] = {
    "gateway": {"name": "g", "version": "1", "started_ms": NOW_MS, "silent_ms": 60_000},
    "store": {"held": None, "bytes": 5, "max_bytes": 10, "classes": {}},
    "sinks": [{"sink": "s", "connected": False, "last_error": "refused", "lag": 3}],
    "links": [{"link": "/dev/ttyX", "open": True}],
}


class Site:
    def __init__(self, count: int) -> None:
        self.now_ms = NOW_MS
        self.states = {}
        self.parts = dict(PARTS)
        for at in range(1, count + 1):
            node = Node(at.to_bytes(8, "big"), f"fan-{at}", 0, bytes(16), 1, None)
            self.states[node.id] = NodeState(node)
        self.live = Live(lambda: self.states, lambda: self.parts, lambda: self.now_ms)

    def hears(self, at: int, value: int, first: int = 1) -> None:
        state = self.states[at.to_bytes(8, "big")]
        if state.stream is None:
            state.begin_stream(7)
            state.note_hello(
                Hello(7, board="pico_w (simulated)"), Hello(7, board="pico_w (simulated)").to_bytes()
            )
        state.heard_ms, state.link = self.now_ms, "/dev/ttyX"
        state.note_readings(Report(LIVE, 7, first, 1, 1, [Reading(0, 1, 1, 0, value)]), self.now_ms)
        state.current()[LIVE].settle(first, first)


async def test_an_asker_that_follows_has_what_one_that_asks_for_all_has() -> None:
    site = Site(30)
    follower = State()
    for step in range(40):
        site.now_ms += 1000
        for at in range(1, 31):
            if (at + step) % 7 == 0:
                site.hears(at, step * 10, step + 1)
        if step == 20:
            site.parts["store"] = {**PARTS["store"], "held": "full"}
            node = site.states[(5).to_bytes(8, "big")].node
            site.states[node.id].node = Node(node.id, "renamed", 0, node.key, 1, NOW_MS)
        told = await site.live.changes(follower.version)
        assert told["whole"] == (step == 0)
        follower.take(told)
        fresh = State()
        fresh.take(await site.live.changes(0))
        assert (follower.rows, follower.moves, follower.parts) == (fresh.rows, fresh.moves, fresh.parts)
    assert (
        follower.rows[4]["name"] == "renamed"
        and follower.rows[4]["revoked"]
        and follower.rows[4]["simulated"]
    )
    assert follower.parts["store"]["held"] == "full"


async def test_nothing_new_is_nothing_told_and_a_foreign_version_gets_all() -> None:
    site = Site(3)
    site.hears(1, 5)
    version = (await site.live.changes(0))["version"]
    told = await site.live.changes(version)
    told = await site.live.changes(told["version"])  # what moved is looked at once more: its counts follow
    assert (told["rows"], told["moves"], told["parts"], told["whole"]) == ([], [], {}, False)
    for foreign in (1, -5, version + 1_000_000, 2**70):
        assert (await site.live.changes(foreign))["whole"] and len(
            (await site.live.changes(foreign))["rows"]
        ) == 3


async def test_what_a_sensor_said_earlier_keeps_its_own_time() -> None:
    site = Site(1)
    site.hears(1, 5)
    site.now_ms += 9000
    state = site.states[(1).to_bytes(8, "big")]
    state.heard_ms = site.now_ms
    assert (await site.live.changes(0))["rows"][0][2] == [site.now_ms, [[0.5, NOW_MS]], [[1, 1, 0]]]


async def test_a_thousand_nodes_that_report_each_10_s_take_about_6_kb_a_second() -> None:
    site = Site(1000)
    for at in range(1, 1001):
        site.hears(at, at)
    version = (await site.live.changes(0))["version"]
    version = (await site.live.changes(version))["version"]
    sizes = []
    for step in range(10):
        site.now_ms += 1000
        for at in range(1 + step, 1001, 10):
            site.hears(at, 1000 + step, step + 2)
        told = await site.live.changes(version)
        version = told["version"]
        sizes.append(len(json.dumps(told, separators=(",", ":"))))
    assert max(sizes) < 8_000


async def test_top_shows_who_needs_somebody_first_and_what_does_not_fit() -> None:
    site = Site(9)
    for at in range(1, 9):
        site.hears(at, 12_000)
    site.now_ms += 61_000
    for at in range(1, 8):
        site.hears(at, 12_000, 2)
    state = State()
    state.take(await site.live.changes(0))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(draw(state, "need", 4, "no gateway runs"))
    text = console.export_text()
    assert text.index("fan-8") < text.index("fan-1") and "and 5 more" in text
    assert "NOT connected refused" in text and "no answer, this is from before: no gateway runs" in text
    assert "1,200 rpm" in text and "(simulated)" in text


async def test_what_reached_the_disk_a_moment_after_it_was_heard_is_told_at_the_next_look() -> None:
    site = Site(1)
    site.hears(1, 5)
    version = (await site.live.changes(0))["version"]
    site.states[(1).to_bytes(8, "big")].current()[LIVE].settle(2, 3)
    (move,) = (await site.live.changes(version))["moves"]
    assert move[3] == [[3, 3, 0]]
