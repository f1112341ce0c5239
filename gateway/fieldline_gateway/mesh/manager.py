"""Looks after the members of the mesh while the gateway runs: their settings, who relays, who hears whom.

Rules: what is desired follows from network.json, which is read again when it changes, and from what is heard. Nothing
here carries readings: if all of it failed, nodes that are set would go on.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fieldline_gateway import logs
from fieldline_gateway.mesh import neighbours, network
from fieldline_gateway.mesh.book import Book
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.config_client import ConfigClient
from fieldline_gateway.mesh.config_messages import HEARTBEAT
from fieldline_gateway.mesh.configure import Configurator
from fieldline_gateway.mesh.errors import NetworkFileError
from fieldline_gateway.mesh.friends import Friends, sleeps
from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.model import GatewayModel
from fieldline_gateway.mesh.network import GATEWAY, OFF, ON, Network
from fieldline_gateway.mesh.relays import HOLD, RelayPlan, View
from fieldline_gateway.mesh.station import WIDE_TTL, Station, now_ms
from fieldline_gateway.mesh.thinning import Links
from fieldline_wire.mesh.network import NetworkPdu

LOOK_S = 1.0
"""Between two looks at who was heard, at most; a heartbeat's period where that is shorter."""
ASK_HEARD = 8
"""Heartbeats between two questions to a node whom it hears."""
FIRST_HEARD = 2
"""Heartbeats after it was set until it is asked first: its neighbours must have said one each."""
ASK_AGAIN_MS = 10_000
"""After a question whom it hears that was not answered."""


