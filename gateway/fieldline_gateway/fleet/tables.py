"""Labels, groups, twins, jobs and their commands in the registry's file.

Rules: blocking, for a worker thread; queries only, what they mean is elsewhere. The tables stand in registry.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fieldline_gateway.registry import Command, Registry

CANCELLED = -1
"""A command's status beside those of wire.md 5.13: taken back before it had a result."""

KEEP_JOBS = 1000
"""Of older ones only what is not settled is kept: some months of a busy site."""


@dataclass(frozen=True, slots=True)
class Label:
    """What operators wrote to a node."""

    parent: str = ""
    place: str = ""
    owner: str = ""
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Job:
    """One order to one or many nodes. Times: UTC in ms."""

    id: int
    once: str | None
    who: str
    target: str
    command: str
    made_ms: int
    until_ms: int
    stopped_ms: int | None


class Tables:
    """Queries on an open registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    # --- labels and groups

    def labels(self) -> dict[bytes, Label]:
        rows = self._registry.rows("SELECT node, parent, place, owner, tags FROM label")
        return {
            node: Label(parent, place, owner, frozenset(tags.split()))
            for node, parent, place, owner, tags in rows
        }

    def save_labels(self, labels: Mapping[bytes, Label], names: Mapping[bytes, str]) -> None:
        with self._registry.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO label VALUES (?, ?, ?, ?, ?)",
                [
                    (node, it.parent, it.place, it.owner, " ".join(sorted(it.tags)))
                    for node, it in labels.items()
                ],
            )
            db.executemany("UPDATE node SET name = ? WHERE id = ?", [(n, node) for node, n in names.items()])

    def groups(self) -> dict[str, str]:
        """The target of each saved group."""
        return dict(self._registry.rows("SELECT name, target FROM saved_group"))

    def save_group(self, name: str, target: str | None) -> None:
        """None removes it."""
        with self._registry.transaction() as db:
            if target is None:
                db.execute("DELETE FROM saved_group WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO saved_group VALUES (?, ?)", (name, target))

    # --- twins

    def twins(self) -> dict[bytes, dict[str, Any]]:
        """The document of each node that has one."""
        return {
            node: json.loads(text) for node, text in self._registry.rows("SELECT node, document FROM twin")
        }

    def save_twins(
        self, twins: Mapping[bytes, Mapping[str, Any]], desired: Mapping[bytes, tuple[int, bytes]]
    ) -> None:
        """Documents, and in the same transaction the version and Config message that follow from them."""
        rows = [(node, json.dumps(document, separators=(",", ":"))) for node, document in twins.items()]
        with self._registry.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO twin VALUES (?, ?)", rows)
            db.executemany(
                "INSERT OR REPLACE INTO desired VALUES (?, ?, ?)", [(node, *d) for node, d in desired.items()]
            )

    # --- jobs and commands

    def add_job(
        self, job: Job, nodes: Iterable[bytes], code: int, argument: bytes
    ) -> tuple[Job, list[Command]]:
        """The job with its id and its commands; with one of the same `once` before it, that one and no commands."""
        with self._registry.transaction() as db:
            if job.once is not None:
                found = db.execute("SELECT * FROM job WHERE once = ?", (job.once,)).fetchone()
                if found is not None:
                    return Job(*found), []
            cursor = db.execute(
                "INSERT INTO job (once, who, target, command, made_ms, until_ms) VALUES (?, ?, ?, ?, ?, ?)",
                (job.once, job.who, job.target, job.command, job.made_ms, job.until_ms),
            )
            made = replace(job, id=int(cursor.lastrowid or 0))
            db.executemany(
                "INSERT INTO command (node, code, argument, until_ms, job) VALUES (?, ?, ?, ?, ?)",
                [(node, code, argument, job.until_ms, made.id) for node in nodes],
            )
            old = made.id - KEEP_JOBS
            db.execute("DELETE FROM command WHERE job <= ? AND status IS NOT NULL", (old,))
            db.execute(
                "DELETE FROM job WHERE id <= ? AND id NOT IN (SELECT job FROM command WHERE job <= ?)",
                (old, old),
            )
            rows = db.execute(
                "SELECT id, node, code, argument, until_ms FROM command WHERE job = ? ORDER BY id", (made.id,)
            )
            return made, [Command(*row) for row in rows]

    def jobs(self, limit: int, one: int | None = None) -> list[tuple[Job, dict[int | None, int]]]:
        """The newest first, each with how many of its commands have which status (None: not any yet)."""
        rows = self._registry.rows(
            "SELECT * FROM job WHERE ? IS NULL OR id = ? ORDER BY id DESC LIMIT ?", (one, one, limit)
        )
        return [(job, self._counts(job.id)) for job in (Job(*row) for row in rows)]

    def _counts(self, job: int) -> dict[int | None, int]:
        return dict(
            self._registry.rows("SELECT status, count(*) FROM command WHERE job = ? GROUP BY status", (job,))
        )

    def commands(self, limit: int, job: int | None, node: bytes | None) -> list[tuple[Any, ...]]:
        """(id, node, code, argument, until_ms, status, result, job) of the newest."""
        return self._registry.rows(
            "SELECT id, node, code, argument, until_ms, status, result, job FROM command"
            " WHERE (? IS NULL OR job = ?) AND (? IS NULL OR node = ?) ORDER BY id DESC LIMIT ?",
            (job, job, node, node, limit),
        )

    def cancel(
        self, now_ms: int, *, command: int | None = None, job: int | None = None
    ) -> list[tuple[bytes, int]]:
        """Take back what has no result yet, of a command or a job; (node, id) of each."""
        with self._registry.transaction() as db:
            rows: list[tuple[bytes, int]] = db.execute(
                "UPDATE command SET status = ? WHERE status IS NULL AND (id = ? OR job = ?) RETURNING node, id",
                (CANCELLED, command, job),
            ).fetchall()
            if job is not None:
                db.execute("UPDATE job SET stopped_ms = ? WHERE id = ? AND stopped_ms IS NULL", (now_ms, job))
        return rows

    def expire(self, now_ms: int, status: int) -> None:
        """Give those whose time is over this status."""
        if self._registry.rows(
            "SELECT 1 FROM command WHERE status IS NULL AND until_ms <= ? LIMIT 1", (now_ms,)
        ):
            with self._registry.transaction() as db:
                db.execute(
                    "UPDATE command SET status = ? WHERE status IS NULL AND until_ms <= ?", (status, now_ms)
                )
