"""How a node is heard by another: heartbeats of one, counted by the other (Mesh Profile 1.0.1, 3.6.7, 4.2.17 f.).

Rules: one measurement at a time. The sender's heartbeats go to the other node for some seconds in place of to us;
whatever comes in between, they are set back, and a gateway that is killed meanwhile finds that they stay away and
sets them anew. Counts come as logarithms, as the specification has them: what is told is a range.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import config_messages as messages
from fieldline_gateway.mesh.config_client import ConfigClient
from fieldline_gateway.mesh.errors import ConfigurationError
from fieldline_gateway.mesh.friends import sleeps
from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.station import WIDE_TTL

COUNT_LOG = 4
"""8 heartbeats: as many as one logarithm more stands for, so that all of them can be told from seven."""
COUNT = 1 << COUNT_LOG - 1
PERIOD_LOG = 1
PERIOD_S = 1.0
LISTEN_LOG = 7
"""The other listens for 64 s: the questions, the heartbeats, and the question how it was."""
SLACK_S = 2.0
"""For the last heartbeat on its way."""


class Paths:
    """`back(state)` has the gateway's own heartbeats set again."""

    def __init__(self, client: ConfigClient, back: Callable[[MemberState], None]) -> None:
        self._client = client
        self._back = back
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, Any] = {"done": True, "stages": [], "error": "", "result": None}

    def start(self, sender: MemberState, receiver: MemberState) -> None:
        """Begins; UsageError where that cannot be."""
        if self._task is not None and not self._task.done():
            raise UsageError("a path is being measured; one at a time")
        if sender is receiver:
            raise UsageError(f"{sender.address:04x} is both ends: name two nodes")
        for state in (sender, receiver):
            if state.lost or not state.heard_at:
                raise UsageError(f"{state.address:04x} is not heard; `fieldline mesh nodes` shows since when")
            if sleeps(state):
                raise UsageError(f"{state.address:04x} sleeps: a low-power node counts no heartbeats")
        self._told = {"done": False, "stages": [], "error": "", "result": None}
        self._task = asyncio.create_task(self._run(sender, receiver))

    def status(self) -> dict[str, Any]:
        """How far it is: done, stages, error; result: sent, heard (the least and the most), hops (the same)."""
        return dict(self._told)

    async def end(self) -> None:
        """Stops what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, sender: MemberState, receiver: MemberState) -> None:
        told = self._told
        try:
            told["result"] = await self._measure(sender, receiver, told["stages"])
        except ConfigurationError as error:
            told["error"] = str(error)
        finally:
            self._back(sender)
            told["done"] = True

    async def _measure(
        self, sender: MemberState, receiver: MemberState, stages: list[str]
    ) -> dict[str, object]:
        src, dst = sender.address, receiver.address
        stages.append(f"{dst:04x} is to count what it hears of {src:04x}")
        await self._ask(receiver, messages.listen(src, dst, LISTEN_LOG))
        stages.append(f"{src:04x} says {COUNT} heartbeats to {dst:04x}, one a second")
        await self._ask(sender, messages.heartbeat(dst, PERIOD_LOG, WIDE_TTL, 0, COUNT_LOG))
        await asyncio.sleep(COUNT * PERIOD_S + SLACK_S)
        stages.append(f"{dst:04x} is asked how many came")
        return counted(await self._ask(receiver, messages.listened(src, dst)))

    async def _ask(self, state: MemberState, question: messages.Question) -> bytes:
        try:
            return await self._client.ask(state.address, question, wide=not state.hops)
        except ConfigurationError as error:
            raise ConfigurationError(f"{state.address:04x}: {error}") from None


def counted(answer: bytes) -> dict[str, object]:
    """What a Heartbeat Subscription Status says, as plain values; counts as 4.1.2 has them."""
    _, _, _, _, log, least, most = struct.unpack("<BHHBBBB", answer)
    heard = [0, 0] if not log else [min(1 << log - 1, COUNT), min((1 << log) - 1, COUNT)]
    return {"sent": COUNT, "heard": heard, "hops": [least, most] if log else None}
