"""The page's server in the test's own event loop, on operations of the test's own; and a raw HTTP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldline_gateway import logs
from fieldline_gateway.errors import UsageError
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.web import token_operations
from fieldline_gateway.web.config import PageConfig
from fieldline_gateway.web.server import serve
from fieldline_gateway.web.tokens import Tokens, digest, new_secret


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Door:
    """A page that is served, with a token for each role."""

    port: int
    tokens: Tokens
    reader: str
    operator: str
    operations: Operations
    audited: list[tuple[str, str, str]]
    version: int = 1
    held: str | None = None
    now_ms: int = 1_790_000_000_000
    rows: list[Any] = field(default_factory=list)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        token: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request on a connection of its own; header names with _ for -."""
        lines = {"host": f"127.0.0.1:{self.port}", "connection": "close", "content-length": str(len(body))}
        if method == "POST":
            lines["content-type"] = "application/json"
            lines["origin"] = f"http://127.0.0.1:{self.port}"
        if token:
            lines["authorization"] = f"Bearer {token}"
        lines.update({name.replace("_", "-"): value for name, value in headers.items()})
        lines = {name: value for name, value in lines.items() if value}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        try:
            writer.write(head.encode() + body)
            async with asyncio.timeout(60):
                raw = await reader.read()
        finally:
            writer.close()
        return parse(raw)

    async def call(self, operation: str, arguments: object, token: str | None) -> Answer:
        return await self.ask("POST", f"/api/{operation}", json.dumps(arguments).encode(), token=token)


def parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(body.split(b"\r\n")[1::2])
    return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def door(folder: Path) -> AsyncIterator[Door]:
    """Serve the page on a port that the system chooses."""
    audited: list[tuple[str, str, str]] = []

    class Auditor:
        def check(self) -> None:
            """It can always be written down."""

        async def asked(self, caller: Caller, operation: str, arguments: Arguments, error: str) -> None:
            audited.append((caller.name, operation, error))

    operations = Operations(Auditor())
    told: dict[str, int] = {}
    tokens = Tokens(folder / "page-tokens.json", lambda: found.now_ms)
    found = Door(0, tokens, new_secret(), new_secret(), operations, audited)

    async def live(_: Caller, arguments: Arguments) -> object:
        parts = {
            "gateway": {"name": "g", "version": "1", "started_ms": 1, "silent_ms": 1000},
            "store": {"held": None, "max_bytes": 10, "classes": {}},
            "sinks": [],
            "links": [],
            "refused": {},
        }
        whole = argument(arguments, "since", int, 0) != found.version
        return {
            "version": found.version,
            "now_ms": found.now_ms,
            "whole": whole,
            "parts": parts,
            "rows": found.rows,
            "moves": [],
        }

    async def add(_: Caller, arguments: Arguments) -> object:
        if argument(arguments, "by", int) > 9:
            raise UsageError("'by' is at most 9")
        told["sum"] = told.get("sum", 0) + arguments["by"]
        return told

    async def fails(_: Caller, __: Arguments) -> object:
        raise RuntimeError("secret of the house")

    operations.reads("live", live)
    operations.changes("add", add)
    operations.reads("fails", fails)
    token_operations.add(operations, tokens)
    tokens.add("ruth", "reader", digest(found.reader))
    tokens.add("olga", "operator", digest(found.operator))
    opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    event = logs.event

    def hears(level: int, name: str, **fields: object) -> None:
        if name == "page-open":
            opened.set_result(int(str(fields["address"]).rpartition(":")[2]))
        event(level, name, **fields)

    logs.event = hears  # type: ignore[assignment]
    try:
        async with serve(PageConfig("127.0.0.1", 0, None), operations, tokens, "g", lambda: found.held):
            found.port = await asyncio.wait_for(opened, 20)
            yield found
    finally:
        logs.event = event  # type: ignore[assignment]
