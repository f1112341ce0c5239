"""`fieldline mesh`: the keys of a Bluetooth mesh, who is in it, and what its links carry.

Rules: only `add` and `new` make keys here, by the system's random numbers; only `add` shows any, once, for the node
that they are for. A gateway that runs takes up what is changed within a second.
"""

from __future__ import annotations

import argparse
import json
import os

from fieldline_gateway import config
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.network import GATEWAY, Member
from fieldline_gateway.mesh_run_cli import EXAMPLES, add_parsers
from fieldline_gateway.registry import NODE_BYTES
from fieldline_gateway.words import add_command
from fieldline_host.command import run_command

EPILOG = """examples:
  fieldline mesh new -c gateway.toml
  fieldline mesh add -c gateway.toml e66178c1ab3c4d21 > node.json    # what the jig puts on this node
  fieldline mesh add -c gateway.toml --low-power e66178c1ab3c4d22 > node.json    # its radio sleeps
  fieldline mesh remove -c gateway.toml 0100                          # reset also tells it, over the air
"""


def main(argv: list[str]) -> int:
    """Run `fieldline mesh`; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="fieldline mesh",
        description="Makes a Bluetooth mesh, takes nodes in, shows how they are heard (docs/mesh.md).",
        epilog=EPILOG + EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    add_command(parts, "new", _new, "make the mesh's keys, in the gateway's data folder", EPILOG)
    add = add_command(
        parts, "add", _add, "give a node an address and a key; its record goes to stdout", EPILOG
    )
    add.add_argument(
        "nodes", nargs="+", metavar="node", help="its id, 16 hexadecimal digits; several: a line each"
    )
    role = add.add_mutually_exclusive_group()
    role.add_argument(
        "--low-power",
        action="store_true",
        help="its radio sleeps, and a friend holds what is said to it (docs/mesh.md 15); its build must have it",
    )
    role.add_argument("--friend", action="store_true", help="it can be a friend; its build must have it")
    remove = add_command(parts, "remove", _remove, "forget a member (it still has the network's key)", EPILOG)
    remove.add_argument("address", help="four hexadecimal digits, or the node's id")
    add_parsers(parts)
    return run_command(parser, argv, GatewayError, UsageError)


def _new(words: argparse.Namespace) -> int:
    folder = config.load(words.config).mesh
    if (folder / network.FILE).exists():
        raise UsageError(f"{folder / network.FILE} is there already: a mesh is made once")
    network.save(folder, network.create(os.urandom(48)))
    print(f"made {folder / network.FILE}; keep a copy: without it the mesh's nodes must be provisioned anew")
    return 0


def _add(words: argparse.Namespace) -> int:
    folder = config.load(words.config).mesh
    ids = [_node_id(text) for text in words.nodes]
    with network.changing(folder):
        mesh = network.load(folder)
        added = []
        for node in ids:
            if mesh.member(node) is not None:
                raise UsageError(f"{node} is in the mesh; `fieldline mesh remove` it first")
            added.append(Member(mesh.free_address(), os.urandom(16), node))
            mesh = mesh.with_member(added[-1])
        network.save(folder, mesh)
    for member in added:
        record = {
            "address": f"{member.address:04x}",
            "device_key": member.device_key.hex(),
            "net_key": mesh.net_key.hex(),
            "app_key": mesh.app_key.hex(),
            "iv_index": mesh.iv_index,
            "gateway": f"{GATEWAY:04x}",
        }
        record |= {role: True for role in ("low_power", "friend") if getattr(words, role)}
        print(json.dumps(record))
    return 0


def _node_id(text: str) -> str:
    try:
        node = bytes.fromhex(text)
    except ValueError:
        node = b""
    if len(node) != NODE_BYTES:
        raise UsageError(f"{text!r} is no node's id of {2 * NODE_BYTES} hexadecimal digits")
    return node.hex()


def _remove(words: argparse.Namespace) -> int:
    folder = config.load(words.config).mesh
    with network.changing(folder):
        mesh = network.load(folder)
        member = mesh.member(words.address)
        if member is None:
            raise UsageError(
                f"nobody has the address {words.address!r}; `fieldline mesh nodes` shows who is there"
            )
        network.save(folder, mesh.without(member.address))
    return 0
