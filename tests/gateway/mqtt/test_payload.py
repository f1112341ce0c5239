"""Records as JSON: what docs/payload-json.md promises."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.records import (
    KIND_CONFIG,
    KIND_DAMAGE,
    KIND_GAP,
    KIND_HELLO,
    KIND_LOG,
    KIND_RESULT,
    NO_NODE,
    TIME_ARRIVAL,
    TIME_MAPPED,
    Record,
)
from fieldline_gateway.sinks.payload import DEFAULT_TOPIC, JsonPayload, iso_time, topic_error
from fieldline_wire import messages as wire
from fieldline_wire.quantities import QUANTITIES
from tests.gateway.mqtt.support import record, report


def published(item: Record, topic: str = DEFAULT_TOPIC) -> list[tuple[str, dict[str, Any]]]:
    """Topic and parsed payload of each message of a record; numbers exact."""
    messages = JsonPayload("gw1", topic).messages(item)
    out = []
    for name, payload, _ in messages:
        assert int.from_bytes(name[:2], "big") == len(name) - 2
        out.append((name[2:].decode(), json.loads(payload, parse_float=Decimal)))
    return out


def test_a_reading_word_for_word() -> None:
    """The example of docs/payload-json.md: people's programs depend on each character of the names."""
    [(_, payload, _)] = JsonPayload("gw1").messages(
        report(4711, readings=[wire.Reading(12, 1, wire.QTY_SPEED, 0, 29_875)])
    )
    assert payload.decode() == (
        '{"node":"0102030405060708","stream":7,"class":"live","number":4711,"time":"2023-11-14T22:13:20.120Z",'
        '"time_quality":"node","sensor":1,"quantity":"speed","value":2987.5,"unit":"rpm","historical":false}'
    )


def test_the_documentation_shows_what_is_published() -> None:
    """Each example of docs/payload-json.md has the members, in order, that the gateway gives."""
    text = (Path(__file__).parents[3] / "docs" / "payload-json.md").read_text(encoding="utf-8")
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)]
    plain = report(1)
    hello = wire.Hello(stream=7, classes=[(1, 10, 4)], link=(1, 2, 3, 4), sensors=[(0, 1)], outbox=(5, 6, 7))
    records = [
        plain,
        record(wire.Gap(1, 7, 5, 9, wire.GAP_DROPPED), kind=KIND_GAP, first=5, last=9),
        Record(2, KIND_DAMAGE, NO_NODE, 0, 10, 12, 0, 0, plain.time_ms, TIME_ARRIVAL, plain.time_ms, b""),
        record(hello, kind=KIND_HELLO),
    ]
    shapes = [shape(published(item)[0][1]) for item in records]
    assert [shape(example) for example in examples] == shapes


def shape(content: Any) -> Any:
    """Names of members, in order, and of theirs."""
    if isinstance(content, dict):
        return [(name, shape(inner)) for name, inner in content.items()]
    return [shape(content[0])] if isinstance(content, list) else None


def test_each_reading_has_its_number_and_time() -> None:
    found = published(
        report(100, readings=[wire.Reading(150 * i, i, 2, 0, 1) for i in range(3)], historical=True)
    )
    assert [topic for topic, _ in found] == ["fieldline/gw1/0102030405060708/live"] * 3
    assert [content["number"] for _, content in found] == [100, 101, 102]
    assert [content["sensor"] for _, content in found] == [0, 1, 2]
    assert [content["time"][-9:] for _, content in found] == [
        "13:20.000Z"[1:],
        "13:21.500Z"[1:],
        "13:23.000Z"[1:],
    ]
    assert all(content["historical"] is True for _, content in found)


@pytest.mark.parametrize(("cls", "name"), [(0, "alarm"), (1, "live"), (2, "bulk")])
def test_class_is_in_topic_and_payload(cls: int, name: str) -> None:
    [(topic, content)] = published(report(1, cls=cls))
    assert topic == f"fieldline/gw1/0102030405060708/{name}"
    assert content["class"] == name


@given(st.sampled_from(sorted(QUANTITIES)), st.integers(-(2**31), 2**31 - 1))
def test_value_is_exactly_number_times_unit(code: int, value: int) -> None:
    name, numerator, denominator, unit = QUANTITIES[code]
    [(_, content)] = published(report(1, readings=[wire.Reading(0, 0, code, 0, value)]))
    assert Decimal(content["value"]) == Decimal(value) * numerator / denominator
    assert (content["quantity"], content["unit"]) == (name, unit)


def test_a_quantity_that_is_not_known_keeps_its_number() -> None:
    [(_, content)] = published(report(1, readings=[wire.Reading(0, 0, 200, 0, -5)]))
    assert (content["quantity"], content["value"], content["unit"]) == ("unknown 200", -5, "")


@pytest.mark.parametrize(
    ("flags", "members"),
    [
        (0, {}),
        (wire.READING_SATURATED, {"saturated": True}),
        (wire.READING_RAISED | wire.CAUSE_STALL << 4, {"alert": "raised", "cause": "stall"}),
        (wire.READING_CLEARED | wire.CAUSE_OVER << 4, {"alert": "cleared", "cause": "over limit"}),
        (wire.READING_RAISED | 15 << 4, {"alert": "raised", "cause": "unknown 15"}),
    ],
)
def test_flags_are_members_where_there_is_something_to_say(flags: int, members: dict[str, Any]) -> None:
    [(_, content)] = published(report(1, readings=[wire.Reading(0, 0, 1, flags, 0)]))
    assert {name: content.get(name) for name in ("saturated", "alert", "cause") if name in content} == members


