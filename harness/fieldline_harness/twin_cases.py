"""What a twin does over MQTT, as data: the behaviours of AWS IoT's device shadow service, and who may ask at all.

Rules: a case is a list of steps on a node of its own, so cases stand in no order. What a step expects is compared
whole: a field too many is a fault as one that is missing. NOW stands for a Unix time since the case began or last
paused, OLD for one before that pause, TEXT for words that people read. bench_twins.py runs them and counts,
tests/gateway/fleet/test_twin_topics.py runs them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class _Mark:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NOW, OLD, TEXT = _Mark("NOW"), _Mark("OLD"), _Mark("TEXT")
STAMP = {"timestamp": NOW}
OLD_STAMP = {"timestamp": OLD}

OPERATOR, READER, PANEL, SCADA, NODE_USER = "operator", "reader", "panel", "scada", "site-node"
"""Clients: two with a token; three with a password, whom the configuration makes a reader, an operator, nothing."""
NOBODY_HEARS = "nobody hears"
"""In place of an answer."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what must come of it."""

    action: str
    """The topic below twin/NODE/."""
    request: Json | list[Any] | bytes
    answer: str = "accepted"
    """"accepted", "rejected" or NOBODY_HEARS."""
    says: Json | None = None
    """The answer; None: whatever it says."""
    delta: Json | None = None
    """What /update/delta must say, whole; None: it must say nothing."""
    documents: Json | None = None
    """What /update/documents must say; None: whatever it says, where the step is an accepted update."""
    who: str = OPERATOR
    node: str | None = None
    """In place of the case's own."""
    qos: int = 1
    retain: bool = False
    after_s: float = 0.0
    """Pause before it, so that its time is another."""


@dataclass(frozen=True, slots=True)
class Case:
    """Steps in order."""

    id: str
    steps: tuple[Step, ...]


def update(state: Any, says: Json | None = None, **more: Any) -> Step:
    """An update of state that is accepted; keys of the request that begin with _ are the request's."""
    request = {"state": state, **{key[1:]: more.pop(key) for key in list(more) if key.startswith("_")}}
    return Step("update", request, "accepted", says, **more)


def refused(action: str, request: Any, code: int, *, token: str | None = None, **more: Any) -> Step:
    """A request that is rejected with this code."""
    says = {"code": code, "message": TEXT, "timestamp": NOW}
    return Step(
        action, request, "rejected", says if token is None else {**says, "clientToken": token}, **more
    )


def holds(state: Json, version: int, metadata: Json | None = None, **more: Any) -> Step:
    """A get, and the twin that it must show."""
    plain = {name: part for name, part in state.items() if name != "delta"}
    says = {"state": state, "metadata": stamps(plain) if metadata is None else metadata, "version": version,
            "timestamp": NOW}  # fmt: skip
    return Step("get", b"", "accepted", {**says, **more})


def stamps(value: Any, stamp: Json = STAMP) -> Any:
    """The metadata of a state in which nothing is null."""
    if isinstance(value, dict):
        return {key: stamps(each, stamp) for key, each in value.items()}
    if isinstance(value, list):
        return [stamps(each, stamp) for each in value]
    return stamp


def differs(state: Json, version: int, **more: Any) -> Json:
    """A delta message."""
    return {"state": state, "metadata": stamps(state), "version": version, "timestamp": NOW, **more}


def accepted(state: Json, version: int, metadata: Json | None = None, **more: Any) -> Json:
    """An /update/accepted message."""
    told = stamps(state) if metadata is None else metadata
    return {"state": state, "metadata": told, "version": version, "timestamp": NOW, **more}


def wish(**desired: Any) -> Json:
    return {"desired": desired}


def say(**reported: Any) -> Json:
    return {"reported": reported}


_DEEP: Json = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}
_EMPTY = {"state": {}, "metadata": {}, "version": 0}

