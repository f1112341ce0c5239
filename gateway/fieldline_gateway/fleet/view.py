"""The fleet in memory: of each node what targets ask for, and the choice of nodes by a target.

Rules: a copy of what the registry holds, changed only after the registry has it. Choosing among 30,000 nodes takes
turns with the gateway's other work, and ends after PATIENCE_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.fleet.tables import Label, Tables
from fieldline_gateway.fleet.targets import Subject, compile_target
from fieldline_gateway.fleet.twins import SECTIONS, Document, delta
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.rules import Ingest
from fieldline_wire import codes
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import Hello

SLICE = 200
"""Nodes in a turn of the event loop: about a millisecond."""
PATIENCE_S = 5.0
"""A target that takes longer was made to."""


class UnknownNode(UsageError):
    """There is no such node."""


class Fleet:
    """All nodes with labels and twins."""

    def __init__(
        self, ingest: Ingest, tables: Tables, utc_ms: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self.ingest = ingest
        self.tables = tables
        self.utc_ms = utc_ms
        self.turn = asyncio.Lock()
        """Whoever changes the registry and this copy holds it from reading to the last write."""
        self.labels = tables.labels()
        self.shown = {node: told for node, label in self.labels.items() if (told := _shown(label))}
        """The labels as people see them, made once: whoever looks each second would make them 30,000 times."""
        self.groups = tables.groups()
        self.twins: dict[bytes, Document] = dict(tables.twins())
        self._monotonic = monotonic
        self._subjects: dict[bytes, tuple[bytes | None, str, Subject]] = {}

    def forget(self, node: bytes) -> None:
        """What targets ask of this node has changed."""
        self._subjects.pop(node, None)

    def set_labels(self, labels: dict[bytes, Label], names: dict[bytes, str]) -> None:
        """Take over what is in the registry now."""
        self.labels.update(labels)
        for node, label in labels.items():
            self.shown[node] = _shown(label)
            self.forget(node)
        self.ingest.set_nodes(
            replace(self.ingest.states[node].node, name=name) for node, name in names.items()
        )

    def set_twins(self, twins: Mapping[bytes, Document]) -> None:
        """Take over what is in the registry now."""
        self.twins.update(twins)
        for node in twins:
            self.forget(node)

    def _twin(self, node: bytes) -> dict[str, Any]:
        """What Q@ asks; without a delta where nothing differs."""
        document = self.twins.get(node, {})
        twin = {name: document[name] for name in SECTIONS if name in document}
        if difference := delta(document):
            twin["delta"] = difference
        return twin

    def subject(self, state: NodeState) -> Subject:
        """What can be asked of a node; made anew when its Hello or its name changed."""
        node = state.node
        kept = self._subjects.get(node.id)
        if kept is not None and kept[0] is state.hello and kept[1] == node.name:
            return kept[2]
        label = self.labels.get(node.id, Label())
        facts = {"parent": label.parent, "place": label.place, "owner": label.owner, **_facts(state.hello)}
        facts = {name: value for name, value in facts.items() if value}
        subject = Subject(node.id.hex(), node.name, facts, label.tags, self._twin(node.id))
        self._subjects[node.id] = (state.hello, node.name, subject)
        return subject

    async def select(self, target: str, *, revoked: bool = False) -> list[NodeState]:
        """The nodes that a target means. TargetError where it means nothing; UsageError where it takes too long."""
        test = compile_target(target, self.groups)
        deadline = self._monotonic() + PATIENCE_S
        found = []
        for at, state in enumerate(list(self.ingest.states.values()), 1):
            if at % SLICE == 0:
                await asyncio.sleep(0)
                if self._monotonic() > deadline:
                    raise UsageError(
                        f"the target takes over {PATIENCE_S:.0f} s: use a simpler expression behind E@"
                    )
            if (revoked or state.node.revoked_ms is None) and test(self.subject(state)):
                found.append(state)
        return found

    def one(self, text: str) -> NodeState:
        """The node of this id or name."""
        try:
            return self.ingest.states[bytes.fromhex(text)]
        except (ValueError, KeyError):
            pass
        found = [state for state in self.ingest.states.values() if state.node.name == text]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"{len(found)} nodes are called {text!r}: name one by its id, {found[0].node.id.hex()}"
            )
        raise UnknownNode(f"{text!r} is no enrolled node; `fieldline fleet ls` lists them")


def _shown(label: Label) -> dict[str, Any]:
    told = {"tags": sorted(label.tags), "place": label.place, "owner": label.owner, "parent": label.parent}
    return {name: value for name, value in told.items() if value}


def _facts(hello: bytes | None) -> dict[str, str]:
    """What a node said of itself."""
    if hello is None:
        return {}
    try:
        told = Hello.from_bytes(hello)
    except PeerError:
        return {}
    slot = {codes.SLOT_A: "a", codes.SLOT_B: "b"}.get(told.slot, "")
    return {"board": told.board or "", "firmware": told.firmware or "", "slot": slot}
