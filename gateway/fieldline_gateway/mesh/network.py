"""A mesh of ours on disk: its keys, who is in it, and what our own node in it must not forget.

Rules: one folder that nobody else may read. A file is replaced whole: written beside, synced, renamed. `network.json`
is changed under a lock, by commands and by the running gateway; records by the running node alone.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fieldline_gateway.mesh.errors import NetworkFileError

FOLDER = "mesh"
FILE = "network.json"
GATEWAY = 0x0001
"""Our own address."""
ON, OFF, AUTO = "on", "off", "auto"
MODES = (ON, OFF, AUTO)
FIRST, LAST = 0x0100, 0x7FFF
"""Addresses that are given to nodes."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the mesh. `node`: its Fieldline id, 16 hexadecimal digits; `uuid`: of one provisioned on air."""

    address: int
    device_key: bytes
    node: str = ""
    relay: str = AUTO
    """ON or OFF where a person said so; AUTO: the gateway chooses."""
    elements: int = 1
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """Keys and members of a mesh with one subnet."""

    net_key: bytes
    app_key: bytes
    iv_index: int
    device_key: bytes
    """Our own node's."""
    members: tuple[Member, ...] = ()
    next_address: int = FIRST
    """Above all that were ever given out: who comes to a used address is taken for a replay."""

    def free_address(self, elements: int = 1) -> int:
        """One for so many elements, which nobody had before while there are such; NetworkFileError."""
        if self.next_address + elements - 1 <= LAST:
            return self.next_address
        address = FIRST
        for member in self.members:
            if address + elements <= member.address:
                break
            address = max(address, member.address + member.elements)
        if address + elements - 1 > LAST:
            raise NetworkFileError("the mesh is full: no address is free")
        return address

    def member(self, name: str) -> Member | None:
        """The one whose address (four hexadecimal digits) or node id is `name`."""
        for one in self.members:
            if name.lower() in (f"{one.address:04x}", one.node):
                return one
        return None

    def with_member(self, member: Member) -> Network:
        """With one more, or with a member changed; NetworkFileError where the address is none."""
        if not FIRST <= member.address <= LAST:
            raise NetworkFileError(f"address 0x{member.address:04x} is not 0x{FIRST:04x} to 0x{LAST:04x}")
        rest = [one for one in self.members if one.address != member.address]
        members = tuple(sorted([*rest, member], key=lambda one: one.address))
        return replace(
            self, members=members, next_address=max(self.next_address, member.address + member.elements)
        )

    def without(self, address: int) -> Network:
        """Without the member at `address`."""
        return replace(self, members=tuple(one for one in self.members if one.address != address))


def load(folder: Path) -> Network:
    """The mesh in `folder`; NetworkFileError says what is wrong and what to do."""
    path = folder / FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        members = tuple(_read(one) for one in said["members"])
        used = max((one.address + one.elements for one in members), default=FIRST)
        return Network(
            net_key=_key(said["net_key"]),
            app_key=_key(said["app_key"]),
            iv_index=int(said["iv_index"]),
            device_key=_key(said["device_key"]),
            members=members,
            next_address=max(int(said.get("next_address", FIRST)), used),
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
        "next_address": network.next_address,
        "members": [_member(one) for one in network.members],
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(folder / FILE, json.dumps(said, indent=2).encode() + b"\n")
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
        replace_file(self._path(record), data)

    def _path(self, record: int) -> Path:
        return self._folder / f"record-{record}"


def _member(one: Member) -> dict[str, Any]:
    told = {"address": f"{one.address:04x}", "device_key": one.device_key.hex(), "node": one.node}
    return told | {"relay": one.relay, "elements": one.elements, "uuid": one.uuid}


def _read(one: dict[str, Any]) -> Member:
    relay = one["relay"]
    if isinstance(relay, bool):  # as it was before people could say so
        relay = ON if relay else AUTO
    if relay not in MODES:
        raise ValueError(f"relay {relay!r}")
    key = _key(one["device_key"])
    return Member(
        int(one["address"], 16), key, one["node"], relay, int(one.get("elements", 1)), one.get("uuid", "")
    )


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 16:
        raise ValueError(f"a key of {len(key)} bytes")
    return key


def replace_file(path: Path, data: bytes) -> None:
    """Replaces a file that only its owner may read; it is on disk when this returns. OSError."""
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


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Nobody else changes the mesh meanwhile: commands and the running gateway both do. NetworkFileError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NetworkFileError(f"{folder / 'lock'}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
