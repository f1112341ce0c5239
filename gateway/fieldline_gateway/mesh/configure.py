"""Brings each member of the mesh to what is desired, one question after the other, until it has confirmed all.

Rules: what a node confirmed stands in the book, so that a gateway that was killed asks no more than what was under
way, and to ask again is harmless. Who does not answer is asked ever more rarely, and at once when it is heard. The
order is that of need: AppKey and bindings first, so that it can speak; then TTL and heartbeats; relay last, but first
while a member is missed that may be behind it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from fieldline_gateway import logs
from fieldline_gateway.mesh import config_messages as messages
from fieldline_gateway.mesh.config_client import ConfigClient
from fieldline_gateway.mesh.config_messages import Page, Question
from fieldline_gateway.mesh.errors import ConfigurationError
from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.network import GATEWAY
from fieldline_wire.errors import PeerError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 600.0
"""Before a node that did not answer is asked again; twice as long each time."""
RETRANSMIT_STEPS = 1
"""Of Relay Retransmit: where there is one more copy it comes 20 ms later (docs/mesh.md 8)."""
FEATURE_RELAY = 1

Desired = Callable[[MemberState], tuple[int, int | None, bool, bool | None]]
"""Gives the Default TTL that a member is to have, how many copies more it is to relay (None: it is no relay), whether
that comes first, and whether it is to be a Friend (None: it cannot)."""


class Configurator:
    """keep() works on one member until cancelled; stir() tells it that something changed."""

    def __init__(
        self,
        client: ConfigClient,
        app_key: bytes,
        heartbeat_log: int,
        desired: Desired,
        save: Callable[[], None],
    ) -> None:
        self._client = client
        self._app_key = app_key
        self._heartbeat_log = heartbeat_log
        self._desired = desired
        self._save = save
        self._stirred: dict[int, asyncio.Event] = {}

    def open_questions(self, state: MemberState) -> list[Question]:
        """What the member has not confirmed, in the order in which it is asked."""
        known = state.known
        wanted = [messages.composition(), messages.app_key(self._app_key)]
        with suppress(PeerError):
            wanted += messages.bindable(state.address, Page.from_bytes(known.composition))
        ttl, copies, first, friend = self._desired(state)
        wanted.append(messages.default_ttl(ttl))
        wanted.append(messages.heartbeat(GATEWAY, self._heartbeat_log, ttl, FEATURE_RELAY))
        wanted.insert(
            0 if first else len(wanted), messages.relay(copies is not None, copies or 0, RETRANSMIT_STEPS)
        )
        if friend is not None:
            wanted.append(messages.friend(friend))
        return [one for one in wanted if known.confirmed.get(one.name) != one.value]

    def stir(self, address: int) -> None:
        """Its desired settings changed, or it was heard after a silence."""
        self._event(address).set()

    async def keep(self, state: MemberState) -> None:
        """Asks whatever is open, for ever."""
        stirred = self._event(state.address)
        pause = FIRST_PAUSE_S
        while True:
            stirred.clear()
            questions = self.open_questions(state)
            if not questions:
                pause, state.error = FIRST_PAUSE_S, ""
                await stirred.wait()
                continue
            try:
                await self._ask(state, questions[0])
                pause, state.error = FIRST_PAUSE_S, ""
            except ConfigurationError as error:
                if str(error) != state.error:
                    state.error = str(error)
                    logs.event(logs.INFO, "mesh-node-not-set", node=f"{state.address:04x}", error=error)
                if await self._stirred_within(stirred, pause * random.uniform(0.75, 1.25)):
                    pause = FIRST_PAUSE_S
                else:
                    pause = min(2 * pause, LONGEST_PAUSE_S)

    def forget(self, address: int) -> None:
        """It is no member any more."""
        self._stirred.pop(address, None)

    async def _ask(self, state: MemberState, question: Question) -> None:
        heard = bool(state.heard_at) and not state.lost
        answer = await self._client.ask(state.address, question, heard, wide=not state.hops)
        state.known.confirmed[question.name] = question.value
        if question.name == messages.COMPOSITION:
            state.known.composition = answer[1:]
        self._save()
        if question.name == messages.RELAY:
            logs.event(logs.INFO, "mesh-relay-set", node=f"{state.address:04x}", relay=question.value)
            for address in self._stirred:  # who was not reached may be now
                self.stir(address)

    async def _stirred_within(self, stirred: asyncio.Event, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stirred.wait()
        return stirred.is_set()

    def _event(self, address: int) -> asyncio.Event:
        return self._stirred.setdefault(address, asyncio.Event())
