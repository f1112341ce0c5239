"""What a gateway knows over restarts: the registry, the store, and the state of ingest that is made of both.

Rules: the run number is on disk before anything can be sealed with it; ingest is rebuilt from the last checkpoint and
the log behind it before anything is heard; a checkpoint that can't be saved is part of the next one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from fieldline_gateway import logs
from fieldline_gateway.config import Config
from fieldline_gateway.errors import GatewayError
from fieldline_gateway.folder import registry_path
from fieldline_gateway.ingest import checkpoint
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.records import ALARM, BULK, CLASSES, LIVE, Position
from fieldline_gateway.registry import Registry
from fieldline_gateway.slices import slices
from fieldline_gateway.store.files import DiskFiles
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.store import Store


class State:
    """Registry, store and ingest of one data folder; open() before anything else."""

    def __init__(self, config: Config, utc_ms: Callable[[], int]) -> None:
        self._config = config
        self._utc_ms = utc_ms
        self._seen_version = 0
        self.registry = Registry(registry_path(config))
        self.store = Store(
            DiskFiles(config.data / "store"),
            StoreState(config.data / "store.db"),
            config.store,
            utc_ms=utc_ms,
            random32=lambda: random.SystemRandom().getrandbits(32),
        )
        self.ingest: Ingest
        """There from open() on."""
        self.id = self.run = 0
        """The gateway's, from open() on."""

    async def open(self, stack: AsyncExitStack, on_durable: Callable[[Position], None]) -> None:
        """Open all of it until `stack` ends and rebuild ingest; GatewayError where it can't be read.

        on_durable: told from then on what came to be on disk.
        """
        stack.callback(self.registry.close)
        self.registry.open()
        self.id, self.run = self.registry.begin_run(random.SystemRandom().randrange(1, 1 << 16))
        positions = self.registry.positions()
        DiskFiles(self._config.data / "store").make()
        await self.store.open(positions)
        stack.push_async_callback(self.store.close)
        self.ingest = Ingest(self.store, self.id, self.run, self._config.limits)
        await self.reload()
        checkpoint.load(self.ingest, self.registry)
        replayed = await self._replay(positions)
        self.store.on_durable.append(on_durable)
        checkpoint.finish_replay(self.ingest, self._utc_ms())
        logs.event(logs.INFO, "gateway-rebuilt", replayed=replayed)

    async def _replay(self, positions: Mapping[int, int]) -> int:
        """The log behind the checkpoint; the number of records."""
        count = 0
        for cls in (LIVE, ALARM, BULK):
            position = Position(cls, positions.get(cls, 0))
            self.store.checkpoint(position)
            async for batch in self.store.replay(position):
                checkpoint.replay(self.ingest, [stored.record for stored in batch])
                count += len(batch)
        return count

    def registry_is_newer(self) -> bool:
        """Another process or an operation wrote to it since reload() read it."""
        return self.registry.version() != self._seen_version

    async def reload(self) -> None:
        """Nodes, desired settings and commands, as the registry has them now; in slices."""
        self._seen_version = self.registry.version()
        orders, results = self.ingest.orders, list(self.ingest.results)
        nodes = await asyncio.to_thread(self.registry.nodes)
        desired = await asyncio.to_thread(self.registry.desired)
        commands = await asyncio.to_thread(self.registry.open_commands, self._utc_ms())
        async for part in slices(nodes):
            self.ingest.set_nodes(part)
        orders.set_desired(desired)
        # Done is also what came into the registry since it was read.
        orders.set_commands(
            commands, [(node, command) for node, command, _, _ in (*results, *self.ingest.results)]
        )

    def durable(self) -> dict[int, int]:
        """The log positions on disk now, by class: taken before what belongs to a checkpoint is saved."""
        return {cls: self.store.durable(cls) for cls in CLASSES}

    async def save(self, positions: Mapping[int, int], alarms_read: int | None) -> None:
        """A checkpoint at `positions`: a start replays little, and the log may let go of what is behind.

        Alarms stay in the log from `alarms_read` on; None: as far as the last checkpoint has let go of them.
        """
        changed = checkpoint.changes(self.ingest, positions, self._utc_ms())
        try:
            await asyncio.to_thread(self.registry.save, changed)
        except GatewayError as error:
            checkpoint.give_back(self.ingest, changed)
            logs.event(logs.ERROR, "checkpoint-failed", error=error)
            return
        checkpoint.saved(self.ingest, changed)
        for cls, seq in positions.items():
            if cls != ALARM:
                self.store.checkpoint(Position(cls, seq))
            elif alarms_read is not None:
                self.store.checkpoint(Position(cls, min(seq, alarms_read)))
