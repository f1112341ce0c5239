"""The gateway's audit log: who asked for what by which door, and what the gateway saw of strangers.

Rules: what an operation changed is on disk before its answer goes out; while the log cannot be written, nothing can
be changed. No secret stands in it: redact() is the only way in. Lines of many callers share one fdatasync.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from fieldline_gateway import logs
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.operations import Arguments, Caller, Operations, Role, argument
from fieldline_host.chain import Entry, Head, tail, verify
from fieldline_host.chainlog import ChainError, ChainLog

FOLDER = "audit"
"""Below the data folder."""
MAX_PENDING = 1000
"""Events of the gateway itself that wait while the disk refuses; what is beyond is counted in the next line."""
MAX_TAIL = 1000
HIDDEN = "[redacted]"

_SECRET = re.compile(r"(^|_)(key|keys|psk|token|tokens|secret|secrets|password|passwords|credential)$", re.I)
_NODE_KEY = re.compile(r"\b[0-9a-fA-F]{32}\b|\b[0-9a-fA-F]{64}\b")


class AuditError(GatewayError):
    """The audit log cannot be written."""


class AuditLog:
    """The Auditor of Operations; open while entered."""

    def __init__(self, folder: Path, utc_ms: Callable[[], int]) -> None:
        self.folder = folder
        self._log = ChainLog(folder, utc_ms)
        self._thread = ThreadPoolExecutor(1, "audit")
        self._waiting: list[tuple[Entry, asyncio.Future[None] | None]] = []
        self._notes = 0
        self._lost = 0
        self._writer: asyncio.Task[None] | None = None
        self._failed = ""
        self.found: list[str] = []
        """What was wrong with the log when it was opened: somebody changed it."""

    @property
    def head(self) -> Head:
        return self._log.head

    async def __aenter__(self) -> Self:
        try:
            self.found = await self._in_thread(self._log.open)
        except ChainError as error:
            raise AuditError(f"the audit log: {error}; see that the gateway may write there") from error
        for text in self.found:
            logs.event(logs.ERROR, "audit-broken", found=text, what_to_do="fieldline gateway audit verify")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flushed()
        await self._in_thread(self._log.close)
        self._thread.shutdown()

    def check(self) -> None:
        """AuditError while nothing can be written down, so that nothing is changed unseen."""
        if self._failed:
            raise AuditError(
                f"nothing is changed while the audit log cannot be written: {self._failed}; make room on the disk"
            )

    async def asked(self, caller: Caller, operation: str, arguments: Arguments, error: str) -> None:
        """Somebody asked for a change; on disk when it returns. AuditError where it is not, and is tried again."""
        secrets = _secrets(arguments)
        for secret in secrets:
            error = error.replace(secret, HIDDEN)
        outcome = f"refused: {redact(error)}" if error else "done"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Entry(caller.name, caller.via, operation, outcome, redact(dict(arguments))), done)
        await done

    def note(self, what: str, **data: object) -> None:
        """The gateway itself did or saw something; written in order, not waited for."""
        if self._notes >= MAX_PENDING:
            self._lost += 1
            return
        self._notes += 1
        self._put(Entry("gateway", "gateway", what, data=redact(data)), None)

    def add_to(self, operations: Operations) -> None:
        operations.reads("audit.tail", self._tail, Role.OPERATOR)
        operations.reads("audit.verify", self._verify, Role.OPERATOR)

    def _put(self, entry: Entry, done: asyncio.Future[None] | None) -> None:
        self._waiting.append((entry, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """All that waits, and what comes meanwhile; what the disk refuses waits for the next."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            entries = [entry for entry, _ in group]
            if self._lost:
                entries.append(Entry("gateway", "gateway", "audit-lost", data={"events": self._lost}))
            try:
                await self._in_thread(self._log.append, entries)
            except ChainError as error:
                if not self._failed:
                    logs.event(logs.ERROR, "audit-failed", error=error)
                self._failed = str(error)
                self._waiting = [(entry, None) for entry, _ in group] + self._waiting
                for _, done in group:
                    if done is not None and not done.done():
                        text = f"done, and not yet written to the audit log: {error}; make room on the disk"
                        done.set_exception(AuditError(text))
                return
            self._failed, self._lost = "", 0
            self._notes = 0
            for _, done in group:
                if done is not None and not done.done():
                    done.set_result(None)

    async def retry(self) -> None:
        """From time to time: write what the disk refused."""
        if self._waiting and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write())
            await self._writer

    async def _flushed(self) -> None:
        if self._writer is not None:
            await self._writer
        await self.retry()

    async def _tail(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        limit = argument(arguments, "limit", int, 50)
        before = argument(arguments, "before", int, self.head.seq + 1)
        if not 1 <= limit <= MAX_TAIL:
            raise UsageError(f"'limit' must be 1 to {MAX_TAIL}, not {limit}")
        lines = await asyncio.to_thread(tail, self.folder, limit, before)
        return {"lines": lines, "head": _head(self.head)}

    async def _verify(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        return await asyncio.to_thread(verified, self.folder, argument(arguments, "anchor", str, ""))

    async def _in_thread(self, work: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def verified(folder: Path, anchor: str = "") -> dict[str, Any]:
    """The verdict on the log in `folder` as plain JSON values. UsageError where the anchor is none."""
    noted = Head.parse(anchor) if anchor else None
    if anchor and noted is None:
        raise UsageError(f"the anchor {anchor!r} must be SEQ:HASH, as an alert or an earlier verify told it")
    verdict = verify(folder, [noted] if noted else [])
    return {
        "good": not verdict.faults,
        "lines": verdict.lines,
        "head": _head(verdict.head),
        "faults": [
            {"file": fault.file, "line": fault.line, "seq": fault.seq, "what": fault.what}
            for fault in verdict.faults
        ],
    }


def redact(value: Any, name: str = "") -> Any:
    """The same without secrets: what a secret's name stands before, and whatever looks like a key."""
    if name and _SECRET.search(name):
        return HIDDEN
    if isinstance(value, dict):
        return {str(key): redact(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact(each) for each in value]
    if isinstance(value, bytes):
        return redact(value.hex())
    if isinstance(value, str):
        return _NODE_KEY.sub(HIDDEN, value)
    return value if isinstance(value, int | float | bool) or value is None else redact(str(value))


def _secrets(value: Any, name: str = "") -> list[str]:
    """The texts that redact() hides for their names, to be hidden in an error that repeats them."""
    if isinstance(value, dict):
        return [found for key, each in value.items() for found in _secrets(each, str(key))]
    if isinstance(value, list | tuple):
        return [found for each in value for found in _secrets(each, name)]
    return [value] if isinstance(value, str) and value and name and _SECRET.search(name) else []


def _head(head: Head) -> dict[str, Any]:
    return {"seq": head.seq, "hash": head.hash}
