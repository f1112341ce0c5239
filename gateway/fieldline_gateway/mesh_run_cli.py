"""The commands of `fieldline mesh` that ask the running gateway: provision, relay, listen, nodes, links.

Rules: nothing is done here: each is an operation of the gateway (mesh/operations.py); what it tells is printed for
people as a table, with --json for programs. `nodes` shows what the files say where no gateway runs.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldline_gateway import config
from fieldline_gateway.control import NotRunning, ask
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.network import MODES
from fieldline_gateway.words import add_command

EXAMPLES = """\
  fieldline mesh nodes -c gateway.toml
  fieldline mesh links -c gateway.toml
  fieldline mesh provision -c gateway.toml                   # devices that wait to be taken in
  fieldline mesh provision -c gateway.toml e66178c1ab3c4d21 --static-oob oob.txt
  fieldline mesh provision -c gateway.toml 70cf7c9732a345b691494810d2e9cbf4 --node 0102030405060708
  fieldline mesh relay -c gateway.toml e66178c1ab3c4d21 on   # or off, or auto: the gateway chooses
  fieldline mesh reset -c gateway.toml e66178c1ab3c4d21      # it leaves, and waits to be taken in anew
  fieldline mesh path -c gateway.toml 0100 e66178c1ab3c4d21  # over how many hops the second hears the first
  fieldline mesh listen -c gateway.toml                      # until Ctrl-C
"""
POLL_S = 0.5


def add_parsers(parts: Any) -> None:
    """The commands' words."""
    nodes = add_command(parts, "nodes", _nodes, "who is in the mesh, and how it is heard", EXAMPLES)
    links = add_command(parts, "links", _links, "bridges, proxies, and who hears whom how well", EXAMPLES)
    provision = add_command(
        parts,
        "provision",
        _provision,
        "take a device into the mesh over the air; without one: who waits",
        EXAMPLES,
    )
    provision.add_argument(
        "device",
        nargs="?",
        help="the id of a board of ours, or another's UUID, 32 hexadecimal digits (PB-ADV); or its Bluetooth "
        "address (PB-GATT)",
    )
    provision.add_argument(
        "--node", default="", metavar="ID", help="its Fieldline id, if its UUID does not say it"
    )
    provision.add_argument(
        "--static-oob", type=Path, metavar="FILE", help="its static OOB value, 32 hexadecimal digits"
    )
    relay = add_command(parts, "relay", _relay, "say whether a node relays", EXAMPLES)
    relay.add_argument("node", help="its id or its address")
    relay.add_argument("mode", choices=MODES, help="auto: as the gateway chooses")
    reset = add_command(
        parts, "reset", _reset, "make a member forget the network's keys, and forget it", EXAMPLES
    )
    reset.add_argument("node", help="its id or its address")
    path = add_command(
        parts,
        "path",
        _path,
        "measure over how many hops a node hears another: eight heartbeats, some 15 s",
        EXAMPLES,
    )
    path.add_argument("sender", help="whose heartbeats are counted: its id or its address")
    path.add_argument("receiver", help="who counts them: its id or its address")
    listen = add_command(parts, "listen", _listen, "show what is heard, as it comes", EXAMPLES)
    listen.add_argument(
        "--seconds", type=float, default=0, help="stop by itself after so long (default: never)"
    )
    for part in (nodes, links, provision, path, listen):
        part.add_argument("--json", action="store_true", help="for programs")


def _nodes(words: argparse.Namespace) -> int:
    settings = config.load(words.config)
    try:
        rows = ask(settings.control_socket, "mesh.nodes")
    except NotRunning:
        rows = _from_files(settings.mesh)
    if words.json:
        print(json.dumps(rows))
        return 0
    running = not rows or "heard_s" in rows[0]
    table = Table(title="mesh" if running else "mesh (no gateway runs: what the files say)")
    columns = ("address", "node", "heard", "hops", "ttl", "relay", "hears", "friend", "not set yet")
    for column in columns:
        table.add_column(column, no_wrap=column in ("address", "node", "hops", "ttl", "hears"))
    for row in rows:
        if not running:
            table.add_row(row["address"], row["node"], "", "", "", row["relay_mode"], "", "", "")
            continue
        table.add_row(
            *(row["address"], row["node"], _heard(row), _text(row["hops"]), _text(row["ttl"]), _relays(row)),
            *(_text(row["hears"]), _friend(row), _lacks(row)),
        )
    Console().print(table)
    return 0


def _from_files(folder: Path) -> list[dict[str, Any]]:
    members = network.load(folder).members
    return [{"address": f"{one.address:04x}", "node": one.node, "relay_mode": one.relay} for one in members]


def _heard(row: dict[str, Any]) -> str:
    if row["heard_s"] is None:
        return "never"
    return f"{row['heard_s']:.0f} s ago{', LOST' if row['lost'] else ''}"


def _lacks(row: dict[str, Any]) -> str:
    """What is asked next, how much besides, and how the last question went."""
    if not row["open"]:
        return ""
    first, *others = row["open"]
    return str(row["error"] or first) + (f" and {len(others)} more" if others else "")


def _relays(row: dict[str, Any]) -> str:
    said = {True: "yes", False: "no", None: "?"}[row["relay"]]
    if row["relay"] is not None and row["relay"] != row["relay_wanted"]:
        said += f" (to be {'on' if row['relay_wanted'] else 'off'})"
    return said + ("" if row["relay_mode"] == network.AUTO else f", told {row['relay_mode']}")


