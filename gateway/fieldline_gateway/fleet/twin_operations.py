"""`twin.*`, and `node.settings` and `node.set` on them: twins kept, and desired settings sent down (docs/fleet.md 3).

Rules: a twin and the Config that follows from it are on disk in one transaction before anything is told or sent; a
node that is away gets it with its next Hello (wire.md 6.4). What a node reports is its own: nobody else writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.fleet import settings, twins
from fieldline_gateway.fleet.twins import Document, TwinError
from fieldline_gateway.fleet.view import SLICE, Fleet
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_wire.messages import Config

OWN = ("config", "config_version", "config_refused")
"""Of reported, what the node says."""
MAX_VERSION = 2**32 - 1
"""wire.md 5.11: four bytes."""
_OWN_MAX_BYTES = 64 * 1024
"""A twin with what its node reports: 255 settings by name, beside all that a person may write."""
_NO_CONFIG = (0, Config(0).to_bytes())

Desired = tuple[int, bytes]
"""Version and Config message."""


@dataclass(frozen=True, slots=True)
class Change:
    """A twin that was updated."""

    node: bytes
    before: Document
    after: Document
    token: str | None
    """The clientToken of whoever did it."""


class Twins:
    """The operations, and what nodes report. `flush`: something waits to go down."""

    def __init__(self, fleet: Fleet, desired: Mapping[bytes, Desired], flush: Callable[[], None]) -> None:
        self._fleet = fleet
        self._flush = flush
        self._desired: dict[bytes, Desired] = {}
        self.on_change: list[Callable[[Sequence[Change]], None]] = []
        """Told what was updated, when it is on disk."""
        self.adopt(desired)

    def adopt(self, desired: Mapping[bytes, Desired]) -> None:
        """Settings that came into the registry by another way are the twin's where a node has none."""
        self._desired = dict(desired)
        now_s = self._now_s()
        for node, (_, message) in desired.items():
            if node not in self._fleet.twins:
                wanted = {
                    "state": {"desired": {"config": settings.from_wire(Config.from_bytes(message).settings)}}
                }
                self._fleet.set_twins({node: twins.update({}, wanted, now_s)[0]})

    def add_to(self, operations: Operations) -> None:
        operations.reads("twin.get", self._get)
        operations.changes("twin.update", self._update)
        operations.changes("twin.delete", self._delete)
        operations.reads("node.settings", self._settings)
        operations.changes("node.set", self._set)

    async def _get(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        state, request = self._meant(arguments)
        return twins.get(self._document(state), request, self._now_s())

    async def _update(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """Of one 'node': what AWS's /accepted says. Of a 'target': all its nodes or none."""
        if "target" not in arguments:
            state, request = self._meant(arguments)
            return await self._change({state.node.id: state}, request)
        request = {key: value for key, value in arguments.items() if key != "target"}
        found = await self._fleet.select(argument(arguments, "target", str))
        if not found:
            raise UsageError("the target means no node; `fieldline fleet ls TARGET` shows what it means")
        await self._change({state.node.id: state for state in found}, request)
        return {"nodes": [state.node.id.hex() for state in found]}

    async def _delete(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """The node goes back to its board's defaults."""
        state, request = self._meant(arguments)
        async with self._fleet.turn:
            document, told = twins.delete(self._document(state), request, self._now_s())
            await self._save({state.node.id: document})
        return told

    async def _settings(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        return self._told(self._meant(arguments)[0])

    async def _set(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        state, _unused = self._meant({"node": arguments.get("node")})
        wanted = argument(arguments, "settings", dict)
        if not wanted:
            raise UsageError(f"'settings' names one or more of {', '.join(settings.NODE)}")
        await self._change({state.node.id: state}, {"state": {"desired": {"config": wanted}}})
        return self._told(state)

    async def _change(self, states: Mapping[bytes, NodeState], request: dict[str, Any]) -> dict[str, Any]:
        _spare_own(request)
        now_s = self._now_s()
        told: dict[str, Any] = {}
        before: dict[bytes, Document] = {}
        changed: dict[bytes, Document] = {}
        async with self._fleet.turn:
            for at, (node, state) in enumerate(states.items(), 1):
                if at % SLICE == 0:
                    await asyncio.sleep(0)
                before[node] = self._document(state)
                changed[node], told, _ = twins.update(before[node], request, now_s)
            await self._save(changed)
            self._tell(before, changed, told.get("clientToken"))
        return told

    def _tell(
        self, before: Mapping[bytes, Document], after: Mapping[bytes, Document], token: str | None
    ) -> None:
        changes = [Change(node, before.get(node, {}), document, token) for node, document in after.items()]
        for tell in self.on_change:
            tell(changes)

    async def _save(self, changed: Mapping[bytes, Document]) -> None:
        """Twins, and what follows for their nodes."""
        desired = {}
        for at, (node, document) in enumerate(changed.items(), 1):
            if at % SLICE == 0:
                await asyncio.sleep(0)
            if (following := self._following(node, document)) is not None:
                desired[node] = following
        await asyncio.to_thread(self._fleet.tables.save_twins, changed, desired)
        self._fleet.set_twins(changed)
        self._desired |= desired
        for node, (version, message) in desired.items():
            self._fleet.ingest.desire(node, version, message)
        self._flush()

    def _following(self, node: bytes, document: Document) -> Desired | None:
        """The Config that this twin wants and that is not the wanted one yet. TwinError 400 where it is none."""
        try:
            wanted = settings.to_wire(document.get("desired", {}).get("config", {}))
        except UsageError as error:
            raise TwinError(400, str(error)) from None
        version, message = self._desired.get(node, _NO_CONFIG)
        if sorted(Config.from_bytes(message).settings) == wanted:
            return None
        state = self._fleet.ingest.states[node]
        version = max(version, state.config_version or 0) + 1
        if version > MAX_VERSION:
            raise UsageError(
                f"{node.hex()} says that its settings have version {MAX_VERSION}, the last: "
                "set it back with `fieldline node factory-reset`"
            )
        return version, Config(version, wanted).to_bytes()

    # --- what nodes say

    async def keep_reported(self) -> None:
        """Write to the twins what ingest has collected; on disk when it returns. RegistryError: it waits again."""
        ingest, now_s = self._fleet.ingest, self._now_s()
        if not ingest.reported:
            return
        async with self._fleet.turn:
            waiting, ingest.reported = ingest.reported, {}
            changed: dict[bytes, Document] = {}
            for node, config in waiting.items():
                document = self._fleet.twins.get(node, {})
                before, after = document.get("reported", {}), settings.reported(config)
                own = {key: before.get(key) for key in OWN}
                if {**dict.fromkeys(OWN), **after} == own:
                    continue  # it says again what is known
                request = {"state": {"reported": twins.replacing(own, after)}}
                changed[node] = twins.update(document, request, now_s, _OWN_MAX_BYTES)[0]
            try:
                await asyncio.to_thread(self._fleet.tables.save_twins, changed, {})
            except GatewayError:
                ingest.reported = waiting | ingest.reported
                raise
            before = {node: self._fleet.twins.get(node, {}) for node in changed}
            self._fleet.set_twins(changed)
            self._tell(before, changed, None)

    # --- words

    def _meant(self, arguments: Arguments) -> tuple[NodeState, dict[str, Any]]:
        """The node, and the request: all other arguments."""
        state = self._fleet.one(argument(arguments, "node", str))
        return state, {key: value for key, value in arguments.items() if key != "node"}

    def _document(self, state: NodeState) -> Document:
        return self._fleet.twins.get(state.node.id, {})

    def _now_s(self) -> int:
        return self._fleet.utc_ms() // 1000

    def _told(self, state: NodeState) -> dict[str, Any]:
        """What is wished for the node as a whole, and whether the node has said that it is so."""
        config = self._document(state).get("desired", {}).get("config", {})
        desired = self._desired.get(state.node.id)
        return {
            "node": state.node.id.hex(),
            "desired": {name: value for name, value in config.items() if name in settings.NODE},
            "version": desired[0] if desired else None,
            "reported_version": state.config_version,
            "converged": desired is None or desired[0] == state.config_version,
        }


def _spare_own(request: Mapping[str, Any]) -> None:
    """TwinError 400 where somebody writes what a node says of itself."""
    state = request.get("state")
    if not isinstance(state, dict) or "reported" not in state:
        return
    reported = state["reported"]
    if reported is None or (isinstance(reported, dict) and any(key in reported for key in OWN)):
        raise TwinError(400, f"{', '.join('reported.' + key for key in OWN)} are the node's own to say")
