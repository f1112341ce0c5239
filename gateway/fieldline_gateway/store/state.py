"""What the store knows beside the log: how far each sink has read, what was evicted, counters (SQLite, WAL).

Rules: blocking, one worker thread. A cursor that is a little old after a power cut costs repeats and no
loss, so cursors are saved without waiting for the disk; evictions are on disk before a segment is removed.
sqlite3.Error becomes StoreError here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldline_gateway.errors import StoreError
from fieldline_gateway.store.reading import Part
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.summary import NumberRange
from fieldline_gateway.store.unread import Saved
from fieldline_host.sqlite import connect, immediate

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (sink TEXT, cls INTEGER, seq INTEGER NOT NULL, PRIMARY KEY (sink, cls));
CREATE TABLE IF NOT EXISTS backlog (sink TEXT, cls INTEGER, first_seq INTEGER, last_seq INTEGER);
CREATE TABLE IF NOT EXISTS note (sink TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (sink, name));
CREATE TABLE IF NOT EXISTS evicted (
    cls INTEGER, first_seq INTEGER, last_seq INTEGER, node BLOB, stream INTEGER, first INTEGER, last INTEGER);
CREATE INDEX IF NOT EXISTS evicted_at ON evicted (cls, last_seq);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class StoreState:
    """The store's SQLite file."""

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

    def cursors(self) -> dict[str, dict[int, Saved]]:
        """What each sink was delivered, by class."""
        backlog: dict[tuple[str, int], list[Hole]] = {}
        for sink, cls, first, last in self._all(
            "SELECT sink, cls, first_seq, last_seq FROM backlog ORDER BY first_seq"
        ):
            backlog.setdefault((sink, cls), []).append(Hole(first, last))
        found: dict[str, dict[int, Saved]] = {}
        for sink, cls, seq in self._all("SELECT sink, cls, seq FROM cursor"):
            found.setdefault(sink, {})[cls] = Saved(seq, tuple(backlog.get((sink, cls), ())))
        return found

    def save_cursors(self, moves: Iterable[tuple[str, int, Saved]]) -> None:
        """Store what sinks were delivered: all classes of all of them, or none."""
        with self._transaction("NORMAL") as db:
            for sink, cls, saved in moves:
                db.execute(
                    "INSERT INTO cursor VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
                    (sink, cls, saved.live),
                )
                db.execute("DELETE FROM backlog WHERE sink = ? AND cls = ?", (sink, cls))
                db.executemany(
                    "INSERT INTO backlog VALUES (?, ?, ?, ?)",
                    [(sink, cls, hole.first, hole.last) for hole in saved.backlog],
                )

    def note(self, sink: str, name: str) -> bytes | None:
        """What a sink keeps under this name."""
        rows = self._all("SELECT value FROM note WHERE sink = ? AND name = ?", (sink, name))
        return rows[0][0] if rows else None

    def save_note(self, sink: str, name: str, value: bytes) -> None:
        """Keep something for a sink; on disk when it returns."""
        with self._transaction("FULL") as db:
            db.execute("INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (sink, name, value))

    def forget_sink(self, sink: str) -> None:
        with self._transaction("FULL") as db:
            for table in ("cursor", "backlog", "note"):
                db.execute(f"DELETE FROM {table} WHERE sink = ?", (sink,))

    def counters(self) -> dict[str, int]:
        return dict(self._all("SELECT name, value FROM counter"))

    def add_evicted(self, cls: int, parts: Iterable[Part], counts: dict[str, int], gone_to: int) -> None:
        """Note what a segment held that goes unread, add to the counters; on disk when it returns.

        `gone_to`: the last sequence number that goes; a segment up to it is removed again at the next start.
        """
        rows = [
            (cls, part.seqs.first, part.seqs.last, row.node, row.stream, row.first, row.last)
            for part in parts
            for row in part.numbers
        ]
        with self._transaction("FULL") as db:
            db.executemany("INSERT INTO evicted VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany(
                "INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                list(counts.items()),
            )
            db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (f"gone-to-{cls}", gone_to))

    def gone_to(self, cls: int) -> int:
        """Last sequence number that was given up in this class, 0 where none was."""
        return self.counters().get(f"gone-to-{cls}", 0)

    def evicted(self, cls: int, hole: Hole) -> list[tuple[Hole, list[NumberRange]]]:
        """What was evicted in this range of sequence numbers, in order; no part that begins before it."""
        rows = self._all(
            "SELECT first_seq, last_seq, node, stream, first, last FROM evicted"
            " WHERE cls = ? AND first_seq >= ? AND last_seq <= ? ORDER BY first_seq, rowid",
            (cls, hole.first, hole.last),
        )
        parts: dict[Hole, list[NumberRange]] = {}
        for first_seq, last_seq, *numbers in rows:
            parts.setdefault(Hole(first_seq, last_seq), []).append(NumberRange(*numbers))
        return list(parts.items())

    def forget_evicted(self, cls: int, up_to: int) -> None:
        """All sinks have been told of what was evicted up to this sequence number."""
        with self._transaction("NORMAL") as db:
            db.execute("DELETE FROM evicted WHERE cls = ? AND last_seq <= ?", (cls, up_to))

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._wrapped() as db:
            return db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        with self._wrapped() as db:
            db.execute(f"PRAGMA synchronous={synchronous}")
            with immediate(db):
                yield db

    @contextmanager
    def _wrapped(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db  # type: ignore[misc]
        except sqlite3.Error as error:
            full = "full" in str(error)
            raise StoreError(f"{self._path}: {error}", "full" if full else "failed") from error