def test_time_quality() -> None:
    for quality, name in ((TIME_MAPPED, "mapped"), (TIME_ARRIVAL, "arrival")):
        item = record(wire.Report(1, 7, 1, 0, 1, [wire.Reading(0, 0, 1, 0, 0)]), time_quality=quality)
        assert published(item)[0][1]["time_quality"] == name


def test_gap_stands_on_the_topic_of_its_numbers() -> None:
    gap = record(wire.Gap(1, 7, 5, 9, wire.GAP_EVICTED), kind=KIND_GAP, first=5, last=9)
    [(topic, content)] = published(gap)
    assert topic == published(report(1))[0][0]
    assert content["gap"] == {"first": 5, "last": 9, "reason": "evicted at the gateway"}
    assert (content["node"], content["stream"], content["class"]) == ("0102030405060708", 7, "live")


def test_gap_of_a_reason_that_is_not_known() -> None:
    [(_, content)] = published(record(wire.Gap(1, 7, 5, 5, 77), kind=KIND_GAP))
    assert content["gap"]["reason"] == "unknown 77"


def test_damage_of_the_store_is_published_too() -> None:
    plain = report(1)
    item = Record(2, KIND_DAMAGE, NO_NODE, 0, 10, 12, 0, 0, plain.time_ms, TIME_ARRIVAL, plain.time_ms, b"")
    [(topic, content)] = published(item)
    assert topic == "fieldline/gw1/unknown/bulk"
    assert content["damage"] == {"first_record": 10, "last_record": 12}


def test_hello_is_health() -> None:
    hello = wire.Hello(
        stream=7,
        reset_cause=wire.RESET_WATCHDOG,
        slot=wire.SLOT_B,
        uptime=3,
        heap_free=100_000,
        flags=wire.HELLO_CLOCK_SET,
        board='pico "w"',
        firmware="1.2",
        classes=[(1, 10, 4)],
        battery_mv=3300,
        link=(1, 2, 3, 4),
        sensors=[(0, wire.SENSOR_SILENT)],
        outbox=(5, 6, 7),
    )
    [(topic, content)] = published(record(hello, kind=KIND_HELLO))
    assert topic == "fieldline/gw1/0102030405060708/health"
    assert content["node"] == "0102030405060708"
    assert content["reset_cause"] == "watchdog"
    assert content["slot"] == "B"
    assert content["board"] == 'pico "w"'
    assert (content["clock_set"], content["development"]) == (True, False)
    assert content["classes"] == {"live": {"next": 10, "oldest": 4}}
    assert content["sensors"] == [{"sensor": 0, "state": "silent"}]
    assert content["link"] == {"frames_in": 1, "frames_out": 2, "crc_errors": 3, "noise_bytes": 4}
    assert content["outbox"] == {"used_bytes": 5, "size_bytes": 6, "dropped": 7}
    assert content["battery_mv"] == 3300


def test_hello_with_nothing_optional() -> None:
    [(_, content)] = published(record(wire.Hello(stream=7, reset_cause=99), kind=KIND_HELLO))
    assert (content["board"], content["slot"], content["battery_mv"]) == (None, None, None)
    assert content["reset_cause"] == "unknown 99"
    assert "link" not in content


def test_log_result_config() -> None:
    [(topic, content)] = published(record(wire.Log(wire.LOG_ERROR, "fan é", 2, 5), kind=KIND_LOG))
    assert topic.endswith("/log")
    assert (content["level"], content["text"], content["lost"], content["uptime_s"]) == (
        "error",
        "fan é",
        2,
        5,
    )
    [(topic, content)] = published(record(wire.Result(9, wire.RESULT_EXPIRED, b"\x01"), kind=KIND_RESULT))
    assert topic.endswith("/result")
    assert (content["id"], content["status"], content["payload"]) == (9, "expired", "01")
    config = wire.Config(3, [(255, 1, 500)], reported=True, refused=(0, 10, 2))
    [(topic, content)] = published(record(config, kind=KIND_CONFIG))
    assert topic.endswith("/config")
    assert content["settings"] == [{"sensor": 255, "key": 1, "value": 500}]
    assert content["refused"] == {"sensor": 0, "key": 10, "reason": 2}


@given(st.binary(max_size=60))
def test_nothing_stops_the_sink(payload: bytes) -> None:
    plain = report(1)
    item = Record(1, 2, plain.node, 7, 1, 1, 1, 1, plain.time_ms, 0, plain.time_ms, payload)
    for _, content in published(item):
        assert content


def test_what_cannot_be_decoded_is_published_as_it_is() -> None:
    plain = report(1)
    for payload in (b"", b"\x02\xff", b"\x99abc"):
        item = Record(1, 2, plain.node, 7, 1, 1, 1, 1, plain.time_ms, 0, plain.time_ms, payload)
        [(topic, content)] = published(item)
        assert topic.endswith("/undecodable")
        assert content["raw"] == payload.hex()


def test_topic_template() -> None:
    [(topic, _)] = published(report(1), "site/{cls}/{node}")
    assert topic == "site/live/0102030405060708"


@pytest.mark.parametrize(
    ("template", "part"),
    [
        ("fieldline/{node}", "must hold {node} and {cls}"),
        ("{node}/{cls}/{place}", "{place} is not known"),
        ("{node}/{cls}/#", "must not hold"),
        ("$SYS/{node}/{cls}", "must not"),
        ("{node}/{cls}/{", "write for example"),
    ],
)
def test_bad_topic_template(template: str, part: str) -> None:
    assert part in topic_error(template)
    assert topic_error(DEFAULT_TOPIC) == ""


def test_iso_time() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"
    assert iso_time(4_294_967_295_999) == "2106-02-07T06:28:15.999Z"
