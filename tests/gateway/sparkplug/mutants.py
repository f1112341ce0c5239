"""Spoiled journals: each mutant breaks one thing in a log, as a faulty edge node would.

Rules: a mutant changes what came out or what went in, never the checks. Some checks need one of their own;
most mutants are fatal to several.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from fieldline_gateway.sparkplug.actions import Connect, DeviceCommand, Disconnect, Publish, Subscribe
from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.payload import Metric, Payload, Property
from fieldline_gateway.sparkplug.protobuf import bytes_field, fields, number_field
from tests.gateway.sparkplug.driver import STATE_TOPIC, Entry

Entries = list[Entry]
Mutant = Callable[[Entries], Entries]

KINDS = ("NBIRTH", "NDATA", "DBIRTH", "DDATA", "DDEATH", "NDEATH")
REBIRTH = "Node Control/Rebirth"


def _kind(publish: Publish) -> str:
    return publish.topic.split("/")[2]


def publishes(kinds: Iterable[str], edit: Callable[[Publish], Publish]) -> Mutant:
    """Change every message of these kinds, Wills among them."""

    def mutant(entries: Entries) -> Entries:
        changed = []
        for entry in entries:
            action = entry.action
            if isinstance(action, Publish) and _kind(action) in kinds:
                action = edit(action)
            elif isinstance(action, Connect) and "NDEATH" in kinds:
                action = dataclasses.replace(action, will=edit(action.will))
            changed.append(dataclasses.replace(entry, action=action))
        return changed

    return mutant


def payloads(kinds: Iterable[str], edit: Callable[[Payload], Payload]) -> Mutant:
    def on_publish(publish: Publish) -> Publish:
        payload = edit(Payload.from_bytes(publish.payload))
        return dataclasses.replace(publish, payload=payload.to_bytes())

    return publishes(kinds, on_publish)


def metrics(
    kinds: Iterable[str],
    edit: Callable[[Metric], Metric | None],
    only: Callable[[Metric], bool] | None = None,
) -> Mutant:
    """Change or drop metrics."""

    def on_payload(payload: Payload) -> Payload:
        changed = [edit(_typed(m)) if only is None or only(m) else _typed(m) for m in payload.metrics]
        return dataclasses.replace(payload, metrics=tuple(m for m in changed if m is not None))

    return payloads(kinds, on_payload)


def _typed(metric: Metric) -> Metric:
    """Data has no datatype of its own: give it one to encode with."""
    if metric.datatype is not None or metric.value is None:
        return metric
    by_value = {bool: DataType.BOOLEAN, int: DataType.UINT64, float: DataType.DOUBLE, str: DataType.STRING}
    return dataclasses.replace(metric, datatype=by_value[type(metric.value)])


def field(**changes: object) -> Callable[[Metric], Metric]:
    return lambda metric: dataclasses.replace(metric, **changes)  # type: ignore[arg-type]


def named(name: str) -> Callable[[Metric], bool]:
    return lambda metric: metric.name == name


def actions(edit: Callable[[Entry], list[Entry]]) -> Mutant:
    """Change, drop or double single lines of the log."""
    return lambda entries: [new for entry in entries for new in edit(entry)]


def drop(wanted: Callable[[Entry], bool]) -> Mutant:
    return actions(lambda entry: [] if wanted(entry) else [entry])


def _is(entry: Entry, kind: str) -> bool:
    return isinstance(entry.action, Publish) and _kind(entry.action) == kind


def retopic(kind: str, at: int, value: str | None) -> Mutant:
    """Replace one level of the topic, or add one."""

    def edit(publish: Publish) -> Publish:
        parts = publish.topic.split("/")
        parts[at : at + 1] = [] if value is None else [value]
        return dataclasses.replace(publish, topic="/".join(parts))

    return publishes([kind], edit)


def raw_metrics(kinds: Iterable[str], edit: Callable[[bytes], bytes]) -> Mutant:
    """Change metrics in ways that our own encoder refuses."""

    def on_publish(publish: Publish) -> Publish:
        parts = []
        for number, wire_type, value in fields(publish.payload):
            if number == 2 and isinstance(value, bytes):
                value = edit(value)
            parts.append(
                bytes_field(number, value) if isinstance(value, bytes) else number_field(number, value)
            )
            assert wire_type in (0, 2)
        return dataclasses.replace(publish, payload=b"".join(parts))

    return publishes(kinds, on_publish)


def _swap_first(first: Callable[[Entry], bool], second: Callable[[Entry], bool]) -> Mutant:
    """Move the first line that is `second` before the first that is `first`."""

    def mutant(entries: Entries) -> Entries:
        changed = list(entries)
        a = next((n for n, entry in enumerate(changed) if first(entry)), None)
        b = next((n for n, entry in enumerate(changed) if second(entry)), None)
        if a is not None and b is not None and a < b:
            changed.insert(a, changed.pop(b))
        return changed

    return mutant


def _after_connect(kind: str) -> Mutant:
    """A message of that kind straight after each CONNECT."""

    def mutant(entries: Entries) -> Entries:
        spare = next(entry for entry in entries if _is(entry, kind))
        return [
            new
            for entry in entries
            for new in ([entry, spare] if isinstance(entry.action, Connect) else [entry])
        ]

    return mutant


def _answer(event: Callable[[Entry], bool], *spare: Callable[[Entry], bool]) -> Mutant:
    """Something of these kinds in answer to every such event."""

    def mutant(entries: Entries) -> Entries:
        found = [next((entry for entry in entries if wanted(entry)), None) for wanted in spare]
        extra = [entry for entry in found if entry is not None]
        return [new for entry in entries for new in ([entry, *extra] if event(entry) else [entry])]

    return mutant


def _deaf(entry: Entry) -> list[Entry]:
    """Disconnect and NDEATH never happen."""
    return [] if isinstance(entry.action, Disconnect) or _is(entry, "NDEATH") else [entry]


def _no_filter(wanted: str) -> Callable[[Entry], list[Entry]]:
    def edit(entry: Entry) -> list[Entry]:
        def without(action: Subscribe) -> Subscribe:
            return Subscribe(tuple(one for one in action.filters if wanted not in one[0]))

        if isinstance(entry.action, Subscribe):
            return [dataclasses.replace(entry, action=without(entry.action))]
        if entry.event == "subscribed" and isinstance(entry.data[0], Subscribe):
            return [dataclasses.replace(entry, data=(without(entry.data[0]), *entry.data[1:]))]
        return [entry]

    return edit


def _of_state(online: bytes) -> Callable[[Entry], bool]:
    return lambda entry: (
        entry.event == "message"
        and "/STATE/" in str(entry.data[0])
        and isinstance(entry.data[1], bytes)
        and online in entry.data[1]
    )


def _null_and_value(metric: bytes) -> bytes:
    return metric + number_field(7, 1) + number_field(11, 5)


def _extra_key(metric: bytes) -> bytes:
    return metric + bytes_field(9, bytes_field(1, b"lonely"))


def _quality(datatype: DataType, value: int) -> Callable[[Metric], Metric]:
    def edit(metric: Metric) -> Metric:
        told = tuple(
            (key, Property(datatype, value) if key == "Quality" else prop) for key, prop in metric.properties
        )
        return dataclasses.replace(metric, properties=told)

    return edit


def _no_numbers(metric: Metric) -> Metric | None:
    return None if metric.property("number") else metric


def _backwards(payload: Payload) -> Payload:
    return dataclasses.replace(payload, metrics=tuple(_typed(m) for m in reversed(payload.metrics)))


def _shifted(payload: Payload) -> Payload:
    return dataclasses.replace(
        payload,
        timestamp=(payload.timestamp or 0) + 90_000_000,
        metrics=tuple(_typed(m) for m in payload.metrics),
    )


def _next_seq(payload: Payload) -> Payload:
    return dataclasses.replace(
        payload, seq=(payload.seq or 0) + 1, metrics=tuple(_typed(m) for m in payload.metrics)
    )


def _seq(value: int | None) -> Callable[[Payload], Payload]:
    return lambda payload: dataclasses.replace(
        payload, seq=value, metrics=tuple(_typed(m) for m in payload.metrics)
    )


def _upper_twin(payload: Payload) -> Payload:
    twin = dataclasses.replace(payload.metrics[0], name=(payload.metrics[0].name or "").upper())
    return dataclasses.replace(payload, metrics=(*payload.metrics, twin))


def _flip(connect_changes: dict[str, object]) -> Mutant:
    def edit(entry: Entry) -> list[Entry]:
        if not isinstance(entry.action, Connect):
            return [entry]
        changed = dataclasses.replace(entry.action, **connect_changes)  # type: ignore[arg-type]
        return [dataclasses.replace(entry, action=changed)]

    return actions(edit)


def _late_bd_seq(metric: Metric) -> Metric:
    assert isinstance(metric.value, int)
    return dataclasses.replace(metric, value=metric.value + 1)


def _plain_disconnect(entry: Entry) -> list[Entry]:
    """Reason 0x00, and back to the same server."""
    if not isinstance(entry.action, Disconnect):
        return [entry]
    changed = dataclasses.replace(entry.action, reason_code=0, next_server=False)
    return [dataclasses.replace(entry, action=changed)]


def _other_id(entry: Entry) -> list[Entry]:
    """What a foreign host says counts as the primary host's."""
    if entry.event == "message" and entry.data[0] == STATE_TOPIC:
        return [dataclasses.replace(entry, data=("spBv1.0/STATE/other", entry.data[1]))]
    return [entry]


