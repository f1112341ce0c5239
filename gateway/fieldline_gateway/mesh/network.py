"""A mesh of ours on disk: its keys, who is in it, and what our own node in it must not forget.

Rules: one folder that nobody else may read. A file is replaced whole: written beside, synced, renamed. `network.json`
is written by people's commands, records by the running node alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fieldline_gateway.mesh.errors import NetworkFileError

FOLDER = "mesh"
FILE = "network.json"
GATEWAY = 0x0001
"""Our own address."""
FIRST, LAST = 0x0100, 0x7FFF
"""Addresses that are given to nodes."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the mesh. `node`: its Fieldline id, 16 hexadecimal digits; `relay`: told to be one."""

    address: int
    device_key: bytes
    node: str = ""
    relay: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """Keys and members of a mesh with one subnet."""

    net_key: bytes
    app_key: bytes
    iv_index: int
    device_key: bytes
    """Our own node's."""
    members: tuple[Member, ...] = ()

    def free_address(self) -> int:
        """The lowest that no member has; NetworkFileError where all are taken."""
        taken = {member.address for member in self.members}
        for address in range(FIRST, LAST + 1):
            if address not in taken:
                return address
        raise NetworkFileError("the mesh is full: no address is free")

    def with_member(self, member: Member) -> Network:
        """With one more, or with a member changed; NetworkFileError where the address is none."""
        if not FIRST <= member.address <= LAST:
            raise NetworkFileError(f"address 0x{member.address:04x} is not 0x{FIRST:04x} to 0x{LAST:04x}")
        rest = [one for one in self.members if one.address != member.address]
        return replace(self, members=tuple(sorted([*rest, member], key=lambda one: one.address)))

    def without(self, address: int) -> Network:
        """Without the member at `address`."""
        return replace(self, members=tuple(one for one in self.members if one.address != address))


def load(folder: Path) -> Network:
    """The mesh in `folder`; NetworkFileError says what is wrong and what to do."""
    path = folder / FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Network(
            net_key=_key(said["net_key"]),
            app_key=_key(said["app_key"]),
            iv_index=int(said["iv_index"]),
            device_key=_key(said["device_key"]),
            members=tuple(
                Member(int(one["address"], 16), _key(one["device_key"]), one["node"], one["relay"])
                for one in said["members"]
            ),
        )
    except FileNotFoundError:
        raise NetworkFileError(f"{path} is not there: `fieldline mesh new` makes a mesh") from None
    except OSError as error:
        raise NetworkFileError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NetworkFileError(f"{path} is damaged ({error!r}): put a copy of it back") from error


def save(folder: Path, network: Network) -> None:
    """Replaces the mesh in `folder`, which is made where it is not there; NetworkFileError."""
    said = {
        "net_key": network.net_key.hex(),
        "app_key": network.app_key.hex(),
        "iv_index": network.iv_index,
        "device_key": network.device_key.hex(),
        "members": [_member(one) for one in network.members],
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(folder / FILE, json.dumps(said, indent=2).encode() + b"\n")
    except OSError as error:
        raise NetworkFileError(f"{folder / FILE}: {error.strerror}") from error


def create(random: bytes) -> Network:
    """A new mesh from 48 random bytes."""
    return Network(random[:16], random[16:32], 0, random[32:48])


class Records:
    """Durable records of our node: the port fieldline_wire.mesh.ports.Store. What fails is an OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, record: int) -> bytes | None:
        """The record, None where there is none."""
        try:
            return self._path(record).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, record: int, data: bytes) -> None:
        """Replaces the record; it is on disk when this returns."""
        _replace(self._path(record), data)

    def _path(self, record: int) -> Path:
        return self._folder / f"record-{record}"


def _member(one: Member) -> dict[str, Any]:
    address = f"{one.address:04x}"
    return {"address": address, "device_key": one.device_key.hex(), "node": one.node, "relay": one.relay}


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 16:
        raise ValueError(f"a key of {len(key)} bytes")
    return key


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
