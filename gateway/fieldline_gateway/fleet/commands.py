"""`command.*` and `job.*`: orders to one or many nodes, kept until each has an answer (docs/fleet.md 4).

Rules: a job and all its commands are on disk in one transaction before the first is sent. A node gets its commands
one at a time, in order, each until it has answered, is too late or was taken back; the id on the wire makes a repeat
harmless (wire.md 5.12), the id of the order makes the order's repeat harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.fleet.tables import CANCELLED, Job
from fieldline_gateway.fleet.view import Fleet
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.slices import slices, staying
from fieldline_wire import codes

DEFAULT_TTL_S = 3600
MAX_TTL_S = 30 * 86_400
"""What was meant a month ago is not meant any more."""
MAX_WAITING = 100
"""Commands of one node: it carries them out one by one, and nobody means more."""
MAX_SHOWN = 1000
MAX_ONCE = 64
"""Characters of an order's id."""

_STATES = {
    codes.RESULT_DONE: ("done", ""),
    codes.RESULT_UNKNOWN_CODE: ("rejected", "the node does not know this command"),
    codes.RESULT_BAD_ARGUMENT: ("rejected", "bad argument"),
    codes.RESULT_EXPIRED: ("expired", ""),
    codes.RESULT_FAILED: ("failed", ""),
    CANCELLED: ("cancelled", ""),
}
_WORDS: dict[str, tuple[int, tuple[tuple[str, int, int], ...]]] = {
    "ping": (codes.CMD_PING, ()),
    "restart": (codes.CMD_RESTART, ()),
    "identify": (codes.CMD_IDENTIFY, (("seconds", 1, 5),)),
    "output": (codes.CMD_OUTPUT, (("pin", 1, -1), ("level", 1, -1))),
    "hello": (codes.CMD_HELLO, ()),
    "erase": (codes.CMD_ERASE, (("stream", 4, -1),)),
}
"""Of wire.md 5.12: the code, and of each argument name, bytes and default (-1: it must be given)."""


