"""`fieldline gateway`: run, check, status, enroll; what has commands of its own is in NAME_cli.py.

Rules: words in, one call of a part, words out; no logic. A key is never an argument, where every user of the
machine could read it.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fieldline_gateway import (
    alerts_cli,
    app,
    audit_cli,
    config,
    deploy,
    doctor,
    folder,
    logs,
    quarantine_cli,
    store_cli,
    top,
)
from fieldline_gateway.control import ask
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.mesh import network
from fieldline_gateway.mqtt.security import hash_password
from fieldline_gateway.registry import KEY_BYTES, NODE_BYTES, Registry
from fieldline_gateway.web import token_cli
from fieldline_gateway.words import add_command
from fieldline_host.command import run_command

MOST_NAMED = 5
"""Lost nodes of a mesh in one line."""
EPILOG = """examples:
  fieldline gateway example > gateway.toml
  fieldline gateway check -c gateway.toml
  fieldline gateway enroll -c gateway.toml e66178c1ab3c4d21 --name fan-1 < key.hex
  fieldline gateway run -c gateway.toml
  fieldline gateway status -c gateway.toml
  fieldline gateway password site-nodes >> listener.passwords
  fieldline gateway doctor -c gateway.toml
  fieldline gateway unit -c /etc/fieldline/gateway.toml > /etc/systemd/system/fieldline-gateway.service
"""


def main(argv: list[str]) -> int:
    """Run `fieldline gateway`; 0 done, 1 failed, 2 wrong words (a ConfigError is the front door's)."""
    return run_command(_parser(), argv, GatewayError, UsageError)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fieldline gateway",
        description="Brings readings from nodes to MQTT; stores each before it acknowledges it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, summary in (
        ("run", _run, "run until SIGTERM or Ctrl-C"),
        ("check", _check, "say what a configuration file would do, or which line is wrong"),
        ("status", _status, "what the running gateway sees: nodes, store, sinks, links, refusals"),
        ("enroll", _enroll, "let a node speak: its id, and its key on standard input or from a file"),
        ("password", _password, "make a line of the listener's password_file; asks for the password"),
        ("example", _example, "print a configuration file to begin with"),
        ("doctor", _doctor, "what is well with this machine and what is not: clock, disk, ports, brokers"),
        ("unit", _unit, "print a systemd unit for this machine; docs/deploy.md"),
    ):
        part = add_command(parts, name, run, summary, EPILOG, config=name not in ("example", "password"))
        if name == "status":
            part.add_argument("--json", action="store_true", help="one JSON object, for programs")
        if name == "password":
            part.add_argument("name", metavar="NAME", help="user name, without ':'")
        if name == "example":
            part.add_argument("--data", default="data", metavar="DIR",
                              help="where readings are stored (default: data, beside the file)")  # fmt: skip
        if name == "doctor":
            part.add_argument("--json", action="store_true", help="one JSON object a check, for programs")
        if name == "unit":
            part.add_argument("--user", default="fieldline", help="who it runs as (default: fieldline)")
            part.add_argument("--pins", action="store_true",
                              help="the unit of `fieldline pins`; -c then names its board")  # fmt: skip
        if name == "enroll":
            part.add_argument("node", metavar="NODE", help=f"node id, {2 * NODE_BYTES} hexadecimal digits")
            part.add_argument("--name", default="", help="a name for people")
            part.add_argument("--key-file", type=Path, metavar="FILE",
                              help=f"{2 * KEY_BYTES} hexadecimal digits (default: stdin)")  # fmt: skip
    store_cli.add_parser(parts)
    top.add_parser(parts)
    alerts_cli.add_parser(parts)
    quarantine_cli.add_parser(parts)
    audit_cli.add_parser(parts)
    token_cli.add_parser(parts)
    return parser


def _run(words: argparse.Namespace) -> int:
    settings = config.load(words.config)
    logs.setup(settings.log_form, settings.log_level)
    asyncio.run(app.run(settings))
    return 0


