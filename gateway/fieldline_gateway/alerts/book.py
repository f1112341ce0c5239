"""The book of alerts: which stand, what became of them, and how far each notifier was told (SQLite, WAL).

Rules: state and event are one transaction, so neither a kill nor a full disk parts them; an event is on disk before
anybody is told. An event's number never comes again. What a notifier is about to send is fixed here first, so that a
repeat after a kill is the same message under the same key. Blocking, one thread. sqlite3.Error becomes AlertError.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldline_gateway.alerts.model import KINDS, LATCHED, Change, Clear, Event, Raise
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_host.sqlite import connect, immediate

MAX_EVENTS = 10_000
"""Events that wait for notifiers; beyond it the oldest go, are counted as lost, and the next message says so."""
MAX_OVER = 5_000
"""Alerts that are over and are kept to be looked at."""
QUIET_MS = 300_000
"""Raised again within so long it is the same alert, once more."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, severity TEXT NOT NULL, subject TEXT NOT NULL,
    name TEXT NOT NULL, text TEXT NOT NULL, raised_ms INTEGER NOT NULL, cleared_ms INTEGER,
    changed_ms INTEGER NOT NULL, times INTEGER NOT NULL, acknowledged TEXT, evidence TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS alert_open ON alert (kind, subject) WHERE cleared_ms IS NULL;
CREATE INDEX IF NOT EXISTS alert_of ON alert (kind, subject, id);
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notifier (
    name TEXT PRIMARY KEY, seq INTEGER NOT NULL, delivered INTEGER NOT NULL, lost INTEGER NOT NULL,
    unsaid INTEGER NOT NULL, sending TEXT);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class AlertError(GatewayError):
    """The book cannot be used."""