class Commands:
    """The operations. `now`: the present; `flush`: something waits to go down."""

    def __init__(self, fleet: Fleet, now: Callable[[], Moment], flush: Callable[[], None]) -> None:
        self._fleet = fleet
        self._now = now
        self._flush = flush

    def add_to(self, operations: Operations) -> None:
        operations.changes("command.send", self._send)
        operations.changes("command.cancel", self._cancel)
        operations.reads("command.list", self._list)
        operations.reads("job.list", self._jobs)
        operations.reads("job.get", self._job)
        operations.changes("job.stop", self._stop)

    async def order(
        self,
        who: str,
        target: str,
        nodes: Iterable[bytes],
        words: Mapping[str, Any],
        ttl_s: int,
        once: str | None = None,
    ) -> Job:
        """Make the job, or find the one that has this `once`. UsageError where the order means nothing."""
        code, payload, text = encode(words)
        now = self._now()
        async with self._fleet.turn:
            chosen = list(nodes)
            for node in chosen:
                if self._fleet.ingest.orders.waiting(node) >= MAX_WAITING:
                    raise UsageError(
                        f"{MAX_WAITING} commands wait for {node.hex()} already: cancel some, or wait"
                    )
            asked = Job(0, once, who, target, text, now.utc_ms, now.utc_ms + 1000 * ttl_s, None)
            with staying(len(chosen)):
                job, commands = await asyncio.to_thread(
                    self._fleet.tables.add_job, asked, chosen, code, payload
                )
                if not commands and (job.target, job.command) != (target, text):
                    raise UsageError(
                        f"the id {once!r} stands for job {job.id} already: {job.command} to {job.target}"
                    )
                async for part in slices(commands):
                    self._fleet.ingest.orders.add_commands(part)
                    self._flush()
        return job

    async def keep(self) -> None:
        """Write down which commands are too late; from time to time."""
        now_ms = self._now().utc_ms
        orders = self._fleet.ingest.orders
        async for part in slices(orders.late(now_ms)):
            orders.drop_late(now_ms, part)
        async with self._fleet.turn:
            await asyncio.to_thread(self._fleet.tables.expire, now_ms, codes.RESULT_EXPIRED)

    async def _send(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        ttl_s = argument(arguments, "ttl_s", int, DEFAULT_TTL_S)
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise UsageError(f"'ttl_s' is from 1 to {MAX_TTL_S} seconds")
        once = argument(arguments, "once", str) if "once" in arguments else None
        if once is not None and not 0 < len(once) <= MAX_ONCE:
            raise UsageError(f"'once' is a text of at most {MAX_ONCE} characters")
        target = argument(arguments, "target", str)
        found = await self._fleet.select(target)
        if not found:
            raise UsageError("the target means no node; `fieldline fleet ls TARGET` shows what it means")
        nodes = [state.node.id for state in found]
        known = {"target", "ttl_s", "once"}
        words = {key: value for key, value in arguments.items() if key not in known}
        job = await self.order(caller.name, target, nodes, words, ttl_s, once)
        return await self._one(job.id)

    async def _list(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        job = argument(arguments, "job", int) if "job" in arguments else None
        node = self._fleet.one(argument(arguments, "node", str)).node.id if "node" in arguments else None
        rows = await asyncio.to_thread(self._fleet.tables.commands, _limit(arguments), job, node)
        return {"commands": [self._command(*row) for row in rows]}

    async def _cancel(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """One command. It may be on its way or done: 'told' says whether the node was told."""
        command = argument(arguments, "command", int)
        return await self._take_back(f"command {command}", command=command)

    async def _stop(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """All commands of a job that have no answer yet."""
        job = argument(arguments, "job", int)
        told = await self._take_back(f"job {job}", job=job)
        return {**told, **await self._one(job)}

    async def _take_back(self, what: str, **which: int) -> dict[str, Any]:
        async with self._fleet.turn:
            gone = await asyncio.to_thread(self._fleet.tables.cancel, self._now().utc_ms, **which)
            told = 0
            async for part in slices(gone):
                told += self._fleet.ingest.orders.withdraw(part)
        if not gone and "job" not in which:
            raise UsageError(f"{what} does not wait: it has its answer, or there is none")
        return {"cancelled": len(gone), "told": told}

    async def _jobs(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        found = await asyncio.to_thread(self._fleet.tables.jobs, _limit(arguments))
        return {"jobs": [_job(job, counts) for job, counts in found]}

    async def _job(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        return await self._one(argument(arguments, "job", int))

    async def _one(self, job: int) -> dict[str, Any]:
        found = await asyncio.to_thread(self._fleet.tables.jobs, 1, job)
        if not found:
            raise UsageError(f"there is no job {job}; `fieldline fleet jobs` lists them")
        return _job(*found[0])

    def _command(
        self, command: int, node: bytes, code: int, payload: bytes, until_ms: int, status: int | None,
        result: bytes | None, job: int | None,
    ) -> dict[str, Any]:  # fmt: skip
        ingest = self._fleet.ingest
        if status is not None:
            state, reason = _STATES.get(status, ("failed", f"status {status}"))
        elif command in ingest.orders.taken:
            state, reason = "in progress", ""
        else:
            state, reason = "sent" if ingest.orders.told.get(node, (0, 0))[0] == command else "queued", ""
        known = ingest.states.get(node)
        return {
            "id": command,
            "job": job,
            "node": node.hex(),
            "name": known.node.name if known else "",
            "command": decode(code, payload),
            "until_ms": until_ms,
            "state": state,
            "reason": reason,
            "result": (result or b"").hex(),
        }


def encode(words: Mapping[str, Any]) -> tuple[int, bytes, str]:
    """(code, argument, the same in words) of {"command": "identify", "seconds": 5}. UsageError."""
    name = argument(words, "command", str)
    if name not in _WORDS:
        raise UsageError(f"{name!r} is no command; there are {', '.join(_WORDS)}")
    code, parts = _WORDS[name]
    if strange := words.keys() - {part[0] for part in parts} - {"command"}:
        raise UsageError(f"{min(strange)!r} is no argument of {name}")
    payload = b""
    for part, size, default in parts:
        value = (
            argument(words, part, int, default)
            if part in words or default >= 0
            else argument(words, part, int)
        )
        if not 0 <= value < 256**size:
            raise UsageError(f"{part!r} is from 0 to {256**size - 1}")
        payload += value.to_bytes(size, "big")
    return code, payload, decode(code, payload)


def decode(code: int, payload: bytes) -> str:
    """A command in words."""
    for name, (number, parts) in _WORDS.items():
        if number == code and len(payload) == sum(size for _, size, _ in parts):
            text, at = name, 0
            for part, size, _ in parts:
                text += f" {part}={int.from_bytes(payload[at : at + size], 'big')}"
                at += size
            return text
    return f"code {code} {payload.hex()}".strip()


def _job(job: Job, counts: Mapping[int | None, int]) -> dict[str, Any]:
    told = dict.fromkeys(("waiting", "done", "rejected", "failed", "expired", "cancelled"), 0)
    for status, count in counts.items():
        told["waiting" if status is None else _STATES.get(status, ("failed", ""))[0]] += count
    return {
        "job": job.id,
        "who": job.who,
        "target": job.target,
        "command": job.command,
        "once": job.once,
        "made_ms": job.made_ms,
        "until_ms": job.until_ms,
        "stopped_ms": job.stopped_ms,
        "total": sum(counts.values()),
        **told,
    }


def _limit(arguments: Arguments) -> int:
    limit: int = argument(arguments, "limit", int, 100)
    if not 1 <= limit <= MAX_SHOWN:
        raise UsageError(f"'limit' is from 1 to {MAX_SHOWN}")
    return limit
