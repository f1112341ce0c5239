"""`live`: all nodes and the gateway's state at once, then only what changed since; for the page and `gateway top`.

Rules: costs nothing while nobody asks, and no reading waits for who does: all nodes are looked at in slices, for one
who asks after the other. A number `since` tells what the asker has; with another one than this run
gave, the answer is whole. What a node is (name, board, which sensors) comes as a row, what moves with each report
(when it was heard, values, counts) as a short list, so that 1,000 nodes that report each 10 s take some KB a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.records import CLASS_NAMES
from fieldline_gateway.slices import slices, staying
from fieldline_gateway.status import hello_parts
from fieldline_wire.quantities import measured

States = Mapping[bytes, NodeState]
Parts = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    """What was last told of a node, and when that changed."""

    key: tuple[Any, ...]
    row: dict[str, Any]
    row_version: int
    move: list[Any]
    move_version: int


class Live:
    """Compares what is with what was told."""

    def __init__(
        self,
        states: Callable[[], States],
        parts: Callable[[], Parts],
        utc_ms: Callable[[], int],
        extra: Callable[[bytes], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        """`parts`: the gateway's own state, by name; `extra`: what else a row says of a node."""
        self._states = states
        self._parts = parts
        self._extra = extra
        self._utc_ms = utc_ms
        self._first = self._version = utc_ms()
        self._known: list[_Known] = []
        self._place: dict[bytes, int] = {}
        self._just_moved: set[bytes] = set()
        self._told: dict[str, tuple[Any, int]] = {}
        self._turn = asyncio.Lock()

    async def changes(self, since: int) -> dict[str, Any]:
        """What changed behind version `since`; all where that is none of this run."""
        async with self._turn:
            with staying(len(self._states()) - len(self._known)):
                await self._look()
            return await self._changes(since)

    async def _changes(self, since: int) -> dict[str, Any]:
        whole = not self._first < since <= self._version
        if whole:
            since = 0
        rows, moves = [], []
        async for part in slices(enumerate(self._known)):
            rows += [[at, each.row, each.move[1:]] for at, each in part if each.row_version > since]
            moves += [
                each.move for _, each in part if each.move_version > since and each.row_version <= since
            ]
        return {
            "version": self._version,
            "now_ms": self._utc_ms(),
            "whole": whole,
            "parts": {name: part for name, (part, version) in self._told.items() if version > since},
            "rows": rows,
            "moves": moves,
        }

    async def _look(self) -> None:
        version = self._version + 1
        changed = False
        states = list(self._states().items())
        try:  # who asks may go away in the middle
            async for some in slices(states):
                changed = self._compare(some, version) or changed
            for name, part in self._parts().items():
                if name not in self._told or self._told[name][0] != part:
                    self._told[name] = (part, version)
                    changed = True
        finally:
            if changed:
                self._version = version

    def _compare(self, nodes: list[tuple[bytes, NodeState]], version: int) -> bool:
        """Note what is new of some of the nodes; whether anything is."""
        changed = False
        for node, state in nodes:
            place = self._place.get(node)
            key = (state.heard_ms, state.node, self._extra(node))
            if place is None:
                self._place[node] = place = len(self._known)
                self._known.append(_Known(key, _row(state, key[2]), version, _move(place, state), version))
                changed = True
                self._just_moved.add(node)
                continue
            known = self._known[place]
            if known.key != key:
                known.key = key
                self._just_moved.add(node)  # its counts on disk follow a moment later: it is looked at again
            elif node in self._just_moved:
                self._just_moved.remove(node)
            else:
                continue
            row, move = _row(state, key[2]), _move(place, state)
            if row != known.row:
                known.row, known.row_version, changed = row, version, True
            if move != known.move:
                known.move, known.move_version, changed = move, version, True
        return changed


def add(operations: Operations, live: Live, prepare: Callable[[], Awaitable[None]]) -> None:
    """Put `live` into the table; `prepare` is awaited before each look."""

    async def changes(_: Caller, arguments: Arguments) -> dict[str, Any]:
        await prepare()
        return await live.changes(argument(arguments, "since", int, 0))

    operations.reads("live", changes)


def _row(state: NodeState, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a node is."""
    state.recall_hello()
    told = hello_parts(state)
    board = told.get("board") or ""
    return {
        "node": state.node.id.hex(),
        "name": state.node.name,
        "revoked": state.node.revoked_ms is not None,
        "link": state.link,
        "board": board,
        "firmware": told.get("firmware") or "",
        "simulated": "simulated" in board.lower(),
        "config_version": state.config_version,
        "classes": [CLASS_NAMES[cls] for cls in _classes(state)],
        "sensors": [
            [sensor, *measured(quantity, 0)[::2]] for sensor, quantity in state.readings
        ],  # number, quantity, unit
        **extra,
    }


def _move(place: int, state: NodeState) -> list[Any]:
    """[place, heard (UTC in ms, 0 for never), values, counts]: values in the order of the row's sensors.

    A value that came before the node was last heard is [value, UTC in ms]. Counts, of each of the row's classes:
    [last number, stored, in gaps].
    """
    values: list[Any] = []
    for (_, quantity), (value, ms) in state.readings.items():
        scaled = measured(quantity, value)[1]
        values.append(scaled if ms == state.heard_ms else [scaled, ms])
    counts = [
        [numbers.last, max(numbers.durable.count - numbers.gaps, 0), numbers.gaps]
        for numbers in _classes(state).values()
    ]
    return [place, state.heard_ms, values, counts]


def _classes(state: NodeState) -> dict[int, Any]:
    if state.stream is None:
        return {}
    return dict(state.current().counted())
