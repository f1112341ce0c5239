"""Asks a running gateway for an operation: by the control socket on its own machine, by HTTP from elsewhere.

Rules: one question, one answer, both JSON and bounded. A bearer token goes over TLS, or over loopback. Whoever calls
wraps AskError into an error of its own.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

ANSWER_S = 60.0
"""For the answer: the longest operation changes 30,000 nodes on a slow disk."""
MAX_ANSWER = 256 * 1024 * 1024
"""Bytes: 30,000 nodes with their twins take a tenth of it."""
_MAX_PATH = 107  # sun_path in unix(7), less the closing zero
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class AskError(Exception):
    """The gateway said no, or nothing that can be read; the text says which one and what."""


class NotRunning(AskError):
    """No gateway runs there."""


def ask_socket(path: Path, operation: str, arguments: dict[str, Any] | None = None) -> Any:
    """The result of an operation of the gateway at `path`; NotRunning, AskError."""
    question = json.dumps({"operation": operation, "arguments": arguments or {}}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as client, ShortPath(path) as short:
        client.settimeout(ANSWER_S)
        try:
            client.connect(short)
            client.sendall(question)
            with client.makefile("rb") as answer:
                told = json.loads(answer.read(MAX_ANSWER))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(f"no gateway runs at {path}; start it with: fieldline gateway run") from None
        except PermissionError:
            raise AskError(f"{path}: ask as the user that runs the gateway") from None
        except (OSError, ValueError) as error:
            raise AskError(f"the gateway at {path} did not answer: {error}") from None
    return _result(told, str(path))


def ask_http(
    url: str, token: str, operation: str, arguments: dict[str, Any] | None = None, ca: Path | None = None
) -> Any:
    """The same by the page's API at `url`; `ca`: the certificates to trust instead of the system's."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise AskError(f"{url}: a token goes over https, or over http on this machine alone")
    request = urllib.request.Request(
        f"{url.rstrip('/')}/api/{urllib.parse.quote(operation)}",
        json.dumps(arguments or {}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        context = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        with urllib.request.urlopen(request, timeout=ANSWER_S, context=context) as answer:
            return _result(json.loads(answer.read(MAX_ANSWER)), url)
    except urllib.error.HTTPError as error:
        raise AskError(f"{url}: {_said(error)}") from None
    except urllib.error.URLError as error:
        raise NotRunning(f"{url}: {error.reason}") from None
    except (OSError, ValueError, HTTPException) as error:
        raise AskError(f"the gateway at {url} did not answer: {error}") from None


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(64 * 1024))["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"status {error.code}"


def _result(told: Any, where: str) -> Any:
    if not isinstance(told, dict) or not ("error" in told or "result" in told):
        raise AskError(f"the gateway at {where} did not answer as one does")
    if "error" in told:
        raise AskError(told["error"])
    return told["result"]


class ShortPath:
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
