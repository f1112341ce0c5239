"""The gateway's own MQTT listener with all that it serves: subscribers, nodes with Wi-Fi, twins.

Rules: only wires. A token is taken where nobody can read it on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fieldline_gateway.callers import Callers
from fieldline_gateway.config import ListenerConfig
from fieldline_gateway.errors import UsageError
from fieldline_gateway.fleet.service import FleetService
from fieldline_gateway.fleet.topics import TwinTopics
from fieldline_gateway.links.mqtt import MqttLinks, Receive
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.operations import Operations
from fieldline_gateway.web.tokens import Tokens


@asynccontextmanager
async def listening(
    config: ListenerConfig,
    door: Path,
    operations: Operations,
    tokens: Tokens,
    fleet: FleetService,
    receive: Receive,
) -> AsyncIterator[tuple[Listener, MqttLinks | None]]:
    """It listens while this is entered. UsageError where it cannot."""
    callers = Callers(tokens, config.readers, config.operators)
    listener = Listener(
        config.host,
        config.port,
        security=config.security,
        websocket=config.websocket,
        door=door,
        keys=callers if config.private_way else None,
    )
    twins = TwinTopics(
        listener.broker, operations, callers.caller, lambda: int(time.time()), asyncio.get_running_loop().time
    )
    links = MqttLinks(listener.broker, receive) if config.nodes else None
    fleet.twin_changes.append(twins.note)
    async with twins.running():
        try:
            await listener.__aenter__()
        except MqttError as error:
            raise UsageError(str(error)) from error
        try:
            yield listener, links
        finally:
            await listener.__aexit__()
