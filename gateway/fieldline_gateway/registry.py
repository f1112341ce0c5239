"""What the gateway knows of its nodes: keys, replay windows, what is settled, desired settings, commands (SQLite).

Rules: state only; the stream is in the logs. The file holds keys, so nobody but its owner may read it.
Blocking: the gateway calls it from worker threads, one after the other, except while it starts. What operators add
(labels, twins, jobs) has its queries in fleet/tables.py; the tables are all here. A checkpoint is written in
one transaction with the log positions that it belongs to; what came later is found again in the log.
sqlite3.Error becomes RegistryError here.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fieldline_gateway.errors import RegistryError, UsageError
from fieldline_host.sqlite import connect, immediate

KEY_BYTES = 16
"""AES-128 (wire.md 3.1)."""
NODE_BYTES = 8
MAX_RUN = 0xFFFFFF
"""wire.md 3.2: three bytes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS node (
    id BLOB PRIMARY KEY, name TEXT NOT NULL, key_number INTEGER NOT NULL, key BLOB NOT NULL,
    added_ms INTEGER NOT NULL, revoked_ms INTEGER);
CREATE TABLE IF NOT EXISTS heard (
    node BLOB PRIMARY KEY, epoch INTEGER NOT NULL, counter INTEGER NOT NULL, stream INTEGER,
    heard_ms INTEGER NOT NULL, boots BLOB NOT NULL, hello BLOB);
CREATE TABLE IF NOT EXISTS settled (
    node BLOB, stream INTEGER, cls INTEGER, ranges BLOB NOT NULL, oldest INTEGER NOT NULL, next INTEGER NOT NULL,
    gaps INTEGER NOT NULL, PRIMARY KEY (node, stream, cls));