def _check(words: argparse.Namespace) -> int:
    settings = config.load(words.config)
    bound = settings.store.retention
    listener = settings.listener
    print(f"{words.config}: right")
    print(f"  gateway   {settings.name}, data in {settings.data}")
    if settings.serial.ports:
        print(f"  links     serial {', '.join(settings.serial.ports)} at {settings.serial.baud} baud")
    if settings.bluetooth:
        members = network.load(settings.mesh).members
        ways = ", ".join(settings.bluetooth.bridges + settings.bluetooth.proxies)
        print(f"  mesh      {len(members)} nodes, through {ways}")
    age = f" and {bound.max_age_ms // 86_400_000} days" if bound.max_age_ms else ""
    print(f"  store     at most {bound.max_bytes // 1024**2} MiB{age}")
    for sink in settings.sinks:
        where = ", or ".join(str(address) for address in sink.mqtt.addresses)
        topic = f", topic {sink.mqtt.topic}" if sink.mqtt.topic else ""
        print(f"  sink      {sink.name}: {sink.kind} to {where}{topic}")
    if listener:
        print(f"  listener  {listener.host}:{listener.port}, for subscribers{' and nodes' * listener.nodes}")
        print(f"  twins     {_who_may(listener)}")
    if page := settings.page:
        print(
            f"  page      {'https' if page.tls else 'http'}://{page.host}:{page.port}, for holders of a token"
        )
    return 0


def _who_may(listener: config.ListenerConfig) -> str:
    """Which clients of the listener may ask for twins."""
    found = ["whoever has a token"] if listener.private_way else []
    found += [f"{name} ({role})" for role, names in (("reader", listener.readers), ("operator", listener.operators))
              for name in names]  # fmt: skip
    return f"over MQTT for {', '.join(found) or 'nobody'}"


def _status(words: argparse.Namespace) -> int:
    told = ask(config.load(words.config).control_socket, "status")
    if words.json:
        print(json.dumps(told))
    else:
        show(told, Console())
    return 0


