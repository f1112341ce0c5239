"""Checks of messages one by one: topics, flags, seq, times, metrics and properties."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.datatypes import BASIC_TYPES, DataType
from fieldline_gateway.sparkplug.errors import UsageError
from fieldline_gateway.sparkplug.payload import Metric
from fieldline_gateway.sparkplug.protobuf import fields
from tests.gateway.sparkplug.checks import for_kind, on, register
from tests.gateway.sparkplug.driver import T0
from tests.gateway.sparkplug.journal import BIRTHS, DATA, Journal, Msg

NODE_KINDS = ("NBIRTH", "NDEATH", "NDATA")
DEVICE_KINDS = ("DBIRTH", "DDEATH", "DDATA")
COUNTED = ("NBIRTH", "NDATA", *DEVICE_KINDS)
REBIRTH = "Node Control/Rebirth"


def _everything(journal: Journal) -> list[Msg]:
    """Messages and Wills."""
    return [*journal.messages, *journal.wills]


# -- topics and ids ---------------------------------------------------------------------------------


@on("topic-structure", "topic-structure-namespace-a")
def topics_have_the_structure(journal: Journal) -> int:
    for msg in _everything(journal):
        assert msg.parts[0] == "spBv1.0"
        assert msg.kind in (*NODE_KINDS, *DEVICE_KINDS)
        assert len(msg.parts) in (4, 5)
    return len(journal.messages)


def _part_is(at: int, wanted: str) -> None:
    def part_of_topic(journal: Journal) -> int:
        for msg in _everything(journal):
            assert msg.parts[at] == getattr(journal.config, wanted)
        return len(journal.messages)

    def refused_when_configured(journal: Journal) -> int:
        for bad in ("a+b", "a/b", "a#b", "", "a\x00b", "\ud800", "x" * 256):
            config = {"group": "plant 1", "edge": "gateway 7", wanted: bad}
            with pytest.raises(UsageError):
                EdgeConfig(**config)  # type: ignore[arg-type]
        return part_of_topic(journal)

    name = {"group": "group-id", "edge": "edge-node-id"}[wanted]
    register(f"part_of_topic({wanted})", part_of_topic, f"intro-{name}-string")
    register(
        f"refused_when_configured({wanted})",
        refused_when_configured,
        f"intro-{name}-chars",
        f"topic-structure-namespace-valid-{name}",
    )


_part_is(1, "group")
_part_is(3, "edge")


@on("intro-device-id-string", "intro-device-id-chars", "topic-structure-namespace-valid-device-id")
def device_ids_are_well_formed(journal: Journal) -> int:
    found = journal.of_kind(*DEVICE_KINDS)
    for msg in found:
        assert msg.device.encode().decode() == msg.device != ""
        assert not set(msg.device) & set("+/#\x00")
    return len(found)


@on("topic-structure-namespace-unique-device-id")
def a_device_id_stands_for_one_node(journal: Journal) -> int:
    records = [stored.record for _, batch in batches(journal) for stored in batch]
    nodes = {record.node for record in records if any(record.node)}
    devices = {msg.device for msg in journal.of_kind("DBIRTH")}
    assert len(devices) == len(nodes)
    return len(devices)


@on("case-sensitivity-sparkplug-ids")
def device_ids_differ_by_more_than_case(journal: Journal) -> int:
    devices = {msg.device for msg in journal.of_kind("DBIRTH")}
    assert len({device.lower() for device in devices}) == len(devices)
    return len(devices)


@on("topic-structure-namespace-device-id-associated-message-types")
def device_messages_name_a_device(journal: Journal) -> int:
    found = [msg for msg in journal.messages if msg.kind.startswith("D")]
    for msg in found:
        assert len(msg.parts) == 5
    return len(found)


@on("topic-structure-namespace-device-id-non-associated-message-types")
def node_messages_name_no_device(journal: Journal) -> int:
    found = [msg for msg in _everything(journal) if msg.kind.startswith("N")]
    for msg in found:
        assert len(msg.parts) == 4
    return len(found)


def topic_is(journal: Journal, kind: str) -> int:
    found = [msg for msg in _everything(journal) if msg.kind == kind]
    for msg in found:
        wanted = f"spBv1.0/plant 1/{kind}/gateway 7"
        assert msg.publish.topic == (f"{wanted}/{msg.device}" if kind in DEVICE_KINDS else wanted)
    return len(found)


for_kind(topic_is, "NBIRTH", "topics-nbirth-topic", "message-flow-edge-node-birth-publish-nbirth-topic")
for_kind(topic_is, "NDATA", "topics-ndata-topic")
for_kind(topic_is, "NDEATH", "topics-ndeath-topic", "message-flow-edge-node-birth-publish-will-message-topic")
for_kind(topic_is, "DBIRTH", "topics-dbirth-topic", "message-flow-device-birth-publish-dbirth-topic")
for_kind(topic_is, "DDATA", "topics-ddata-topic")
for_kind(topic_is, "DDEATH", "topics-ddeath-topic")


# -- flags --------------------------------------------------------------------------------------------


def qos_is_0(journal: Journal, kind: str) -> int:
    found = journal.of_kind(kind)
    for msg in found:
        assert msg.publish.qos == 0
    return len(found)


def not_retained(journal: Journal, kind: str) -> int:
    found = journal.of_kind(kind)
    for msg in found:
        assert msg.publish.retain is False
    return len(found)


def qos_is_0_and_not_retained(journal: Journal, kind: str) -> int:
    qos_is_0(journal, kind)
    return not_retained(journal, kind)


_FLOW = "message-flow-edge-node-birth-publish"
_DEVICE_FLOW = "message-flow-device-birth-publish"
for_kind(qos_is_0, "NBIRTH", "payloads-nbirth-qos", f"{_FLOW}-nbirth-qos")
for_kind(qos_is_0, "DBIRTH", "payloads-dbirth-qos", f"{_DEVICE_FLOW}-dbirth-qos")
for_kind(qos_is_0, "NDATA", "payloads-ndata-qos")
for_kind(qos_is_0, "DDATA", "payloads-ddata-qos")
for_kind(not_retained, "NBIRTH", "payloads-nbirth-retain", f"{_FLOW}-nbirth-retained")
for_kind(not_retained, "DBIRTH", "payloads-dbirth-retain", f"{_DEVICE_FLOW}-dbirth-retained")
for_kind(not_retained, "NDATA", "payloads-ndata-retain")
for_kind(not_retained, "DDATA", "payloads-ddata-retain")
for _kind in ("NBIRTH", "NDATA", "DBIRTH", "DDATA", "DDEATH"):
    for_kind(qos_is_0_and_not_retained, _kind, f"topics-{_kind.lower()}-mqtt")


# -- seq and times ------------------------------------------------------------------------------------


def has_seq(journal: Journal, kind: str) -> int:
    found = journal.of_kind(kind)
    for msg in found:
        assert msg.payload.seq is not None
        assert 0 <= msg.payload.seq <= 255
    return len(found)


def seq_follows(journal: Journal, kind: str) -> int:
    count = 0
    counted = journal.of_kind(*COUNTED)
    for before, msg in pairwise(counted):
        if msg.kind == kind and msg.session == before.session:
            assert before.payload.seq is not None
            assert msg.payload.seq == (before.payload.seq + 1) % 256
            count += 1
    return count


def time_of_sending(journal: Journal, kind: str) -> int:
    found = journal.of_kind(kind)
    for msg in found:
        assert msg.payload.timestamp == msg.utc_ms
    return len(found)


for_kind(
    has_seq,
    "NBIRTH",
    "payloads-nbirth-seq",
    "payloads-sequence-num-req-nbirth",
    f"{_FLOW}-nbirth-payload-seq",
)
for _kind in ("NDATA", "DDATA", "DBIRTH", "DDEATH"):
    for_kind(has_seq, _kind, f"payloads-{_kind.lower()}-seq")
for_kind(has_seq, "DDEATH", "payloads-ddeath-seq-number")
for_kind(seq_follows, "NDATA", "payloads-ndata-seq-inc", "topics-ndata-seq-num")
for_kind(seq_follows, "DDATA", "payloads-ddata-seq-inc", "topics-ddata-seq-num")
for_kind(seq_follows, "DDEATH", "payloads-ddeath-seq-inc", "topics-ddeath-seq-num")
for_kind(
    seq_follows,
    "DBIRTH",
    "payloads-dbirth-seq-inc",
    "topics-dbirth-seq",
    f"{_DEVICE_FLOW}-dbirth-payload-seq",
)
for _kind in ("NBIRTH", "NDATA", "DBIRTH", "DDATA"):
    for_kind(
        time_of_sending, _kind, f"payloads-{_kind.lower()}-timestamp", f"topics-{_kind.lower()}-timestamp"
    )
for_kind(time_of_sending, "DDEATH", "payloads-ddeath-timestamp")


@on("topics-nbirth-seq-num")
def nbirth_begins_with_seq_0(journal: Journal) -> int:
    found = journal.of_kind("NBIRTH")
    for msg in found:
        assert msg.payload.seq == 0
    return len(found)


@on("payloads-sequence-num-incrementing")
def seq_wraps_after_255(journal: Journal) -> int:
    return sum(seq_follows(journal, kind) for kind in ("NDATA", "DDATA", "DBIRTH", "DDEATH"))


@on("payloads-sequence-num-always-included")
def all_but_ndeath_have_a_seq(journal: Journal) -> int:
    for msg in _everything(journal):
        assert (msg.payload.seq is None) == (msg.kind == "NDEATH")
    return len(journal.messages)


@on("payloads-timestamp-in-UTC")
def payload_times_are_utc(journal: Journal) -> int:
    for msg in _everything(journal):
        assert msg.payload.timestamp is not None
        assert abs(msg.payload.timestamp - T0) < 86_400_000
    return len(journal.messages)


# -- births -------------------------------------------------------------------------------------------


def name_type_and_value(journal: Journal, kind: str) -> int:
    found = [metric for msg in journal.of_kind(kind) for metric in msg.payload.metrics]
    for metric in found:
        assert metric.name
        assert metric.datatype
        assert metric.is_null == (metric.value is None)
    return len(found)


for_kind(name_type_and_value, "NBIRTH", "topics-nbirth-metrics")
for_kind(name_type_and_value, "DBIRTH", "topics-dbirth-metrics")


def current_value_or_null(journal: Journal, kind: str) -> int:
    """A birth says the newest value sent, or a null and then no value at all."""
    newest: dict[tuple[str, int | None], tuple[int, object]] = {}
    count = 0
    for msg in journal.of_kind(kind, kind.replace("BIRTH", "DATA")):
        raw_metrics = [value for number, _, value in fields(msg.publish.payload) if number == 2]
        for metric, raw in zip(msg.payload.metrics, raw_metrics, strict=True):
            key = (msg.device, metric.alias)
            assert metric.timestamp is not None
            if msg.kind in DATA:
                if key not in newest or metric.timestamp >= newest[key][0]:
                    newest[key] = (metric.timestamp, metric.value)
                continue
            assert isinstance(raw, bytes)
            has_value = any(10 <= number <= 19 for number, _, _ in fields(raw))
            assert has_value != metric.is_null
            if key in newest:
                assert metric.datatype is not None
                assert metric.value == Metric(value=newest[key][1]).typed(metric.datatype).value  # type: ignore[arg-type]
                count += 1
    return count


for_kind(current_value_or_null, "NBIRTH", "operational-behavior-data-publish-nbirth-values")
for_kind(current_value_or_null, "DBIRTH", "operational-behavior-data-publish-dbirth-values")


def all_data_was_declared(journal: Journal, kind: str) -> int:
    """What data says by alias stands in the last birth of the same session."""
    declared: dict[str, set[int | None]] = {}
    session, count = -1, 0
    for msg in journal.of_kind(kind, kind.replace("BIRTH", "DATA")):
        if msg.session != session:
            declared, session = {}, msg.session
        aliases = {metric.alias for metric in msg.payload.metrics}
        if msg.kind in BIRTHS:
            declared[msg.device] = aliases
        else:
            assert aliases <= declared.get(msg.device, set())
            count += len(aliases)
    return count


for_kind(
    all_data_was_declared,
    "NBIRTH",
    "topics-nbirth-metric-reqs",
    "operational-behavior-data-publish-nbirth",
)
for_kind(
    all_data_was_declared,
    "DBIRTH",
    "topics-dbirth-metric-reqs",
    "operational-behavior-data-publish-dbirth",
)


def live_values_in_order(journal: Journal, kind: str) -> int:
    count = 0
    for msg in journal.of_kind(kind, kind.replace("BIRTH", "DATA")):
        times = [metric.timestamp or 0 for metric in msg.payload.metrics if not metric.is_historical]
        assert times == sorted(times)
        count += len(times) > 1 and times[0] < times[-1]
        at = [(metric.alias, metric.timestamp) for metric in msg.payload.metrics]
        assert len(set(at)) == len(at), "two values of one metric at one time"
    return count


for_kind(live_values_in_order, "NBIRTH", "operational-behavior-data-publish-nbirth-order")
for_kind(live_values_in_order, "DBIRTH", "operational-behavior-data-publish-dbirth-order")


@on("case-sensitivity-metric-names")
def metric_names_differ_by_more_than_case(journal: Journal) -> int:
    found = journal.of_kind(*BIRTHS)
    for msg in found:
        names = [(metric.name or "").lower() for metric in msg.payload.metrics]
        assert len(set(names)) == len(names)
    return len(found)


def _rebirths(journal: Journal) -> list[Metric]:
    """The rebirth control of each NBIRTH."""
    found = []
    for msg in journal.of_kind("NBIRTH"):
        controls = [metric for metric in msg.payload.metrics if metric.name == REBIRTH]
        assert len(controls) == 1
        found.extend(controls)
    return found


@on("operational-behavior-data-commands-rebirth-name")
def nbirth_has_the_rebirth_control(journal: Journal) -> int:
    return len(_rebirths(journal))


@on("operational-behavior-data-commands-rebirth-name-aliases")
def rebirth_has_no_alias(journal: Journal) -> int:
    found = _rebirths(journal)
    assert all(metric.alias is None for metric in found)
    return len(found)


@on("operational-behavior-data-commands-rebirth-datatype")
def rebirth_is_boolean(journal: Journal) -> int:
    found = _rebirths(journal)
    assert all(metric.datatype == DataType.BOOLEAN for metric in found)
    return len(found)


@on("operational-behavior-data-commands-rebirth-value")
def rebirth_is_false(journal: Journal) -> int:
    found = _rebirths(journal)
    assert all(metric.value is False for metric in found)
    return len(found)


@on("topics-nbirth-rebirth-metric", "payloads-nbirth-rebirth-req")
def rebirth_is_boolean_and_false(journal: Journal) -> int:
    rebirth_is_boolean(journal)
    return rebirth_is_false(journal)


# -- metrics --------------------------------------------------------------------------------------------


@on("payloads-alias-uniqueness")
def an_alias_is_one_metric(journal: Journal) -> int:
    meaning: dict[tuple[int, int], tuple[str, str | None]] = {}
    count = 0
    for msg in journal.of_kind(*BIRTHS):
        for metric in msg.payload.metrics:
            if metric.alias is not None:
                what = (msg.device, metric.name)
                assert meaning.setdefault((msg.session, metric.alias), what) == what
                count += 1
    return count


@on("payloads-alias-birth-requirement")
def births_have_name_and_alias(journal: Journal) -> int:
    found = [metric for msg in journal.of_kind(*BIRTHS) for metric in msg.payload.metrics]
    for metric in found:
        assert metric.name
        assert (metric.alias is None) == (metric.name == REBIRTH)
    return len(found)


def _data(journal: Journal) -> list[Metric]:
    return [metric for msg in journal.of_kind(*DATA) for metric in msg.payload.metrics]


@on("payloads-alias-data-cmd-requirement")
def data_has_alias_and_no_name(journal: Journal) -> int:
    found = _data(journal)
    assert all(metric.alias is not None and metric.name is None for metric in found)
    return len(found)


@on("payloads-name-requirement")
def a_metric_has_a_name_or_an_alias(journal: Journal) -> int:
    found = [metric for msg in _everything(journal) for metric in msg.payload.metrics]
    assert all(metric.name is not None or metric.alias is not None for metric in found)
    return len(found)


@on("payloads-name-birth-data-requirement")
def each_value_has_a_time(journal: Journal) -> int:
    found = [metric for msg in journal.of_kind(*BIRTHS, *DATA) for metric in msg.payload.metrics]
    assert all(metric.timestamp is not None for metric in found)
    return len(found)


@on("payloads-metric-timestamp-in-UTC")
def readings_keep_their_own_time(journal: Journal) -> int:
    """The time of a reading is that of its measurement, to the millisecond."""
    wanted = {
        (stored.record.node.hex(), stored.record.cls, stored.record.first): stored.record.time_ms
        for _, batch in batches(journal)
        for stored in batch
    }
    times = set(wanted.values())
    count = 0
    for metric in _data(journal):
        if metric.property("number") is not None:
            assert any(metric.timestamp == time + 10 * n for time in times for n in (0, 10, 20))
            count += 1
    return count


@on("payloads-metric-datatype-value-type", "payloads-metric-datatype-value")
def declared_types_are_of_the_enumeration(journal: Journal) -> int:
    found = [metric for msg in journal.of_kind(*BIRTHS, "NDEATH") for metric in msg.payload.metrics]
    for metric in found:
        assert type(metric.datatype) is int or isinstance(metric.datatype, DataType)
        assert DataType(metric.datatype) is not DataType.UNKNOWN
    return len(found)


@on("payloads-metric-datatype-req")
def births_declare_types(journal: Journal) -> int:
    found = [metric for msg in journal.of_kind(*BIRTHS) for metric in msg.payload.metrics]
    assert all(metric.declare and metric.datatype is not None for metric in found)
    return len(found)


@on("payloads-metric-datatype-not-req")
def data_declares_no_types(journal: Journal) -> int:
    found = _data(journal)
    assert not any(metric.declare for metric in found)
    return len(found)


# -- properties -----------------------------------------------------------------------------------------

_PROPERTY_TYPES = {*BASIC_TYPES, DataType.PROPERTY_SET, DataType.PROPERTY_SET_LIST}


@on(
    "payloads-metric-propertyvalue-type-type",
    "payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req",
)
def properties_have_a_type_they_may_have(journal: Journal) -> int:
    found = [
        prop
        for msg in journal.of_kind(*BIRTHS, *DATA)
        for metric in msg.payload.metrics
        for _, prop in metric.properties
    ]
    assert all(prop.datatype in _PROPERTY_TYPES for prop in found)
    return len(found)


@on("payloads-propertyset-keys-array-size", "payloads-propertyset-values-array-size")
def as_many_values_as_keys(journal: Journal) -> int:
    count = 0
    for properties in raw_properties(journal):
        keys = sum(number == 1 for number, _, _ in fields(properties))
        assert keys == sum(number == 2 for number, _, _ in fields(properties)) > 0
        count += 1
    return count


def raw_properties(journal: Journal) -> list[bytes]:
    """The bytes of each property set sent."""
    return [
        value
        for msg in journal.of_kind(*BIRTHS, *DATA)
        for number, _, metric in fields(msg.publish.payload)
        if number == 2 and isinstance(metric, bytes)
        for inner, _, value in fields(metric)
        if inner == 9 and isinstance(value, bytes)
    ]


@on("payloads-propertyset-quality-value-type", "payloads-propertyset-quality-value-value")
def quality_is_a_known_int32(journal: Journal) -> int:
    count = 0
    for metric in _data(journal):
        quality = metric.property("Quality")
        if quality is not None:
            assert int(quality.datatype) == 3
            assert quality.value in (0, 192, 500)
            count += 1
    return count


def batches(journal: Journal) -> list[tuple[object, list]]:  # type: ignore[type-arg]
    """Each response to records, with the records."""
    return [
        (response, response.data[0])  # type: ignore[misc]
        for response in journal.responses
        if response.event == "records"
    ]
