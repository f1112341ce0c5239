"""Which nodes relay from now on: thinning at run time, without flapping and without a gap.

Rules: pure: what is known goes in, what is wanted comes out. A relay that is needed is wanted at once. Those that
are not needed any more go when that was so for SETTLE heartbeats, when every new one has confirmed, some at a time,
and when every node is reached without them at the TTL that it has. While a member is missed no relay goes, and who
has told nothing yet relays, for it may be behind any; for HOLD heartbeats. What a person said is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from fieldline_gateway.mesh.network import OFF, ON
from fieldline_gateway.mesh.thinning import Links, choose, reach, usable

SETTLE = 8
"""Heartbeats for which a relay is not needed before it goes, or not alone before it sends no second copy: in so many
every node tells anew whom it hears."""
HOLD = 64
"""Heartbeats for which a member that is not heard keeps all relays: after them it counts as switched off."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known now. Addresses of members that can be spoken with, but `modes`, which has all."""

    modes: Mapping[int, str]
    """What a person said of each member: ON, OFF or AUTO."""
    alive: frozenset[int]
    told: frozenset[int]
    """Who has said whom it hears."""
    on: frozenset[int]
    """Relays, as they have confirmed."""
    unsure: frozenset[int]
    """Whose relay setting is not confirmed."""
    ttls: Mapping[int, int]
    """Default TTL, as each has confirmed."""
    links: Links
    roots: frozenset[int]
    missed: bool = False
    """A member has not been heard for less than HOLD heartbeats."""
    sighted: frozenset[int] = frozenset()
    """Lost ones that somebody hears: they are to be reached, and can relay nothing."""


@dataclass(slots=True)
class RelayPlan:
    """Keeps what is wanted from look to look."""

    relays: set[int] = field(default_factory=set)
    """Who is to relay now."""
    hops: dict[int, int] = field(default_factory=dict)
    """Hops to each node over the relays that there will be in the end."""
    _idle: dict[int, float] = field(default_factory=dict)
    """Since when who is not needed."""
    _beside: dict[int, float] = field(default_factory=dict)
    """Since when which relay is not alone."""

    def resume(self, address: int, copies: int) -> None:
        """A node relays already, with so many copies more: it goes on until more is known."""
        self.relays.add(address)
        if not copies:
            self._beside[address] = -SETTLE

    def look(self, now: float, view: View) -> None:
        """Takes up what is known `now`, in heartbeats; `relays` is what is wanted then."""
        here = view.alive | view.roots | view.sighted
        links = {
            receiver: {sender: share for sender, share in row.items() if sender in here}
            for receiver, row in view.links.items()
            if receiver in here
        }
        never = {one for one, mode in view.modes.items() if mode == OFF} | view.sighted
        forced = {one for one, mode in view.modes.items() if mode == ON}
        found = choose(links, view.roots, view.on | forced, never=never)
        blind = view.alive - view.told if view.missed else frozenset()
        wanted = ((found.relays | blind) - never) | forced
        self.hops = dict(found.hops)
        self.relays &= view.modes.keys()
        self.relays |= wanted
        coming = (wanted & view.alive) - view.on
        self._let_go(now, view, links, wanted, bool(coming))
        self._beside = {one: self._beside.get(one, now) for one in self.relays - found.lone}

    def copies(self, now: float, address: int) -> int:
        """How many copies more a relay is to send: one where no other carries beside it."""
        return int(now - self._beside.get(address, now) < SETTLE)

    def _let_go(self, now: float, view: View, links: Links, wanted: Set[int], coming: bool) -> None:
        spare = (self.relays - wanted) & view.alive
        self._idle = {one: self._idle.get(one, now) for one in spare}
        if coming or view.missed or view.unsure & view.alive:
            return
        around = usable(links, view.roots)
        before = reach(around, view.roots, view.on).keys() & view.alive
        left, most = set(view.on), len(spare) // 4 + 1
        for one in sorted(spare, key=lambda one: (self._idle[one], one)):
            after = reach(around, view.roots, left - {one})
            is_safe = all(node in after and view.ttls.get(node, 0) >= after[node] for node in before)
            if view.modes[one] == OFF or (is_safe and now - self._idle[one] >= SETTLE):
                self.relays.discard(one)
                left.discard(one)
                most -= 1
            if not most:
                return
