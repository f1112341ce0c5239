"""What is not as it should be, judged once a second from what the gateway knows: changes for the book.

Rules: no I/O and no clock: a Scene comes in. Silence is measured on a clock that never steps, from when this run
began at the earliest: a gateway that was off hears nobody's silence, and a node that was silent before is so until it
speaks. Each limit to raise has a lower one to clear. A node about which nothing changed costs next to nothing, and
nodes can be judged in parts, so that 30,000 of them hold up nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fieldline_gateway.alerts.config import Limits
from fieldline_gateway.alerts.model import Change, Clear, Raise
from fieldline_gateway.ingest.limits import Limit
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.odd import HOUR_MS, RESTARTS, Clone, Odd
from fieldline_gateway.records import KIND_REPORT, StoredRecord
from fieldline_wire import messages as wire
from fieldline_wire.errors import PeerError
from fieldline_wire.quantities import QUANTITIES

LEAST_SILENT_S = 60
"""Shorter silences are a cable touched or a node restarted."""
INTERVALS = 3
OVER_LIMIT_S = 60
"""So long after the last message over its limit a node is well again."""
FRESH_S = 60
"""A reading that is older says nothing of a fan that stands still."""
DAY_S = 86_400

# wire.md 5.7
_CAUSES = {1: "stall", 2: "over its limit", 3: "under its limit", 4: "changes too fast", 5: "sensor silent"}
_STALL = 1


class Intervals(Protocol):
    """How often nodes are to speak."""

    def get(self, node: bytes, /) -> float | None:
        """In seconds; None where it is not known."""
        ...


@dataclass(slots=True)
class _Heard:
    """When a node was last heard in this run."""

    state_ms: int
    """As its state has it (UTC)."""
    mono_ms: int
    spoke: bool
    """In this run."""


@dataclass(frozen=True, slots=True)
class Scene:
    """How things are."""

    utc_ms: int
    mono_ms: int
    nodes: Mapping[bytes, NodeState]
    speaks_s: Intervals
    silent_ms: int
    """For the others."""
    store: Mapping[str, Any]
    """Store.status()."""
    sinks: Iterable[Mapping[str, Any]]
    """Of each: sink, connected, lag."""
    clones: Mapping[bytes, Clone]
    odd: Mapping[bytes, Odd]
    limited: Mapping[bytes, Limit]
    flood: bool
    strangers: int
    audit_found: tuple[str, ...] = ()
    certificates: Mapping[str, int] = field(default_factory=dict)
    """UTC in ms of the end of each."""


class Watch:
    """Remembers what was so since when. look() gives the states as they are; the book knows what is new."""

    def __init__(
        self, limits: Limits, gateway: str, began_ms: int, standing: Iterable[tuple[str, str]]
    ) -> None:
        self._limits = limits
        self._gateway = gateway
        self._began_ms = began_ms
        self._heard: dict[bytes, _Heard] = {}
        self._since: dict[tuple[str, str], int] = {}
        self._slowing: set[bytes] = set()
        """Nodes with a fan that stands still, not yet for long enough."""
        self._standing = set(standing)
        self._evicted: int | None = None
        self._evicted_ms = 0
        self._turned: set[tuple[bytes, int, int]] = set()

    def look(self, scene: Scene) -> list[Change]:
        """What is raised now and what is clear now, of what was not so before."""
        return self.look_at_nodes(scene, scene.nodes.values()) + self.look_at_gateway(scene)

    def look_at_nodes(self, scene: Scene, nodes: Iterable[NodeState], *, anew: bool = False) -> list[Change]:
        """The same of these nodes alone; `anew`: the book did not get what was found before."""
        return [
            change for state in nodes for change in self._node(scene, state, anew) if self._is_news(change)
        ]

    def look_at_gateway(self, scene: Scene) -> list[Change]:
        """The same of all that is no single node's."""
        return [change for change in self._judge(scene) if self._is_news(change)]

    def took(self, changes: Iterable[Change]) -> None:
        """The book has them."""
        for change in changes:
            key = (change.kind, change.subject)
            (self._standing.add if isinstance(change, Raise) else self._standing.discard)(key)

    def forget(self, kind: str, subject: str) -> None:
        """A person called it over."""
        self._standing.discard((kind, subject))

    def silent_after_s(self, speaks_s: float | None, silent_ms: int) -> float:
        """After how long a node that is to speak each `speaks_s` is silent; `silent_ms` where that is not known."""
        if self._limits.silent_after_s:
            return self._limits.silent_after_s
        return silent_ms / 1000 if speaks_s is None else max(LEAST_SILENT_S, INTERVALS * speaks_s)

    def _is_news(self, change: Change) -> bool:
        standing = (change.kind, change.subject) in self._standing
        return isinstance(change, Raise) != standing and change.kind not in self._limits.off

    def _judge(self, scene: Scene) -> Iterator[Change]:
        yield from self._clones_and_limits(scene)
        yield from self._store(scene)
        for sink in scene.sinks:
            yield from self._behind(scene, sink)
        for path, end_ms in scene.certificates.items():
            yield from self._certificate(scene, path, end_ms)
        if scene.flood:
            yield Raise(
                "quarantine-flood",
                self._gateway,
                f"somebody invents node ids: {scene.strangers} messages of nodes that may not speak so far",
            )
        else:
            yield Clear("quarantine-flood", self._gateway)
        for text in scene.audit_found:
            yield Raise("audit-broken", self._gateway, f"{text}; run fieldline gateway audit verify")

    def _node(self, scene: Scene, state: NodeState, anew: bool) -> Iterator[Change]:
        node = state.node.id
        if state.node.revoked_ms is not None:
            if node in self._heard:
                del self._heard[node]
                self._slowing.discard(node)
            yield Clear("node-silent", node.hex())
            return
        heard = self._heard.get(node)
        if heard is None:
            heard = self._heard[node] = _Heard(state.heard_ms, self._began_ms, spoke=False)
            anew = True
        elif heard.state_ms != state.heard_ms:
            anew = True
            heard.state_ms, heard.mono_ms, heard.spoke = state.heard_ms, scene.mono_ms, True
        quiet_s = (scene.mono_ms - heard.mono_ms) / 1000
        after_s = self.silent_after_s(scene.speaks_s.get(node), scene.silent_ms)
        if quiet_s > after_s:
            text = f"nothing heard for {quiet_s:.0f} s; expected at least each {after_s:.0f} s"
            evidence = {"heard_ms": state.heard_ms or None, "silent_after_s": after_s, "link": state.link}
            yield Raise("node-silent", node.hex(), text, state.node.name, evidence)
        elif anew and heard.spoke:
            yield Clear("node-silent", node.hex())
        if anew or node in self._slowing:
            yield from self._stalled(scene, state)
        if (odd := scene.odd.get(node)) is not None:
            yield from self._odd(scene, state, odd)

    def _stalled(self, scene: Scene, state: NodeState) -> Iterator[Change]:
        """From readings: a fan that turned in this run and does not any more."""
        self._slowing.discard(state.node.id)
        if self._limits.stall_rpm < 0:
            return
        for (sensor, quantity), (value, at_ms) in state.readings.items():
            _, numerator, denominator, unit = QUANTITIES.get(quantity, ("", 1, 1, ""))
            if unit != "rpm" or scene.utc_ms - at_ms > FRESH_S * 1000:
                continue
            rpm = value * numerator / denominator
            place = (state.node.id, sensor, quantity)
            subject = f"{state.node.id.hex()}/{sensor}/reading"
            if rpm > max(self._limits.stall_rpm * 1.2, self._limits.stall_rpm + 1):
                self._turned.add(place)
                self._since.pop(("stall", subject), None)
                yield Clear("fan-stalled", subject)
            elif rpm <= self._limits.stall_rpm and place in self._turned:
                since = self._since.setdefault(("stall", subject), scene.mono_ms)
                if scene.mono_ms - since < self._limits.stall_after_s * 1000:
                    self._slowing.add(state.node.id)
                else:
                    text = f"sensor {sensor} reads {rpm:g} rpm for {(scene.mono_ms - since) / 1000:.0f} s"
                    yield Raise("fan-stalled", subject, text, state.node.name, {"sensor": sensor, "rpm": rpm})

    def _odd(self, scene: Scene, state: NodeState, odd: Odd) -> Iterator[Change]:
        restarts = odd.restarts(scene.utc_ms)
        found = []
        if restarts >= RESTARTS:
            found.append(f"it started {restarts} times within an hour")
        if odd.streams and scene.utc_ms - odd.stream_ms < HOUR_MS:
            found.append("it counts anew: its flash was wiped, or a second device has its key")
        if odd.clock_off_ms:
            found.append(f"its clock is off by {odd.clock_off_ms / 1000:.0f} s")
        if found:
            yield Raise("node-odd", state.node.id.hex(), "; ".join(found), state.node.name)
        else:
            yield Clear("node-odd", state.node.id.hex())

    def _clones_and_limits(self, scene: Scene) -> Iterator[Change]:
        for node, clone in scene.clones.items():
            text = f"two devices use one id and key, on {', '.join(clone.links)}: {clone.why}"
            evidence = {"links": list(clone.links), "count": clone.count, "first_ms": clone.first_ms}
            yield Raise("clone", node.hex(), text, _name(scene, node), evidence)
        for node, limit in scene.limited.items():
            if limit.over and scene.mono_ms - limit.last_ms < OVER_LIMIT_S * 1000:
                text = (
                    f"{limit.over} messages over its limit, {limit.alarms_over} of them alarms; it keeps them"
                )
                yield Raise("rate-limited", node.hex(), text, _name(scene, node))
            elif limit.over:
                yield Clear("rate-limited", node.hex())

    def _store(self, scene: Scene) -> Iterator[Change]:
        store, gateway = scene.store, self._gateway
        percent = 100 * store["bytes"] / max(store["max_bytes"], 1)
        if percent >= self._limits.store_percent:
            evidence = {"bytes": store["bytes"], "max_bytes": store["max_bytes"]}
            text = f"the store is {percent:.0f} % full; when it is full the oldest goes, each loss reported"
            yield Raise("store-full", gateway, text, "", evidence)
        elif percent <= self._limits.store_clear_percent:
            yield Clear("store-full", gateway)
        if store["held"]:
            yield Raise(
                "store-held", gateway, f"the store takes nothing ({store['held']}); nodes keep their readings"
            )
        else:
            yield Clear("store-held", gateway)
        counters = store["counters"]
        evicted = sum(
            n for key, n in counters.items() if key.startswith("evicted-") and "segments" not in key
        )
        if self._evicted is not None and evicted > self._evicted:
            self._evicted_ms = scene.mono_ms
            text = f"{evicted - self._evicted} records went unread for want of room; sinks are told which"
            yield Raise("readings-lost", gateway, text, "", {"evicted": evicted})
        elif scene.mono_ms - self._evicted_ms > HOUR_MS:
            yield Clear("readings-lost", gateway)
        self._evicted = evicted

    def _behind(self, scene: Scene, sink: Mapping[str, Any]) -> Iterator[Change]:
        name, lag = str(sink["sink"]), int(sink["lag"])
        most = self._limits.behind_records
        bad = lag >= most or (lag > 0 and not sink["connected"])
        key = ("behind", name)
        if bad:
            since = self._since.setdefault(key, scene.mono_ms)
            if scene.mono_ms - since >= self._limits.behind_after_s * 1000:
                why = "" if sink["connected"] else f", not connected: {sink.get('last_error', '')}"
                yield Raise("sink-behind", name, f"{lag} records wait{why}", "", {"lag": lag})
        elif sink["connected"] and lag <= most // 10:
            self._since.pop(key, None)
            yield Clear("sink-behind", name)

    def _certificate(self, scene: Scene, path: str, end_ms: int) -> Iterator[Change]:
        days = (end_ms - scene.utc_ms) / 1000 / DAY_S
        if days <= self._limits.certificate_days:
            text = f"{path} ended" if days < 0 else f"{path} ends in {days:.0f} days; renew it and restart"
            yield Raise("certificate-ending", path, text, "", {"end_ms": end_ms})
        elif days > self._limits.certificate_days + 1:
            yield Clear("certificate-ending", path)


