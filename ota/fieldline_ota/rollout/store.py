"""Rollouts on disk (SQLite, WAL) and their decisions in a hash-chained log (chainlog.py).

Rules: what changed is one transaction, on disk (synchronous FULL) before anything is sent. Decisions stand in the
same transaction, numbered, and are moved to the log after it; a kill in between moves them at the next start, and
none twice. One process at a time works on the folder (flock), and only for as long as a step takes.
sqlite3.Error becomes OtaError here.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from fieldline_host.chain import Entry, tail
from fieldline_host.chainlog import ChainError, ChainLog
from fieldline_host.sqlite import connect, immediate
from fieldline_ota.errors import OtaError, UsageError
from fieldline_ota.rollout.engine import Rollout
from fieldline_ota.rollout.model import Decision, Node, Plan

AUDIT = "audit"
VIA = "ota"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rollout (
    id INTEGER PRIMARY KEY, plan TEXT NOT NULL, state TEXT NOT NULL, ring INTEGER NOT NULL, good_at REAL,
    why TEXT NOT NULL, made REAL NOT NULL);
CREATE TABLE IF NOT EXISTS node (
    rollout INTEGER, id TEXT, name TEXT NOT NULL, gateway TEXT NOT NULL, ring INTEGER NOT NULL, state TEXT NOT NULL,
    since REAL NOT NULL, reason INTEGER NOT NULL, tries INTEGER NOT NULL, counter INTEGER NOT NULL,
    percent INTEGER NOT NULL, running INTEGER NOT NULL, PRIMARY KEY (rollout, id));
CREATE TABLE IF NOT EXISTS decision (
    number INTEGER PRIMARY KEY AUTOINCREMENT, rollout INTEGER NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL,
    node TEXT NOT NULL, data TEXT NOT NULL, logged INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS unlogged ON decision (number) WHERE NOT logged;
"""
_LOOK_BACK = 2000  # lines of the log in which a decision that was written before a kill is looked for


class RolloutStore:
    """The folder of a release manager's rollouts. `utc_ms`: of the log's lines."""

    def __init__(self, folder: Path, utc_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._utc_ms = utc_ms
        self._db: sqlite3.Connection | None = None
        self._log: ChainLog | None = None
        self._heads: dict[int, tuple[object, ...]] = {}  # as they are on disk

    @contextmanager
    def working(self) -> Iterator[None]:
        """Has the folder to itself; waits for another process. What a killed one left unlogged is logged first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with self._wrapped():
                self._db = connect(self._folder / "rollouts.db")
                self._db.executescript(_SCHEMA)
            self._log = ChainLog(self._folder / AUDIT, self._utc_ms)
            try:
                self._log.open()
                self._log_what_waits(after_kill=True)
                yield
            except ChainError as error:
                raise OtaError(str(error)) from None
            finally:
                self._log.close()
                self._db.close()
                self._db = self._log = None
        finally:
            os.close(fd)

    def create(self, plan: Plan, nodes: Sequence[Node], who: str, now: float) -> Rollout:
        """A new rollout. UsageError while another one of the board and component has not ended."""
        for other in self.all():
            same = (other.plan.board, other.plan.component) == (plan.board, plan.component)
            if same and other.state in ("running", "held", "returning"):
                raise UsageError(
                    f"rollout {other.id} of {plan.board} is {other.state}: abort it first, or wait until it is done"
                )
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO rollout (plan, state, ring, good_at, why, made) VALUES (?, 'running', 0, NULL, '', ?)",
                (json.dumps(plan.to_dict()), now),
            )
            rollout = Rollout(int(cursor.lastrowid or 0), plan, nodes)
            rollout.dirty = set(rollout.nodes)
            data = {"plan": plan.to_dict(), "nodes": len(rollout.nodes)}
            self._save(db, rollout, [Decision("rollout-started", who, data=data)])
        self._log_what_waits()
        return rollout

    def all(self) -> list[Rollout]:
        """The newest last."""
        with self._wrapped() as db:
            ids = [row[0] for row in db.execute("SELECT id FROM rollout ORDER BY id")]
        return [self.load(id) for id in ids]

    def load(self, id: int) -> Rollout:
        """UsageError where there is none."""
        with self._wrapped() as db:
            row = db.execute(
                "SELECT plan, state, ring, good_at, why FROM rollout WHERE id = ?", (id,)
            ).fetchone()
            if row is None:
                raise UsageError(f"there is no rollout {id}; `fieldline ota status` lists them")
            rows = db.execute(
                "SELECT id, name, gateway, ring, state, since, reason, tries, counter, percent, running"
                " FROM node WHERE rollout = ? ORDER BY ring, id",
                (id,),
            ).fetchall()
        plan, state, ring, good_at, why = row
        nodes = [Node(*each) for each in rows]
        found = Rollout(
            id, Plan.from_dict(json.loads(plan)), nodes, state=state, ring=ring, good_at=good_at, why=why
        )
        self._heads[id] = found.head
        return found

    def save(self, rollout: Rollout, decisions: Sequence[Decision]) -> None:
        """What changed, and why; on disk and in the log when it returns. Nothing is written where nothing changed."""
        if not decisions and not rollout.dirty and rollout.head == self._heads.get(rollout.id):
            return
        with self._transaction() as db:
            self._save(db, rollout, decisions)
        self._log_what_waits()

    def _save(self, db: sqlite3.Connection, rollout: Rollout, decisions: Sequence[Decision]) -> None:
        db.execute(
            "UPDATE rollout SET plan = ?, state = ?, ring = ?, good_at = ?, why = ? WHERE id = ?",
            (json.dumps(rollout.plan.to_dict()), *rollout.head[1:], rollout.id),
        )
        db.executemany(
            "INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(rollout.id, *astuple(rollout.nodes[id])) for id in sorted(rollout.dirty)],
        )
        db.executemany(
            "INSERT INTO decision (rollout, what, who, node, data) VALUES (?, ?, ?, ?, ?)",
            [(rollout.id, each.what, each.who, each.node, json.dumps(dict(each.data))) for each in decisions],
        )
        rollout.dirty = set()
        self._heads[rollout.id] = rollout.head

    def _log_what_waits(self, *, after_kill: bool = False) -> None:
        assert self._log is not None
        with self._wrapped() as db:
            rows = db.execute(
                "SELECT number, rollout, what, who, node, data FROM decision WHERE NOT logged ORDER BY number"
            ).fetchall()
        if not rows:
            return
        known = self._logged_last() if after_kill else 0
        self._log.append([_entry(*row) for row in rows if row[0] > known])
        with self._transaction() as db:
            db.execute("UPDATE decision SET logged = 1 WHERE number <= ?", (rows[-1][0],))

    def _logged_last(self) -> int:
        """The newest decision in the log."""
        lines = tail(self._folder / AUDIT, _LOOK_BACK)
        return max((line["data"].get("decision", 0) for line in lines if line["via"] == VIA), default=0)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._wrapped() as db, immediate(db):
            yield db

    @contextmanager
    def _wrapped(self) -> Iterator[sqlite3.Connection]:
        assert self._db is not None or self._log is None
        try:
            yield self._db  # type: ignore[misc]
        except sqlite3.Error as error:
            raise OtaError(f"{self._folder / 'rollouts.db'}: {error}") from None


def _entry(number: int, rollout: int, what: str, who: str, node: str, data: str) -> Entry:
    values: dict[str, Any] = {"decision": number, "rollout": rollout, **json.loads(data)}
    return Entry(who, VIA, what, data={**values, "node": node} if node else values)
