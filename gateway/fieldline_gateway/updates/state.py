"""What is known of nodes' updates, on disk (SQLite, WAL): the newest Status, what is served, what is offered.

Rules: blocking. On disk when a call returns (synchronous FULL), for an Ask tells a node that its Status is.
sqlite3.Error becomes UpdatesError here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fieldline_gateway.updates.catalogue import UpdatesError
from fieldline_host.sqlite import connect, immediate

_SCHEMA = """
CREATE TABLE IF NOT EXISTS node (
    id BLOB PRIMARY KEY, status BLOB NOT NULL, heard_ms INTEGER NOT NULL, serving TEXT NOT NULL,
    offered TEXT NOT NULL, token BLOB NOT NULL, refused INTEGER NOT NULL, reason INTEGER NOT NULL);
"""


@dataclass(slots=True)
class Row:
    """A node. `status`: the message, b"" before the first."""

    id: bytes
    status: bytes = b""
    heard_ms: int = 0
    serving: str = ""
    """Digest of the manifest of what it receives or received last."""
    offered: str = ""
    """Digest that the token names, "" where nothing is offered."""
    token: bytes = b""
    refused: int = 0
    """Counter of the token that the node refused last, 0 for none."""
    reason: int = 0
    """Why."""


class UpdateState:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        with self._wrapped():
            self._db = connect(self._path)
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        if self._db is not None:
            with self._wrapped():
                self._db.close()
            self._db = None

    def rows(self) -> list[Row]:
        with self._wrapped() as db:
            found = db.execute(
                "SELECT id, status, heard_ms, serving, offered, token, refused, reason FROM node"
            ).fetchall()
        return [Row(*each) for each in found]

    def save(self, rows: Iterable[Row]) -> None:
        """All of them, or none."""
        values = [
            (row.id, row.status, row.heard_ms, row.serving, row.offered, row.token, row.refused, row.reason)
            for row in rows
        ]
        with self._wrapped() as db, immediate(db):
            db.executemany("INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    @contextmanager
    def _wrapped(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db  # type: ignore[misc]
        except sqlite3.Error as error:
            raise UpdatesError(f"{self._path}: {error}") from error