def _name(scene: Scene, node: bytes) -> str:
    state = scene.nodes.get(node)
    return state.node.name if state is not None else ""


def alarms(stored: Iterable[StoredRecord], names: Mapping[bytes, str]) -> list[Change]:
    """What nodes themselves raised and cleared in these records of the alarm class (wire.md 5.7)."""
    found: list[Change] = []
    for each in stored:
        record = each.record
        if record.kind != KIND_REPORT:
            continue
        try:
            report = wire.Report.from_bytes(record.payload)
        except PeerError:
            continue  # it was decoded when it came: another version of this program wrote it
        for reading in report.readings:
            cause = reading.flags >> wire.CAUSE_SHIFT
            kind = "fan-stalled" if cause == _STALL else "node-alarm"
            end = "" if cause == _STALL else f"/{_CAUSES.get(cause, f'cause {cause}')}"
            subject = f"{record.node.hex()}/{reading.sensor}{end}"
            if reading.flags & wire.READING_CLEARED:
                found.append(Clear(kind, subject))
            elif reading.flags & wire.READING_RAISED:
                quantity, numerator, denominator, unit = QUANTITIES.get(reading.quantity, ("value", 1, 1, ""))
                value = reading.value * numerator / denominator
                text = f"sensor {reading.sensor}: {_CAUSES.get(cause, f'cause {cause}')}, {quantity} {value:g} {unit}"
                evidence = {"sensor": reading.sensor, "value": value, "unit": unit, "time_ms": record.time_ms}
                found.append(Raise(kind, subject, text, names.get(record.node, ""), evidence))
    return found
