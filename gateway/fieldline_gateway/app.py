"""The gateway put together: links in, rules, store, sinks out, and what is done from time to time.

Rules: only wires parts together and stops them in order: links first, so that nothing new comes; then the sinks,
which wait for what is in flight; then checkpoint and store. One gateway a data folder. A sink that fails never stops
intake. What a site may do without (mesh, page, Sparkplug) is imported where it is asked for: a third of a start.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fieldline_gateway import history, live, logs, status
from fieldline_gateway.alerts.engine import Alerts
from fieldline_gateway.config import Config
from fieldline_gateway.control import ControlServer
from fieldline_gateway.errors import GatewayError
from fieldline_gateway.fleet.service import FleetService
from fieldline_gateway.folder import only_one
from fieldline_gateway.guard.audit import FOLDER as AUDIT_FOLDER
from fieldline_gateway.guard.audit import AuditLog
from fieldline_gateway.guard.strangers import Guard
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.links.mqtt import MqttLinks
from fieldline_gateway.links.serial import SerialLinks
from fieldline_gateway.listening import listening
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.node_operations import NodeOperations
from fieldline_gateway.operations import Arguments, Caller, Operations
from fieldline_gateway.overview import Overview
from fieldline_gateway.pace import SWITCH_S
from fieldline_gateway.records import Position
from fieldline_gateway.replay.running import Replays
from fieldline_gateway.rows import RowExtras
from fieldline_gateway.running_sinks import RunningSinks, SinkNotes
from fieldline_gateway.sinks.config import LISTENER
from fieldline_gateway.sinks.make import make
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_gateway.slices import MANY, SLICE, staying
from fieldline_gateway.state import State
from fieldline_gateway.tasks import ended
from fieldline_gateway.updates.service import Updates
from fieldline_gateway.web import token_operations
from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens
from fieldline_host import systemd

if TYPE_CHECKING:
    from fieldline_gateway.mesh.config import MeshConfig
    from fieldline_gateway.mesh.links import MeshLinks
    from fieldline_gateway.sparkplug.datatypes import Value

HOUSEKEEPING_S = 1.0
CHECKPOINT_S = 2.0
"""A start after a kill replays at most about so much of the log."""

log = logging.getLogger(__name__)


async def run(config: Config) -> None:
    """Run until SIGTERM or SIGINT. UsageError or StoreError where it cannot begin."""
    sys.setswitchinterval(SWITCH_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_fault)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with only_one(config.data):
        gateway = Gateway(config)
        async with gateway.running():
            systemd.ready()
            await stop.wait()
            systemd.stopping("waits for the brokers to answer")
            logs.event(logs.INFO, "gateway-stops")
    logs.event(logs.INFO, "gateway-stopped")


class Gateway:
    """One gateway; running() starts and stops it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = State(config, _utc_ms)
        self._registry, self._store = self._state.registry, self._state.store
        self._links = SerialLinks(config.serial, self._receive)
        self._listener: Listener | None = None
        self._wifi: MqttLinks | None = None
        self._mesh = self._make_mesh(config.bluetooth) if config.bluetooth else None
        self._tokens = Tokens(tokens_path(config.data), _utc_ms)
        self._sinks = RunningSinks(self._store, config.silent_ms)
        self.audit = AuditLog(config.data / AUDIT_FOLDER, _utc_ms)
        self.operations = Operations(self.audit)
        self.operations.starting = True
        self.operations.reads("status", self._tell_status)
        history.add(self.operations, self._store.history, _utc_ms)
        self._flush_planned = False
        self._alarms_read: Callable[[], int | None] = lambda: None
        """Up to where the alerts have read the log of alarms; None before they run."""
        self._began = time.monotonic()

    @property
    def _ingest(self) -> Ingest:
        return self._state.ingest

    def _make_mesh(self, config: MeshConfig) -> MeshLinks:
        from fieldline_gateway.mesh.links import MeshLinks

        return MeshLinks(self._config.mesh, config, self._receive)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs while this is entered."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.audit)
            self.audit.add_to(self.operations)
            with staying(MANY):
                await self._state.open(stack, self._durable)
            if self._mesh is not None:
                from fieldline_gateway.mesh.links import SCHEME

                self._ingest.downlinks.dear = lambda link: link.startswith(SCHEME)
            self._guard = Guard(self._ingest, self.audit)
            self._guard.add_to(self.operations)
            NodeOperations(self._ingest, self._registry, self._registry_changed, _utc_ms).add_to(
                self.operations
            )
            self.audit.note("gateway-starts", gateway=self._state.id, run=self._state.run)
            stack.callback(self.audit.note, "gateway-stops")
            self._fleet = FleetService(self._ingest, self._registry, _now, self._plan_flush)
            self._fleet.add_to(self.operations)
            await self._open_updates(stack)
            stack.push_async_callback(self._checkpoint)
            await stack.enter_async_context(ControlServer(self._config.control_socket, self.operations))
            await self._make_sinks(stack)
            self._alerts = await stack.enter_async_context(self._make_alerts())
            self._alarms_read = lambda: self._alerts.cursor
            self._alerts.add_to(self.operations)
            await self._store.keep_sinks([sink.name for sink in self._sinks.all])
            await stack.enter_async_context(self._sinks.running())
            replays = Replays(self._config, self._name_of)
            replays.serve(self.operations)
            await stack.enter_async_context(replays)
            stack.push_async_callback(ended, asyncio.create_task(self._keep_house()))
            stack.push_async_callback(ended, asyncio.create_task(self._links.run()))
            if self._mesh is not None:
                from fieldline_gateway.mesh import network

                network.load(self._config.mesh)  # what is wrong with it is said now
                self._mesh.operations.add_to(self.operations)
                stack.push_async_callback(ended, asyncio.create_task(self._mesh.run()))
            await self._open_page(stack)
            self.operations.starting = False
            logs.event(
                logs.INFO,
                "gateway-runs",
                gateway=self._state.id,
                run=self._state.run,
                nodes=len(self._ingest.states),
            )
            yield

    async def status(self) -> dict[str, Any]:
        """What `fieldline gateway status` shows."""
        return {
            "gateway": {
                "name": self._config.name,
                "id": self._state.id,
                "run": self._state.run,
                "uptime_s": time.monotonic() - self._began,
            },
            "nodes": await status.nodes(list(self._ingest.states.values()), _utc_ms()),
            "store": self._store.status(),
            "sinks": await self._sinks.status(),
            "links": self._tell_links(),
            "refused": {kind: count for kind, count in self._ingest.refusals.counts.items() if count},
            "listener": self._listener.status() if self._listener else None,
            "mesh": self._mesh.operations.summary() if self._mesh else None,
        }

    def _tell_links(self) -> list[dict[str, object]]:
        others = (self._wifi, self._mesh)
        return self._links.status() + [row for each in others if each is not None for row in each.status()]

    def _make_alerts(self) -> Alerts:
        config = self._config
        return Alerts(
            config.alerts,
            config.name,
            config.data,
            self._store,
            self._ingest,
            config.silent_ms,
            sinks=self._sinks.lags,
            desired=lambda: self._ingest.orders.desired,
            audit_found=self.audit.found,
            utc_ms=_utc_ms,
        )

    async def _tell_status(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return await self.status()

    async def _registry_changed(self) -> None:
        """By another process or by an operation. Nothing of the fleet is changed meanwhile."""
        async with self._fleet.turn:
            await self._state.reload()
            self._guard.registry_changed()
            self._fleet.registry_changed()
        self._plan_flush()

    async def _make_sinks(self, stack: AsyncExitStack) -> None:
        config = self._config
        for each in config.sinks:
            notes = SinkNotes(self._store, each.name)
            await self._sinks.add(make(each, config.name, self._name_of, notes, self._on_command))
        if config.listener is not None:
            listener, self._wifi = await stack.enter_async_context(
                listening(
                    config.listener,
                    config.listener_door,
                    self.operations,
                    self._tokens,
                    self._fleet,
                    self._receive,
                )
            )
            self._listener = listener
            address = Address("localhost", listener.port, unix=config.listener_door)
            own = MqttConfig(address, f"fieldline-{config.name}-own", retain=True, pace=None)
            await self._sinks.add(MqttSink(own, JsonPayload(config.name, own.topic), LISTENER))
            logs.event(logs.INFO, "listener-open", address=f"{config.listener.host}:{listener.port}")

    async def _open_page(self, stack: AsyncExitStack) -> None:
        """What people look at: `live` for every door, and the page where it is asked for."""
        config = self._config
        overview = Overview(
            config,
            (self._state.id, self._state.run),
            self._store,
            self._sinks.all,
            self._tell_links,
            self._ingest,
            _utc_ms,
        )
        extras = RowExtras(lambda: self._ingest.orders.desired, self._fleet.labels_of, self._alerts.silent_ms)
        live.add(
            self.operations,
            live.Live(lambda: self._ingest.states, overview.parts, _utc_ms, extras),
            overview.look_at_store,
        )
        token_operations.add(self.operations, self._tokens)
        if config.page is not None:
            from fieldline_gateway.web import server as web

            page = web.serve(
                config.page, self.operations, self._tokens, config.name, lambda: self._store.held
            )
            await stack.enter_async_context(page)

    async def _open_updates(self, stack: AsyncExitStack) -> None:
        config = self._config
        updates = Updates(
            config.updates,
            config.data,
            config.serial.baud,
            self._ingest,
            _now,
            self._plan_flush,
            self._mesh.idle if self._mesh is not None else lambda link: True,
        )
        updates.add_to(self.operations)
        await stack.enter_async_context(updates)

    def _name_of(self, node: bytes) -> str:
        state = self._ingest.states.get(node)
        return (state.node.name if state else "") or node.hex()

    def _on_command(self, node: bytes, name: str, value: Value) -> None:
        """A Sparkplug host wrote to a control of a node."""
        from fieldline_gateway.sinks.sparkplug import COMMANDS

        command = COMMANDS.get(name)
        if command is None or value is not True or node not in self._ingest.states:
            return
        logs.event(logs.INFO, "command-taken", node=node.hex(), control=name)
        self._fleet.host_orders(node, command)

    async def _look_around(self) -> None:
        """Tell the sinks which nodes are there."""
        states = list(self._ingest.states.values())
        nodes = ((state.node.id, state.heard_ms) for state in states if state.node.revoked_ms is None)
        await self._sinks.look(nodes, _utc_ms())

    # --- links and store

    def _receive(self, link: str, sealed: bytes) -> None:
        self._ingest.receive(_now(), link, sealed)
        self._plan_flush()

    def _durable(self, position: Position) -> None:
        self._ingest.durable(position)
        self._plan_flush()

    def _plan_flush(self) -> None:
        """Send what there is at the end of this turn of the loop: one Ack for all that came in it."""
        if (self._ingest.downlinks or self._ingest.orders) and not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        self._ingest.orders.tell_some(_now(), SLICE)
        for downlink in self._ingest.downlinks.take():
            for links in (self._links, self._wifi, self._mesh):
                if links is not None and links.send(downlink.link, downlink.sealed):
                    break
        self._plan_flush()  # for what came for more nodes than one slice

    # --- from time to time

    async def _keep_house(self) -> None:
        saved_at = time.monotonic()
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            systemd.alive()
            try:
                if self._state.registry_is_newer():
                    await self._registry_changed()
                    logs.event(logs.INFO, "registry-read-again", nodes=len(self._ingest.states))
            except GatewayError as error:
                logs.event(logs.ERROR, "registry-failed", error=error)
            await self._look_around()
            self._ingest.downlinks.late(time.monotonic_ns() // 1_000_000)
            self._plan_flush()
            self._guard.look(time.monotonic_ns() // 1_000_000)
            await self.audit.retry()
            await self._alerts.look()
            await self._fleet.keep_reported()
            if time.monotonic() - saved_at >= CHECKPOINT_S:
                await self._checkpoint()
                await self._fleet.keep_commands()
                saved_at = time.monotonic()

    async def _checkpoint(self) -> None:
        """Save what changed, so that a start replays little and the log may let go of what is behind."""
        positions = self._state.durable()
        # What could not be kept of the nodes' settings is found in the log again.
        if await self._fleet.keep_reported():
            await self._state.save(positions, self._alarms_read())


def _now() -> Moment:
    return Moment(_utc_ms(), time.monotonic_ns() // 1_000_000)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000


def is_fault(context: dict[str, Any]) -> bool:
    """Whether what an event loop reports is an error that nobody took.

    A line that is unplugged while it is written to is none: serial_asyncio reports it, and its protocol is told.
    """
    return not ("transport" in context and isinstance(context.get("exception"), OSError))


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that nobody took is a fault of this program: say all that is known, and go on."""
    if not is_fault(context):
        return
    error = context.get("exception")
    log.error(
        "fault",
        exc_info=error,
        extra={"fields": {"message": context.get("message", ""), "error": repr(error)}},
    )
