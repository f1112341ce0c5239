"""The lines of a chained log: their form, and the reading that finds what was changed, removed, reordered or cut off.

Rules: a line is a JSON object whose last member is the SHA-256 of all before it; `prev` is the hash of the line
before. Files go on from each other. `head` beside them says how far the log went; who can write the folder can forge
both, so heads are to be noted elsewhere and given to verify() as anchors. Blocking; writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
"""`prev` of the first line."""
MAX_LINE = 64 * 1024
"""Bytes: the data of a longer line is replaced by its digest, so that a command to 30,000 nodes is one short line."""
MAX_FAULTS = 100
"""Faults that one verification tells: a file of noise has one a line."""

STARTED, CUT, DROPPED, BROKEN = "log-started", "log-tail-cut", "log-dropped", "log-broken"
"""What the log says of itself."""

_NAME = re.compile(r"\d{12}\.jsonl")  # of its first line's number
_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
_ANCHOR = re.compile(r"(\d{1,15}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The last line."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head | None:
        """From SEQ:HASH; None where it is not one."""
        match = _ANCHOR.fullmatch(text.strip())
        return cls(int(match[1]), match[2]) if match else None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says. `outcome`: "done", or why not."""

    who: str
    via: str
    what: str
    outcome: str = "done"
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a line of a file (1-based; 0: the file or the log as a whole)."""

    file: str
    line: int
    seq: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verify() found."""

    lines: int
    head: Head
    faults: tuple[Fault, ...]


def files(folder: Path) -> list[Path]:
    """The files of a log, in order."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []


def tail(folder: Path, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """The last lines (before line `before`), in order. Lines that are no lines are left out."""
    found: list[dict[str, Any]] = []
    for path in reversed(files(folder)):
        if before is not None and int(path.stem) >= before:
            continue
        lines = [line for line in parsed(path) if before is None or line["seq"] < before]
        found = lines[-(limit - len(found)) :] + found
        if len(found) >= limit:
            break
    return found


def verify(folder: Path, anchors: Sequence[Head] = ()) -> Verdict:
    """Go through the whole log. Beside a running writer the newest lines may be missing, never wrong."""
    wanted = {anchor.seq: anchor for anchor in anchors}
    said = read_head(folder)
    if said is not None and said.seq:
        wanted.setdefault(said.seq, said)
    faults: list[Fault] = []
    dropped: dict[int, str] = {}
    head, count, begins = Head(), 0, None
    paths = files(folder)
    for path in paths:
        number = 0
        try:
            with path.open("rb") as file:
                for number, raw in enumerate(lines_in(file), 1):
                    line = parse(raw)
                    if line is None:
                        if not (path == paths[-1] and not raw.endswith(b"\n")):  # else it is being written
                            faults.append(
                                Fault(
                                    path.name, number, None, "was changed: it is no line of the log any more"
                                )
                            )
                        continue
                    count += 1
                    if begins is None:
                        begins = Head(line["seq"] - 1, line["prev"])
                        head = begins
                    faults += _follows(path.name, number, line, head)
                    anchor = wanted.pop(line["seq"], None)
                    if anchor is not None and anchor.hash != line["hash"]:
                        what = f"is not the line that was written: its hash was {anchor.hash}"
                        faults.append(Fault(path.name, number, line["seq"], what))
                    head = Head(line["seq"], line["hash"])
                    if line["what"] == DROPPED and isinstance(line["data"], dict):
                        dropped[line["data"].get("up_to", 0)] = str(line["data"].get("hash"))
                    if line["what"] == BROKEN and isinstance(line["data"], dict):
                        what = f"says that the log was found broken: {line['data'].get('found')}"
                        faults.append(Fault(path.name, number, line["seq"], what))
        except OSError as error:
            faults.append(Fault(path.name, number, None, f"cannot be read: {error.strerror}"))
    if begins is not None and begins != Head() and dropped.get(begins.seq) != begins.hash:
        faults.append(Fault(paths[0].name, 0, None, f"the lines up to {begins.seq} were removed"))
    for seq, anchor in sorted(wanted.items()):
        if begins is None or seq > begins.seq:
            what = f"the log was cut off: line {seq} with hash {anchor.hash} is not there"
            faults.append(Fault(paths[-1].name if paths else "", 0, seq, what))
    if said is None and count:
        faults.append(Fault("head", 0, None, "the file that says how far the log went was removed"))
    return Verdict(count, head, tuple(faults[:MAX_FAULTS]))


def _follows(file: str, number: int, line: Mapping[str, Any], head: Head) -> list[Fault]:
    """What is wrong with this line behind the one before it."""
    seq = line["seq"]
    if seq > head.seq + 1:
        return [Fault(file, number, seq, f"lines {head.seq + 1} to {seq - 1} before it are missing")]
    if seq <= head.seq:
        return [Fault(file, number, seq, f"is out of order: line {head.seq} stands before it")]
    if line["prev"] != head.hash:
        return [Fault(file, number, seq, "does not follow the line before it, which was changed")]
    return []


def line_of(entry: Entry, head: Head, utc_ms: int) -> tuple[bytes, Head]:
    """The line that follows `head`."""
    data: Any = dict(entry.data)
    if len(text := json.dumps(data)) > MAX_LINE:
        data = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    body = json.dumps(
        {
            "seq": head.seq + 1,
            "time": _utc(utc_ms),
            "who": entry.who,
            "via": entry.via,
            "what": entry.what,
            "outcome": entry.outcome[:MAX_LINE],
            "data": data,
            "prev": head.hash,
        },
        separators=(",", ":"),
    )[:-1].encode()
    digest = hashlib.sha256(body).hexdigest()
    return body + b',"hash":"' + digest.encode() + b'"}\n', Head(head.seq + 1, digest)


def parse(raw: bytes) -> dict[str, Any] | None:
    """A line whose own hash is right; None for everything else."""
    match = _HASH.search(raw[:-1]) if raw.endswith(b"\n") else None
    if match is None or hashlib.sha256(raw[: match.start()]).hexdigest().encode() != match[1]:
        return None
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(line, dict) and isinstance(line.get("seq"), int) and isinstance(line.get("prev"), str)
    return line if whole and "what" in line and "data" in line else None


def parsed(path: Path) -> Iterator[dict[str, Any]]:
    with suppress(OSError), path.open("rb") as file:
        for raw in lines_in(file):
            if (line := parse(raw)) is not None:
                yield line


def lines_in(file: Any) -> Iterator[bytes]:
    """Lines, none longer than a whole one can be: a file of noise without ends does not fill the memory."""
    while line := file.readline(4 * MAX_LINE):
        yield line


def read_head(folder: Path) -> Head | None:
    try:
        return Head.parse((folder / "head").read_text())
    except (OSError, UnicodeDecodeError):
        return None


def _utc(ms: int) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    return f"{whole}.{ms % 1000:03d}Z"
