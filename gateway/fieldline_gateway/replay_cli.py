"""`fieldline gateway store replay`: publish stored records again, after a look at what that would be.

Rules: nothing goes out that was not shown and agreed to. A running gateway does it itself and is watched through its
control socket; where none runs this process holds the data folder and does the same. Ended at any point, by SIGKILL
too, it goes on from where it was: at the gateway's next start, or with --resume.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fieldline_gateway import config, folder, logs
from fieldline_gateway.config import Config
from fieldline_gateway.control import ask
from fieldline_gateway.errors import FolderTaken, UsageError
from fieldline_gateway.records import CLASS_NAMES
from fieldline_gateway.registry import Registry
from fieldline_gateway.replay.job import Job, Jobs
from fieldline_gateway.replay.running import Replays, plan
from fieldline_gateway.sinks.payload import iso_time
from fieldline_gateway.store.archive import Archive
from fieldline_gateway.store.reader import weight
from fieldline_gateway.words import add_filters, contents, selected

SUMMARY = "publish stored records to a sink again, marked historical"
EXAMPLES = """examples:
  fieldline gateway store replay -c gateway.toml --sink json --since 2026-11-21 --until 2026-11-22 --dry-run
  fieldline gateway store replay -c gateway.toml --sink json --node e66178c1ab3c4d21 --numbers 100-250 --yes
  fieldline gateway store replay -c gateway.toml --resume
  fieldline gateway store replay -c gateway.toml --cancel
