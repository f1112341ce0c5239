"""The control socket: how programs on the gateway's own machine ask it for an operation.

Rules: a Unix socket that only the gateway's user opens, so whoever gets in is an operator. One line of JSON in,
{"operation": NAME, "arguments": {...}}, one out, {"result": ...} or {"error": TEXT}; then it is closed. Nothing that
is told holds a secret. A client that stalls is dropped.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import struct
from pathlib import Path
from typing import Any, Self

from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.operations import Caller, Operations, Role
from fieldline_gateway.slices import dumps
from fieldline_host import asking

MAX_QUESTION = 1024 * 1024  # bytes; the longest is a command for 30,000 nodes named one by one
PATIENCE_S = 5.0  # for a question to come in whole on the same machine, which takes milliseconds


class ControlServer:
    """Answers on `path` while entered."""

    def __init__(self, path: Path, operations: Operations) -> None:
        self._path = path
        self._operations = operations
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        with asking.ShortPath(self._path) as short:
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, short, limit=MAX_QUESTION)
            finally:
                os.umask(before)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await reader.readline()
            answer = await dumps(await self._answer(_caller(writer), line))
            async with asyncio.timeout(PATIENCE_S):
                writer.write(answer + b"\n")
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # a client that stalls, says too much or went away gets no answer
        finally:
            writer.close()

    async def _answer(self, caller: Caller, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            name, arguments = question["operation"], question.get("arguments", {})
            if not isinstance(name, str) or not isinstance(arguments, dict):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {"error": 'ask one line of JSON: {"operation": NAME, "arguments": {...}}'}
        try:
            return {"result": await self._operations.call(caller, name, arguments)}
        except GatewayError as error:
            return {"error": str(error)}


class NotRunning(UsageError):
    """No gateway runs there."""


def ask(path: Path, operation: str, arguments: dict[str, Any] | None = None) -> Any:
    """The result of an operation of the gateway at `path`; NotRunning, or UsageError where it says no."""
    try:
        return asking.ask_socket(path, operation, arguments)
    except asking.NotRunning as error:
        raise NotRunning(str(error)) from None
    except asking.AskError as error:
        raise UsageError(str(error)) from None


def _caller(writer: asyncio.StreamWriter) -> Caller:
    """The user of this machine at the other end (SO_PEERCRED, unix(7))."""
    connection = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    return Caller(name, Role.OPERATOR, "cli")
