"""Messages that a server will never take, kept in a file for a person (docs/payloads.md 6).

Rules: a letter is on disk before the cursor passes its message. Two files of bounded size: the full one becomes
FILE.1 and the one before it goes. A line is a JSON object.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldline_gateway.errors import StoreError
from fieldline_gateway.mqtt.window import Message

MAX_BYTES = 4 * 1024 * 1024
"""Of each of the two files: some twenty thousand readings, and no disk that fills unseen."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message and why it was refused."""

    time: str
    server: str
    code: int
    why: str
    message: Message

    def line(self) -> str:
        topic, payload, _ = self.message
        content: dict[str, object] = {
            "time": self.time,
            "server": self.server,
            "code": f"0x{self.code:02x}",
            "why": self.why,
            "topic": topic[2:].decode(),
        }
        try:
            content["payload"] = payload.decode()
        except UnicodeDecodeError:
            content["payload_base64"] = base64.b64encode(payload).decode()
        return json.dumps(content, ensure_ascii=False) + "\n"


class DeadLetters:
    """The file; None keeps nothing."""

    def __init__(self, path: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def add(self, letters: Sequence[Letter]) -> None:
        """On disk when it returns; StoreError where the disk refuses. Blocking."""
        if self.path is None:
            return
        data = "".join(letter.line() for letter in letters).encode()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size + len(data) > self._max_bytes:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}; make room or let it be written") from error