class Manager:
    """run() works until cancelled; take_up() comes first."""

    def __init__(self, folder: Path, config: MeshConfig, station: Station, model: GatewayModel) -> None:
        self._folder = folder
        self._config = config
        self._station = station
        self._model = model
        self._book = Book(folder)
        self._plan = RelayPlan()
        self._beat_ms = 1000 * config.heartbeat_s
        self._mesh: Network | None = None
        self._read_at = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._elements: dict[int, MemberState] = {}
        self._own_rows: neighbours.Row | None = None
        self._own_at = 0
        self._planned_at = 0
        self.states: dict[int, MemberState] = {}
        self.friends = Friends(station, lambda: self.states)
        self.client = ConfigClient(station, self._key_of)
        station.node.beat = self._beat
        station.ears.came.append(self._came)
        model.told = self._told

    def take_up(self, mesh: Network) -> None:
        """The members as they are on disk."""
        self._book.load()
        self._configurator = Configurator(
            self.client, mesh.app_key, self._config.heartbeat_log, self._desired, self._book.save
        )
        self._take(mesh)

    async def run(self) -> None:
        """Keeps every member's settings, and looks around."""
        try:
            while True:
                self._reread()
                self._look(now_ms())
                await asyncio.sleep(min(LOOK_S, self._beat_ms / 1000))
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()
            self._book.save()

    def reread(self) -> None:
        """network.json was changed by this process."""
        self._read_at = 0
        self._reread()

    def set_back(self, state: MemberState) -> None:
        """Its heartbeats were sent elsewhere: they are to come to us again."""
        state.known.confirmed.pop(HEARTBEAT, None)
        self._configurator.stir(state.address)

    def links(self) -> Links:
        """receiver -> sender -> share of adverts heard."""
        rows: dict[int, neighbours.Row | None] = {one: each.known.heard for one, each in self.states.items()}
        rows[GATEWAY] = self._own_rows
        return neighbours.links(rows, self.friends.sleepers())

    def open_settings(self, state: MemberState) -> list[str]:
        """Names of the settings that a member has not confirmed."""
        return [one.name for one in self._configurator.open_questions(state)]

    def wants_relay(self, address: int) -> bool:
        """Whether a member is to relay."""
        return address in self._plan.relays

    def status(self) -> dict[str, Any]:
        """What the whole of it did."""
        counts = dict(self.client.counts)
        return {"questions": counts, "relays": len(self._plan.relays), "friend": self.friends.status()}

    # --- members

    def _take(self, mesh: Network) -> None:
        self._mesh = mesh
        now = now_ms()
        states = {}
        for member in mesh.members:
            before = self.states.get(member.address)
            if before is not None and before.member.device_key == member.device_key:
                before.member = member
                states[member.address] = before
                self._configurator.stir(member.address)
            else:
                states[member.address] = MemberState(member, self._book.of(member), since=now)
                if before is not None:
                    self._end(member.address)
        for address in self.states.keys() - states.keys():
            self._end(address)
            self._configurator.forget(address)
            self._station.node.transport.ttls.pop(address, None)
        self.states = states
        self._book.keep(set(states))
        self._elements = {
            address + number: state
            for address, state in states.items()
            for number in range(state.member.elements)
        }
        if self._config.choose_relays:  # what relays goes on until more is known
            for address, state in states.items():
                if state.relay:
                    self._plan.resume(address, state.copies)

    def _end(self, address: int) -> None:
        task = self._tasks.pop(address, None)
        if task is not None:
            task.cancel()

    def _reread(self) -> None:
        """The file, where somebody changed it; what is wrong with it is logged once, and what was is kept."""
        try:
            changed_at = (self._folder / network.FILE).stat().st_mtime_ns
            if changed_at != self._read_at:
                self._read_at = changed_at
                mesh = network.load(self._folder)
                if mesh != self._mesh:
                    self._take(mesh)
        except (OSError, NetworkFileError) as error:
            logs.event(logs.ERROR, "mesh-file-unread", error=error)
        for address, state in self.states.items():
            if address not in self._tasks:
                self._tasks[address] = asyncio.create_task(self._configurator.keep(state))

    def _key_of(self, address: int) -> Any:
        state = self.states.get(address)
        return state.key if state is not None else None

    def _desired(self, state: MemberState) -> tuple[int, int | None, bool, bool | None]:
        ttl = WIDE_TTL if state.lost else state.wanted_ttl(self._plan.hops.get(state.address), WIDE_TTL)
        relays = self.wants_relay(state.address)
        first = relays and any(self._missed(one) for one in self.states.values())
        copies = self._plan.copies(now_ms() / self._beat_ms, state.address) if relays else None
        return ttl, copies, first, self.friends.wanted(state, relays)

    # --- what is heard

    def _came(self, pdu: NetworkPdu, bearer: int) -> None:
        state = self._elements.get(pdu.src)
        if state is not None and state.heard(now_ms()):
            logs.event(logs.INFO, "mesh-node-heard", node=f"{state.address:04x}")
            self._configurator.stir(state.address)
            self._planned_at = 0

    def _beat(self, now: int, src: int, hops: int, features: int) -> None:
        state = self._elements.get(src)
        if state is not None:
            state.beat(now, hops, features)
            self._set_ttl(state)
            self._configurator.stir(state.address)

    def _told(self, src: int, rows: dict[int, tuple[int, int]]) -> None:
        state = self.states.get(src)
        if state is None:
            return
        state.known.heard = neighbours.merged(state.known.heard, rows)
        state.told_at = now_ms()
        self._book.save()
        self._planned_at = 0

    def _set_ttl(self, state: MemberState) -> None:
        """Ours to the member: what its own is, for the way is as long."""
        ttls = self._station.node.transport.ttls
        if state.lost or not state.hops:
            ttls.pop(state.address, None)
        else:
            ttls[state.address] = max(state.ttl or WIDE_TTL, max(state.hops) + 1)

    # --- from time to time

    def _look(self, now: int) -> None:
        for state in self.states.values():
            if state.look(now, self._beat_ms):
                self._lost(state)
            self._set_ttl(state)
            if self._config.choose_relays:
                self._ask_heard(now, state)
        if now - self._own_at >= ASK_HEARD * self._beat_ms / 2:
            self._own_at = now
            ears = self._station.ears
            self._own_rows = neighbours.merged(self._own_rows, neighbours.own(ears))
            ears.report()  # begins anew
        if not self._planned_at or now - self._planned_at >= self._beat_ms:
            self._planned_at = now
            self._choose()

    def _lost(self, state: MemberState) -> None:
        """Who hears it now is asked of all others: it may have been carried away."""
        logs.event(logs.WARNING, "mesh-node-lost", node=f"{state.address:04x}",
                   todo="is it switched on, and in reach of another node?")  # fmt: skip
        for other in self.states.values():
            if other.known.heard is not None:
                other.known.heard.pop(state.address, None)
        if self._own_rows is not None:
            self._own_rows = {src: row for src, row in self._own_rows.items() if src != state.address}
        self._planned_at = 0

    def _ask_heard(self, now: int, state: MemberState) -> None:
        every = (ASK_HEARD if state.told_at else FIRST_HEARD) * self._beat_ms
        due = (state.told_at or state.since) + every
        if state.told_at < self._hunt(now):
            due = now
        if HEARTBEAT not in state.known.confirmed or state.lost or not state.heard_at or sleeps(state):
            return
        if now >= max(due, state.asked_heard_at + ASK_AGAIN_MS) and self._station.open:
            self._station.work(self._model.ask_heard, state.address)
            state.asked_heard_at = now

    def _hunt(self, now: int) -> int:
        """Who told us of its neighbours before this time is asked again: a node was lost 1, 2, 4 ... beats ago."""
        marks = [0]
        for state in self.states.values():
            if state.lost and state.heard_at:
                age = max(1, (now - state.lost_at) // self._beat_ms)
                marks.append(state.lost_at + self._beat_ms * (1 << age.bit_length() - 1))
        return max(mark for mark in marks if mark <= now)

    def _missed(self, state: MemberState) -> bool:
        """Whether it is not heard, and not for so long that it counts as switched off; or not set yet.

        Who says no heartbeats is nobody's neighbour: a relay that it is behind would be taken from it.
        """
        since = state.lost_at if state.lost else state.since
        away = state.lost or not state.heard_at or HEARTBEAT not in state.known.confirmed
        return away and now_ms() - since < HOLD * self._beat_ms

    def _choose(self) -> None:
        roots = frozenset(self._station.roots())
        if not roots:
            return
        states = self.states
        if self._config.choose_relays:
            before, links, asleep = set(self._plan.relays), self.links(), self.friends.sleepers()
            self._plan.look(
                now_ms() / self._beat_ms,
                View(
                    modes={
                        one: OFF if one in asleep else state.member.relay for one, state in states.items()
                    },
                    alive=frozenset(
                        one for one, state in states.items() if state.heard_at and not state.lost
                    ),
                    told=asleep
                    | frozenset(one for one, state in states.items() if state.known.heard is not None),
                    on=frozenset(one for one, state in states.items() if state.relay),
                    unsure=frozenset(one for one, state in states.items() if state.relay is None),
                    ttls={one: state.ttl or 0 for one, state in states.items()},
                    missed=any(self._missed(state) for state in states.values()),
                    sighted=frozenset(one for one, state in states.items() if state.lost) & links.keys(),
                    links=links,
                    roots=roots,
                ),
            )
            if before != self._plan.relays:
                logs.event(
                    logs.INFO, "mesh-relays-chosen", relays=sorted(f"{one:04x}" for one in self._plan.relays)
                )
        else:
            self._plan.relays = {one for one, state in states.items() if state.member.relay == ON}
        for address in states:
            self._configurator.stir(address)
