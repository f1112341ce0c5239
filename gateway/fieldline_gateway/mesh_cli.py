"""`fieldline mesh`: the keys of a Bluetooth mesh, who is in it, and what its links carry.

Rules: only `add` and `new` make keys, by the system's random numbers; only `add` shows any, once, for the node that
they are for. What a running gateway knows is asked of it; what it knows of members it reads at its next start.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from fieldline_gateway import config
from fieldline_gateway.control import ask
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.network import GATEWAY, Member
from fieldline_gateway.registry import NODE_BYTES
from fieldline_gateway.words import add_command

EPILOG = """examples:
  fieldline mesh new -c gateway.toml
  fieldline mesh add -c gateway.toml e66178c1ab3c4d21 > node.json    # what the jig puts on this node
  fieldline mesh nodes -c gateway.toml
  fieldline mesh links -c gateway.toml
  fieldline mesh remove -c gateway.toml 0100
"""


def main(argv: list[str]) -> int:
    """Run `fieldline mesh`; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="fieldline mesh",
        description="Makes a Bluetooth mesh and shows who is in it (docs/mesh.md).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    add_command(parts, "new", _new, "make the mesh's keys, in the gateway's data folder", EPILOG)
    add = add_command(
        parts, "add", _add, "give a node an address and a key; its record goes to stdout", EPILOG
    )
    add.add_argument("node", help="its id, 16 hexadecimal digits")
    remove = add_command(parts, "remove", _remove, "forget a member (it still has the network's key)", EPILOG)
    remove.add_argument("address", help="four hexadecimal digits")
    add_command(parts, "nodes", _nodes, "who is in the mesh", EPILOG)
    add_command(parts, "links", _links, "what the running gateway's proxies and mesh nodes carry", EPILOG)
    words = parser.parse_args(argv)
    try:
        return int(words.run(words))
    except GatewayError as error:
        print(f"fieldline mesh: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _new(words: argparse.Namespace) -> int:
    folder = config.load(words.config).mesh
    if (folder / network.FILE).exists():
        raise UsageError(f"{folder / network.FILE} is there already: a mesh is made once")
    network.save(folder, network.create(os.urandom(48)))
    print(f"made {folder / network.FILE}; keep a copy: without it the mesh's nodes must be provisioned anew")
    return 0


def _add(words: argparse.Namespace) -> int:
    folder = config.load(words.config).mesh
    mesh = network.load(folder)
    try:
        node = bytes.fromhex(words.node)
    except ValueError:
        node = b""
    if len(node) != NODE_BYTES:
        raise UsageError(f"{words.node!r} is no node's id of {2 * NODE_BYTES} hexadecimal digits")
    if any(member.node == node.hex() for member in mesh.members):
        raise UsageError(f"{node.hex()} is in the mesh; `fieldline mesh remove` it first")
    member = Member(mesh.free_address(), os.urandom(16), node.hex())
    network.save(folder, mesh.with_member(member))
    record = {
        "address": f"{member.address:04x}",
        "device_key": member.device_key.hex(),
        "net_key": mesh.net_key.hex(),
        "app_key": mesh.app_key.hex(),
        "iv_index": mesh.iv_index,
        "gateway": f"{GATEWAY:04x}",
    }
    print(json.dumps(record))
    return 0


def _remove(words: argparse.Namespace) -> int:
    folder = config.load(words.config).mesh
    mesh = network.load(folder)
    try:
        address = int(words.address, 16)
    except ValueError:
        address = -1
    left = mesh.without(address)
    if left == mesh:
        raise UsageError(
            f"nobody has the address {words.address!r}; `fieldline mesh nodes` shows who is there"
        )
    network.save(folder, replace(left))
    return 0


def _nodes(words: argparse.Namespace) -> int:
    table = Table(title="mesh")
    for column in ("address", "node", "relay"):
        table.add_column(column, no_wrap=True)
    for member in network.load(config.load(words.config).mesh).members:
        table.add_row(f"{member.address:04x}", member.node, "yes" if member.relay else "")
    Console().print(table)
    return 0


def _links(words: argparse.Namespace) -> int:
    for link in ask(config.load(words.config).control_socket, "status")["links"]:
        if str(link["link"]).startswith(("mesh:", "proxy ")):
            print(", ".join(f"{key} {value}" for key, value in link.items()))
    return 0
