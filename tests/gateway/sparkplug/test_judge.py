"""Our codec before a judge: npm's sparkplug-payload (Eclipse Tahu's own), in both directions.

Rules: every message of every scenario is decoded by both, field by field; payloads of all types that the judge
encodes are decoded by us. Without node or the package the tests say SKIPPED and why.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.sparkplug.datatypes import METRIC_VALUES, PROPERTY_VALUES, DataType, read
from fieldline_gateway.sparkplug.payload import Metric, Payload, Property
from fieldline_gateway.sparkplug.protobuf import fields
from tests.gateway.sparkplug.driver import T0
from tests.gateway.sparkplug.scenarios import SCENARIOS, Scenario

JUDGE = Path(__file__).parent / "judge.cjs"
MEMBERS = ("intValue", "longValue", "floatValue", "doubleValue", "booleanValue", "stringValue")


def ask(requests: list[dict[str, Any]]) -> list[Any]:
    """The judge's answers."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    lines = "\n".join(json.dumps(request) for request in requests)
    done = subprocess.run([node, JUDGE], input=lines, capture_output=True, text=True, timeout=60)
    if "Cannot find module 'sparkplug-payload" in done.stderr:
        pytest.skip("needs the npm package sparkplug-payload: run npm ci")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _value(data: bytes, base: int) -> dict[str, object]:
    """The `oneof` of a metric or property, by the name of its member."""
    found: dict[str, object] = {}
    for number, wire_type, raw in fields(data):
        if base <= number < base + len(MEMBERS):
            value = read(base, number, wire_type, raw)
            name = MEMBERS[number - base]
            found = {name: str(value) if name == "longValue" else value, "value": name}
    return found


def _wire_property(prop: Property) -> dict[str, object]:
    return {"type": int(prop.datatype), **_value(prop.to_bytes(), PROPERTY_VALUES)}


def _wire_metric(metric: Metric, raw: bytes) -> dict[str, object]:
    """The metric as the judge shows one."""
    shown: dict[str, object] = {
        "name": metric.name,
        "alias": None if metric.alias is None else str(metric.alias),
        "timestamp": str(metric.timestamp),
        "datatype": None if metric.datatype is None else int(metric.datatype),
        "isHistorical": metric.is_historical or None,
        "isNull": metric.is_null or None,
        **_value(raw, METRIC_VALUES),
    }
    if metric.properties:
        shown["properties"] = {
            "keys": [key for key, _ in metric.properties],
            "values": [_wire_property(prop) for _, prop in metric.properties],
        }
    return {key: value for key, value in shown.items() if value is not None}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_judge_reads_what_we_write(scenario: Scenario) -> None:
    driver = scenario.play()
    publishes = driver.published()
    answers = ask([{"decode": publish.payload.hex()} for publish in publishes])
    assert len(answers) == len(publishes)
    for publish, answer in zip(publishes, answers, strict=True):
        payload = Payload.from_bytes(publish.payload)
        raws = [raw for number, _, raw in fields(publish.payload) if number == 2]
        assert answer.get("seq") == (None if payload.seq is None else str(payload.seq))
        assert answer["timestamp"] == str(payload.timestamp)
        ours = [
            _wire_metric(metric, raw)
            for metric, raw in zip(payload.metrics, raws, strict=True)
            if isinstance(raw, bytes)
        ]
        assert answer.get("metrics", []) == ours


def test_the_judge_understands_our_births() -> None:
    driver = SCENARIOS[0].play()
    births = [publish for kind in ("NBIRTH", "DBIRTH") for publish in driver.published(kind)]
    answers = ask([{"birth": publish.payload.hex()} for publish in births])
    assert births
    for publish, answer in zip(births, answers, strict=True):
        for metric, shown in zip(Payload.from_bytes(publish.payload).metrics, answer["metrics"], strict=True):
            assert shown["name"] == metric.name
            assert shown["type"].upper() == DataType(metric.datatype or 0).name
            value = shown["value"]
            assert value == (str(metric.value) if type(metric.value) is int else metric.value)
            assert ("properties" in shown) == bool(metric.properties)


TYPED: list[tuple[str, DataType, Any]] = [
    ("Int8", DataType.INT8, -5),
    ("Int16", DataType.INT16, -30_000),
    ("Int32", DataType.INT32, -2_000_000_000),
    ("Int64", DataType.INT64, -(2**53)),
    ("UInt8", DataType.UINT8, 250),
    ("UInt16", DataType.UINT16, 52_360),
    ("UInt32", DataType.UINT32, 4_000_000_000),
    ("UInt64", DataType.UINT64, 2**53),
    ("Float", DataType.FLOAT, struct.unpack("<f", struct.pack("<f", 1.23))[0]),
    ("Double", DataType.DOUBLE, 12.354213),
    ("Boolean", DataType.BOOLEAN, True),
    ("String", DataType.STRING, "Grüße"),
    ("DateTime", DataType.DATETIME, T0),
    ("Text", DataType.TEXT, "t"),
    ("UUID", DataType.UUID, "c0ffee00-0000-4000-8000-000000000000"),
]


@pytest.mark.parametrize(("name", "datatype", "value"), TYPED, ids=[row[0] for row in TYPED])
def test_we_read_what_the_judge_writes(name: str, datatype: DataType, value: Any) -> None:
    metric: dict[str, Any] = {"name": "a", "alias": 7, "timestamp": T0, "type": name, "value": value}
    if datatype is not DataType.UUID:
        metric["properties"] = {"p": {"type": name, "value": value}}
    request = {"timestamp": T0, "seq": 3, "uuid": "u", "metrics": [metric, metric | {"value": None}]}
    (answer,) = ask([{"encode": request}])
    payload = Payload.from_bytes(bytes.fromhex(answer["hex"]))
    assert (payload.timestamp, payload.seq, payload.uuid) == (T0, 3, "u")
    first, second = payload.metrics
    assert (first.name, first.alias, first.timestamp, first.datatype) == ("a", 7, T0, datatype)
    assert first.value == value
    if datatype is not DataType.UUID:
        assert first.property("p") == Property(datatype, value)
    assert second.is_null
    assert second.value is None
