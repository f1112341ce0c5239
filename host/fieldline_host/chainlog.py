"""An append-only log whose lines are chained by SHA-256 (chain.py): the writer.

Rules: a line is on disk (fdatasync) before append() returns. Rotation keeps the chain. A torn tail (a kill, a power
cut) is cut at open(), and the cut is a line of the log; so is everything else that open() finds wrong. Blocking.
Nothing here knows whose log it is: gateway, rollout and line use the same class.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fieldline_host.chain import (
    BROKEN,
    CUT,
    DROPPED,
    STARTED,
    Entry,
    Head,
    files,
    line_of,
    lines_in,
    parse,
    parsed,
    read_head,
)

MAX_FILE = 4 * 1024 * 1024
"""Bytes after which a new file begins."""
KEEP_FILES = 64
"""Files that are kept: 256 MiB, a million lines. What goes is written down with its hash first."""


class ChainError(Exception):
    """The log cannot be written or read; the text says which file and why."""


class ChainLog:
    """The log in `folder`; one process writes it."""

    def __init__(
        self,
        folder: Path,
        utc_ms: Callable[[], int],
        *,
        max_file: int = MAX_FILE,
        keep_files: int = KEEP_FILES,
    ) -> None:
        self._folder = folder
        self._utc_ms = utc_ms
        self._max_file = max_file
        self._keep_files = keep_files
        self._fd = -1
        self._size = 0
        self.head = Head()

    def open(self) -> list[str]:
        """Find the end, cut a torn tail, and go on. What was found wrong is a line of the log and is given back."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._open()
        except OSError as error:
            raise ChainError(f"{self._folder}: {error.strerror}") from error

    def append(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """Write lines; they are on disk when it returns, all or (ChainError) none that counts."""
        try:
            return self._append(entries)
        except OSError as error:
            raise ChainError(f"{self._folder}: {error.strerror}") from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> list[str]:
        said = read_head(self._folder)
        paths = files(self._folder)
        wrong: list[str] = []
        cut = Entry("", "", "")
        seen = Head()  # the line that the head names, as it stands in the files
        while paths:
            path = paths[-1]
            good, end = self._last_good(path, said)
            seen = good[1] or seen
            if good[0] is None and path.stat().st_size == 0:
                path.unlink()  # killed between making it and its first line
                paths.pop()
                continue
            tail = path.read_bytes()[end:] if end < path.stat().st_size else b""
            if tail:
                digest = hashlib.sha256(tail).hexdigest()
                cut = Entry("log", "log", CUT, data={"bytes": len(tail), "sha256": digest, "file": path.name})
                os.truncate(path, end)
            if good[0] is None:
                path.unlink()
                paths.pop()
                continue
            self.head = good[0]
            break
        if paths:
            self._fd = os.open(paths[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._size = paths[-1].stat().st_size
        if said is None and self.head.seq:
            wrong.append("the head is missing")
        elif said is not None and said.seq > self.head.seq:
            wrong.append(f"the log ends at {self.head.seq} and went on to {said}")
        elif said is not None and said.seq and not self._holds(said, seen):
            wrong.append(f"line {said.seq} is not the one that was written, whose hash is {said.hash}")
        notes = [] if self.head.seq or wrong else [Entry("log", "log", STARTED)]
        notes += [cut] if cut.what else []
        notes += [Entry("log", "log", BROKEN, data={"found": text}) for text in wrong]
        if notes:
            self._append(notes)
        return wrong

    def _last_good(self, path: Path, said: Head | None) -> tuple[tuple[Head | None, Head | None], int]:
        """(the last line that is whole, the line with the number of `said`) of a file, and the end of the first."""
        last: Head | None = None
        named: Head | None = None
        at = end = 0
        with path.open("rb") as file:
            for line in lines_in(file):
                at += len(line)
                if (parsed := parse(line)) is not None:
                    last, end = Head(parsed["seq"], parsed["hash"]), at
                    named = last if said is not None and last.seq == said.seq else named
        return (last, named), end

    def _holds(self, said: Head, seen: Head) -> bool:
        """Whether the line that the head names is there; it may stand in an earlier file."""
        if seen.seq == said.seq:
            return seen == said
        return any(
            line["seq"] == said.seq and line["hash"] == said.hash
            for path in files(self._folder)
            for line in parsed(path)
        )

    def _append(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        if self._fd < 0 or self._size >= self._max_file:
            self._new_file()
            entries = [*entries, *self._drops()]
        head, said, data = self.head, [], b""
        for entry in entries:
            line, head = line_of(entry, head, self._utc_ms())
            said.append(json.loads(line))
            data += line
        before = self._size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
            os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(
                    self._fd, before
                )  # or else a half line stands in the middle; open() would cut it
            raise
        self._size = before + len(data)
        self.head = head
        self._write_head()
        for path in self._dropped(said):
            path.unlink(missing_ok=True)
        return said

    def _new_file(self) -> None:
        path = self._folder / f"{self.head.seq + 1:012d}.jsonl"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.close()
        self._fd, self._size = fd, os.fstat(fd).st_size

    def _drops(self) -> list[Entry]:
        """What is to be written down of the oldest file before it goes."""
        paths = files(self._folder)
        if len(paths) <= self._keep_files:
            return []
        (good, _), _ = self._last_good(paths[0], None)
        last = good or Head()
        data = {"file": paths[0].name, "up_to": last.seq, "hash": last.hash}
        return [Entry("log", "log", DROPPED, data=data)]

    def _dropped(self, lines: Sequence[Mapping[str, Any]]) -> list[Path]:
        return [self._folder / line["data"]["file"] for line in lines if line["what"] == DROPPED]

    def _write_head(self) -> None:
        """Not waited for: what it says is on disk already, and an older one does no harm."""
        path = self._folder / "head"
        temporary = self._folder / "head.new"
        temporary.write_text(f"{self.head}\n")
        temporary.replace(path)
