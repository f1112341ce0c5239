"""The rollout as a state machine: all that changes a rollout or a node of one stands here.

Rules: pure. `now` (Unix seconds) is an argument; what comes in are reports, ticks and orders, what comes out are
decisions for the audit log, and wanted() and unwanted(), which say what nodes are to be told. The same input twice
changes nothing the second time, so that whoever was killed in between begins again.

A node: WAITING -> OFFERED -> RECEIVING -> TRIAL -> CONFIRMED; from each of the first four to FAILED or, by silence,
SILENT; by what it says later from SILENT, FAILED or CONFIRMED to CONFIRMED or FAILED. Back: CONFIRMED ->
BACK_OFFERED -> BACK_TRIAL -> BACK or BACK_FAILED.
A rollout: RUNNING <-> HELD; from both to DONE, and to STOPPED or RETURNING -> RETURNED.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from fieldline_ota.errors import UsageError
from fieldline_ota.rollout.model import (
    BACK,
    BACK_FAILED,
    BACK_OFFERED,
    BACK_TRIAL,
    CONFIRMED,
    DONE,
    FAILED,
    HELD,
    OFFERED,
    RECEIVING,
    RETURNED,
    RETURNING,
    RUNNING,
    SILENT,
    SKIPPED,
    STOPPED,
    TRIAL,
    UNDECIDED,
    UNDER_WAY,
    WAITING,
    Decision,
    Node,
    Plan,
    Ref,
    Report,
)
from fieldline_wire.update import codes

ENGINE = "rollout"
"""Who decided, where no person did."""

# The node is busy, or drew another nonce since: it is offered again, with another token.
_TRANSIENT = (codes.BUSY, codes.TOKEN_NONCE, codes.TOKEN_COUNTER)
_ENDED = (codes.REFUSED, codes.REVERTED)
_COMING = (codes.OFFERED, codes.RECEIVING, codes.VERIFYING)
_STARTING = (codes.PENDING, codes.TRIAL)


class Rollout:
    """One rollout. `dirty`: nodes that changed since it was saved."""

    def __init__(
        self,
        id: int,
        plan: Plan,
        nodes: Iterable[Node],
        *,
        state: str = RUNNING,
        ring: int = 0,
        good_at: float | None = None,
        why: str = "",
    ) -> None:
        """`good_at`: since when the ring has its success; `why`: it is held or was stopped."""
        self.id = id
        self.plan = plan
        self.nodes = {node.id: node for node in nodes}
        self.state = state
        self.ring = ring
        self.good_at = good_at
        self.why = why
        self.dirty: set[str] = set()

    @property
    def head(self) -> tuple[object, ...]:
        """What there is of it beside its nodes."""
        return self.plan, self.state, self.ring, self.good_at, self.why

    # --- what comes in

    def report(self, report: Report, now: float) -> list[Decision]:
        """A node's newest Status. What follows from it for the rollout is the next tick's."""
        node = self.nodes.get(report.node)
        if node is None:
            return []
        if node.running != report.running:
            node.running = report.running
            self.dirty.add(node.id)
        return self._hear(node, report, now)

    def tick(self, now: float) -> list[Decision]:
        """Time went on, and all reports of this moment are in."""
        decisions = []
        for node in self.nodes.values():
            if node.state in UNDER_WAY and now - node.since >= self.plan.limits.silence_s:
                decisions += self._to(node, SILENT, now, what="node-silent")
        return [*decisions, *self._judge(now)]

    def hold(self, who: str, why: str) -> list[Decision]:
        """No offers until resume(); what is under way goes on. UsageError where it does not run."""
        self._need(RUNNING, what="held")
        self.state, self.why = HELD, why
        return [Decision("rollout-held", who, data={"why": why})]

    def resume(self, who: str, now: float) -> list[Decision]:
        """UsageError where it is not held."""
        self._need(HELD, what="resumed")
        self.state, self.why = RUNNING, ""
        return [Decision("rollout-resumed", who), *self._judge(now)]

    def abort(self, who: str, why: str, now: float, back: Ref | None = None) -> list[Decision]:
        """Ends it. `back`: where nodes that confirmed are to go, instead of the plan's. UsageError where it ended."""
        if self.state == STOPPED and back is not None:
            self.plan = replace(self.plan, back=back)
            return self._stop(who, self.why, now)
        self._need(RUNNING, HELD, what="aborted")
        if back is not None:
            self.plan = replace(self.plan, back=back)
        return self._stop(who, why, now)

    def join(self, node: Node, now: float) -> list[Decision]:
        """A node that came after the start: it is in the last ring."""
        if node.id in self.nodes:
            return []
        node.ring, node.since = len(self.plan.rings) - 1, now
        self.nodes[node.id] = node
        self.dirty.add(node.id)
        return [Decision("node-joined", ENGINE, node.id, {"ring": self.plan.rings[-1].name})]

    def skip(self, id: str, why: str, now: float, reason: int = codes.NONE) -> list[Decision]:
        """This release is not for that node."""
        node = self.nodes[id]
        if node.state != WAITING:
            return []
        node.reason = reason
        return self._to(node, SKIPPED, now, what="node-skipped", data={"why": why})

    def offered(self, id: str, counter: int, now: float) -> list[Decision]:
        """A token with this counter was made for the node, which is sent after this is on disk."""
        node = self.nodes[id]
        node.counter = counter
        self.dirty.add(id)
        if node.state == WAITING:
            node.tries += 1
            return self._to(node, OFFERED, now, what="node-offered", data={"counter": counter})
        if node.state == CONFIRMED:
            return self._to(node, BACK_OFFERED, now, what="node-offered-back", data={"counter": counter})
        return []

    def withdrawn(self, id: str, now: float) -> list[Decision]:
        """Its gateway neither offers nor serves it the release any more."""
        node = self.nodes[id]
        if self.state in (RUNNING, HELD, DONE) or not node.counter or node.state not in (OFFERED, SILENT):
            return []
        node.counter = 0
        return self._to(node, WAITING if node.state == OFFERED else SILENT, now, what="node-withdrawn")

    # --- what goes out

    def wanted(self) -> list[tuple[Node, Ref]]:
        """Nodes that are to have an offer, and of what."""
        if self.state == RUNNING:
            return [
                (node, self.plan.release)
                for node in self.nodes.values()
                if node.state == OFFERED or (node.state == WAITING and node.ring <= self.ring)
            ]
        back = self.plan.back
        if self.state in (RETURNING, RETURNED) and back is not None:
            return [
                (node, back)
                for node in self.nodes.values()
                if node.state in (CONFIRMED, BACK_OFFERED) and node.running == self.plan.release.sequence
            ]
        return []

    def unwanted(self) -> list[Node]:
        """Nodes that are to have no offer of the release any more, and to give up what they receive of it."""
        if self.state in (RUNNING, HELD, DONE):
            return []
        return [node for node in self.nodes.values() if node.state in (OFFERED, RECEIVING, SILENT)]

    def ended(self) -> bool:
        """Whether nothing is left to do: no node that was told may still take the release, or is to go back."""
        if self.state == STOPPED:
            return not self._may_take()
        return self.state in (DONE, RETURNED)

    def counts(self, ring: int | None = None) -> Counter[str]:
        """Nodes by state, in one ring or in all."""
        return Counter(node.state for node in self.nodes.values() if ring in (None, node.ring))

    # --- inside

    def _hear(self, node: Node, report: Report, now: float) -> list[Decision]:
        if node.state in (BACK_OFFERED, BACK_TRIAL, BACK, BACK_FAILED):
            return self._hear_back(node, report, now)
        release = self.plan.release
        if node.state == SKIPPED:
            return []
        if _runs(report, release):
            if node.state == CONFIRMED:
                return []
            node.percent = 100
            return self._to(node, CONFIRMED, now, what="node-confirmed")
        if node.state == CONFIRMED:
            if report.state in _STARTING or report.running == release.sequence:
                return []
            node.reason = report.reason
            return self._to(node, FAILED, now, what="node-left", data={"reason": report.reason})
        if not node.counter or node.state == WAITING:
            return []
        if report.counter != node.counter:
            return self._hear_refusal(node, report, now)
        if report.state in _ENDED:
            return self._ended(node, report, now)
        if node.state in (FAILED, SILENT) and report.state not in (*_COMING, *_STARTING):
            return []
        if report.state in _STARTING:
            return self._progress(node, TRIAL, 100, now)
        if report.state in _COMING:
            return self._progress(node, RECEIVING, report.percent, now)
        return []

    def _hear_refusal(self, node: Node, report: Report, now: float) -> list[Decision]:
        """Our token was not accepted, yet or at all."""
        if node.state != OFFERED or report.refusal is None or report.refusal[0] != node.counter:
            return []
        reason = report.refusal[1]
        if reason in _TRANSIENT:
            return []
        return self._ended(node, replace(report, state=codes.REFUSED, reason=reason), now)

    def _ended(self, node: Node, report: Report, now: float) -> list[Decision]:
        """It refused, or went back by itself."""
        if node.state not in UNDER_WAY:
            return []
        if report.reason == codes.ABORTED:
            node.counter, node.percent = 0, 0
            return self._to(node, WAITING, now, what="node-gave-up")
        node.reason = report.reason
        if report.state == codes.REFUSED and node.tries < self.plan.limits.tries:
            node.counter, node.percent = 0, 0
            return self._to(node, WAITING, now, what="node-refused", data={"reason": report.reason})
        return self._to(node, FAILED, now, what="node-failed", data={"reason": report.reason})

    def _hear_back(self, node: Node, report: Report, now: float) -> list[Decision]:
        back = self.plan.back
        assert back is not None
        if _runs(report, back):
            return [] if node.state == BACK else self._to(node, BACK, now, what="node-back")
        if node.state in (BACK, BACK_FAILED):
            return []
        if report.counter == node.counter and report.state in _ENDED:
            node.reason = report.reason
            return self._to(node, BACK_FAILED, now, what="node-not-back", data={"reason": report.reason})
        if report.counter == node.counter and report.state in (*_COMING, *_STARTING):
            return self._progress(node, BACK_TRIAL, 100 if report.state in _STARTING else report.percent, now)
        return []

    def _progress(self, node: Node, state: str, percent: int, now: float) -> list[Decision]:
        """On its way; progress is no decision, but silence is counted from it.

        Who fell silent is heard again when it is further than it was: to say the same again is no progress.
        """
        was_out = node.state in (FAILED, SILENT)
        if was_out and percent <= node.percent:
            return []
        if (node.state, node.percent) != (state, percent):
            node.state, node.percent, node.since = state, percent, now
            self.dirty.add(node.id)
            if was_out:
                return [Decision("node-heard-again", ENGINE, node.id)]
        return []

    def _to(
        self, node: Node, state: str, now: float, *, what: str, data: dict[str, object] | None = None
    ) -> list[Decision]:
        node.state, node.since = state, now
        self.dirty.add(node.id)
        return [Decision(what, ENGINE, node.id, {"ring": self.plan.rings[node.ring].name, **(data or {})})]

    def _judge(self, now: float) -> list[Decision]:
        """Stops, goes on to the next ring, or ends."""
        if self.state in (RETURNING, RETURNED):
            return self._judge_return()
        if self.state not in (RUNNING, HELD):
            return []
        decisions: list[Decision] = []
        for number in range(self.ring + 1):
            if why := self._too_bad(number):
                return self._stop(ENGINE, why, now)
        while self.state == RUNNING and self._is_good(self.ring):
            if self.good_at is None:
                self.good_at = now
                decisions.append(Decision("ring-good", ENGINE, data=self._told(self.ring)))
            last = self.ring == len(self.plan.rings) - 1
            if last:
                if not any(node.state in UNDECIDED for node in self.nodes.values()):
                    self.state = DONE
                    decisions.append(Decision("rollout-done", ENGINE, data=dict(self.counts())))
                break
            empty = not self._size(self.ring)
            if not empty and now - self.good_at < self.plan.limits.soak_s:
                break
            self.ring, self.good_at = self.ring + 1, None
            decisions.append(Decision("ring-opened", ENGINE, data=self._told(self.ring)))
        return decisions

    def _judge_return(self) -> list[Decision]:
        """Whether all that can go back are back, and nobody can take the release any more."""
        waits = (CONFIRMED, BACK_OFFERED, BACK_TRIAL)
        if self._may_take() or any(node.state in waits for node in self.nodes.values()):
            self.state = RETURNING
            return []
        if self.state == RETURNED:
            return []
        self.state = RETURNED
        return [Decision("rollout-returned", ENGINE, data=dict(self.counts()))]

    def _may_take(self) -> bool:
        """Whether a node that was told may still take the release."""
        return any(
            node.state in UNDER_WAY or (node.state == SILENT and node.counter) for node in self.nodes.values()
        )

    def _stop(self, who: str, why: str, now: float) -> list[Decision]:
        self.state = STOPPED if self.plan.back is None else RETURNING
        self.why = why
        data = {"why": why, "back": None if self.plan.back is None else self.plan.back.sequence}
        stopped = [Decision("rollout-stopped", who, data={**data, **self.counts()})]
        return stopped + (self._judge_return() if self.state == RETURNING else [])

    def _size(self, ring: int) -> int:
        counts = self.counts(ring)
        return counts.total() - counts[SKIPPED]

    def _too_bad(self, ring: int) -> str:
        """Why the rollout is to stop; "" where it is not."""
        counts, size = self.counts(ring), self._size(ring)
        bad = counts[FAILED] + counts[SILENT]
        name = self.plan.rings[ring].name
        allowed = math.floor(self.plan.limits.failure * size + 1e-9)
        if bad > allowed:
            return f"ring {name}: {bad} of {size} nodes failed or fell silent, {allowed} are allowed"
        if size and not any(counts[state] for state in UNDECIDED) and counts[CONFIRMED] < self._needed(size):
            return (
                f"ring {name}: {counts[CONFIRMED]} of {size} nodes confirmed, {self._needed(size)} are needed"
            )
        return ""

    def _is_good(self, ring: int) -> bool:
        return self.counts(ring)[CONFIRMED] >= self._needed(self._size(ring))

    def _needed(self, size: int) -> int:
        return math.ceil(self.plan.limits.success * size - 1e-9)

    def _told(self, ring: int) -> dict[str, object]:
        return {"ring": self.plan.rings[ring].name, "nodes": self._size(ring), **self.counts(ring)}

    def _need(self, *states: str, what: str) -> None:
        if self.state not in states:
            raise UsageError(f"rollout {self.id} is {self.state}: it can't be {what}")


def _runs(report: Report, ref: Ref) -> bool:
    """Whether a node runs this release for good: its floor is there only once it was confirmed."""
    return report.running == ref.sequence and report.floor >= ref.sequence and report.state not in _STARTING
