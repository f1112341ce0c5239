"""What a record says in Sparkplug's terms."""

from __future__ import annotations

import pytest

from fieldline_gateway.records import ALARM, BULK, KIND_GAP, KIND_LOG, KIND_REPORT, LIVE, TIME_ARRIVAL, Record
from fieldline_gateway.sparkplug.clock import Now
from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.points import FIXED, Sample, point_metric, samples
from fieldline_wire import codes
from fieldline_wire.messages import Config, Gap, Hello, Log, Result
from fieldline_wire.quantities import QUANTITIES
from tests.gateway.sparkplug.driver import NODE_A, STREAM, T0, Store

NOW = Now(T0, 0)


def told(sample: Sample) -> dict[str, object]:
    return {key: prop.value for key, prop in sample.properties}


def test_a_reading_keeps_its_class_stream_number_and_time() -> None:
    record = Store().report(NOW, NODE_A, [15_000, -5], cls=BULK, sensor=3, time_ms=T0 - 7).record
    first, second = samples(record)
    assert (first.name, first.datatype, first.value) == ("Sensor 3/speed", DataType.DOUBLE, 1500.0)
    assert (first.timestamp, second.timestamp) == (T0 - 7, T0 - 7 + 100)
    assert told(first) == {"class": "bulk", "stream": STREAM, "number": 1}
    assert told(second)["number"] == 2
    assert (first.point, first.every, first.historical) == ((3, 1), True, False)


@pytest.mark.parametrize("quantity", sorted(QUANTITIES))
def test_each_quantity_is_scaled_to_its_unit(quantity: int) -> None:
    _, numerator, denominator, unit = QUANTITIES[quantity]
    (sample,) = samples(Store().report(NOW, NODE_A, [123_457], quantity=quantity).record)
    name, datatype, said = point_metric(0, quantity)
    assert (sample.name, sample.datatype, said) == (name, datatype, unit)
    assert sample.value == 123_457 * numerator / denominator
    assert isinstance(sample.value, int if denominator == 1 else float)


def test_a_reading_of_an_unknown_quantity_is_not_lost() -> None:
    (sample,) = samples(Store().report(NOW, NODE_A, [-9], quantity=200, sensor=4).record)
    assert (sample.name, sample.value) == ("Other", -9)
    assert told(sample) == {"class": "live", "stream": STREAM, "number": 1, "sensor": 4, "quantity": 200}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (codes.READING_SATURATED, {"Quality": 0}),
        (codes.READING_RAISED | codes.CAUSE_STALL << 4, {"alert": "raised", "cause": "stall"}),
        (codes.READING_CLEARED | codes.CAUSE_OVER << 4, {"alert": "cleared", "cause": "over limit"}),
        (codes.READING_RAISED | 15 << 4, {"alert": "raised", "cause": "unknown"}),
        (0, {}),
    ],
)
def test_flags_of_a_reading(flags: int, wanted: dict[str, object]) -> None:
    (sample,) = samples(Store().report(NOW, NODE_A, [1], flags=flags).record)
    assert {
        key: value for key, value in told(sample).items() if key not in ("class", "stream", "number")
    } == wanted


def test_where_the_time_comes_from_and_the_backlog_of_the_node() -> None:
    record = Store().report(NOW, NODE_A, [1], quality=TIME_ARRIVAL, historical=True).record
    (sample,) = samples(record)
    assert told(sample)["time"] == "arrival"
    assert sample.historical


def test_a_time_before_1970_is_1970() -> None:
    (sample,) = samples(Store().report(NOW, NODE_A, [1], time_ms=-1_000).record)
    assert sample.timestamp == 0


def test_a_gap_says_how_many_and_which() -> None:
    (sample,) = samples(Store().other(NOW, NODE_A, Gap(ALARM, STREAM, 40, 55, 1), cls=ALARM).record)
    assert (sample.name, sample.value, sample.every) == ("Gap", 16, True)
    assert told(sample) == {
        "class": "alarm",
        "stream": STREAM,
        "first": 40,
        "last": 55,
        "reason": 1,
        "why": "outbox full",
    }


