"""`fieldline fleet`: choose nodes by a target; list, label, set and command them.

Rules: words in, one operation of the running gateway, words out; no logic (docs/fleet.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table

from fieldline_gateway import config
from fieldline_gateway.control import ask
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.words import add_command
from fieldline_host.command import run_command

LOOK_S = 0.5
EPILOG = """examples:
  fieldline fleet ls 'T@site:kiel and not G@board:pico*' -c gateway.toml
  fieldline fleet tag 'fan-*' site:kiel line:3 --remove spare
  fieldline fleet label fan-1 --name intake-1 --place 'hall 2' --owner maintenance
  fieldline fleet group kiel-fans 'T@site:kiel and fan-*'
  fieldline fleet get fan-1
  fieldline fleet set 'T@site:kiel' report_ms=5000 sensors.1.pulses_per_turn=2 --wait 60
  fieldline fleet send 'T@site:kiel' identify seconds=10 --ttl 600 --once 2026-11-30-kiel --wait 60
  fieldline fleet jobs 7
  fieldline fleet cancel --job 7

TARGET is Salt's: names and ids with globs, E@regex, G@fact:value, T@tag, Q@twin.path>value, N@group,
and, or, not, parentheses (docs/fleet.md). Quote it for the shell.
"""


def main(argv: list[str]) -> int:
    """Run `fieldline fleet`; 0 done, 1 failed, 2 wrong words."""
    return run_command(_parser(), argv, GatewayError, UsageError)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fieldline fleet",
        description="Many nodes at once, by the running gateway.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="COMMAND", required=True)

    def part(name: str, run: Any, summary: str, *, target: str = "") -> argparse.ArgumentParser:
        made = add_command(parts, name, run, summary, EPILOG)
        made.add_argument("--json", action="store_true", help="the gateway's answer, for programs")
        if target:
            made.add_argument("target", metavar="TARGET", nargs=target if target == "?" else None, default="*",
                              help="which nodes; quote it for the shell")  # fmt: skip
        return made

    part("ls", _ls, "which nodes a target means, with their labels", target="?")
    tag = part("tag", _tag, "give tags to nodes, or take them away", target="1")
    tag.add_argument("tags", metavar="TAG", nargs="*", help="such as spare or site:kiel")
    tag.add_argument("--remove", metavar="TAG", nargs="+", default=[], help="tags to take away")
    label = part("label", _label, "set place, owner or parent of nodes, or the name of one", target="1")
    for key, what in (("name", "of one node"), ("parent", ""), ("place", ""), ("owner", "")):
        label.add_argument(f"--{key}", metavar=key.upper(), help=what or f"the {key}; '' takes it away")
    get = part("get", _get, "what is desired and reported of one node, and what differs")
    get.add_argument("node", metavar="NODE", help="id or name")
    sets = part(
        "set", _set, "settings of nodes, kept and sent down now or at a node's next Hello", target="1"
    )
    sets.add_argument(
        "settings", metavar="NAME=VALUE", nargs="+", help="as in report_ms=5000; NAME= : the default"
    )
    sets.add_argument("--wait", type=float, default=0, metavar="S", help="watch until they are in force")
    send = part("send", _send, "a command to nodes, kept until each has answered", target="1")
    send.add_argument("command", metavar="COMMAND", help="ping, restart, identify, output, hello or erase")
    send.add_argument("values", metavar="NAME=VALUE", nargs="*", help="seconds=10; pin=1 level=0; stream=N")
    send.add_argument("--ttl", type=int, default=3600, metavar="S", help="not meant any more after (3600)")
    send.add_argument("--once", metavar="ID", help="an id of your own: given again, it is the same job")
    send.add_argument("--wait", type=float, default=0, metavar="S", help="watch until all have answered")
    jobs = part("jobs", _jobs, "jobs and how far they are, or the commands of one")
    jobs.add_argument("job", type=int, metavar="JOB", nargs="?", help="this one's commands")
    cancel = part("cancel", _cancel, "take back a command, or all of a job that have no answer yet")
    which = cancel.add_mutually_exclusive_group(required=True)
    which.add_argument("command", type=int, nargs="?", metavar="COMMAND", help="a command's id")
    which.add_argument("--job", type=int, metavar="JOB", help="all of this job")
    group = part("group", _group, "list saved groups (N@NAME in targets), save or remove one")
    group.add_argument("name", metavar="NAME", nargs="?", help="the group")
    group.add_argument("target", metavar="TARGET", nargs="?", help="what it means from now on")
    group.add_argument("--remove", action="store_true", help="remove the group")
    return parser


def _ask(words: argparse.Namespace, operation: str, **arguments: Any) -> Any:
    """The operation's result; with --json it is printed here."""
    told = ask(config.load(words.config).control_socket, operation, arguments)
    if words.json:
        print(json.dumps(told))
    return told


def _ls(words: argparse.Namespace) -> int:
    told = _ask(words, "nodes.list", target=words.target)
    if words.json:
        return 0
    table = Table(
        "node", "name", "tags", "place", "owner", "parent", "board", "firmware", "settings", "heard"
    )
    now_ms = time.time_ns() // 1_000_000
    for node in told["nodes"]:
        heard = f"{(now_ms - node['heard_ms']) / 1000:.0f} s ago" if node["heard_ms"] else "never"
        state = "in force" if node["converged"] else "on their way"
        table.add_row(
            node["node"], node["name"], " ".join(node["tags"]), node["place"], node["owner"], node["parent"],
            node["board"], node["firmware"], state, "revoked" if node["revoked"] else heard,
        )  # fmt: skip
    Console().print(table)
    print(f"{len(told['nodes'])} of {told['of']} nodes")
    return 0