CASES = (
    # --- accepted, documents, delta
    Case("update-is-accepted", (
        update(wish(a=1), accepted(wish(a=1), 1), delta=differs({"a": 1}, 1)),
    )),
    Case("accepted-says-what-was-asked-and-no-more", (
        update(wish(a=1, b=2), delta=differs({"a": 1, "b": 2}, 1)),
        update(wish(b=3), accepted(wish(b=3), 2), delta=differs({"a": 1, "b": 3}, 2)),
    )),
    Case("both-sections-in-one-update", (
        update({"desired": {"a": 1, "b": 1}, "reported": {"a": 1}},
               accepted({"desired": {"a": 1, "b": 1}, "reported": {"a": 1}}, 1), delta=differs({"b": 1}, 1)),
    )),
    Case("an-empty-state-is-a-version", (
        update({}, accepted({}, 1)),
        holds({}, 1),
    )),
    Case("documents-of-the-first-update", (
        update(wish(a=1), delta=differs({"a": 1}, 1), documents={
            "previous": _EMPTY,
            "current": {"state": wish(a=1), "metadata": stamps(wish(a=1)), "version": 1},
            "timestamp": NOW,
        }),
    )),
    Case("documents-before-and-after", (
        update(say(a=1)),
        update(say(a=2, b=3), _clientToken="t", documents={
            "previous": {"state": say(a=1), "metadata": stamps(say(a=1)), "version": 1},
            "current": {"state": say(a=2, b=3), "metadata": stamps(say(a=2, b=3)), "version": 2},
            "timestamp": NOW, "clientToken": "t",
        }),
    )),
    Case("qos-0-is-answered", (
        update(say(a=1), accepted(say(a=1), 1), qos=0),
    )),
    Case("a-request-is-not-retained", (
        Step("get", b"", "rejected", retain=True),
        update(say(a=1), retain=True),
    )),
    # --- get
    Case("get-of-no-twin", (refused("get", b"", 404),)),
    Case("get-with-no-payload", (update(say(a=1)), holds(say(a=1), 1))),
    Case("get-with-an-object", (
        update(say(a=1)),
        Step("get", {}, "accepted", accepted(say(a=1), 1)),
    )),
    Case("get-has-the-delta", (
        update(wish(a=1, b=2), delta=differs({"a": 1, "b": 2}, 1)),
        update(say(a=1), delta=differs({"b": 2}, 2)),
        holds({"desired": {"a": 1, "b": 2}, "reported": {"a": 1}, "delta": {"b": 2}}, 2),
    )),
    Case("get-without-a-delta", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(say(a=1)),
        holds({"desired": {"a": 1}, "reported": {"a": 1}}, 2),
    )),
    # --- delta
    Case("reported-alone-makes-no-delta", (update(say(a=1), accepted(say(a=1), 1)),)),
    Case("what-is-reported-as-desired-ends-the-delta", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(say(a=1)),
    )),
    Case("a-report-that-leaves-a-difference-tells-it", (
        update(wish(a=1, b=2), delta=differs({"a": 1, "b": 2}, 1)),
        update(say(a=7), delta=differs({"a": 1, "b": 2}, 2)),
    )),
    Case("delta-has-all-that-differs-not-only-what-is-new", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(wish(b=2), delta=differs({"a": 1, "b": 2}, 2)),
    )),
    Case("delta-goes-into-objects", (
        update(wish(a={"x": 1, "y": 2}), delta=differs({"a": {"x": 1, "y": 2}}, 1)),
        update(say(a={"x": 1, "y": 9}), delta=differs({"a": {"y": 2}}, 2)),
    )),
    Case("a-list-that-differs-is-in-the-delta-whole", (
        update(wish(a=[1, 2, 3]), delta=differs({"a": [1, 2, 3]}, 1)),
        update(say(a=[1, 2]), delta=differs({"a": [1, 2, 3]}, 2)),
    )),
    Case("one-and-one-point-nought-do-not-differ", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(say(a=1.0)),
    )),
    Case("true-and-one-differ", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(say(a=True), delta=differs({"a": 1}, 2)),
    )),
    Case("another-type-differs", (
        update(wish(a={"x": 1}), delta=differs({"a": {"x": 1}}, 1)),
        update(say(a=5), delta=differs({"a": {"x": 1}}, 2)),
    )),
    Case("reported-beyond-desired-is-no-delta", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(say(a=1, b=2, c={"d": 1})),
    )),
    Case("delta-ends-when-the-wish-is-taken-back", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        update(wish(a=None), accepted(wish(a=None), 2, {"desired": {}})),
        holds({"desired": {}}, 2),
    )),
    # --- merging, null, lists
    Case("objects-are-merged", (
        update(say(a={"x": 1, "y": 2})),
        update(say(a={"y": 3, "z": 4}, b=5)),
        holds(say(a={"x": 1, "y": 3, "z": 4}, b=5), 2),
    )),
    Case("null-deletes-a-key", (
        update(say(a=1, b=2)),
        update(say(b=None), accepted(say(b=None), 2, {"reported": {}})),
        holds(say(a=1), 2),
    )),
    Case("null-deletes-inside-an-object", (
        update(say(a={"x": 1, "y": {"z": 2}}, b=1)),
        update(say(a={"y": {"z": None}})),
        holds(say(a={"x": 1, "y": {}}, b=1), 2),
    )),
    Case("null-deletes-an-object-with-all-in-it", (
        update(say(a={"x": {"y": 1}}, b=1)),
        update(say(a=None)),
        holds(say(b=1), 2),
    )),
    Case("null-deletes-desired", (
        update({"desired": {"a": 1}, "reported": {"b": 1}}, delta=differs({"a": 1}, 1)),
        update({"desired": None}, accepted({"desired": None}, 2, {})),
        holds(say(b=1), 2),
    )),
    Case("null-of-what-was-never-there", (
        update(say(a=1)),
        update(say(b=None, c={"d": None})),
        holds(say(a=1, c={}), 2),
    )),
    Case("no-null-in-a-list", (refused("update", {"state": say(a=[1, None])}, 400),)),
    Case("a-list-is-replaced", (
        update(say(a=[1, 2, 3])),
        update(say(a=[9])),
        holds(say(a=[9]), 2),
    )),
    Case("a-value-replaces-an-object-and-the-other-way", (
        update(say(a={"x": 1}, b=1)),
        update(say(a=1, b={"x": 1})),
        holds(say(a=1, b={"x": 1}), 2),
    )),
    Case("texts-of-all-languages", (
        update(say(**{"größe": "30 µm", "名": "扇"})),
        holds(say(**{"größe": "30 µm", "名": "扇"}), 1),
    )),
    # --- version
    Case("the-version-that-it-has-is-taken", (
        update(say(a=1)),
        update(say(a=2), accepted(say(a=2), 2), _version=1),
    )),
    Case("another-version-is-a-conflict-and-changes-nothing", (
        update(say(a=1)),
        update(say(a=2)),
        refused("update", {"state": say(a=3), "version": 1}, 409),
        holds(say(a=2), 2),
    )),
    Case("a-version-to-come-is-a-conflict", (
        update(say(a=1)),
        refused("update", {"state": say(a=3), "version": 2}, 409),
    )),
    Case("version-nought-is-that-of-no-twin", (
        update(say(a=1), _version=0),
        refused("update", {"state": say(a=3), "version": 0}, 409),
    )),
    Case("a-version-is-a-whole-number", (
        refused("update", {"state": say(a=1), "version": "1"}, 400),
        refused("update", {"state": say(a=1), "version": True}, 400),
        refused("update", {"state": say(a=1), "version": 1.5}, 400),
    )),
    # --- client token
    Case("the-client-token-comes-back-in-all-that-is-told", (
        update(wish(a=1), accepted(wish(a=1), 1, clientToken="t-1"), _clientToken="t-1",
               delta=differs({"a": 1}, 1, clientToken="t-1"), documents={
                   "previous": _EMPTY,
                   "current": {"state": wish(a=1), "metadata": stamps(wish(a=1)), "version": 1},
                   "timestamp": NOW, "clientToken": "t-1",
               }),
    )),
    Case("the-client-token-of-a-get-and-a-delete", (
        update(say(a=1)),
        Step("get", {"clientToken": "g"}, "accepted", accepted(say(a=1), 1, clientToken="g")),
        Step("delete", {"clientToken": "d"}, "accepted", {"version": 1, "timestamp": NOW, "clientToken": "d"}),
    )),
    Case("the-client-token-of-what-is-rejected", (
        refused("get", {"clientToken": "g"}, 404, token="g"),
        refused("update", {"clientToken": "u"}, 400, token="u"),
        refused("update", {"state": say(a=1), "version": 7, "clientToken": "v"}, 409, token="v"),
    )),
    Case("a-client-token-has-64-bytes", (
        update(say(a=1), accepted(say(a=1), 1, clientToken="x" * 64), _clientToken="x" * 64),
        refused("update", {"state": say(a=2), "clientToken": "x" * 65}, 400),
        refused("update", {"state": say(a=2), "clientToken": "ö" * 33}, 400),
        refused("update", {"state": say(a=2), "clientToken": 7}, 400),
    )),
    # --- size and depth
    Case("a-request-of-more-than-8-kb", (
        refused("update", b'{"state":{"reported":{"a":"' + b"x" * 8192 + b'"}}}', 413),
    )),
    Case("a-twin-of-more-than-8-kb", (
        update(say(a="x" * 5000)),
        refused("update", {"state": say(b="x" * 5000)}, 413),
        holds(say(a="x" * 5000), 1),
    )),
    Case("metadata-does-not-count", (
        update(say(**{f"k{number}": 1 for number in range(700)})),
    )),
    Case("eight-levels-and-no-more", (
        update({"reported": _DEEP}),
        refused("update", {"state": {"reported": {"z": _DEEP}}}, 400),
    )),
    # --- what is malformed
    Case("no-json", (refused("update", b'{"state":', 400),)),
    Case("no-utf-8", (refused("update", b'{"state":{"reported":{"a":"\xff"}}}', 400),)),
    Case("no-number", (refused("update", b'{"state":{"reported":{"a":NaN}}}', 400),)),
    Case("no-object", (refused("update", [1], 400), refused("get", [1], 400), refused("delete", b"7", 400))),
    Case("no-state", (refused("update", {}, 400), refused("update", b"", 400))),
    Case("state-is-no-object", (
        refused("update", {"state": None}, 400),
        refused("update", {"state": [1]}, 400),
    )),
    Case("a-section-is-no-object", (
        refused("update", {"state": {"desired": 1}}, 400),
        refused("update", {"state": {"reported": "on"}}, 400),
    )),
    Case("a-section-that-there-is-not", (
        refused("update", {"state": {"delta": {"a": 1}}}, 400),
        refused("update", {"state": {"wanted": {"a": 1}}}, 400),
    )),
    Case("what-a-request-does-not-have-is-not-looked-at", (
        Step("update", {"state": say(a=1), "target": "*", "node": "0000000000000001", "x": 1}, "accepted",
             accepted(say(a=1), 1)),
        holds(say(a=1), 1),
    )),
    # --- time
    Case("what-was-not-touched-keeps-its-time", (
        update(say(a=1, b={"c": 1, "d": 1})),
        update(say(b={"c": 2}), after_s=1.1),
        holds(say(a=1, b={"c": 2, "d": 1}), 2,
              {"reported": {"a": OLD_STAMP, "b": {"c": STAMP, "d": OLD_STAMP}}}),
    )),
    Case("a-value-said-again-has-the-new-time", (
        update(say(a=1)),
        update(say(a=1), after_s=1.1),
        holds(say(a=1), 2, {"reported": {"a": STAMP}}),
    )),
    Case("each-entry-of-a-list-has-a-time", (
        update(say(a=[1, {"b": 2}]), accepted(say(a=[1, {"b": 2}]), 1, {"reported": {"a": [STAMP, {"b": STAMP}]}})),
    )),
    # --- delete
    Case("delete-is-accepted", (
        update(say(a=1)),
        update(say(a=2)),
        Step("delete", b"", "accepted", {"version": 2, "timestamp": NOW}),
        refused("get", b"", 404),
    )),
    Case("delete-of-no-twin", (refused("delete", b"", 404),)),
    Case("delete-of-another-version", (
        update(say(a=1)),
        refused("delete", {"version": 5}, 409),
        holds(say(a=1), 1),
    )),
    Case("a-deleted-version-does-not-come-again", (
        update(say(a=1)),
        Step("delete", b"", "accepted", {"version": 1, "timestamp": NOW}),
        update(say(b=1), accepted(say(b=1), 2), documents={
            "previous": {"state": {}, "metadata": {}, "version": 1},
            "current": {"state": say(b=1), "metadata": stamps(say(b=1)), "version": 2},
            "timestamp": NOW,
        }),
        holds(say(b=1), 2),
    )),
    # --- which node
    Case("a-node-that-there-is-not", (
        refused("get", b"", 404, node="ffffffffffffffff"),
        refused("update", {"state": say(a=1)}, 404, node="ffffffffffffffff"),
        refused("delete", b"", 404, node="ffffffffffffffff"),
    )),
    Case("a-node-by-what-is-no-id", (
        refused("get", b"", 404, node="fan-1"),
        refused("get", b"", 404, node="FFFFFFFFFFFFFFFF"),
        refused("get", b"", 404, node=""),
    )),
    # --- the node's own, and the schema of its settings
    Case("what-a-node-says-of-itself-nobody-else-writes", (
        refused("update", {"state": say(config={"report_ms": 1})}, 400),
        refused("update", {"state": say(config_version=9)}, 400),
        refused("update", {"state": {"reported": None}}, 400),
    )),
    Case("settings-have-a-schema", (
        refused("update", {"state": wish(config={"report_ms": 1})}, 400),
        refused("update", {"state": wish(config={"speed": 1})}, 400),
        refused("update", {"state": wish(config=7)}, 400),
        refused("get", b"", 404),
    )),
    Case("settings-are-taken", (
        update(wish(config={"report_ms": 5000, "sensors": {"1": {"pulses_per_turn": 4}}}),
               delta=differs({"config": {"report_ms": 5000, "sensors": {"1": {"pulses_per_turn": 4}}}}, 1)),
    )),
    # --- who may ask
    Case("a-reader-looks", (
        update(say(a=1)),
        Step("get", b"", "accepted", accepted(say(a=1), 1), who=READER),
        Step("get", b"", "accepted", accepted(say(a=1), 1), who=PANEL),
    )),
    Case("a-reader-changes-nothing", (
        update(say(a=1)),
        refused("update", {"state": say(a=2), "clientToken": "r"}, 403, token="r", who=READER),
        refused("delete", b"", 403, who=READER),
        refused("update", {"state": say(a=2)}, 403, who=PANEL),
        holds(say(a=1), 1),
    )),
    Case("an-operator-by-password", (
        update(say(a=1), accepted(say(a=1), 1), who=SCADA),
        Step("delete", b"", "accepted", {"version": 1, "timestamp": NOW}, who=SCADA),
    )),
    Case("a-wi-fi-node-touches-no-twin", (
        update(wish(a=1), delta=differs({"a": 1}, 1)),
        refused("get", b"", 403, who=NODE_USER),
        refused("update", {"state": say(a=1), "clientToken": "n"}, 403, token="n", who=NODE_USER),
        refused("delete", b"", 403, who=NODE_USER),
        holds({**wish(a=1), "delta": {"a": 1}}, 1),
    )),
    Case("who-may-not-ask-learns-not-what-there-is", (
        refused("get", b"", 403, who=NODE_USER, node="ffffffffffffffff"),
        refused("update", b"no json", 403, who=NODE_USER, node="fan-1"),
    )),
    Case("answers-are-the-gateways-alone", (
        Step("update/accepted", {"state": say(a=1)}, NOBODY_HEARS),
        Step("update/delta", {"state": {"a": 1}}, NOBODY_HEARS, retain=True),
        Step("get/rejected", {"code": 404}, NOBODY_HEARS, who=NODE_USER),
        Step("change", {}, NOBODY_HEARS),
        refused("get", b"", 404),
    )),
)  # fmt: skip
"""By id."""
