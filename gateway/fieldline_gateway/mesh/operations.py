"""What people ask of the running gateway's mesh: `mesh.*` in the table of operations.

Rules: arguments and results are plain JSON values without keys; what changes the mesh is in network.json before it
is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.config_messages import node_reset
from fieldline_gateway.mesh.errors import ConfigurationError
from fieldline_gateway.mesh.friends import sleeps
from fieldline_gateway.mesh.listening import Listening
from fieldline_gateway.mesh.manager import Manager
from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.network import GATEWAY, MODES
from fieldline_gateway.mesh.paths import Paths
from fieldline_gateway.mesh.provisioning import Provisioning
from fieldline_gateway.mesh.station import Station, now_ms
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_wire.mesh.announce import node_uuid

_UUID_BYTES = 16
_FEATURES = ("relay", "proxy", "friend", "low power")
"""In use, as a heartbeat tells: Mesh Profile 1.0.1, 3.6.5.10."""
_NODE_BYTES = 8


class MeshOperations:
    """On one mesh."""

    def __init__(
        self,
        folder: Path,
        station: Station,
        manager: Manager,
        listening: Listening,
        provisioning: Provisioning,
        traffic: Callable[[int], tuple[int, int]],
    ) -> None:
        """`traffic(address)` gives the sealed messages that came from a node and went to it."""
        self._folder = folder
        self._station = station
        self._manager = manager
        self._listening = listening
        self._provisioning = provisioning
        self._traffic = traffic
        self.paths = Paths(manager.client, manager.set_back)

    def add_to(self, operations: Operations) -> None:
        """Into the table."""
        operations.reads("mesh.nodes", self._nodes)
        operations.reads("mesh.links", self._links)
        operations.reads("mesh.devices", self._devices)
        operations.reads("mesh.listen", self._listen)
        operations.reads("mesh.provisioning", self._provisioned)
        operations.changes("mesh.provision", self._provision)
        operations.changes("mesh.relay", self._relay)
        operations.changes("mesh.reset", self._reset)
        operations.changes("mesh.path", self._path)
        operations.reads("mesh.path_state", self._path_state)

    def summary(self) -> dict[str, Any]:
        """Nodes and links, for whoever draws the mesh."""
        return {"nodes": self.nodes(), "links": self.links(), **self._manager.status()}

    def nodes(self) -> list[dict[str, Any]]:
        """One entry a member."""
        now = now_ms()
        return [self._node(state, now) for _, state in sorted(self._manager.states.items())]

    def links(self) -> list[dict[str, Any]]:
        """One entry for each receiver and sender of which anything is known; shares of adverts, 0 to 1;

        `rssi`: mean dBm, where our bridges hear the sender with no relay between.
        """
        means = self._station.ears.means
        return [
            {"from": f"{sender:04x}", "to": f"{receiver:04x}", "heard": round(share, 3)}
            | ({"rssi": round(means[sender])} if receiver == GATEWAY and sender in means else {})
            for receiver, row in sorted(self._manager.links().items())
            for sender, share in sorted(row.items())
        ]

    def heard_since(self, number: int) -> list[dict[str, Any]]:
        """What was heard after the entry with this number, the oldest first."""
        return self._listening.since(number)

    def _node(self, state: MemberState, now: int) -> dict[str, Any]:
        came, went = self._traffic(state.address)
        heard = state.known.heard
        friend = self._manager.friends.of(state.address) if sleeps(state) else None
        return {
            "address": f"{state.address:04x}",
            "node": state.member.node,
            "heard_s": (now - state.heard_at) / 1000 if state.heard_at else None,
            "lost": state.lost,
            "hops": state.hops[-1] if state.hops else None,
            "usual_hops": sorted(state.hops)[len(state.hops) // 2] if state.hops else None,
            "features": [name for bit, name in enumerate(_FEATURES) if state.features >> bit & 1],
            "ttl": state.ttl,
            "relay": state.relay,
            "relay_wanted": self._manager.wants_relay(state.address),
            "relay_mode": state.member.relay,
            "low_power": sleeps(state),
            "friend": None if friend is None else f"{friend:04x}",
            "open": self._manager.open_settings(state),
            "error": state.error,
            "hears": None if heard is None else len(heard),
            "messages_in": came,
            "messages_out": went,
        }

    async def _nodes(self, _: Caller, __: Arguments) -> list[dict[str, Any]]:
        return self.nodes()

    async def _links(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return {"ways": self._station.status(), "links": self.links(), "gateway": f"{GATEWAY:04x}"}

    async def _devices(self, _: Caller, __: Arguments) -> list[dict[str, Any]]:
        return self._provisioning.devices()

    async def _listen(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        since = argument(arguments, "since", int, self._listening.last)
        return {"heard": self.heard_since(since), "last": self._listening.last}

    async def _provisioned(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return self._provisioning.status()

    async def _provision(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        device = argument(arguments, "device", str)
        node = argument(arguments, "node", str, "").lower()
        static = _bytes(argument(arguments, "static", str, ""), 0, "static OOB value")
        if node:
            _bytes(node, _NODE_BYTES, "node's id")
        if ":" in device or device.count("-") == 4:
            self._provisioning.start_gatt(device.upper(), node, static)
        elif len(device) == 2 * _NODE_BYTES:
            uuid = node_uuid(_bytes(device, _NODE_BYTES, "node's id"))
            self._provisioning.start(uuid, node, static)
        else:
            self._provisioning.start(_bytes(device, _UUID_BYTES, "device's UUID"), node, static)
        return self._provisioning.status()

    async def _path(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        mesh = network.load(self._folder)
        ends = [_member(mesh, argument(arguments, name, str)).address for name in ("from", "to")]
        states = [self._manager.states.get(address) for address in ends]
        if states[0] is None or states[1] is None:
            raise UsageError("it has just become a member: try again")
        self.paths.start(states[0], states[1])
        return self.paths.status()

    async def _path_state(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return self.paths.status()

    async def _relay(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        name, mode = argument(arguments, "node", str), argument(arguments, "mode", str)
        if mode not in MODES:
            raise UsageError(f"{mode!r} is not one of {', '.join(MODES)}")
        with network.changing(self._folder):
            mesh = network.load(self._folder)
            member = _member(mesh, name)
            network.save(self._folder, mesh.with_member(replace(member, relay=mode)))
        self._manager.reread()
        return {"address": f"{member.address:04x}", "node": member.node, "mode": mode}

    async def _reset(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """It is forgotten when it has said that it forgets."""
        member = _member(network.load(self._folder), argument(arguments, "node", str))
        state = self._manager.states.get(member.address)
        heard = state is not None and bool(state.heard_at) and not state.lost
        try:
            await self._manager.client.ask(member.address, node_reset(), heard)
        except ConfigurationError as error:
            raise UsageError(
                f"{member.address:04x} does not leave: {error}; is it switched on and in reach? "
                "`fieldline mesh remove` forgets it here alone"
            ) from None
        with network.changing(self._folder):
            network.save(self._folder, network.load(self._folder).without(member.address))
        self._manager.reread()
        return {"address": f"{member.address:04x}", "node": member.node}


def _member(mesh: network.Network, name: str) -> network.Member:
    member = mesh.member(name)
    if member is None:
        raise UsageError(f"{name!r} is no member; `fieldline mesh nodes` lists them")
    return member


def _bytes(text: str, size: int, what: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b"\0" * (size + 1)
    if size and len(value) != size:
        raise UsageError(f"{text!r} is no {what} of {2 * size} hexadecimal digits")
    return value
