"""What the commands of `fieldline gateway` have in common: how one looks, and words that several take.

Rules: a wrong word is a UsageError that shows a right one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import CLASS_NAMES, CLASSES
from fieldline_gateway.replay.selection import Selection
from fieldline_gateway.store.archive import Archive, Content, Place

Run = Callable[[argparse.Namespace], int]


def add_command(
    parts: Any, name: str, run: Run, summary: str, examples: str, *, config: bool = True
) -> argparse.ArgumentParser:
    """A command with --help, the one of `examples` that shows it, and -c where it reads the configuration."""
    example = next(line for line in examples.splitlines() if f" {name}" in line)
    part: argparse.ArgumentParser = parts.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.set_defaults(run=run)
    if config:
        part.add_argument("-c", "--config", type=Path, default=Path("gateway.toml"), metavar="FILE",
                          help="configuration file (default: gateway.toml)")  # fmt: skip
    return part


def add_filters(part: argparse.ArgumentParser) -> None:
    """The words that say which records are meant."""
    part.add_argument("--class", dest="cls", choices=CLASS_NAMES, help="one class only")
    part.add_argument(
        "--node", action="append", default=[], metavar="ID", help="only this node; may be repeated"
    )
    part.add_argument("--numbers", metavar="FIRST-LAST", help="only these numbers of the nodes; with --node")
    part.add_argument(
        "--since", metavar="TIME", help="measured at or after: 2026-11-21 or 2026-11-21T08:00 (UTC)"
    )
    part.add_argument("--until", metavar="TIME", help="measured before")
    part.add_argument("--all", action="store_true", help="health, log, config and result messages, too")


def selected(words: argparse.Namespace) -> Selection:
    """What add_filters' words mean. UsageError where they mean nothing."""
    first, last = numbers(words.numbers)
    return Selection(
        classes=(CLASS_NAMES.index(words.cls),) if words.cls else CLASSES,
        nodes=tuple(node_id(text) for text in words.node),
        first=first,
        last=last,
        since_ms=utc_ms(words.since),
        until_ms=utc_ms(words.until),
        others=words.all,
    )


def contents(archive: Archive, classes: Iterable[int]) -> Iterator[Content]:
    """The content of each segment, with progress on standard error where a person looks."""
    places: list[Place] = [place for cls in classes for place in archive.places(cls)]
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=sum(place.bytes for place in places))
        for place in places:
            content = archive.content(place)
            if content is not None:
                yield content
            progress.advance(task, place.bytes)


def node_id(text: str) -> str:
    """A node's id, 16 hexadecimal digits in lower case."""
    try:
        if len(bytes.fromhex(text)) == 8:
            return text.lower()
    except ValueError:
        pass
    raise UsageError(
        f"--node {text!r}: a node id has 16 hexadecimal digits; `fieldline gateway status` lists them"
    )


def utc_ms(text: str | None) -> int | None:
    """UTC in ms; a time without zone is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time; write for example 2026-11-21 or 2026-11-21T08:00") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def numbers(text: str | None) -> tuple[int | None, int | None]:
    """FIRST-LAST, FIRST- or -LAST; (None, None) for no text."""
    first, dash, last = (text or "-").partition("-")
    if dash and all(not part or (part.isdecimal() and 0 < int(part) < 2**32) for part in (first, last)):
        return int(first) if first else None, int(last) if last else None
    raise UsageError(f"--numbers {text!r}: write FIRST-LAST, FIRST- or -LAST, for example 100-250")
