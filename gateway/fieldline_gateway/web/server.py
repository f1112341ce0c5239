"""The HTTP server in the gateway's event loop: sockets, bounds, patience.

Rules: whatever happens here, intake goes on: a port that is taken is said and tried again. Connections are bounded; a
client that sends its request too slowly, or does not take its answer, is dropped. uvicorn's own words go to the
gateway's log, with no address that holds a query.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fieldline_gateway import logs
from fieldline_gateway.operations import Operations
from fieldline_gateway.tasks import ended
from fieldline_gateway.web.config import PageConfig
from fieldline_gateway.web.events import Events
from fieldline_gateway.web.guard import Guard
from fieldline_gateway.web.routes import Routes
from fieldline_gateway.web.tokens import Tokens

MAX_CONNECTIONS = 128
"""Some twenty open pages: a browser takes up to six each."""
REQUEST_S = 10.0
"""For a whole request to come in; a megabyte over a bad mobile line takes as long."""
WRITE_S = 20.0
"""A client that takes nothing for so long is gone."""
KEEP_ALIVE_S = 30
MAX_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
AGAIN_S = 10.0
"""A port that is taken is tried again after this."""


@asynccontextmanager
async def serve(
    config: PageConfig,
    operations: Operations,
    tokens: Tokens,
    name: str,
    held: Callable[[], str | None],
) -> AsyncIterator[None]:
    """The page is there while this is entered. `name`: the gateway's, which its cookie carries."""
    events = Events(operations)
    guard = Guard(tokens, f"fieldline-{name}", config.tls is not None)
    routes = Routes(operations, tokens, guard, events, held)
    task = asyncio.create_task(_keep(config, routes))
    try:
        yield
    finally:
        events.close()
        await ended(task)


async def _keep(config: PageConfig, routes: Routes) -> None:
    said = ""
    while True:
        try:
            sockets = _bind(config)
        except OSError as error:
            if said != str(error):
                said = str(error)
                todo = "is another program there? `bind` in [page] takes another port"
                logs.event(
                    logs.ERROR, "page-closed", address=f"{config.host}:{config.port}", error=error, todo=todo
                )
            await asyncio.sleep(AGAIN_S)
            continue
        port = sockets[0].getsockname()[1]
        scheme = "https" if config.tls else "http"
        host = f"[{config.host}]" if ":" in config.host else config.host
        logs.event(logs.INFO, "page-open", address=f"{scheme}://{host}:{port}")
        await _run(config, routes, sockets)
        return


def _bind(config: PageConfig) -> list[socket.socket]:
    """Sockets for all addresses of the host, on one port."""
    sockets: list[socket.socket] = []
    port = config.port
    found = socket.getaddrinfo(config.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address[0], port, *address[2:]))
            port = each.getsockname()[1]
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


async def _run(config: PageConfig, routes: Routes, sockets: list[socket.socket]) -> None:
    settings = uvicorn.Config(
        routes.app(),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MAX_HEAD,
    )
    settings.load()
    settings.ssl = config.tls
    server = _Server(settings)
    with _quiet():
        serving = asyncio.create_task(server.serve(sockets))
        try:
            await asyncio.shield(serving)
        finally:
            server.stop()
            await serving


class _Server(uvicorn.Server):
    """uvicorn's, that leaves signals to the gateway and does not wake ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stop.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self._stop.wait()


class PatientProtocol(H11Protocol):
    """uvicorn's connection, with an end to patience."""

    _refused = False

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= MAX_CONNECTIONS:
            self._refused = True
            transport.abort()
            return
        self._reading, self._writing = _Patience(self._drop, REQUEST_S), _Patience(self._drop, WRITE_S)
        super().connection_made(transport)
        self._reading.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._refused:
            self._reading.end()
            self._writing.end()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.cycle is None or self.cycle.response_complete:
            self._reading.begin()  # a further request on a connection that was idle
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body:
            self._reading.end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writing.end()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._writing.begin()  # what is still to be sent

    def _drop(self) -> None:
        logs.event(logs.INFO, "page-client-dropped", client=self.client[0] if self.client else "")
        self.transport.abort()


class _Patience:
    """Calls `out` when it was begun and not ended for `seconds`."""

    def __init__(self, out: Callable[[], None], seconds: float) -> None:
        self._out = out
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start, unless it runs."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._out)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _ToLog(logging.Handler):
    """uvicorn's errors as events of the gateway's log; what a peer's bytes cause is not worth a line."""

    def emit(self, record: logging.LogRecord) -> None:
        logs.event(logs.ERROR, "page-server", text=record.getMessage())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """uvicorn says what it has to say in the gateway's log."""
    logger = logging.getLogger("uvicorn.error")
    handler = _ToLog(logging.ERROR)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