def _enroll(words: argparse.Namespace) -> int:
    settings = config.load(words.config)
    node = _hex(words.node, NODE_BYTES, "node id")
    try:
        text = words.key_file.read_text() if words.key_file else sys.stdin.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{words.key_file}: {error}") from None
    key = _hex(text.strip(), KEY_BYTES, "key")
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    registry = Registry(folder.registry_path(settings))
    registry.open()
    try:
        new = registry.enroll(node, words.name or node.hex(), 0, key, time.time_ns() // 1_000_000)
    finally:
        registry.close()
    print(f"{node.hex()}: {'enrolled' if new else 'known; its key is now this one'}")
    return 0


def _password(words: argparse.Namespace) -> int:
    if not words.name or ":" in words.name or words.name != words.name.strip():
        raise UsageError(f"{words.name!r} is no user name: one or more characters without ':'")
    if sys.stdin.isatty():
        password = getpass.getpass(f"password of {words.name}: ", sys.stderr)
        if getpass.getpass("again: ", sys.stderr) != password:
            raise UsageError("the two passwords differ; nothing was made")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("no password was given; type it, or pipe it in as one line")
    print(f"{words.name}:{hash_password(password.encode())}")
    return 0


def _example(words: argparse.Namespace) -> int:
    print(config.example(words.data), end="")
    return 0


def _doctor(words: argparse.Namespace) -> int:
    console, failed = Console(), False
    for check in doctor.examine(config.load(words.config), time.time_ns() // 1_000_000):
        failed = failed or check.state == "failed"
        if words.json:
            print(json.dumps(asdict(check)), flush=True)
            continue
        line = Text.assemble((f"{check.state:8}", _COLOURS[check.state]), f" {check.name}: {check.seen}")
        console.print(line, soft_wrap=True)
        if check.todo:
            console.print(f"         -> {check.todo}", soft_wrap=True, markup=False, highlight=False)
    return 1 if failed else 0


_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def _unit(words: argparse.Namespace) -> int:
    program = shutil.which(sys.argv[0]) or sys.argv[0]
    which = "pins" if words.pins else "gateway"
    path = str(words.config.absolute())
    print(deploy.unit(which, program=str(Path(program).absolute()), config=path, user=words.user), end="")
    return 0


def _hex(text: str, size: int, what: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise UsageError(f"the {what} must be {2 * size} hexadecimal digits, not {len(text)} characters")
    return value


def show(told: dict[str, Any], console: Console) -> None:
    """The status as tables."""
    nodes = Table(title="nodes")
    for column in ("node", "name", "class", "last", "stored", "gaps"):
        nodes.add_column(column, no_wrap=True)
    for sink in told["sinks"]:
        nodes.add_column(f"sent: {sink['sink']}")
    nodes.add_column("heard")
    for node in told["nodes"]:
        heard = _ago(node["heard_s"])
        for cls, state in node["classes"].items():
            counts = [str(state[key]) for key in ("last", "stored", "gaps")]
            sent = [str(sink["numbers"].get(node["node"], {}).get(cls, "")) for sink in told["sinks"]]
            nodes.add_row(node["node"], node["name"], cls, *counts, *sent, heard)
        if not node["classes"]:
            nodes.add_row(node["node"], node["name"], *[""] * (4 + len(told["sinks"])), heard)
    console.print(nodes)
    store = told["store"]
    held = f", HELD: {store['held']}: nodes keep their readings" if store["held"] else ""
    console.print(f"store: {store['bytes'] / 1024**2:.1f} of {store['max_bytes'] / 1024**2:.0f} MiB{held}")
    for sink in told["sinks"]:
        state = "connected" if sink["connected"] else f"NOT connected ({sink['last_error']})"
        console.print(f"sink {sink['sink']}: {sink['broker']} {state}, {_sink(sink)}", soft_wrap=True)
    for link in told["links"]:
        state = "open" if link["open"] else f"closed {link.get('error', '')}".strip()
        counts = [
            f"{key} {value}" for key, value in link.items() if value and key not in ("link", "open", "error")
        ]
        console.print(f"link {link['link']}: {', '.join([state, *counts])}", soft_wrap=True)
    if told.get("mesh"):
        console.print(f"mesh: {_mesh(told['mesh']['nodes'])}", soft_wrap=True, markup=False)
    if told["refused"]:
        console.print("refused: " + ", ".join(f"{kind} {count}" for kind, count in told["refused"].items()))


def _mesh(nodes: list[dict[str, Any]]) -> str:
    """How the mesh is, in a line; `fieldline mesh nodes` says more."""
    heard = [node for node in nodes if node["heard_s"] is not None and not node["lost"]]
    lost = [node["address"] for node in nodes if node["lost"]]
    parts = [f"{len(heard)} of {_count(len(nodes), 'node')} heard"]
    if lost:
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        parts.append(f"LOST {', '.join(lost[:MOST_NAMED])}{more}")
    if never := len(nodes) - len(heard) - len(lost):
        parts.append(f"{never} never heard")
    if heard:
        parts.append(_count(sum(node["relay"] is True for node in heard), "relay"))
        parts.append("at most " + _count(max(node["usual_hops"] or 1 for node in heard), "hop"))
    if open_ones := sum(bool(node["open"]) for node in heard):
        parts.append(f"{open_ones} not all set yet")
    return ", ".join(parts)


def _count(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def _sink(sink: dict[str, Any]) -> str:
    """How far a sink is, and what a person should know of it."""
    parts = [f"lag {sink['lag']} records"]
    if sink.get("backlog"):
        parts.append(f"of these {sink['backlog']} backlog")
    if sink.get("dead_letters"):
        parts.append(f"{sink['dead_letters']} DEAD LETTERS in {sink['dead_letters_file']}")
    if edge := sink.get("sparkplug"):
        host = {True: "online", False: "OFFLINE", None: "not heard"}[edge["host_online"]]
        parts.append(
            f"Sparkplug {edge['state']}, host {host}, {edge['devices_born']} of {edge['devices']} devices born,"
            f" {edge['records_unsettled']} records unsettled"
        )
    return ", ".join(parts)


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"