class Book:
    """alerts.db."""

    def __init__(self, path: Path, severities: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._severities = {**KINDS, **(severities or {})}
        self._db: sqlite3.Connection | None = None

    def open(self, random_id: str, notifiers: Iterable[str]) -> None:
        """Open or make. A notifier that is new begins now; one that is configured no more is forgotten."""
        with self._wrapped():
            self._db = connect(self._path)
            self._db.executescript(_SCHEMA)
        names = list(notifiers)
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('id', ?)", (random_id,))
            last = db.execute(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name='event'"
            ).fetchone()[0]
            for name in names:
                db.execute("INSERT OR IGNORE INTO notifier VALUES (?, ?, 0, 0, 0, NULL)", (name, last))
            marks = ",".join("?" * len(names))
            db.execute(f"DELETE FROM notifier WHERE name NOT IN ({marks})", names)
        self.id = str(self.meta("id"))

    def close(self) -> None:
        if self._db is not None:
            with self._wrapped() as db:
                db.close()
            self._db = None

    def meta(self, name: str) -> str | None:
        rows = self._all("SELECT value FROM meta WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    # --- alerts

    def apply(self, changes: Iterable[Change], now_ms: int, cursor: int | None = None) -> int:
        """Raise and clear, all or nothing, with the place in the log that they were read up to. How many events."""
        events = 0
        with self._transaction() as db:
            for change in changes:
                if isinstance(change, Raise):
                    events += self._raise(db, change, now_ms)
                else:
                    events += self._clear(db, change, now_ms)
            if cursor is not None:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('cursor', ?)", (str(cursor),))
            if events:
                self._bound(db)
        return events

    def acknowledge(self, ids: Iterable[int], who: Mapping[str, Any]) -> list[int]:
        """Somebody has seen them; those that nobody had. UsageError for one that is not there."""
        done = []
        with self._transaction() as db:
            for id_ in ids:
                row = self._one(db, "id = ?", (id_,))
                if row["acknowledged"] is None:
                    db.execute("UPDATE alert SET acknowledged = ? WHERE id = ?", (json.dumps(dict(who)), id_))
                    self._event(db, "acknowledged", id_)
                    done.append(id_)
        return done

    def clear_by_hand(self, id_: int, now_ms: int) -> Mapping[str, Any]:
        """A person calls a latched alert over. UsageError where it is none, or over already."""
        with self._transaction() as db:
            row = self._one(db, "id = ?", (id_,))
            if not row["latched"] or row["cleared_ms"] is not None:
                why = "is over already" if row["cleared_ms"] is not None else "clears by itself"
                raise UsageError(f"alert {id_} ({row['kind']}) {why}")
            db.execute("UPDATE alert SET cleared_ms = ?, changed_ms = ? WHERE id = ?", (now_ms, now_ms, id_))
            self._event(db, "cleared", id_)
        return row

    def alerts(self, open_only: bool, limit: int) -> list[dict[str, Any]]:
        """The worst and newest first."""
        where = "WHERE cleared_ms IS NULL" if open_only else ""
        rows = self._all(
            f"SELECT * FROM alert {where} ORDER BY cleared_ms IS NOT NULL,"
            " CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, id DESC LIMIT ?",
            (limit,),
        )
        return [_shown(row) for row in rows]

    def counts(self) -> tuple[int, int]:
        """(open, and not acknowledged)."""
        query = "SELECT count(*), count(*) FILTER (WHERE acknowledged IS NULL) FROM alert WHERE cleared_ms IS NULL"
        return tuple(self._all(query)[0])

    def open_ones(self) -> set[tuple[str, str]]:
        """(kind, subject) of all that stand."""
        return set(self._all("SELECT kind, subject FROM alert WHERE cleared_ms IS NULL"))

    # --- notifiers

    def sending(self, name: str) -> tuple[int, int] | None:
        """First and last event of what was about to go out."""
        text = self._all("SELECT sending FROM notifier WHERE name = ?", (name,))[0][0]
        return tuple(json.loads(text)) if text else None

    def events(self, name: str, limit: int) -> list[Event]:
        """What the notifier was not told yet."""
        rows = self._all(
            "SELECT seq, what, body FROM event WHERE seq > (SELECT seq FROM notifier WHERE name = ?)"
            " ORDER BY seq LIMIT ?",
            (name, limit),
        )
        return [Event(seq, what, json.loads(body)) for seq, what, body in rows]

    def unsaid(self, name: str) -> int:
        """Events that went untold and that the notifier has not been told of."""
        return int(self._all("SELECT unsaid FROM notifier WHERE name = ?", (name,))[0][0])

    def begin(self, name: str, first: int, last: int) -> None:
        """It is about to go out."""
        with self._transaction() as db:
            db.execute("UPDATE notifier SET sending = ? WHERE name = ?", (json.dumps([first, last]), name))

    def delivered(self, name: str, last: int, count: int) -> None:
        """The notifier's peer has what there was up to `last`, or does not want it (`count` 0)."""
        with self._transaction() as db:
            said = ", unsaid = 0" if count else ""
            db.execute(
                f"UPDATE notifier SET seq = ?, delivered = delivered + ?, sending = NULL{said} WHERE name = ?",
                (last, count, name),
            )
            db.execute("DELETE FROM event WHERE seq <= (SELECT min(seq) FROM notifier)")

    def notifier(self, name: str) -> dict[str, int]:
        seq, delivered, lost = self._all("SELECT seq, delivered, lost FROM notifier WHERE name = ?", (name,))[
            0
        ]
        (waiting,) = self._all("SELECT count(*) FROM event WHERE seq > ?", (seq,))[0]
        return {"waiting": waiting, "delivered": delivered, "lost": lost}

    # --- inside

    def _raise(self, db: sqlite3.Connection, change: Raise, now_ms: int) -> int:
        severity = self._severities[change.kind]
        evidence = json.dumps(dict(change.evidence))
        row = db.execute(
            "SELECT id, cleared_ms FROM alert WHERE kind = ? AND subject = ? ORDER BY id DESC LIMIT 1",
            (change.kind, change.subject),
        ).fetchone()
        if row is not None and row[1] is None:
            db.execute(
                "UPDATE alert SET text = ?, name = ?, evidence = ? WHERE id = ?",
                (change.text, change.name, evidence, row[0]),
            )
            return 0
        if row is not None and 0 <= now_ms - row[1] < QUIET_MS and change.kind != "test":
            db.execute(
                "UPDATE alert SET cleared_ms = NULL, times = times + 1, changed_ms = ?, text = ?, evidence = ?,"
                " severity = ? WHERE id = ?",
                (now_ms, change.text, evidence, severity, row[0]),
            )
            self._event(db, "raised", row[0])
            return 1
        values = (change.kind, severity, change.subject, change.name, change.text, now_ms, now_ms, evidence)
        made = db.execute("INSERT INTO alert VALUES (NULL,?,?,?,?,?,?,NULL,?,1,NULL,?)", values)
        self._event(db, "raised", int(made.lastrowid or 0))
        return 1

    def _clear(self, db: sqlite3.Connection, change: Clear, now_ms: int) -> int:
        row = db.execute(
            "SELECT id FROM alert WHERE kind = ? AND subject = ? AND cleared_ms IS NULL",
            (change.kind, change.subject),
        ).fetchone()
        if row is None:
            return 0
        db.execute("UPDATE alert SET cleared_ms = ?, changed_ms = ? WHERE id = ?", (now_ms, now_ms, row[0]))
        self._event(db, "cleared", row[0])
        return 1

    def _event(self, db: sqlite3.Connection, what: str, id_: int) -> None:
        body = json.dumps(self._one(db, "id = ?", (id_,)))
        db.execute("INSERT INTO event VALUES (NULL, ?, ?)", (what, body))

    def _bound(self, db: sqlite3.Connection) -> None:
        """Keep the bounds; what goes untold is counted for each notifier."""
        row = db.execute("SELECT seq FROM event ORDER BY seq DESC LIMIT 1 OFFSET ?", (MAX_EVENTS,)).fetchone()
        if row is not None:
            db.execute(
                "UPDATE notifier SET lost = lost + (?1 - seq), unsaid = unsaid + (?1 - seq), seq = ?1,"
                " sending = NULL WHERE seq < ?1",
                (row[0],),
            )
            db.execute("DELETE FROM event WHERE seq <= ?", (row[0],))
        if not db.execute("SELECT 1 FROM notifier LIMIT 1").fetchone():
            db.execute("DELETE FROM event")
        db.execute(
            "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE cleared_ms IS NOT NULL"
            " ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (MAX_OVER,),
        )

    def _one(self, db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> dict[str, Any]:
        row = db.execute(f"SELECT * FROM alert WHERE {where}", values).fetchone()
        if row is None:
            raise UsageError(f"there is no alert {values[0]}; `alert.list` shows those there are")
        return _shown(row)

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._wrapped() as db:
            return db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._wrapped() as db, immediate(db):
            yield db

    @contextmanager
    def _wrapped(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db  # type: ignore[misc]
        except sqlite3.Error as error:
            raise AlertError(
                f"{self._path}: {error}; see that the disk has room and can be written"
            ) from error


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    """An alert as docs/alerts.md has it."""
    id_, kind, severity, subject, name, text, raised, cleared, changed, times, acknowledged, evidence = row
    return {
        "id": id_,
        "kind": kind,
        "severity": severity,
        "subject": subject,
        "name": name,
        "text": text,
        "raised_ms": raised,
        "cleared_ms": cleared,
        "changed_ms": changed,
        "times": times,
        "latched": kind in LATCHED,
        "acknowledged": json.loads(acknowledged) if acknowledged else None,
        "evidence": json.loads(evidence),
    }
