"""Twins over MQTT: requests that clients publish to the listener, and what is told of them (docs/fleet.md 3.1).

twin/NODE/get, /update, /delete are asked; answers come below them as in AWS's shadow topics: /accepted, /rejected,
and of each change of a twin, by whichever door, /update/delta and /update/documents.

Rules: an operation of the table does it, so rights and audit are there (docs/adr/0007). Who may ask nothing hears
nothing but that its own request is rejected, and learns not even whether there is such a node. Answered one after the
other in the order in which they came; what waits is bounded for each client. /accepted is told when it is on disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fieldline_gateway.errors import ForbiddenError, GatewayError, UsageError
from fieldline_gateway.fleet.twin_operations import Change
from fieldline_gateway.fleet.twins import TwinError, delta_message, documents_message, parse, rejected
from fieldline_gateway.fleet.view import UnknownNode
from fieldline_gateway.mqtt.broker import Broker
from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.security import Who
from fieldline_gateway.mqtt.sessions import Session
from fieldline_gateway.operations import Caller, Operations

ROOT = "twin"
ACTIONS = ("get", "update", "delete")
MAX_WAITING = 10
"""Requests of one client that have no answer yet; AWS's bound too."""
MAX_NAME = 64
"""Characters of a node in a topic that is answered: an id has 16."""
SLICE = 50
"""Changes told in a turn of the event loop."""
PAUSE_S = 0.01
"""Between slices: 30,000 changes at once are told in some 6 s, which a client in Python can follow."""
_NODE = re.compile(r"[0-9a-f]{16}")
_FIELDS = ("state", "version", "clientToken")
"""What a request may hold; all else is not looked at."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    node: str
    action: str
    payload: bytes
    session: Session


class TwinTopics:
    """The topics of one listener. `caller`: as whom a client asks; `clock`: seconds that never go back."""

    def __init__(
        self,
        broker: Broker,
        operations: Operations,
        caller: Callable[[Who], Caller | None],
        utc_s: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._operations = operations
        self._caller = caller
        self._utc_s = utc_s
        self._clock = clock
        self._requests: asyncio.Queue[_Request] = asyncio.Queue()
        self._waiting: Counter[Session] = Counter()
        self._changes: deque[Change] = deque()
        self._changed = asyncio.Event()
        broker.taps[ROOT] = self._published

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Requests are answered while this is entered."""
        tasks = [asyncio.create_task(self._answer_all()), asyncio.create_task(self._tell_all())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    def note(self, changes: Iterable[Change]) -> None:
        """Twins have changed, and it is on disk: their watchers are told soon."""
        self._changes.extend(changes)
        self._changed.set()

    # --- requests

    def _published(self, levels: list[str], payload: bytes, session: Session | None) -> int:
        known = len(levels) == 3 and levels[2] in ACTIONS and len(levels[1]) <= MAX_NAME
        if session is None or not known:
            self._broker.counts["refused_topics"] += 1
            return reasons.NOT_AUTHORISED  # what is told here is told by the gateway alone
        request = _Request(levels[1], levels[2], payload, session)
        if self._caller(session.who) is None:
            self._broker.counts["refused_requests"] += 1
            self._reject(request, _nobody(), None, alone=True)
            return reasons.NOT_AUTHORISED
        if self._waiting[session] >= MAX_WAITING:
            self._reject(request, TwinError(429, f"{MAX_WAITING} requests of yours have no answer yet"), None)
            return reasons.QUOTA_EXCEEDED
        self._waiting[session] += 1
        self._requests.put_nowait(request)
        return reasons.SUCCESS

    async def _answer_all(self) -> None:
        while True:
            request = await self._requests.get()
            try:
                await self._answer(request)
            except Exception:
                log.exception("twin-request-failed", extra={"fields": {"topic": _topic(request)}})
                self._reject(request, TwinError(500, "the gateway failed at this; its log says where"), None)
            finally:
                self._waiting[request.session] -= 1
                if not self._waiting[request.session]:
                    del self._waiting[request.session]

    async def _answer(self, request: _Request) -> None:
        caller = self._caller(request.session.who)
        if caller is None:
            self._reject(request, _nobody(), None, alone=True)
            return
        asked: object = None
        try:
            asked = parse(request.payload)
            if not isinstance(asked, dict):
                raise TwinError(400, "the request must be an object")
            if not _NODE.fullmatch(request.node):
                raise TwinError(404, "a node is named by its id here: 16 hexadecimal digits, small letters")
            arguments = {name: asked[name] for name in _FIELDS if name in asked}
            told = await self._operations.call(
                caller, f"twin.{request.action}", {**arguments, "node": request.node}
            )
        except GatewayError as error:
            self._reject(request, _as_twin_error(error), asked)
            return
        self._tell(f"{_topic(request)}/accepted", told)

    def _reject(self, request: _Request, error: TwinError, asked: object, *, alone: bool = False) -> None:
        """`alone`: only who asked hears it."""
        if asked is None:
            with suppress(TwinError):
                asked = parse(request.payload)
        told = rejected(error, asked, self._utc_s())
        author = request.session
        only = (lambda session: session is author) if alone else None
        self._tell(f"{_topic(request)}/rejected", told, only)

    # --- what is told

    async def _tell_all(self) -> None:
        while True:
            await self._changed.wait()
            for _ in range(min(SLICE, len(self._changes))):
                change = self._changes.popleft()
                topic = f"{ROOT}/{change.node.hex()}/update"
                token = {} if change.token is None else {"clientToken": change.token}
                difference = delta_message(change.after, token)
                if difference is not None:
                    self._tell(f"{topic}/delta", difference)
                self._tell(f"{topic}/documents", documents_message(change.before, change.after, token))
            if not self._changes:
                self._changed.clear()
            await asyncio.sleep(PAUSE_S if self._changes else 0)

    def _tell(self, topic: str, told: dict[str, Any], only: Callable[[Session], bool] | None = None) -> None:
        self._broker.tell(topic, lambda: _json(told), self._clock(), only or self._hears)

    def _hears(self, session: Session) -> bool:
        return self._caller(session.who) is not None


def _topic(request: _Request) -> str:
    return f"{ROOT}/{request.node}/{request.action}"


def _nobody() -> TwinError:
    return TwinError(
        403, "this client may not ask about twins: give a token as the password, or see docs/fleet.md 3.1"
    )


def _as_twin_error(error: GatewayError) -> TwinError:
    match error:
        case TwinError():
            return error
        case ForbiddenError():
            return TwinError(403, str(error))
        case UnknownNode():
            return TwinError(404, str(error))
        case UsageError():
            return TwinError(400, str(error))
    return TwinError(500, str(error))


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
