"""The way from a VM process to the host's TCP: the other end of the `socket` shim.

Rules: clients only, nothing listens. Questions and answers go as those of the rig do (rigline.py). No answer
takes longer than a slice: a VM that waits asks again, so that the end of it never hangs on a peer.
"""

from __future__ import annotations

import errno
import select
import socket
from pathlib import Path
from typing import Any

from fieldline_boards.emulated.vm.rigline import AnswerLine

SLICE_S = 0.2
"""Longest wait of one answer."""

CONNECT_S = 10.0
"""As lwIP on a board, give or take: then a connection is not made."""

MOST = 1024
"""Bytes in a question or answer: as hex they fit a line."""


class Network:
    """TCP connections of one VM."""

    def __init__(self) -> None:
        self._open: dict[int, socket.socket] = {}
        self._last = 0

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """One of open, send, receive, close; {"errno": n} where the system says no."""
        try:
            match question:
                case {"open": [str(host), int(port)]}:
                    return self._connect(host, port)
                case {"send": str(data), "socket": int(number)}:
                    return {"count": self._open[number].send(bytes.fromhex(data))}
                case {"receive": int(most), "socket": int(number), "wait": bool(wait)}:
                    return self._receive(self._open[number], min(most, MOST), wait)
                case {"close": int(number)}:
                    self._open.pop(number).close()
                    return {}
        except KeyError:
            return {"errno": errno.EBADF}
        except OSError as error:
            return {"errno": error.errno or errno.EIO}
        raise ValueError(f"no question of a network: {question}")

    def close(self) -> None:
        """End all connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _connect(self, host: str, port: int) -> dict[str, Any]:
        try:
            connection = socket.create_connection((host, port), CONNECT_S)
        except TimeoutError:
            return {"errno": errno.ETIMEDOUT}
        except socket.gaierror:
            return {"errno": errno.EHOSTUNREACH}
        connection.settimeout(None)
        self._last += 1
        self._open[self._last] = connection
        return {"socket": self._last}

    @staticmethod
    def _receive(connection: socket.socket, most: int, wait: bool) -> dict[str, Any]:
        """{"data": hex}, empty at the end of the stream; {} where nothing is there yet."""
        if not select.select([connection], [], [], SLICE_S if wait else 0)[0]:
            return {}
        return {"data": connection.recv(most).hex()}


class NetLine(AnswerLine):
    """Answers for a network of its own, over pipes in `folder`, from open() to close()."""

    def __init__(self, folder: Path) -> None:
        self._network = Network()
        super().__init__(self._network, folder, "net")

    def setup(self) -> dict[str, object]:
        """What a VM process is told (read by network.mjs)."""
        return {"net": self.pipes()}

    def close(self) -> None:
        super().close()
        self._network.close()
