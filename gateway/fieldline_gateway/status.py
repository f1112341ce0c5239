"""What a running gateway tells of its nodes: plain JSON values, no secrets.

Rules: reads state, changes nothing that counts, and costs nothing while nobody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.records import CLASS_NAMES
from fieldline_gateway.slices import Encoded, encoded_list
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import Hello
from fieldline_wire.quantities import measured


async def nodes(states: Sequence[NodeState], now_ms: int) -> Encoded:
    """One entry for each enrolled node, made in slices; `now_ms` is UTC."""
    return await encoded_list(states, lambda state: node(state, now_ms))


def node(state: NodeState, now_ms: int) -> dict[str, Any]:
    """A node: who it is, when it was heard, and what of each class is known."""
    state.recall_hello()
    return {
        "node": state.node.id.hex(),
        "name": state.node.name,
        "revoked": state.node.revoked_ms is not None,
        "link": state.link,
        "heard_s": (now_ms - state.heard_ms) / 1000 if state.heard_ms else None,
        "epoch": state.epoch,
        "stream": state.stream,
        "config_version": state.config_version,
        "repeats": state.repeats,
        "classes": _classes(state),
        "readings": _readings(state, now_ms),
        **hello_parts(state),
    }


def _classes(state: NodeState) -> dict[str, dict[str, int]]:
    """Of each class in which the node has numbers: the last given, how many are on disk, how many are in gaps."""
    if state.stream is None:
        return {}
    return {
        CLASS_NAMES[cls]: {
            "last": numbers.last,
            "stored": max(numbers.durable.count - numbers.gaps, 0),
            "gaps": numbers.gaps,
        }
        for cls, numbers in state.current().counted()
    }


def _readings(state: NodeState, now_ms: int) -> list[dict[str, Any]]:
    found = []
    for (sensor, quantity), (value, heard_ms) in state.readings.items():
        name, scaled, unit = measured(quantity, value)
        age_s = (now_ms - heard_ms) / 1000
        found.append({"sensor": sensor, "quantity": name, "value": scaled, "unit": unit, "age_s": age_s})
    return found


def hello_parts(state: NodeState) -> dict[str, Any]:
    """What the last Hello said of board and firmware."""
    if state.hello is None:
        return {}
    try:
        hello = Hello.from_bytes(state.hello)
    except PeerError:
        return {}
    return {"board": hello.board, "firmware": hello.firmware, "heap_free": hello.heap_free}