def _friend(row: dict[str, Any]) -> str:
    """Of a low-power node."""
    return str(row["friend"] or "?") if row["low_power"] else ""


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _links(words: argparse.Namespace) -> int:
    told = ask(config.load(words.config).control_socket, "mesh.links")
    if words.json:
        print(json.dumps(told))
        return 0
    for way in told["ways"]:
        print(", ".join(f"{key} {value}" for key, value in way.items() if value or key == "open"))
        if way.get("rssi") is False and way.get("adverts_in"):
            print(
                "  it tells no signal strength: `fieldline node build BOARD` has the bridge's newer firmware"
            )
    table = Table(title="who hears whom (share of adverts)")
    for column in ("from", "to", "heard", "the other way", "dBm at the bridge"):
        table.add_column(column)
    shares = {(one["from"], one["to"]): one["heard"] for one in told["links"]}
    signals = {frozenset((one["from"], one["to"])): one["rssi"] for one in told["links"] if "rssi" in one}
    for (sender, receiver), share in sorted(shares.items()):
        back = shares.get((receiver, sender))
        if sender < receiver or back is None:
            there = "" if back is None else f"{back:.0%}"
            dbm = _text(signals.get(frozenset((sender, receiver))))
            table.add_row(sender, receiver, f"{share:.0%}", there, dbm)
    Console().print(table)
    return 0


def _provision(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    if words.device is None:
        return _devices(ask(socket, "mesh.devices"), words.json)
    static = ""
    if words.static_oob is not None:
        try:
            static = words.static_oob.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{words.static_oob}: {error}") from None
    state = ask(socket, "mesh.provision", {"device": words.device, "node": words.node, "static": static})
    state = _followed(socket, "mesh.provisioning", state, f"{state['device']}: ", words.json)
    if words.json:
        print(json.dumps(state))
    if state["error"]:
        raise GatewayError(f"{state['device']}: {state['error']}")
    if not words.json:
        print(f"{state['device']}: {state['address']}; `fieldline mesh nodes` shows what it is being set to")
    return 0


def _followed(
    socket: Path, operation: str, state: dict[str, Any], before: str, is_quiet: bool
) -> dict[str, Any]:
    """What it ends in; its stages are printed as they come."""
    said = 0
    while True:
        for stage in state["stages"][said:] if not is_quiet else ():
            print(f"{before}{stage}", flush=True)
        said = len(state["stages"])
        if state["done"]:
            return state
        time.sleep(POLL_S)
        state = ask(socket, operation)


def _path(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    begun = ask(socket, "mesh.path", {"from": words.sender, "to": words.receiver})
    state = _followed(socket, "mesh.path_state", begun, "", words.json)
    if words.json:
        print(json.dumps(state))
    if state["error"]:
        raise GatewayError(state["error"])
    if words.json:
        return 0
    result = state["result"]
    if result["hops"] is None:
        print(
            f"none of {result['sent']} heartbeats came: no way leads from {words.sender} to {words.receiver}"
        )
        return 1
    hops, heard = (_range(result[name]) for name in ("hops", "heard"))
    print(f"{words.sender} to {words.receiver}: {hops} hops, {heard} of {result['sent']} heartbeats heard")
    return 0


def _range(ends: list[int]) -> str:
    least, most = ends
    return str(least) if least == most else f"{least} to {most}"


def _devices(rows: list[dict[str, Any]], as_json: bool) -> int:
    if as_json:
        print(json.dumps(rows))
        return 0
    table = Table(title="devices that wait to be provisioned")
    for column in ("node", "uuid", "heard", "dBm", "over"):
        table.add_column(column, no_wrap=column != "over", overflow="fold")
    for row in rows:
        heard = f"{row['heard_s']:.0f} s ago"
        table.add_row(row["node"], row["uuid"], heard, _text(row["rssi"]), row["via"])
    Console().print(table)
    return 0


def _relay(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    done = ask(socket, "mesh.relay", {"node": words.node, "mode": words.mode})
    print(f"{done['address']}: relay {done['mode']}; `fieldline mesh nodes` shows when the node has it")
    return 0


def _reset(words: argparse.Namespace) -> int:
    done = ask(config.load(words.config).control_socket, "mesh.reset", {"node": words.node})
    print(f"{done['address']}: it has left the mesh; `fieldline mesh provision` takes it in again")
    return 0


def _listen(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    until = time.monotonic() + words.seconds if words.seconds else float("inf")
    last = ask(socket, "mesh.listen")["last"]
    try:
        while time.monotonic() < until:
            told = ask(socket, "mesh.listen", {"since": last})
            last = told["last"]
            for entry in told["heard"]:
                print(json.dumps(entry) if words.json else _line(entry), flush=True)
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        pass
    return 0


def _line(entry: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(entry["at"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    signal = "" if entry["rssi"] is None else f", {entry['rssi']} dBm"
    if "src" not in entry:
        more = entry.get("uuid") or entry.get("network") or entry.get("link") or ""
        return f"{at}  {entry['what']} {more} over {entry['via']}{signal}"
    hops = "" if entry["hops"] is None else f"{entry['hops']} hops, "
    who = f" ({entry['node']})" if entry.get("node") else ""
    return f"{at}  {entry['src']}{who} to {entry['dst']}: {hops}ttl {entry['ttl']}{signal}, {entry['what']}"
