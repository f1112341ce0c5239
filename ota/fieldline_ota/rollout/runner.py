"""Carries a rollout out: looks at the gateways, lets the state machine decide, tells the gateways.

Rules: what was decided is on disk before anybody is told; what was told and lost is told again, for each step begins
with what gateways and disk say, so a kill anywhere costs a step. No sleep and no clock here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fieldline_ota.errors import UsageError
from fieldline_ota.rollout.engine import Rollout
from fieldline_ota.rollout.gateways import Gateway, GatewayError, Seen, View
from fieldline_ota.rollout.model import CONFIRMED, SKIPPED, WAITING, Decision, Node, Plan, Ref, rings_of
from fieldline_ota.rollout.reasons import words
from fieldline_ota.rollout.store import RolloutStore
from fieldline_ota.tokens import TokenKeys
from fieldline_wire.update import codes


@dataclass(frozen=True, slots=True)
class Step:
    """What a step found."""

    rollout: Rollout
    faults: tuple[str, ...]
    """Gateways that do not answer, or do not hold the release."""


def start(
    store: RolloutStore, gateways: Sequence[Gateway], plan: Plan, who: str, now: float, salt: str
) -> Rollout:
    """A new rollout over all nodes of the board that the gateways know. UsageError, GatewayError."""
    views = {gateway.name: gateway.look() for gateway in gateways}
    seen = _newest(views)
    nodes = {id: (name, each) for id, (each, name) in seen.items() if each.board == plan.board}
    if not nodes:
        none = sum(each.board == plan.board for view in views.values() for each in view.without)
        but = f": {none} say that they take none ({words(codes.NO_UPDATES)})" if none else ""
        raise UsageError(f"no gateway knows a node of board {plan.board} that takes updates{but}")
    members: dict[str, list[str]] = {}
    for ring in plan.rings:
        if ring.target:
            found = [id for gateway in gateways for id in gateway.nodes(ring.target)]
            members[ring.name] = [id for id in found if id in nodes]
            if not members[ring.name]:
                raise UsageError(f"ring {ring.name}: its target means no node of board {plan.board}")
    rings = rings_of(plan, sorted(nodes), members, salt)
    made = [Node(id, each.name, name, rings[id], since=now) for id, (name, each) in sorted(nodes.items())]
    with store.working():
        return store.create(plan, made, who, now)


def step(store: RolloutStore, gateways: Sequence[Gateway], keys: TokenKeys, id: int, now: float) -> Step:
    """Goes on with rollout `id` as far as it can at `now`."""
    views, faults = _look(gateways)
    with store.working():
        rollout = store.load(id)
        decisions: list[Decision] = []
        for each, name in _newest(views).values():
            decisions += _take(rollout, name, each, now)
        decisions += _without(rollout, views, now)
        decisions += rollout.tick(now)
        unwanted = _unwanted(rollout, views)
        for node in rollout.unwanted():
            if node.gateway in views and node not in unwanted:
                decisions += rollout.withdrawn(node.id, now)
        decisions += rollout.tick(now)
        store.save(rollout, decisions)
        decisions, offers = _offers(rollout, views, keys, now)
        store.save(rollout, decisions)
    by_name = {gateway.name: gateway for gateway in gateways}
    tokens: dict[tuple[str, str], dict[str, bytes]] = {}
    for node, ref, token in offers:
        tokens.setdefault((node.gateway, ref.digest), {})[node.id] = token
    for (name, digest), some in tokens.items():
        with _telling(faults):
            _refusals(faults, name, by_name[name].offer(digest, some))
    back: dict[str, list[str]] = {}
    for node in unwanted:
        back.setdefault(node.gateway, []).append(node.id)
    for name, nodes in back.items():
        with _telling(faults):
            _refusals(faults, name, by_name[name].withdraw(nodes))
    goal = rollout.wanted()
    for name, view in views.items():
        if any(node.gateway == name and ref.digest not in view.releases for node, ref in goal):
            why = f" ({view.fault})" if view.fault else ""
            faults.append(f"gateway {name} does not hold the release yet{why}")
    return Step(rollout, tuple(faults))


def _look(gateways: Sequence[Gateway]) -> tuple[dict[str, View], list[str]]:
    views, faults = {}, []
    for gateway in gateways:
        try:
            views[gateway.name] = gateway.look()
        except GatewayError as error:
            faults.append(str(error))
    return views, faults


def _newest(views: Mapping[str, View]) -> dict[str, tuple[Seen, str]]:
    """Each node as the gateway has it that heard it last, and that gateway: nodes move."""
    found: dict[str, tuple[Seen, str]] = {}
    for name, view in views.items():
        for each in view.nodes:
            other = found.get(each.report.node)
            if other is None or each.heard_ms > other[0].heard_ms:
                found[each.report.node] = (each, name)
    return found


@contextmanager
def _telling(faults: list[str]) -> Iterator[None]:
    """A gateway that does not take an order is told of, each fault once: the next step says it again."""
    try:
        yield
    except GatewayError as error:
        if str(error) not in faults:
            faults.append(str(error))


def _refusals(faults: list[str], gateway: str, refused: Mapping[str, str]) -> None:
    """What a gateway does not take for some nodes: the first of them, and how many; the next step says it again."""
    if refused:
        node, why = next(iter(refused.items()))
        faults.append(f"gateway {gateway}: {len(refused)} nodes refused, the first is {node}: {why}")


def _take(rollout: Rollout, gateway: str, seen: Seen, now: float) -> list[Decision]:
    """A node as a gateway has it."""
    report = seen.report
    decisions: list[Decision] = []
    if report.node not in rollout.nodes:
        if seen.board != rollout.plan.board or rollout.state not in ("running", "held"):
            return []
        decisions += rollout.join(Node(report.node, seen.name, gateway, 0), now)
    node = rollout.nodes[report.node]
    if node.gateway != gateway:
        node.gateway = gateway  # it moved
        rollout.dirty.add(node.id)
    release = rollout.plan.release.sequence
    if node.state == WAITING and report.floor >= release and report.running != release:
        decisions += rollout.skip(node.id, f"its floor is {report.floor}", now)
    if node.state != SKIPPED:
        decisions += rollout.report(report, now)
    return decisions


def _without(rollout: Rollout, views: Mapping[str, View], now: float) -> list[Decision]:
    """Nodes of the board that say they take no updates: told with that reason, and not waited for."""
    decisions: list[Decision] = []
    if rollout.state not in ("running", "held"):
        return decisions
    seen = _newest(views)
    for name, view in views.items():
        for each in view.without:
            if each.board == rollout.plan.board and each.node not in seen:
                decisions += rollout.join(Node(each.node, each.name, name, 0), now)
                decisions += rollout.skip(each.node, words(codes.NO_UPDATES), now, codes.NO_UPDATES)
    return decisions


def _unwanted(rollout: Rollout, views: Mapping[str, View]) -> list[Node]:
    """Nodes that their gateway offers or serves the release, and that are not to have it."""
    seen = _newest(views)
    digest = rollout.plan.release.digest
    return [
        node
        for node in rollout.unwanted()
        if node.id in seen and digest in (seen[node.id][0].offer, seen[node.id][0].serving)
    ]


def _offers(
    rollout: Rollout, views: Mapping[str, View], keys: TokenKeys, now: float
) -> tuple[list[Decision], list[tuple[Node, Ref, bytes]]]:
    """Decisions, and offers to hand over: where there is none, or one whose nonce is not the node's any more."""
    seen = _newest(views)
    decisions: list[Decision] = []
    offers = []
    for node, ref in rollout.wanted():
        (each, _), view = seen.get(node.id, (None, "")), views.get(node.gateway)
        if each is None or view is None or ref.digest not in view.releases:
            continue
        report = each.report
        accepted = node.state not in (WAITING, CONFIRMED) and report.counter == node.counter
        if accepted or report.state in (codes.PENDING, codes.TRIAL):
            continue
        counter = report.counter + 1
        has = (each.offer, each.offer_nonce, each.offer_counter)
        if has == (ref.digest, report.nonce, counter) and node.counter == counter and node.state != WAITING:
            continue
        token = keys.token(
            bytes.fromhex(node.id), counter, bytes.fromhex(report.nonce), bytes.fromhex(ref.digest)
        )
        decisions += rollout.offered(node.id, counter, now)
        offers.append((node, ref, token))
    return decisions, offers