def _tag(words: argparse.Namespace) -> int:
    told = _ask(words, "nodes.tag", target=words.target, add=words.tags, remove=words.remove)
    return _changed(words, told)


def _label(words: argparse.Namespace) -> int:
    given = {key: getattr(words, key) for key in ("name", "parent", "place", "owner")}
    given = {key: text for key, text in given.items() if text is not None}
    return _changed(words, _ask(words, "nodes.set", target=words.target, **given))


def _get(words: argparse.Namespace) -> int:
    told = _ask(words, "twin.get", node=words.node)
    if not words.json:
        print(f"version {told['version']}")
        Console().print_json(json.dumps(told["state"]))
    return 0


def _set(words: argparse.Namespace) -> int:
    wanted: dict[str, Any] = {}
    for text in words.settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: write NAME=VALUE, for example report_ms=5000")
        *path, last = name.split(".")
        inside = wanted
        for key in path:
            inside = inside.setdefault(key, {})
        try:
            inside[last] = int(value) if value else None
        except ValueError:
            raise UsageError(
                f"{text!r}: the value is a whole number, or empty for the board's default"
            ) from None
    told = _ask(words, "twin.update", target=words.target, state={"desired": {"config": wanted}})
    nodes = set(told["nodes"])
    if not words.json:
        print(f"{len(nodes)} nodes: kept, and on their way")
    return _wait_for(words, nodes) if words.wait else 0


def _wait_for(words: argparse.Namespace, nodes: set[str]) -> int:
    """Until the settings of all are in force; 1 where the time is over before."""
    deadline = time.monotonic() + words.wait
    socket = config.load(words.config).control_socket
    with progress_bar() as progress:
        task = progress.add_task("in force", total=len(nodes))
        while True:
            told = ask(socket, "nodes.list", {"target": "Q@delta"})["nodes"]
            waiting = [node["name"] for node in told if node["node"] in nodes]
            progress.update(task, completed=len(nodes) - len(waiting))
            if not waiting:
                return 0
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_S)
    print(f"not in force yet: {', '.join(waiting[:10])}{' ...' * (len(waiting) > 10)}", file=sys.stderr)
    return 1


def _send(words: argparse.Namespace) -> int:
    arguments: dict[str, Any] = {"target": words.target, "command": words.command, "ttl_s": words.ttl}
    for text in words.values:
        name, _, value = text.partition("=")
        if not value.isdecimal():
            raise UsageError(f"{text!r}: write NAME=NUMBER, for example seconds=10")
        arguments[name] = int(value)
    if words.once is not None:
        arguments["once"] = words.once
    job = _ask(words, "command.send", **arguments)
    if not words.json:
        print(f"job {job['job']}: {job['command']} to {job['total']} nodes")
    return _watch_job(words, job) if words.wait else 0


def _watch_job(words: argparse.Namespace, job: dict[str, Any]) -> int:
    """Until each command has its answer; 1 where one was not done, or the time is over before."""
    deadline = time.monotonic() + words.wait
    socket = config.load(words.config).control_socket
    with progress_bar() as progress:
        task = progress.add_task(job["command"], total=job["total"])
        while job["waiting"] and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            job = ask(socket, "job.get", {"job": job["job"]})
            progress.update(task, completed=job["total"] - job["waiting"])
    if not words.json:
        print(f"job {job['job']}: {_counts(job)}")
    return 0 if job["done"] == job["total"] else 1


def _counts(job: dict[str, Any]) -> str:
    states = ("done", "waiting", "rejected", "failed", "expired", "cancelled")
    return ", ".join(f"{job[state]} {state}" for state in states if job[state])


def _jobs(words: argparse.Namespace) -> int:
    if words.job is not None:
        told = _ask(words, "command.list", job=words.job, limit=1000)
        table = Table("command", "node", "name", "what", "state", "reason")
        for each in told["commands"]:
            row = (each["node"], each["name"], each["command"], each["state"], each["reason"])
            table.add_row(str(each["id"]), *row)
    else:
        told = _ask(words, "job.list")
        table = Table("job", "command", "target", "by", "", "nodes", "so far")
        for job in told["jobs"]:
            bar = ProgressBar(total=max(job["total"], 1), completed=job["total"] - job["waiting"], width=20)
            table.add_row(
                str(job["job"]),
                job["command"],
                job["target"],
                job["who"],
                bar,
                str(job["total"]),
                _counts(job),
            )
    if not words.json:
        Console().print(table)
    return 0


def _cancel(words: argparse.Namespace) -> int:
    if words.job is not None:
        told = _ask(words, "job.stop", job=words.job)
    else:
        told = _ask(words, "command.cancel", command=words.command)
    if not words.json:
        late = f"; {told['told']} were told already and may still do it" if told["told"] else ""
        print(f"{told['cancelled']} cancelled{late}")
    return 0


def progress_bar() -> Progress:
    """On standard error, where a person looks."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _group(words: argparse.Namespace) -> int:
    if words.name is None:
        told = _ask(words, "group.list")
        if not words.json:
            table = Table("group", "target")
            for group in told["groups"]:
                table.add_row(group["name"], group["target"])
            Console().print(table)
    elif words.remove:
        _ask(words, "group.remove", name=words.name)
    elif words.target is not None:
        _ask(words, "group.set", name=words.name, target=words.target)
    else:
        raise UsageError(f"group {words.name!r}: give a TARGET to save, or --remove")
    return 0


def _changed(words: argparse.Namespace, told: dict[str, Any]) -> int:
    if not words.json:
        print(f"{len(told['nodes'])} nodes changed")
    return 0