"""
LOOK_S = 0.5


def add_words(part: argparse.ArgumentParser) -> None:
    """The words of the command."""
    part.epilog = EXAMPLES
    part.add_argument("--sink", metavar="NAME", help="to which; needed where the configuration has several")
    add_filters(part)
    part.add_argument(
        "--per-s", type=int, metavar="N", help="readings a second at most (default: the sink's backlog_per_s)"
    )
    how = part.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="say what would be published, and stop")
    how.add_argument("--yes", action="store_true", help="do not ask")
    how.add_argument("--resume", action="store_true", help="go on with, or watch, the one that was begun")
    how.add_argument("--cancel", action="store_true", help="end the one that was begun")


def run(words: argparse.Namespace) -> int:
    """Run the command; the exit code."""
    settings = config.load(words.config)
    archive = Archive(settings.data)
    if words.cancel:
        return _cancel(settings, words.sink)
    if words.resume:
        job = _begun(settings, words.sink)
    else:
        job = plan(archive, settings.sinks, words.sink, selected(words), words.per_s)
        if any(begun.sink == job.sink for begun in Jobs(settings.data).load()):
            raise UsageError(
                f"a replay to sink {job.sink} was begun and is not done: go on with --resume, or --cancel it"
            )
        found = _look(archive, job)
        job.total = found.messages
        print(found.text(job))
        if not found.messages:
            raise UsageError("nothing to replay: no record that the sink has had matches; see `store ls`")
        if words.dry_run or not (words.yes or _agreed()):
            print("nothing was sent")
            return 0
    try:
        with folder.only_one(settings.data):
            return asyncio.run(_here(settings, job, begun=words.resume))
    except FolderTaken:
        return _watch(settings, job, begun=words.resume)
    except KeyboardInterrupt:
        print(f"stopped at {job.sent} of {job.total}; go on with --resume, or start the gateway")
        return 1


# --- what it would be


@dataclass(slots=True)
class _Found:
    """What is chosen."""

    messages: int = 0
    records: int = 0
    nodes: set[bytes] = field(default_factory=set)
    by_class: dict[int, int] = field(default_factory=dict)
    oldest_ms: int = 2**63
    newest_ms: int = 0

    def text(self, job: Job) -> str:
        """For a person."""
        if not self.messages:
            return f"sink {job.sink}: 0 messages"
        classes = ", ".join(f"{CLASS_NAMES[cls]} {count}" for cls, count in sorted(self.by_class.items()))
        pace = f"{job.per_s} a second: {self.messages / job.per_s:.0f} s" if job.per_s else "no bound"
        return (
            f"sink {job.sink}: {self.messages} messages ({classes}) of {len(self.nodes)} nodes, measured "
            f"{iso_time(self.oldest_ms)} to {iso_time(self.newest_ms)}, marked historical; pace: {pace}"
        )


def _look(archive: Archive, job: Job) -> _Found:
    found = _Found()
    for content in contents(archive, job.up_to):
        for stored in content.records():
            if stored.seq > job.up_to[stored.record.cls]:
                continue
            for part in job.selection.parts(stored):
                record, count = part.record, weight(part)
                found.messages += count
                found.records += 1
                found.nodes.add(record.node)
                found.by_class[record.cls] = found.by_class.get(record.cls, 0) + count
                found.oldest_ms = min(found.oldest_ms, record.time_ms)
                found.newest_ms = max(found.newest_ms, record.time_ms)
    return found


def _agreed() -> bool:
    """Whether a person at the terminal says yes; without a terminal nobody does."""
    if not sys.stdin.isatty():
        print("say --yes to publish this")
        return False
    return input("publish this? [y/N] ").strip().lower() in ("y", "yes")


# --- doing it


async def _here(settings: Config, job: Job, *, begun: bool) -> int:
    """In this process: no gateway runs."""
    logs.setup(settings.log_form, "warning")
    names = await asyncio.to_thread(_names, settings)
    with _bar(job) as show:
        async with Replays(settings, lambda node: names.get(node) or node.hex()) as replays:
            if not begun:
                await replays.begin(job)
            ending = asyncio.create_task(replays.until_done(job.sink))
            over = False
            while not over:
                over = bool((await asyncio.wait((ending,), timeout=LOOK_S))[0])
                told = next(each for each in replays.status() if each["sink"] == job.sink)
                job.sent = told["sent"]
                show(told)
            ending.result()
    print(f"{job.sent} replayed")
    return 0


def _watch(settings: Config, job: Job, *, begun: bool) -> int:
    """In the gateway that runs, seen from here."""
    control = settings.control_socket
    if not begun:
        arguments = {
            "sink": job.sink,
            "selection": job.selection.to_json(),
            "per_s": job.per_s,
            "total": job.total,
        }
        ask(control, "store-replay", arguments)
    try:
        with _bar(job) as show:
            while True:
                told = next(
                    (each for each in ask(control, "store-replays") if each["sink"] == job.sink), None
                )
                if told is None:
                    raise UsageError(
                        f"the replay to sink {job.sink} was cancelled at {job.sent} of {job.total}"
                    )
                job.sent = told["sent"]
                if told["done"]:
                    break
                show(told)
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        print(f"at {job.sent} of {job.total}; the gateway goes on with it, and --cancel ends it")
        return 0
    print(f"{job.sent} replayed")
    return 0


def _names(settings: Config) -> dict[bytes, str]:
    registry = Registry(folder.registry_path(settings))
    registry.open()
    try:
        return {node.id: node.name for node in registry.nodes()}
    finally:
        registry.close()


# --- the one that was begun


def _begun(settings: Config, sink: str | None) -> Job:
    found = [job for job in Jobs(settings.data).load() if sink in (None, job.sink)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError("no replay was begun that is not done" + (f" to sink {sink}" if sink else ""))
    raise UsageError("say which with --sink: " + ", ".join(job.sink for job in found))


def _cancel(settings: Config, sink: str | None) -> int:
    job = _begun(settings, sink)
    try:
        with folder.only_one(settings.data):
            Jobs(settings.data).forget(job.sink)
            sent = job.sent
    except FolderTaken:
        sent = ask(settings.control_socket, "store-replay-cancel", {"sink": job.sink})["sent"]
    print(f"the replay to sink {job.sink} is ended; {sent} of {job.total} had been sent")
    return 0


class _bar:
    """Progress on standard error, where a person looks."""

    def __init__(self, job: Job) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("replaying"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task("", total=job.total or None, completed=job.sent, state="")

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        self._progress.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _show(self, told: dict[str, Any]) -> None:
        state = "" if told.get("connected", True) else f"waiting: {told['last_error'] or told['broker']}"
        self._progress.update(self._task, completed=told["sent"], state=state)
