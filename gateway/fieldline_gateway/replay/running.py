"""Replays at work: begun, gone on with after a start, cancelled, told of.

Rules: a replay has a connection of its own, under the sink's client identifier with "-replay" behind it, so nothing
that is live waits for it; it publishes what the sink publishes, marked as backlog. Where a sink's peer must see the
newest last (retain, Sparkplug) there is none. The job's file is gone when all of it is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fieldline_gateway import logs
from fieldline_gateway.config import Config
from fieldline_gateway.errors import GatewayError, StoreError, UsageError
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.pace import Pace
from fieldline_gateway.replay.job import MAX_PER_S, Job, Jobs
from fieldline_gateway.replay.reader import ReplayReader
from fieldline_gateway.replay.selection import Selection
from fieldline_gateway.sinks.config import JsonForm, SinkConfig
from fieldline_gateway.sinks.make import AnySink, make
from fieldline_gateway.store.archive import Archive
from fieldline_gateway.tasks import ended

if TYPE_CHECKING:
    from fieldline_gateway.sparkplug.datatypes import Value

SAVE_S = 0.5
"""So much is sent again after a kill."""
AGAIN_S = 5.0
"""A replay that failed is taken up again after this."""

NameOf = Callable[[bytes], str]


def plan(
    archive: Archive, sinks: Iterable[SinkConfig], sink: str | None, selection: Selection, per_s: int | None
) -> Job:
    """A job for this sink; None: the only one there is. UsageError says why there can be none."""
    config = _chosen(tuple(sinks), sink)
    pace = config.mqtt.pace
    if config.kind == "sparkplug":
        raise UsageError(
            f"sink {config.name} is a Sparkplug edge node, whose values have one order; "
            "replay to a json, fan or template sink, or use export"
        )
    if pace is None:
        raise UsageError(
            f"sink {config.name} publishes with retain: the oldest reading would be left standing as the newest; "
            "replay to a sink without retain (add a [[sink]] for it)"
        )
    if per_s is not None and not 0 <= per_s <= MAX_PER_S:
        raise UsageError(f"--per-s must be 0 (no bound) to {MAX_PER_S}, not {per_s}")
    cursors = archive.cursors().get(config.name, {})
    up_to = {cls: cursors[cls] for cls in selection.classes if cursors.get(cls)}
    if not up_to:
        raise UsageError(
            f"sink {config.name} has not delivered anything yet: all that is stored goes to it by itself"
        )
    return Job(config.name, selection, pace.backlog_per_s if per_s is None else per_s, up_to)


def _chosen(sinks: tuple[SinkConfig, ...], name: str | None) -> SinkConfig:
    names = ", ".join(sink.name for sink in sinks) or "none"
    found = [sink for sink in sinks if name in (None, sink.name)]
    if len(found) == 1:
        return found[0]
    if name is None:
        raise UsageError(f"say which sink with --sink; the configuration has: {names}")
    raise UsageError(f"there is no sink {name!r}; the configuration has: {names}")


class Replays:
    """The replays of a gateway; `async with` goes on with those that were begun, and stops them."""

    def __init__(self, config: Config, name_of: NameOf) -> None:
        """Of the gateway with this configuration, whose store is there already."""
        self._jobs = Jobs(config.data)
        self._archive = Archive(config.data)
        self._gateway = config.name
        self._sinks = {sink.name: sink for sink in config.sinks}
        self._name_of = name_of
        self._running: dict[str, tuple[Job, AnySink, asyncio.Task[None]]] = {}
        self._done: dict[str, Job] = {}

    def serve(self, operations: Operations) -> None:
        """Let them be asked for."""
        operations.changes("store-replay", self._asked)
        operations.changes("store-replay-cancel", self._asked_to_cancel)
        operations.reads("store-replays", self._tell)

    async def __aenter__(self) -> Replays:
        for job in await asyncio.to_thread(self._jobs.load):
            if job.sink in self._sinks:
                logs.event(logs.INFO, "replay-goes-on", sink=job.sink, sent=job.sent, total=job.total)
                self._start(job)
            else:
                logs.event(logs.WARNING, "replay-dropped", sink=job.sink, why="no such sink is configured")
                await asyncio.to_thread(self._jobs.forget, job.sink)
        return self

    async def __aexit__(self, *_: object) -> None:
        for sink in list(self._running):
            await self._stop(sink)

    async def begin(self, job: Job) -> None:
        """Begin; it is on disk when this returns. UsageError where one to this sink is under way."""
        if job.sink in self._running:
            raise UsageError(
                f"a replay to sink {job.sink} is under way; wait for it, or end it with --cancel"
            )
        await asyncio.to_thread(self._jobs.save, job)
        self._done.pop(job.sink, None)
        logs.event(logs.INFO, "replay-begun", sink=job.sink, total=job.total, per_s=job.per_s)
        self._start(job)

    async def cancel(self, sink: str) -> Job:
        """End one before its end; what it had sent. UsageError where there is none."""
        if sink not in self._running:
            raise UsageError(f"no replay to sink {sink} is under way")
        job = self._running[sink][0]
        await self._stop(sink)
        await asyncio.to_thread(self._jobs.forget, sink)
        logs.event(logs.INFO, "replay-cancelled", sink=sink, sent=job.sent)
        return job

    def status(self) -> list[dict[str, Any]]:
        """Those that are under way and the last that was done to each sink, as plain JSON values."""
        running = [
            _told(job, done=False)
            | {key: sink.status()[key] for key in ("broker", "connected", "last_error")}
            for job, sink, _ in self._running.values()
        ]
        return running + [_told(job, done=True) for job in self._done.values()]

    async def _asked(self, _: Caller, arguments: Arguments) -> object:
        """{"sink", "selection", "per_s", "total"}: begin; what it is."""
        selection = Selection.from_json(argument(arguments, "selection", dict))
        sink, per_s = argument(arguments, "sink", str), argument(arguments, "per_s", int)
        job = await asyncio.to_thread(plan, self._archive, self._sinks.values(), sink, selection, per_s)
        job.total = argument(arguments, "total", int, 0)
        await self.begin(job)
        return _told(job, done=False)

    async def _asked_to_cancel(self, _: Caller, arguments: Arguments) -> object:
        """{"sink"}: end it; how far it was."""
        return _told(await self.cancel(argument(arguments, "sink", str)), done=False)

    async def _tell(self, _: Caller, __: Arguments) -> object:
        return self.status()

    async def until_done(self, sink: str) -> None:
        """Until this one is over; StoreError where the store cannot be read."""
        if sink in self._running:
            await asyncio.shield(self._running[sink][2])

    def _start(self, job: Job) -> None:
        sink = self._make(self._sinks[job.sink])
        self._running[job.sink] = job, sink, asyncio.create_task(self._keep(job, sink))

    async def _stop(self, sink: str) -> None:
        job, _, task = self._running.pop(sink)
        await ended(task)
        await asyncio.to_thread(self._jobs.save, job)

    def _make(self, config: SinkConfig) -> AnySink:
        """The same sink again, on a connection that holds little and tells of readings only."""
        mqtt = config.mqtt
        window = min(mqtt.window, Pace().backlog_ahead)
        mqtt = replace(mqtt, client_id=f"{mqtt.client_id}-replay", window=window, pace=None)
        form = JsonForm() if isinstance(config.form, JsonForm) else config.form
        again = replace(config, mqtt=mqtt, form=form)
        return make(again, self._gateway, self._name_of, _NoNotes(), _nobody_commands)

    async def _keep(self, job: Job, sink: AnySink) -> None:
        done = False
        while not done:
            done = await self._one(job, sink)
            await asyncio.sleep(0 if done else AGAIN_S)
        await asyncio.to_thread(self._jobs.forget, job.sink)
        self._running.pop(job.sink)
        self._done[job.sink] = job
        logs.event(logs.INFO, "replay-done", sink=job.sink, sent=job.sent)

    async def _one(self, job: Job, sink: AnySink) -> bool:
        """Until the end, or until something fails; whether it is done."""
        reader = ReplayReader(self._archive, job, time.monotonic)
        running = asyncio.create_task(sink.run(reader))
        finished = asyncio.create_task(reader.finished.wait())
        try:
            while not finished.done() and not running.done():
                await asyncio.wait((finished, running), timeout=SAVE_S, return_when=asyncio.FIRST_COMPLETED)
                if reader.dirty:
                    reader.dirty = False
                    await asyncio.to_thread(self._jobs.save, job)
            if running.done():
                running.result()
            if reader.failed:
                raise reader.failed
        except GatewayError as error:
            logs.event(logs.ERROR, "replay-failed", sink=job.sink, error=error, again_s=AGAIN_S)
            return False
        finally:
            for task in (running, finished):
                task.cancel()
            await asyncio.gather(running, finished, return_exceptions=True)
        return True


def _told(job: Job, *, done: bool) -> dict[str, Any]:
    return {"sink": job.sink, "sent": job.sent, "total": job.total, "per_s": job.per_s, "done": done}


class _NoNotes:
    """A replay keeps nothing but its job."""

    async def load(self, name: str) -> bytes | None:
        return None

    async def save(self, name: str, value: bytes) -> None:
        raise StoreError(f"a replay keeps no {name}")


def _nobody_commands(node: bytes, name: str, value: Value) -> None:
    """No one is asked for commands on a replay's connection."""