def test_damage_of_the_store_is_a_gap_of_the_edge_node() -> None:
    (sample,) = samples(Store().damage(NOW, 9, 11).record)
    assert (sample.name, sample.value, told(sample)["reason"]) == ("Store/Gap", 3, 6)


@pytest.mark.parametrize("kind", [KIND_REPORT, KIND_GAP])
@pytest.mark.parametrize("payload", [b"", b"\x02\x00", b"\x07\x00\x00\x00\x00\x00"])
def test_numbers_that_cannot_be_read_are_a_gap(kind: int, payload: bytes) -> None:
    record = Store().report(NOW, NODE_A, [1, 2, 3]).record
    (sample,) = samples(record._replace(kind=kind, payload=payload))
    assert (sample.name, sample.value, told(sample)["why"]) == ("Gap", 3, "unreadable in the gateway's store")


def test_what_has_no_number_and_cannot_be_read_says_nothing() -> None:
    record = Store().other(NOW, NODE_A, Log(20, "hi", 0, 0)).record
    assert samples(record._replace(payload=b"\x08")) == []
    assert samples(record._replace(kind=0x2A, payload=b"\x2a123")) == []


def values(record: Record) -> dict[str, object]:
    return {sample.name: sample.value for sample in samples(record)}


def test_health() -> None:
    hello = Hello(
        STREAM,
        codes.RESET_BROWN_OUT,
        codes.SLOT_B,
        77,
        1234,
        board="pico_w",
        firmware="1.2",
        battery_mv=3700,
        outbox=(1, 2, 3),
    )
    assert values(Store().other(NOW, NODE_A, hello).record) == {
        "Health/Uptime": 77,
        "Health/Free Heap": 1234,
        "Health/Reset Cause": "brown-out",
        "Health/Slot": "B",
        "Properties/Hardware Model": "pico_w",
        "Properties/FW": "1.2",
        "Health/Battery": 3.7,
        "Health/Outbox Dropped": 3,
    }
    bare = values(Store().other(NOW, NODE_A, Hello(STREAM, reset_cause=99)).record)
    assert bare == {
        "Health/Uptime": 0,
        "Health/Free Heap": 0,
        "Health/Reset Cause": "unknown",
        "Health/Slot": "none",
    }


def test_settings_results_and_log_lines() -> None:
    store = Store()
    (config,) = samples(store.other(NOW, NODE_A, Config(4, [], True, (1, 2, 3))).record)
    assert (config.name, config.value, told(config), config.every) == (
        "Config/Version",
        4,
        {"refused": True},
        False,
    )
    (result,) = samples(store.other(NOW, NODE_A, Result(7, 5, b"\x01\xff")).record)
    assert (result.name, result.value, told(result), result.every) == (
        "Command/Result",
        5,
        {"id": 7, "payload": "01ff"},
        True,
    )
    (line,) = samples(store.other(NOW, NODE_A, Log(30, "low", 2, 9)).record)
    assert (line.name, line.value, told(line), line.every) == ("Log", "low", {"level": 30, "lost": 2}, True)


def test_every_sample_has_a_metric_that_is_declared() -> None:
    store = Store()
    store.other(NOW, NODE_A, Hello(STREAM, board="b", firmware="f", battery_mv=1, outbox=(1, 1, 1)))
    for message in (Config(1), Result(1, 0), Log(20, "", 0, 0), Gap(LIVE, 1, 1, 1, 1)):
        store.other(NOW, NODE_A, message)
    store.report(NOW, NODE_A, [1], quantity=99)
    types = {name: datatype for name, datatype, _ in FIXED}
    for stored in store.logs[LIVE]:
        for sample in samples(stored.record):
            assert types[sample.name] is sample.datatype
    assert KIND_LOG in {stored.record.kind for stored in store.logs[LIVE]}