MUTANTS: list[Mutant] = [
    *(publishes([kind], lambda p: dataclasses.replace(p, qos=2)) for kind in KINDS),
    *(publishes([kind], lambda p: dataclasses.replace(p, retain=True)) for kind in KINDS),
    *(payloads([kind], _shifted) for kind in KINDS),
    *(payloads([kind], _next_seq) for kind in KINDS),
    *(payloads([kind], _seq(None)) for kind in KINDS[:-1]),
    *(payloads([kind], _seq(256)) for kind in KINDS[:-1]),
    *(retopic(kind, 0, "spAv1.0") for kind in KINDS),
    *(retopic(kind, 1, "plant 2") for kind in KINDS),
    *(retopic(kind, 3, "gateway 8") for kind in KINDS),
    retopic("NDEATH", 2, "NDATA"),
    *(retopic(kind, 4, None) for kind in KINDS),
    *(retopic(kind, 4, "more") for kind in KINDS),
    *(retopic(kind, 4, "a#b") for kind in KINDS),
    *(publishes([kind], lambda p: dataclasses.replace(p, topic=p.topic.upper())) for kind in KINDS),
    publishes(["DBIRTH"], lambda p: dataclasses.replace(p, topic=p.topic.replace("00b2000000000002", "FAN"))),
    publishes(["NBIRTH", "DBIRTH", "NDEATH"], lambda p: dataclasses.replace(p, payload=b"")),
    metrics(["NBIRTH"], lambda m: None, named(REBIRTH)),
    metrics(["NBIRTH"], field(alias=99), named(REBIRTH)),
    metrics(["NBIRTH"], field(datatype=DataType.INT32, value=0), named(REBIRTH)),
    metrics(["NBIRTH"], field(value=True), named(REBIRTH)),
    metrics(["NBIRTH"], lambda m: None, named("bdSeq")),
    metrics(["NBIRTH"], _late_bd_seq, named("bdSeq")),
    metrics(["NDEATH"], _late_bd_seq, named("bdSeq")),
    metrics(["NDEATH"], field(datatype=DataType.UINT32), named("bdSeq")),
    payloads(["NDEATH"], lambda p: dataclasses.replace(p, metrics=p.metrics * 2)),
    *(metrics([kind], field(name=None)) for kind in ("NBIRTH", "DBIRTH")),
    *(metrics([kind], field(alias=None)) for kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA")),
    *(metrics([kind], field(alias=7)) for kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA")),
    *(metrics([kind], field(timestamp=None)) for kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA")),
    *(metrics([kind], field(timestamp=5)) for kind in ("NDATA", "DDATA")),
    *(metrics([kind], field(name="said again")) for kind in ("NDATA", "DDATA")),
    *(metrics([kind], field(declare=True)) for kind in ("NDATA", "DDATA")),
    *(metrics([kind], field(declare=False)) for kind in ("NBIRTH", "DBIRTH")),
    *(raw_metrics([kind], lambda m: m + number_field(4, 77)) for kind in ("NBIRTH", "DBIRTH")),
    *(raw_metrics([kind], _null_and_value) for kind in ("NBIRTH", "DBIRTH")),
    raw_metrics(["DDATA"], _extra_key),
    *(payloads([kind], _backwards) for kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA")),
    *(payloads([kind], _upper_twin) for kind in ("NBIRTH", "DBIRTH")),
    *(
        metrics([kind], field(value=None, is_null=True), lambda m: m.name != REBIRTH)
        for kind in ("NBIRTH", "DBIRTH")
    ),
    metrics(["DDATA"], lambda m: dataclasses.replace(m, properties=(("x", Property(0, None)),))),
    metrics(["DDATA"], _quality(DataType.INT32, 7)),
    metrics(["DDATA"], _quality(DataType.INT64, 0)),
    metrics(["DDATA"], _no_numbers),
    metrics(["NDATA"], field(value=1, datatype=DataType.INT64)),
    drop(lambda entry: _is(entry, "DDEATH")),
    drop(lambda entry: _is(entry, "DBIRTH")),
    drop(lambda entry: _is(entry, "NDEATH")),
    drop(lambda entry: isinstance(entry.action, Disconnect)),
    drop(lambda entry: isinstance(entry.action, DeviceCommand)),
    drop(lambda entry: entry.event == "lost"),
    actions(_deaf),
    actions(_no_filter("NCMD")),
    actions(_no_filter("DCMD")),
    actions(_no_filter("STATE")),
    actions(_other_id),
    actions(_plain_disconnect),
    _flip({"clean_start": False}),
    _flip({"session_expiry_s": 60}),
    *(_after_connect(kind) for kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA")),
    _swap_first(lambda e: _is(e, "NBIRTH"), lambda e: _is(e, "DBIRTH")),
    _swap_first(lambda e: _is(e, "DBIRTH"), lambda e: _is(e, "DDATA")),
    _answer(lambda e: e.event == "message", lambda e: _is(e, "NBIRTH")),
    _answer(lambda e: e.event == "message", lambda e: _is(e, "NBIRTH"), lambda e: _is(e, "DDATA")),
    _answer(_of_state(b"true"), lambda e: _is(e, "NBIRTH")),
    _answer(_of_state(b"false"), lambda e: _is(e, "NBIRTH")),
    _answer(_of_state(b"false"), lambda e: _is(e, "NDEATH"), lambda e: isinstance(e.action, Disconnect)),
]
