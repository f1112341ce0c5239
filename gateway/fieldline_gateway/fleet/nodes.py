"""`nodes.*` and `group.*`: list nodes, label them, save groups (docs/fleet.md 2).

Rules: the registry has a change before the copy in memory. Every text of a caller is bounded and printable.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.fleet.tables import Label
from fieldline_gateway.fleet.targets import compile_target
from fieldline_gateway.fleet.view import Fleet
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.operations import Arguments, Caller, Operations, argument

MAX_TAGS = 32
"""Of a node."""
MAX_LABEL = 64
"""Characters: a column of a table."""
MAX_GROUPS = 1000
MAX_GROUP = 4096
"""Characters of a saved target."""
_TAG = re.compile(r"[\w.:/+-]{1,64}")
_NAME = re.compile(r"[\w.:+-]{1,64}")


class Nodes:
    """The operations."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def add_to(self, operations: Operations) -> None:
        operations.reads("nodes.list", self._list)
        operations.reads("nodes.get", self._get)
        operations.changes("nodes.set", self._set)
        operations.changes("nodes.tag", self._tag)
        operations.reads("group.list", self._groups)
        operations.changes("group.set", self._set_group)
        operations.changes("group.remove", self._remove_group)

    async def _list(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        found = await self._fleet.select(argument(arguments, "target", str, "*"), revoked=True)
        limit = argument(arguments, "limit", int, len(found))
        if limit < 0:
            raise UsageError(f"'limit' must be 0 or more, not {limit}")
        nodes = [self._told(state) for state in found[:limit]]
        may_speak = sum(state.node.revoked_ms is None for state in found)
        return {"nodes": nodes, "meant": may_speak, "of": len(self._fleet.ingest.states)}

    async def _get(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        return self._told(self._fleet.one(argument(arguments, "node", str)))

    async def _set(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """Name, parent, place, owner; "" takes one away. A name is for one node."""
        wanted: dict[str, Any] = {
            key: _label(arguments, key) for key in ("parent", "place", "owner") if key in arguments
        }
        name = _label(arguments, "name") if "name" in arguments else None
        if not wanted and name is None:
            raise UsageError("nothing to set: give 'name', 'parent', 'place' or 'owner'")
        async with self._fleet.turn:
            found = await self._meant(arguments)
            if name is not None and len(found) != 1:
                raise UsageError(f"the target means {len(found)} nodes, and a name is for one")
            labels = {state.node.id: replace(self._label_of(state), **wanted) for state in found}
            return await self._save(labels, {} if name is None else {found[0].node.id: name})

    async def _tag(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        add, remove = _tags(arguments, "add"), _tags(arguments, "remove")
        if not add and not remove:
            raise UsageError("no tags: give 'add' or 'remove', for example site:kiel")
        async with self._fleet.turn:
            labels = {}
            for state in await self._meant(arguments):
                label = self._label_of(state)
                tags = (label.tags - remove) | add
                if len(tags) > MAX_TAGS:
                    raise UsageError(f"{state.node.name} would have {len(tags)} tags; at most {MAX_TAGS}")
                labels[state.node.id] = replace(label, tags=tags)
            return await self._save(labels, {})

    async def _groups(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return {"groups": [{"name": n, "target": t} for n, t in sorted(self._fleet.groups.items())]}

    async def _set_group(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        name, target = argument(arguments, "name", str), argument(arguments, "target", str)
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a group: letters, digits and . : _ + -, at most 64")
        if len(target) > MAX_GROUP or len(self._fleet.groups) >= MAX_GROUPS:
            raise UsageError(f"at most {MAX_GROUPS} groups of {MAX_GROUP} characters")
        async with self._fleet.turn:
            compile_target(f"N@{name}", {**self._fleet.groups, name: target})
            await asyncio.to_thread(self._fleet.tables.save_group, name, target)
            self._fleet.groups[name] = target
        return {"name": name, "target": target}

    async def _remove_group(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        name = argument(arguments, "name", str)
        async with self._fleet.turn:
            if name not in self._fleet.groups:
                raise UsageError(f"there is no group {name!r}; `fieldline fleet group` lists them")
            await asyncio.to_thread(self._fleet.tables.save_group, name, None)
            del self._fleet.groups[name]
        return {"name": name}

    async def _meant(self, arguments: Arguments) -> list[NodeState]:
        found = await self._fleet.select(argument(arguments, "target", str))
        if not found:
            raise UsageError("the target means no node; `fieldline fleet ls TARGET` shows what it means")
        return found

    def _label_of(self, state: NodeState) -> Label:
        return self._fleet.labels.get(state.node.id, Label())

    async def _save(self, labels: dict[bytes, Label], names: dict[bytes, str]) -> dict[str, Any]:
        await asyncio.to_thread(self._fleet.tables.save_labels, labels, names)
        self._fleet.set_labels(labels, names)
        return {"nodes": [node.hex() for node in labels]}

    def _told(self, state: NodeState) -> dict[str, Any]:
        subject, label = self._fleet.subject(state), self._label_of(state)
        return {
            "node": subject.id,
            "name": subject.name,
            "tags": sorted(label.tags),
            "parent": label.parent,
            "place": label.place,
            "owner": label.owner,
            "board": subject.facts.get("board", ""),
            "firmware": subject.facts.get("firmware", ""),
            "heard_ms": state.heard_ms or None,
            "revoked": state.node.revoked_ms is not None,
            "converged": not subject.twin.get("delta"),
        }


def _label(arguments: Arguments, name: str) -> str:
    text: str = argument(arguments, name, str)
    if len(text) > MAX_LABEL or not text.isprintable() or text != text.strip():
        raise UsageError(f"{name!r} is at most {MAX_LABEL} printable characters, without spaces around them")
    return text


def _tags(arguments: Arguments, name: str) -> frozenset[str]:
    tags: list[Any] = argument(arguments, name, list, [])
    for tag in tags:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise UsageError(
                f"{tag!r} is no tag: letters, digits and . : / _ + -, at most 64; as in site:kiel"
            )
    return frozenset(tags)
