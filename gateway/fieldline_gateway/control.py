"""The control socket: what a running gateway tells programs on its own machine.

Rules: a Unix socket that only the gateway's user opens. One line in (a word), one line of JSON out, then it
is closed. Nothing that is told holds a secret. A client that stalls is dropped.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from fieldline_gateway.errors import UsageError

MAX_QUESTION = 256  # bytes; the words are short
PATIENCE_S = 5.0  # a question on the same machine takes milliseconds
_MAX_PATH = 107  # sun_path in unix(7), less the closing zero

Answer = Callable[[], object]


class ControlServer:
    """Answers on `path` while entered; `answers` maps a word to what it tells."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        self._path = path
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        with _short(self._path) as short:
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
                word = (await reader.readline()).decode("ascii", "replace").strip()
                answer = self._answers.get(word)
                told = answer() if answer else {"error": f"unknown word; known: {', '.join(self._answers)}"}
                writer.write(json.dumps(told).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # a client that stalls, says too much or went away gets no answer
        finally:
            writer.close()


def ask(path: Path, word: str) -> Any:
    """What the gateway at `path` tells about `word`; UsageError where none runs there."""
    with socket.socket(socket.AF_UNIX) as client, _short(path) as short:
        client.settimeout(PATIENCE_S)
        try:
            client.connect(short)
            client.sendall(word.encode() + b"\n")
            with client.makefile("rb") as answer:
                return json.loads(answer.read())
        except (FileNotFoundError, ConnectionRefusedError):
            raise UsageError(f"no gateway runs at {path}; start it with: fieldline gateway run") from None
        except PermissionError:
            raise UsageError(f"{path}: ask as the user that runs the gateway") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"the gateway at {path} did not answer: {error}") from None


class _short:
    """A path that fits a Unix socket's address, however deep the folder is: by /proc where it is too long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _MAX_PATH:
            return str(self._path)
        try:
            self._fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return str(self._path.name)  # there is no such folder: connecting will say so
        return f"/proc/self/fd/{self._fd}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