CREATE TABLE IF NOT EXISTS ended (node BLOB, stream INTEGER, ended_ms INTEGER, PRIMARY KEY (node, stream));
CREATE TABLE IF NOT EXISTS position (cls INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS desired (node BLOB PRIMARY KEY, version INTEGER NOT NULL, message BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS command (
    id INTEGER PRIMARY KEY AUTOINCREMENT, node BLOB NOT NULL, code INTEGER NOT NULL, argument BLOB NOT NULL,
    until_ms INTEGER NOT NULL, status INTEGER, result BLOB);
CREATE INDEX IF NOT EXISTS command_open ON command (node) WHERE status IS NULL;
CREATE TABLE IF NOT EXISTS label (
    node BLOB PRIMARY KEY, parent TEXT NOT NULL, place TEXT NOT NULL, owner TEXT NOT NULL, tags TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS saved_group (name TEXT PRIMARY KEY, target TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS twin (node BLOB PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS job (
    id INTEGER PRIMARY KEY AUTOINCREMENT, once TEXT UNIQUE, who TEXT NOT NULL, target TEXT NOT NULL,
    command TEXT NOT NULL, made_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, stopped_ms INTEGER);
"""
_UPGRADES = (
    ("ALTER TABLE command ADD COLUMN job INTEGER", "CREATE INDEX command_job ON command (job)"),
    ("ALTER TABLE heard ADD COLUMN config INTEGER",),
)
"""From PRAGMA user_version 0 (a file from before there were labels, twins and jobs), and so on."""
_SCHEMA_VERSION = len(_UPGRADES)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that may speak."""

    id: bytes
    name: str
    key_number: int
    key: bytes = field(repr=False)
    added_ms: int
    """UTC when this key was added."""
    revoked_ms: int | None


class Heard(NamedTuple):
    """What was last heard of a node, as of the checkpoint."""

    node: bytes
    epoch: int
    counter: int
    stream: int | None
    heard_ms: int
    boots: tuple[tuple[int, int], ...]
    """(epoch, UTC in ms at which that boot began) of the last boots."""
    hello: bytes | None
    """The last Hello, as the node sent it."""
    config: int | None = None
    """The version of the settings that its twin has from it; None where its last Hello says it."""


class Settled(NamedTuple):
    """Numbers of a class that are on disk, as ranges in order."""

    node: bytes
    stream: int
    cls: int
    ranges: tuple[tuple[int, int], ...]
    oldest: int
    """The oldest number that the node had when the stream was first heard of."""
    next: int
    """The number after the last that the node is known to have given."""
    gaps: int
    """How many of the numbers are in gaps."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of ingest when the log stood at `positions`."""

    positions: Mapping[int, int]
    heard: tuple[Heard, ...]
    settled: tuple[Settled, ...]
    ended: tuple[tuple[bytes, int, int], ...]
    """(node, stream, UTC in ms) of streams that are over."""
    results: tuple[tuple[bytes, int, int, bytes], ...] = ()
    """(node, command id, status, payload) that came since the last one."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that waits for its node."""

    id: int
    node: bytes
    code: int
    argument: bytes
    until_ms: int


class Registry:
    """The registry's file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._turn = threading.RLock()
        """One thread at a time: a transaction of one must not take in what another writes."""

    def open(self) -> None:
        """Open, make where missing (mode 0600). UsageError where others could read the keys."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            mode = self._path.stat().st_mode
        except OSError as error:
            raise RegistryError(f"{self._path}: {error.strerror}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{self._path} holds keys and others may read it (mode {stat.S_IMODE(mode):04o}): "
                f"run chmod 600 {self._path}"
            )
        with self._wrapped():
            self._db = connect(self._path)
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found > _SCHEMA_VERSION:
                raise RegistryError(
                    f"{self._path} was written by a newer version of this program (format {found}, this one knows "
                    f"{_SCHEMA_VERSION}): install that version, or restore the file from before the upgrade"
                )
            self._db.executescript(_SCHEMA)
            with self.transaction() as db:  # of two processes one upgrades
                found = db.execute("PRAGMA user_version").fetchone()[0]
                for statements in _UPGRADES[found:]:
                    for statement in statements:
                        db.execute(statement)
                db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def close(self) -> None:
        if self._db is not None:
            with self._wrapped() as db:
                db.close()
            self._db = None

    # --- the gateway itself

    def begin_run(self, random_id: int) -> tuple[int, int]:
        """(gateway id, run number) of this start; the run is on disk before it is given (wire.md 3.3)."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('gateway', ?), ('run', 0)", (random_id,))
            db.execute("UPDATE meta SET value = value + 1 WHERE name = 'run'")
            values = dict(db.execute("SELECT name, value FROM meta").fetchall())
            if values["run"] > MAX_RUN:
                raise RegistryError(
                    f"{self._path}: all {MAX_RUN} runs of this gateway are used up: give it a new id "
                    "(delete the rows of table meta) so that no nonce is used twice"
                )
        return values["gateway"], values["run"]

    def version(self) -> int:
        """A number that changes when another process has changed the file; cheap."""
        return int(self.rows("PRAGMA data_version")[0][0])

    # --- nodes

    def nodes(self) -> list[Node]:
        return [Node(*row) for row in self.rows("SELECT * FROM node ORDER BY id")]

    def enroll(self, node: bytes, name: str, key_number: int, key: bytes, now_ms: int) -> bool:
        """Add a node, or give it a new key; True where it was not known. UsageError for a bad id or key.

        Under a new key the node may count its boots from the start again: its window is forgotten.
        """
        return self.enroll_all([(node, name, key_number, key)], now_ms) == 1

    def enroll_all(self, nodes: Iterable[tuple[bytes, str, int, bytes]], now_ms: int) -> int:
        """enroll() for many (node, name, key number, key), all or none; how many were not known."""
        new = 0
        with self.transaction() as db:
            for node, name, key_number, key in nodes:
                if len(node) != NODE_BYTES or not any(node):
                    raise UsageError(f"a node id has {NODE_BYTES} bytes and is not zero")
                if len(key) != KEY_BYTES:
                    raise UsageError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
                new += _enroll(db, node, name, key_number, key, now_ms)
        return new

    def revoke(self, node: bytes, now_ms: int) -> bool:
        """Take a node's right to speak; False where it is not known."""
        with self.transaction() as db:
            return db.execute("UPDATE node SET revoked_ms = ? WHERE id = ?", (now_ms, node)).rowcount == 1

    # --- the checkpoint

    # Of the last one, empty at the first start. Row by row: a start with 30,000 nodes does not hold them twice.

    def positions(self) -> dict[int, int]:
        """Where the logs stood."""
        return dict(self.rows("SELECT cls, seq FROM position"))

    def heard(self) -> Iterator[Heard]:
        """What was last heard of each node."""
        for node, epoch, counter, stream, heard_ms, boots, hello, config in self._each("SELECT * FROM heard"):
            yield Heard(node, epoch, counter, stream, heard_ms, _pairs(boots, _BOOT), hello, config)

    def settled(self) -> Iterator[Settled]:
        """The numbers that were on disk."""
        for node, stream, cls, ranges, oldest, next_number, gaps in self._each("SELECT * FROM settled"):
            yield Settled(node, stream, cls, _pairs(ranges, _RANGE), oldest, next_number, gaps)

    def ended(self) -> list[tuple[bytes, int, int]]:
        """(node, stream, UTC in ms) of streams that are over."""
        return self.rows("SELECT * FROM ended")

    def save(self, changed: Checkpoint) -> None:
        """Write what changed since the last checkpoint, and where the log stands; on disk when it returns."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        h.node,
                        h.epoch,
                        h.counter,
                        h.stream,
                        h.heard_ms,
                        _bytes(h.boots, _BOOT),
                        h.hello,
                        h.config,
                    )
                    for h in changed.heard
                ],
            )
            db.executemany(
                "INSERT OR REPLACE INTO settled VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (s.node, s.stream, s.cls, _bytes(s.ranges, _RANGE), s.oldest, s.next, s.gaps)
                    for s in changed.settled
                ],
            )
            db.executemany("INSERT OR REPLACE INTO ended VALUES (?, ?, ?)", changed.ended)
            db.executemany(
                "DELETE FROM settled WHERE node = ? AND stream = ?", [(n, s) for n, s, _ in changed.ended]
            )
            db.executemany(
                # What the node says counts for more than that the command was taken back or too late.
                "UPDATE command SET status = ?, result = ? WHERE id = ? AND node = ?"
                " AND (status IS NULL OR (status IN (-1, 4) AND result IS NULL))",
                [(status, payload, command, node) for node, command, status, payload in changed.results],
            )
            db.executemany("INSERT OR REPLACE INTO position VALUES (?, ?)", changed.positions.items())

    # --- settings and commands

    def desired(self) -> dict[bytes, tuple[int, bytes]]:
        """Of each node that has one: version and the Config message that is to go down."""
        return {node: (version, message) for node, version, message in self.rows("SELECT * FROM desired")}

    def set_desired(self, node: bytes, version: int, message: bytes) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO desired VALUES (?, ?, ?)", (node, version, message))

    def open_commands(self, now_ms: int) -> list[Command]:
        """Commands that have no result yet and are not too late, in order."""
        rows = self.rows(
            "SELECT id, node, code, argument, until_ms FROM command"
            " WHERE status IS NULL AND until_ms > ? ORDER BY id",
            (now_ms,),
        )
        return [Command(*row) for row in rows]

    # --- SQLite

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """All rows of a query."""
        with self._wrapped() as db:
            return db.execute(query, values).fetchall()

    def _each(self, query: str) -> Iterator[Any]:
        """Row by row."""
        with self._wrapped() as db:
            yield from db.execute(query)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it is left."""
        with self._wrapped() as db, immediate(db):
            yield db

    @contextmanager
    def _wrapped(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._turn:
                yield self._db  # type: ignore[misc]
        except sqlite3.Error as error:
            raise RegistryError(f"{self._path}: {error}") from error


def _enroll(db: sqlite3.Connection, node: bytes, name: str, key_number: int, key: bytes, now_ms: int) -> bool:
    """Whether it was not known."""
    known = db.execute("SELECT key, added_ms FROM node WHERE id = ?", (node,)).fetchone()
    if known is not None and known[0] == key:
        now_ms = known[1]
    elif known is not None:
        db.execute("UPDATE heard SET epoch = -1, counter = -1 WHERE node = ?", (node,))
    db.execute(
        "INSERT INTO node VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (id) DO UPDATE SET"
        " name = excluded.name, key_number = excluded.key_number, key = excluded.key,"
        " added_ms = excluded.added_ms, revoked_ms = NULL",
        (node, name, key_number, key, now_ms),
    )
    return known is None


_BOOT = struct.Struct(">QQ")  # epoch, UTC in ms
_RANGE = struct.Struct(">II")  # first, last


def _bytes(pairs: Iterable[tuple[int, int]], form: struct.Struct) -> bytes:
    return b"".join(form.pack(*pair) for pair in pairs)


def _pairs(data: bytes, form: struct.Struct) -> tuple[tuple[int, int], ...]:
    return tuple(form.iter_unpack(data))
