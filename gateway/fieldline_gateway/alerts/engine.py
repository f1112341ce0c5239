"""Alerts put together: looks once a second, keeps the book, runs the notifiers, answers operations.

Rules: what could not be written into the book is tried again at the next look, and nobody is told before. The nodes'
own alarms are read from the log of the alarm class with a cursor that moves in the transaction that raises them, so
a kill neither loses nor doubles one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from fieldline_gateway import certificates, logs
from fieldline_gateway.alerts.book import AlertError, Book
from fieldline_gateway.alerts.config import AlertConfig
from fieldline_gateway.alerts.deliver import Delivery
from fieldline_gateway.alerts.intervals import DesiredIntervals
from fieldline_gateway.alerts.model import Change, Clear, Raise
from fieldline_gateway.alerts.watch import Scene, Watch, alarms
from fieldline_gateway.errors import UsageError
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.records import ALARM, Position
from fieldline_gateway.store.store import Store

FILE = "alerts.db"
CERTIFICATES_S = 3600.0
"""How often certificates are read: they end in days."""
SLICE = 500
"""Nodes judged in a turn of the event loop: about a millisecond."""
SLICE_CHANGES = 200
"""Changes written and logged in a turn, where a whole site falls silent at once."""
MAX_LIST = 1000
MAX_NOTE = 500


class Alerts:
    """Runs while entered. `sinks` tells what Scene.sinks says; `audit_found`: what was wrong with the audit log."""

    def __init__(
        self,
        config: AlertConfig,
        gateway: str,
        folder: Path,
        store: Store,
        ingest: Ingest,
        silent_ms: int,
        sinks: Callable[[], list[dict[str, Any]]],
        desired: Callable[[], Mapping[bytes, tuple[int, bytes]]],
        audit_found: list[str],
        utc_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._gateway = gateway
        self._store = store
        self._ingest = ingest
        self._silent_ms = silent_ms
        self._sinks = sinks
        self._speaks_s = DesiredIntervals(desired)
        self._audit_found = tuple(audit_found)
        self._utc_ms = utc_ms
        self._book = Book(folder / FILE, config.limits.severities)
        self._thread = ThreadPoolExecutor(1, "alerts")
        self._deliveries: list[Delivery] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._certificates: dict[str, int] = {}
        self._certificates_at = float("-inf")
        self._cursor = 0
        self._failed = False

    async def __aenter__(self) -> Self:
        names = [each.name for each in self._config.notifiers]
        await self._in_thread(self._book.open, secrets.token_hex(8), names)
        cursor = await self._in_thread(self._book.meta, "cursor")
        self._cursor = int(cursor) if cursor is not None else self._store.durable(ALARM)
        # At the first start, too: or else what a node raises before a kill is behind the next beginning.
        await self._in_thread(self._book.apply, [], self._utc_ms(), self._cursor)
        standing = await self._in_thread(self._book.open_ones)
        self._watch = Watch(self._config.limits, self._gateway, time.monotonic_ns() // 1_000_000, standing)
        for each in self._config.notifiers:
            delivery = Delivery(each, self._book, self._gateway, self._in_thread, time.monotonic)
            self._deliveries.append(delivery)
            self._tasks.append(asyncio.create_task(delivery.run()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self._in_thread(self._book.close)
        self._thread.shutdown()

    @property
    def cursor(self) -> int:
        """Up to where the log of the alarm class was read; it may not go before."""
        return self._cursor

    def silent_ms(self, node: bytes) -> int:
        """After how long without a word this node is silent."""
        return round(1000 * self._watch.silent_after_s(self._speaks_s.get(node), self._silent_ms))

    def add_to(self, operations: Operations) -> None:
        operations.reads("alert.list", self._list)
        operations.reads("alert.notifiers", self._list_notifiers)
        operations.changes("alert.acknowledge", self._acknowledge)
        operations.changes("alert.clear", self._clear)
        operations.changes("alert.test", self._test)

    async def look(self) -> None:
        """Once a second."""
        if time.monotonic() - self._certificates_at > CERTIFICATES_S:
            self._certificates_at = time.monotonic()
            self._certificates = await asyncio.to_thread(_ends, self._config.certificates)
        try:
            await self._read_alarms()
            scene = self._scene()
            changes = self._watch.look_at_gateway(scene)
            nodes = list(scene.nodes.values())
            for at in range(0, len(nodes), SLICE):
                changes += self._watch.look_at_nodes(scene, nodes[at : at + SLICE], anew=self._failed)
                await asyncio.sleep(0)
            for at in range(0, len(changes), SLICE_CHANGES):
                some = changes[at : at + SLICE_CHANGES]
                await self._apply(some)
                self._watch.took(some)
            self._failed = False
        except AlertError as error:
            if not self._failed:
                logs.event(logs.ERROR, "alerts-failed", error=error)
            self._failed = True

    async def _read_alarms(self) -> None:
        if self._store.durable(ALARM) <= self._cursor:
            return
        states, off = self._ingest.states, self._config.limits.off
        async for batch in self._store.replay(Position(ALARM, self._cursor)):
            if batch:
                last = max(stored.seq for stored in batch)
                nodes = {stored.record.node for stored in batch}
                names = {node: states[node].node.name for node in nodes if node in states}
                changes = [change for change in alarms(batch, names) if change.kind not in off]
                await self._apply(changes, last or self._cursor)
                self._cursor = last or self._cursor

    async def _apply(self, changes: Sequence[Change], cursor: int | None = None) -> None:
        if await self._in_thread(self._book.apply, changes, self._utc_ms(), cursor):
            for change in changes:
                state = "alert-raised" if isinstance(change, Raise) else "alert-cleared"
                logs.event(logs.WARNING, state, kind=change.kind, subject=change.subject)
            self._wake()

    def _wake(self) -> None:
        for delivery in self._deliveries:
            delivery.wake()

    def _scene(self) -> Scene:
        ingest = self._ingest
        now_ms = time.monotonic_ns() // 1_000_000
        return Scene(
            utc_ms=self._utc_ms(),
            mono_ms=now_ms,
            nodes=ingest.states,
            speaks_s=self._speaks_s,
            silent_ms=self._silent_ms,
            store=self._store.status(),
            sinks=self._sinks(),
            clones=ingest.oddities.clones,
            odd=ingest.oddities.nodes,
            limited=ingest.limited,
            flood=ingest.quarantine.flooded(now_ms),
            strangers=ingest.quarantine.messages,
            audit_found=self._audit_found,
            certificates=self._certificates,
        )

    # --- operations

    async def _list(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        limit = argument(arguments, "limit", int, 200)
        if not 1 <= limit <= MAX_LIST:
            raise UsageError(f"'limit' must be 1 to {MAX_LIST}, not {limit}")
        only = argument(arguments, "open", bool, True)
        alerts = await self._in_thread(self._book.alerts, only, limit)
        standing, unseen = await self._in_thread(self._book.counts)
        return {"alerts": alerts, "open": standing, "unacknowledged": unseen}

    async def _list_notifiers(self, _: Caller, __: Arguments) -> dict[str, Any]:
        found = []
        for each in self._deliveries:
            found.append({**each.status(), **await self._in_thread(self._book.notifier, each.config.name)})
        return {"notifiers": found}

    async def _acknowledge(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        if "ids" in arguments:
            ids = argument(arguments, "ids", list)
            if len(ids) > MAX_LIST or not all(type(each) is int for each in ids):
                raise UsageError(f"'ids' must be at most {MAX_LIST} whole numbers")
        else:
            ids = [argument(arguments, "id", int)]
        note = argument(arguments, "note", str, "")[:MAX_NOTE]
        who = {"by": caller.name, "via": caller.via, "at_ms": self._utc_ms(), "note": note}
        done = await self._in_thread(self._book.acknowledge, ids, who)
        self._wake()
        return {"acknowledged": done}

    async def _clear(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        id_ = argument(arguments, "id", int)
        alert = await self._in_thread(self._book.clear_by_hand, id_, self._utc_ms())
        if alert["kind"] == "clone":
            self._ingest.oddities.clones.pop(bytes.fromhex(alert["subject"]), None)
        if alert["kind"] == "audit-broken":
            self._audit_found = ()
        self._watch.forget(alert["kind"], alert["subject"])
        self._wake()
        return {"cleared": True}

    async def _test(self, caller: Caller, _: Arguments) -> dict[str, Any]:
        text = f"a test that {caller.name} asked for"
        await self._apply([Raise("test", self._gateway, text), Clear("test", self._gateway)])
        (latest, *_rest) = sorted(
            (
                alert
                for alert in await self._in_thread(self._book.alerts, False, MAX_LIST)
                if alert["kind"] == "test"
            ),
            key=lambda alert: -alert["id"],
        )
        return {"id": latest["id"]}

    async def _in_thread(self, work: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _ends(paths: tuple[Path, ...]) -> dict[str, int]:
    """The earliest end in each file that can be read, UTC in ms."""
    found = {}
    for path in paths:
        try:
            end_ms = certificates.end_ms(path)
        except UsageError as error:
            logs.event(logs.WARNING, "certificate-unread", file=path, error=error)
            continue
        if end_ms is not None:
            found[str(path)] = end_ms
    return found
