"""A small MQTT listener, 3.1.1 and 5.0, so that a first start needs no broker: for loopback and a site's nodes.

What it promises, and what not:
- QoS 0 and 1, retained messages, wildcards, wills, keep-alive, take-over of a client identifier, and of 5.0
  what broker.py says; over TCP or TLS, and over WebSocket on the same port (the first byte tells).
- A PUBACK means: handed to every client that is subscribed now, and queued for sessions that are away.
  Nothing is written to disk. A message for which nobody subscribed is gone for those who come later, but for
  the last one of a topic where it was published with retain; a kill of the process takes what was queued. Who
  needs every message behind a restart runs a broker with a disk and points the sink at it.
- Who may come is security.py's; a client that is in may publish and subscribe to everything but $ topics and what
  a tap of the broker keeps for itself.

Rules: bytes in and out only; what they mean is in broker.py. No client makes another wait, and what is kept
for one that does not read is bounded. A connection counts from its first byte of TCP, and has
connect_timeout_s for TLS, WebSocket and CONNECT together.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fieldline_gateway import logs
from fieldline_gateway.mqtt.broker import Broker
from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.mqtt.peer import Peer
from fieldline_gateway.mqtt.security import Security
from fieldline_gateway.mqtt.sessions import Limits
from fieldline_host.asking import ShortPath

if TYPE_CHECKING:
    from fieldline_gateway.mqtt.security import Keys, Passwords

CONNECT_TIMEOUT_S = 10.0
"""Time for a new connection to say CONNECT (3.1.4)."""

TICK_S = 1.0
"""How exactly session expiry and will delay are kept; both are in seconds."""

MAX_CHECKS = 20
"""Passwords that wait to be checked, a second's work: more are told that the server is busy."""


class Listener:
    """Listens on host:port while entered. Port 0 lets the system choose; see `port`."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 1883,
        limits: Limits | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        *,
        security: Security | None = None,
        websocket: bool = True,
        door: Path | None = None,
        keys: Keys | None = None,
    ) -> None:
        """`door`: a UNIX socket beside the port, for who may open it: no TLS and no password is asked there."""
        self.host = host
        self.port = port
        self.limits = limits or Limits()
        self.connect_timeout_s = connect_timeout_s
        self.security = security or Security()
        self.websocket = websocket
        self.keys = keys
        self._door = door
        self.broker = Broker(self.limits)
        self.peers: set[Peer] = set()
        self._checks = 0
        self._servers: list[asyncio.Server] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._checker: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        self.security.check_bind(self.host)
        loop = asyncio.get_running_loop()
        try:
            if self._door:
                self._servers.append(await self._open_door(self._door))
            server = await loop.create_server(lambda: Peer(self, self.security), self.host, self.port)
        except OSError as error:
            self._close()
            raise MqttError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}; "
                "is another broker running there? Choose another port, or give its url to the sink"
            ) from error
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]
        self.broker.announce("$SYS/broker/version", b"fieldline listener")
        if self.security.passwords:
            self._checker = ThreadPoolExecutor(1, "mqtt-passwords")
        if self.security.insecure:
            logs.event(logs.WARNING, "listener-insecure", address=f"{self.host}:{self.port}")
        self._tick()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._ticker
        self._ticker.cancel()
        self._close()
        entering = [task for peer in list(self.peers) if (task := peer.stop())]
        await asyncio.gather(*entering, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        if self._checker:
            self._checker.shutdown(wait=False, cancel_futures=True)

    async def _open_door(self, path: Path) -> asyncio.Server:
        await asyncio.to_thread(path.unlink, missing_ok=True)  # left behind by a kill
        before = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            with ShortPath(path) as short:
                return await loop.create_unix_server(lambda: Peer(self, Security()), short)
        finally:
            os.umask(before)

    def _close(self) -> None:
        for server in self._servers:
            server.close()

    def status(self) -> dict[str, object]:
        """Counters as plain JSON values."""
        return {
            "address": f"{self.host}:{self.port}",
            "tls": self.security.tls is not None,
            "connections": len(self.peers),
            "sessions": self.broker.sessions,
            "retained": self.broker.retained,
            **self.broker.counts,
        }

    async def allows(self, username: str | None, password: bytes | None) -> bool | None:
        """Whether the password is right; None: too many ask at once."""
        passwords: Passwords | None = self.security.passwords
        if passwords is None or passwords.known(username, password):
            return True
        if self._checks >= MAX_CHECKS or self._checker is None:
            return None
        self._checks += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._checker, passwords.check, username, password)
        finally:
            self._checks -= 1

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self.broker.tick(loop.time())
        if self.keys:
            for peer in [peer for peer in self.peers if peer.who.by == "token"]:
                if not self.keys.good(peer.who):
                    peer.kick("its token was revoked", reasons.NOT_AUTHORISED)
        self._ticker = loop.call_later(TICK_S, self._tick)
