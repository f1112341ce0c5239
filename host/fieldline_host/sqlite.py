"""SQLite as the host's programs use it: connections without implicit transactions (isolation_level=None)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    """Opens or makes a database with a write-ahead log, every commit on disk when it returns (`synchronous=FULL`).

    Threads may share it if they take turns; another process is waited for 5 s. sqlite3.Error.
    """
    db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


@contextmanager
def immediate(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that writes: all or nothing, on disk when it is left as `PRAGMA synchronous` says.

    sqlite3.Error passes, as everything else does, after the rollback.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
