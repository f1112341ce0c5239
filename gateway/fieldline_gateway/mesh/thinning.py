"""Which nodes of a mesh are to relay: a connected dominating set of the links that were heard.

Rules: pure functions of what was heard. Every node in reach of a root has `cover` relays or roots in good hearing,
where it has so many neighbours at all, and the relays form one net with the roots. Each relay has WAYS of them a hop
nearer to a root, where it can: no relay alone carries what others could carry beside it. A relay that is one already
is kept where it serves as well as another: each change is a configuration message. A poor link counts only where
nothing better leads to a node: what is lost there is said again, and loads the air of all.
Greedy after Guha and Khuller, "Approximation Algorithms for Connected Dominating Sets", Algorithmica 20 (1998).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass

Links = Mapping[int, Mapping[int, float]]
"""receiver -> sender -> share of the sender's adverts that it heard, 0 to 1."""

GOOD = 0.8
"""A link counts from here on in its worse direction: two copies then arrive with 0.96, over two relays with 0.998."""
FALLBACK = (0.5, 0.3)
"""What a link must have where no better one leads to one of its ends."""
COVER = 2
"""Relays that a node should hear: one may fail, or collide, or be carried away."""
WAYS = 3
"""Relays a hop nearer to a root that a relay should hear: at a busy site each misses a third of the copies and more,
as it sends itself or as they collide; that one of three has it is 0.95."""


@dataclass(frozen=True, slots=True)
class Relays:
    """What to configure: the relays, and who no root can be reached from, whatever relays."""

    relays: frozenset[int]
    unreachable: frozenset[int]
    depth: int
    """Hops from a root to the farthest node over these relays."""
    hops: Mapping[int, int]
    """Hops from the nearest root to each node over these relays: what its TTL has to allow."""
    lone: frozenset[int] = frozenset()
    """Relays beside which none carries what some node says or hears: what they lose is lost."""


def neighbours(links: Links, good: float = GOOD) -> dict[int, set[int]]:
    """Who hears whom well enough both ways; every node that is named has an entry."""
    found: dict[int, set[int]] = {}
    for receiver, heard in links.items():
        found.setdefault(receiver, set())
        for sender, share in heard.items():
            found.setdefault(sender, set())
            if share >= good and links.get(sender, {}).get(receiver, 0.0) >= good:
                found[receiver].add(sender)
                found[sender].add(receiver)
    return found


def choose(
    links: Links,
    roots: Set[int],
    current: Set[int] = frozenset(),
    cover: int = COVER,
    good: float = GOOD,
    never: Set[int] = frozenset(),
) -> Relays:
    """The relays for a mesh whose gateways are at `roots`; `current` relays are kept where that costs nothing.

    `never`: nodes that are not to relay.
    """
    around = usable(links, roots, good, never)
    could = reach(around, roots, around.keys() - never)
    ways = {node: len(_inner(around, could, node) - never) for node in could}

    def worth(need: Mapping[int, int], one: int) -> int:
        """Whom it would serve, and the more the more ways lead on from it."""
        return _gain(need, around[one]) * (min(ways[one], WAYS) if could[one] > 1 else WAYS)

    relays: set[int] = set()
    need = {node: min(cover, len(around[node] & could.keys() - never)) for node in could if node not in roots}
    for root in roots:
        _serve(need, around[root])
    candidates = set().union(*(around[root] for root in roots)) - never if roots else set()
    while any(count > 0 for count in need.values()):
        best = max(
            (one for one in candidates - relays - roots if one in could),
            key=lambda one: (worth(need, one), one in current, -could[one], -one),
            default=None,
        )
        if best is None:
            break
        if not _gain(need, around[best]):
            # Nobody at the rim serves anybody: step on, towards the nearest node in need.
            best = _step(around, relays | roots | never, candidates - relays - roots, need)
            if best is None:
                break
        relays.add(best)
        candidates |= around[best] - never
        _serve(need, around[best])
    for ring in range(max(could.values(), default=0), 1, -1):
        need = {
            one: min(WAYS, ways[one]) - len(_inner(around, could, one) & relays)
            for one in relays
            if could[one] == ring
        }
        inner = {one for one in could if could[one] == ring - 1} - never - relays
        while any(count > 0 for count in need.values()):
            best = max(inner, key=lambda one: (worth(need, one), one in current, -one))
            inner.remove(best)
            relays.add(best)
            _serve(need, around[best])
    hops = reach(around, roots, relays)
    unreachable = frozenset(around.keys() - could.keys())
    return Relays(
        frozenset(relays), unreachable, max(hops.values(), default=0), hops, _lone(around, hops, relays)
    )


def reach(around: Mapping[int, Set[int]], roots: Set[int], relays: Set[int]) -> dict[int, int]:
    """Hops from the nearest root to each node, where `relays` alone pass on."""
    hops = {root: 0 for root in roots}
    queue = deque(roots)
    while queue:
        node = queue.popleft()
        if node not in roots and node not in relays:
            continue
        for other in around[node]:
            if other not in hops:
                hops[other] = hops[node] + 1
                queue.append(other)
    return hops


def usable(
    links: Links, roots: Set[int], good: float = GOOD, never: Set[int] = frozenset()
) -> dict[int, set[int]]:
    """Who is to count on whom: good links, and poorer ones to nodes that no better one leads to."""
    around = neighbours(links, good)
    for root in roots:
        around.setdefault(root, set())
    for poorer in FALLBACK:
        _bridge(around, neighbours(links, poorer), roots, never)
    return around


def _inner(around: Mapping[int, Set[int]], hops: Mapping[int, int], node: int) -> set[int]:
    """Neighbours a hop nearer to a root."""
    return {other for other in around[node] if hops.get(other, hops[node]) == hops[node] - 1}


def _lone(around: Mapping[int, Set[int]], hops: Mapping[int, int], relays: Set[int]) -> frozenset[int]:
    found: set[int] = set()
    for node in hops:
        inner = _inner(around, hops, node) & relays
        heard = around[node] & relays
        if node in relays and len(inner) == 1:
            found |= inner | {node}
        elif hops[node] > 1 and len(heard) == 1:
            found |= heard
    return frozenset(found)


def _bridge(
    around: dict[int, set[int]], poorer: Mapping[int, Set[int]], roots: Set[int], never: Set[int]
) -> None:
    """Adds poorer links to nodes that nothing in `around` leads to."""
    lonely = around.keys() - reach(around, roots, around.keys() - never).keys()
    for node in lonely:
        around[node] |= poorer[node]
        for other in poorer[node]:
            around[other].add(node)


def _gain(need: Mapping[int, int], nodes: Set[int]) -> int:
    return sum(need.get(node, 0) > 0 for node in nodes)


def _serve(need: dict[int, int], nodes: Set[int]) -> None:
    for node in nodes:
        if need.get(node, 0) > 0:
            need[node] -= 1


def _step(
    around: Mapping[int, Set[int]], net: Set[int], rim: Set[int], need: Mapping[int, int]
) -> int | None:
    """The node of the rim that is on a shortest way to one in need."""
    queue = deque((one, one) for one in sorted(rim))
    seen = set(rim) | set(net)
    while queue:
        node, first = queue.popleft()
        if any(need.get(other, 0) > 0 for other in around[node]):
            return first
        for other in sorted(around[node] - seen):
            seen.add(other)
            queue.append((other, first))
    return None
