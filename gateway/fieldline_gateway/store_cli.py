"""`fieldline gateway store`: look into the store, check it, take readings out of it; `replay` in replay_cli.py.

Rules: nothing here changes the store; all of it works while the gateway runs and when it does not. What goes to
standard output is the answer; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from fieldline_gateway import config, replay_cli
from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import CLASS_NAMES, CLASSES, StoredRecord
from fieldline_gateway.sinks.payload import JsonPayload, iso_time
from fieldline_gateway.store.archive import Archive, Content
from fieldline_gateway.store.reading import damage_records
from fieldline_gateway.words import add_command, add_filters, contents, selected

EPILOG = """examples:
  fieldline gateway store ls -c gateway.toml
  fieldline gateway store verify -c gateway.toml
  fieldline gateway store export -c gateway.toml --since 2026-11-21 --node e66178c1ab3c4d21 > readings.jsonl
  fieldline gateway store export -c gateway.toml --format csv --class alarm --out alarms.csv
  fieldline gateway store replay -c gateway.toml --sink json --since 2026-11-21 --dry-run
"""
COLUMNS = (
    "time", "node", "class", "stream", "number", "sensor", "quantity", "value", "unit",
    "alert", "cause", "saturated", "historical", "time_quality", "gap_last", "gap_reason",
)  # fmt: skip


def add_parser(parts: Any) -> None:
    """Add `store` to the parsers of `fieldline gateway`."""
    store = parts.add_parser(
        "store",
        help="look into the store, check it, export readings, publish them again",
        description="Looks into the store, beside a running gateway too. Changes nothing in it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = store.add_subparsers(metavar="COMMAND", required=True)
    for name, run, summary in (
        ("ls", _ls, "the segments: what each holds, how old it is, how far each sink has read"),
        ("verify", _verify, "read every record and check it; exit code 1 where something is lost"),
    ):
        part = add_command(commands, name, run, summary, EPILOG)
        part.add_argument("--json", action="store_true", help="one JSON object a segment, for programs")
    summary = "readings and gaps as JSON lines (docs/payload-json.md) or CSV"
    part = add_command(commands, "export", _export, summary, EPILOG)
    part.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")
    part.add_argument("--out", type=Path, metavar="FILE", help="a new file (default: standard output)")
    add_filters(part)
    part = add_command(commands, "replay", replay_cli.run, replay_cli.SUMMARY, replay_cli.EXAMPLES)
    replay_cli.add_words(part)


# --- ls


def _ls(words: argparse.Namespace) -> int:
    archive = Archive(config.load(words.config).data)
    rows = [_row(content) for content in contents(archive, CLASSES)]
    cursors = archive.cursors()
    if words.json:
        for row in rows:
            print(json.dumps(row))
        return 0
    table = Table(title="segments")
    for column in ("class", "records", "count", "numbers of", "bytes", "oldest", "newest", "state"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("count", "bytes") else "left")
    for row in rows:
        table.add_row(
            row["class"], f"{row['first_seq']}-{row['last_seq']}", str(row["count"]), f"{row['nodes']} nodes",
            f"{row['bytes']:,}", row["oldest"] or "", row["newest"] or "", row["state"],
        )  # fmt: skip
    console = Console()
    console.print(table)
    for sink, done in sorted(cursors.items()):
        at = ", ".join(f"{CLASS_NAMES[cls]} {seq}" for cls, seq in sorted(done.items()))
        console.print(f"sink {sink} has committed up to: {at}", soft_wrap=True)
    return 0


def _row(content: Content) -> dict[str, Any]:
    """A segment in words."""
    name, times, nodes = content.place.name, [], set()
    for stored in content.records():
        times.append(stored.record.received_ms)
        nodes.add(stored.record.node)
    if content.holes:
        state = f"DAMAGED: {_missing(content)} records lost"
    elif content.place.next_seq is None:
        state = "newest" + (f", {content.torn} bytes not promised" if content.torn else "")
    else:
        state = "whole"
    return {
        "class": CLASS_NAMES[name.cls],
        "segment": str(name),
        "first_seq": name.first_seq,
        "last_seq": content.next_seq - 1,
        "count": content.count,
        "nodes": len(nodes),
        "bytes": content.place.bytes,
        "oldest": iso_time(min(times)) if times else None,
        "newest": iso_time(max(times)) if times else None,
        "state": state,
    }


# --- verify


def _verify(words: argparse.Namespace) -> int:
    """Every record, and that none is missing in or between the segments."""
    archive = Archive(config.load(words.config).data)
    checked, lost = 0, 0
    for content in contents(archive, CLASSES):
        name = content.place.name
        for hole in content.holes:
            _say(words.json, name.cls, str(name), f"records {hole.first} to {hole.last} cannot be read")
        if content.holes:
            lost += _missing(content)
            for text in _lost_numbers(archive, content):
                _say(words.json, name.cls, str(name), text)
        checked += content.count
    if words.json:
        print(json.dumps({"checked": checked, "lost": lost}))
    else:
        print(f"{checked} records checked, {lost} lost")
        if lost:
            print("what is lost reaches the sinks as gaps; look at the disk (smartctl, the kernel's log)")
    return 1 if lost else 0


def _lost_numbers(archive: Archive, content: Content) -> Iterator[str]:
    lost = archive.lost(content)
    if lost is None:
        yield "whose they were is not known: the segment has no summary"
        return
    for row in lost:
        yield f"lost: node {row.node.hex()} stream {row.stream} numbers {row.first} to {row.last}"


def _missing(content: Content) -> int:
    return sum(hole.last - hole.first + 1 for hole in content.holes)


def _say(as_json: bool, cls: int, segment: str, text: str) -> None:
    if as_json:
        print(json.dumps({"class": CLASS_NAMES[cls], "segment": segment, "fault": text}))
    else:
        print(f"{CLASS_NAMES[cls]} {segment}: {text}")


# --- export


def _export(words: argparse.Namespace) -> int:
    settings = config.load(words.config)
    archive = Archive(settings.data)
    wanted = selected(words)
    if words.all and words.format == "csv":
        raise UsageError("--all needs --format jsonl: a table of readings has no columns for logs")
    payload = JsonPayload(settings.name)
    count = 0
    with _output(words.out) as out:
        write = _csv_writer(out) if words.format == "csv" else _line_writer(out)
        for content in contents(archive, wanted.classes):
            told = [json.loads(message) for stored in content.records() for part in wanted.parts(stored)
                    for _, message, _ in payload.messages(part.record)]  # fmt: skip
            for stored in _lost_records(archive, content):  # of no known time: part of every answer
                told += [json.loads(message) for _, message, _ in payload.messages(stored.record)]
            for each in told:
                write(each)
            count += len(told)
    print(f"{count} exported", file=sys.stderr)
    return 0


def _lost_records(archive: Archive, content: Content) -> list[StoredRecord]:
    """What a sink gets in place of the records of a segment that cannot be read any more."""
    cls, now_ms = content.place.name.cls, time.time_ns() // 1_000_000
    lost = archive.lost(content) if content.holes else []
    if lost:
        return damage_records(cls, content.holes[-1], lost, now_ms)
    return [stored for hole in content.holes for stored in damage_records(cls, hole, [], now_ms)]


def _line_writer(out: IO[str]) -> Callable[[dict[str, Any]], None]:
    def write(told: dict[str, Any]) -> None:
        out.write(json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n")

    return write


def _csv_writer(out: IO[str]) -> Callable[[dict[str, Any]], None]:
    table = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()

    def write(told: dict[str, Any]) -> None:
        gap = told.get("gap") or told.get("damage")
        if gap:
            first, last = list(gap.values())[:2]
            told = told | {"number": first, "gap_last": last, "gap_reason": gap.get("reason", "damage")}
        table.writerow(told)

    return write


@contextmanager
def _output(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    try:
        file = path.open("x", newline="")
    except FileExistsError:
        raise UsageError(f"{path} exists; give --out a new file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give --out a file that can be written") from None
    with file:
        yield file
