"""The fan message, templates, Home Assistant's discovery: what docs/payloads.md promises."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.records import KIND_GAP, KIND_HELLO, Record
from fieldline_gateway.sinks.homeassistant import MAX_GONE, HomeAssistant
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_gateway.sinks.plain import (
    GAP_WORDS,
    WORDS,
    FanForm,
    FanPayload,
    TemplateForm,
    TemplatePayload,
)
from fieldline_gateway.sinks.port import Notice
from fieldline_gateway.sinks.tags import Tags
from fieldline_gateway.sinks.templates import (
    Template,
    as_it_is,
    as_json,
    as_level,
    topic_words_error,
    words_error,
)
from fieldline_wire import messages as wire
from tests.gateway.mqtt.support import NODE, record, report, until

DOCS = Path(__file__).parents[3] / "docs" / "payloads.md"
TAGS = Tags("gw")


def fan_readings(*offsets: int, value: int = 29_875, sensor: int = 1) -> list[wire.Reading]:
    return [wire.Reading(offset, sensor, wire.QTY_SPEED, 0, value) for offset in offsets]


def fan(**form: Any) -> FanPayload:
    return FanPayload("gw", FanForm(**form), lambda node: "CPU-FAN", TAGS)


def sent(messages: list[Any]) -> list[tuple[str, str]]:
    return [(topic[2:].decode(), payload.decode()) for topic, payload, _ in messages]


def gap_record() -> Record:
    return record(wire.Gap(1, 7, 5, 9, wire.GAP_DROPPED), kind=KIND_GAP, first=5, last=9)


# --- the fan message


def test_the_fan_message_word_for_word() -> None:
    """freq = 1/dt, rpm = (freq / 2) * 60; whole numbers, these names, this order."""
    [(topic, payload)] = sent(fan().messages(report(1, readings=fan_readings(0))))
    assert topic == "fieldline/gw/fans"
    assert payload == '{"TIME":"2023-11-14T22:13:20.000Z","FANID":"CPU-FAN-1","FREQ":100,"RPM":2988}'
    assert f"```json\n{payload}\n```" in DOCS.read_text(encoding="utf-8")


def test_one_message_for_each_fan_and_second() -> None:
    readings = [
        *fan_readings(0, 25, 50, 99, 100, 150, 210),
        *fan_readings(220, sensor=2),
        wire.Reading(230, 3, wire.QTY_TEMPERATURE, 0, 2000),
    ]
    payload = fan()
    times = [
        json.loads(text)["TIME"][-7:] for _, text in sent(payload.messages(report(1, readings=readings)))
    ]
    assert times == ["20.000Z", "21.000Z", "22.100Z", "22.200Z"]
    later = report(10, readings=fan_readings(290, 300))
    assert len(payload.messages(later)) == 1  # 22.9 had its message
    assert len(payload.messages(later, late=True)) == 2  # backlog is a way of its own
    payload.forget()
    assert len(payload.messages(later)) == 2


def test_what_a_fan_message_cannot_say_is_left_out() -> None:
    assert fan().messages(gap_record()) == []
    assert fan().messages(record(wire.Hello(stream=7), kind=KIND_HELLO)) == []


def test_a_fans_name_cannot_break_the_message() -> None:
    payload = FanPayload("gw", FanForm(topic="a/{name}"), lambda node: 'x"/+\\', TAGS)
    [(topic, text)] = sent(payload.messages(report(1, readings=fan_readings(0))))
    assert json.loads(text)["FANID"] == 'x"/+\\-1'
    assert topic == 'a/x"__\\'


# --- templates


def test_a_template_takes_json_as_it_is_written() -> None:
    form = TemplateForm(
        "plant/{name}/{quantity}",
        '{"v":{value},"u":"{unit}","t":"{time}","ms":{time_ms},"n":{number},"late":{historical},"x":{}}',
        '{"missing":[{first},{last}],"why":"{reason}"}',
        as_json,
    )
    payload = TemplatePayload("gw", form, lambda node: 'pump "1"', TAGS)
    [(topic, text)] = sent(payload.messages(report(4, readings=fan_readings(50)), late=True))
    assert topic == 'plant/pump "1"/speed'
    assert json.loads(text) == {
        "v": 2987.5, "u": "rpm", "t": "2023-11-14T22:13:20.500Z", "ms": 1_700_000_000_500, "n": 4, "late": True,
        "x": {},
    }  # fmt: skip
    [(topic, text)] = sent(payload.messages(gap_record()))
    assert (topic, json.loads(text)) == ('plant/pump "1"/gap', {"missing": [5, 9], "why": "outbox full"})
    assert TemplatePayload("gw", TemplateForm("t", "p"), str, TAGS).messages(gap_record()) == []


def test_every_word_has_a_value_and_stands_in_the_documentation() -> None:
    text = " ".join(f"{{{word}}}" for word in sorted(WORDS))
    gap = " ".join(f"{{{word}}}" for word in sorted(GAP_WORDS))
    form = TemplateForm("{gateway}/{node}/{cls}/{sensor}", text, gap)
    payload = TemplatePayload("gw", form, bytes.hex, TAGS)
    for item in (report(1), gap_record()):
        [(_, found)] = sent(payload.messages(item))
        assert "{" not in found
    told = set(re.findall(r"^\| `\{([a-z_]+)\}`", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == WORDS | GAP_WORDS


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",))))
def test_a_value_stays_what_it_is_inside_a_json_string(value: str) -> None:
    assert json.loads(Template('"{word}"', as_json).render({"word": value})) == value
    assert Template("{word}", as_it_is).render({"word": value}) == value
    level = Template("a/{word}/b", as_level).render({"word": value})
    assert level.count("/") == 2 and not any(mark in level for mark in "+#\0")


@given(st.text(), st.text())
def test_whatever_is_written_is_an_error_or_can_be_rendered(before: str, after: str) -> None:
    text = before + "{value}" + after
    if not words_error(text, WORDS):
        assert "{value}" not in Template(text, as_it_is).render(dict.fromkeys(WORDS, 1))


def test_a_wrong_template_says_what_is_known() -> None:
    assert words_error("{valeu}", ("value",)) == "{valeu} is not known; known are {value}"
    assert words_error('{"a":{value}}', ("value",)) == ""
    for text in ("", "a/+", "#", "$SYS/x", "a\0"):
        assert "must not" in topic_words_error(text, ())


# --- Home Assistant


class Notes:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def save(self, name: str, value: bytes) -> None:
        self.kept[name] = value


def home(notes: Notes) -> HomeAssistant:
    return HomeAssistant("gw", JsonPayload("gw").topic, lambda node: "fan-1", notes)


SENSOR = "homeassistant/sensor/fieldline_0102030405060708/1_speed/config"
PRESENCE = "homeassistant-fieldline/gw/0102030405060708"
READING = report(1, readings=fan_readings(0))


async def test_a_sensor_is_told_with_its_first_reading_and_on_each_connection() -> None:
    tell = home(Notes())
    assert tell.connected() == [Notice("homeassistant-fieldline/gw", b"online")]
    tell.heard(NODE)
    sensor, presence = tell.seen(READING)
    assert tell.seen(READING) == []
    assert (sensor.topic, presence) == (SENSOR, Notice(PRESENCE, b"online"))
    assert json.loads(sensor.payload) == {
        "name": "Sensor 1 speed",
        "unique_id": "fieldline_0102030405060708_1_speed",
        "state_topic": "fieldline/gw/0102030405060708/live",
        "value_template": (
            "{% if value_json.get('sensor') == 1 and value_json.get('quantity') == 'speed'"
            " and not value_json.historical %}{{ value_json.value }}{% endif %}"
        ),
        "state_class": "measurement",
        "unit_of_measurement": "rpm",
        "availability": [{"topic": "homeassistant-fieldline/gw"}, {"topic": PRESENCE}],
        "availability_mode": "all",
        "device": {
            "identifiers": ["fieldline_0102030405060708"],
            "name": "fan-1",
            "manufacturer": "Fieldline",
            "serial_number": "0102030405060708",
        },
        "origin": {"name": "Fieldline"},
    }
    assert {notice.topic for notice in tell.connected()} == {"homeassistant-fieldline/gw", SENSOR, PRESENCE}
    assert tell.silent(NODE) == [Notice(PRESENCE, b"offline")]
    assert tell.will is not None
    assert (tell.will.topic, tell.will.payload, tell.will.retain) == (
        "homeassistant-fieldline/gw", b"offline", True,
    )  # fmt: skip


async def test_a_hello_brings_board_and_firmware_and_a_class() -> None:
    tell = home(Notes())
    tell.seen(report(1, readings=[wire.Reading(0, 2, wire.QTY_TEMPERATURE, 0, 1)]))
    hello = record(wire.Hello(stream=7, board="pico_w", firmware="1.2"), kind=KIND_HELLO)
    [notice] = tell.seen(hello)
    content = json.loads(notice.payload)
    assert (content["device"]["model"], content["device"]["sw_version"]) == ("pico_w", "1.2")
    assert (content["device_class"], content["unit_of_measurement"]) == ("temperature", "°C")
    assert tell.seen(hello) == []


async def test_a_node_that_goes_takes_its_sensors_along_though_nobody_was_connected() -> None:
    notes = Notes()
    tell = home(notes)
    tell.seen(READING)
    await until(lambda: "homeassistant" in notes.kept and SENSOR not in notes.kept["homeassistant"].decode())
    tell = home(notes)  # a new start
    await tell.load()
    assert list(tell.known()) == [NODE]
    gone = {Notice(SENSOR, b""), Notice(PRESENCE, b"")}
    assert set(tell.removed(NODE)) == gone and tell.removed(NODE) == []
    await until(lambda: SENSOR in notes.kept["homeassistant"].decode())
    tell = home(notes)
    await tell.load()
    assert set(tell.connected()) > gone
    tell.seen(READING)  # enrolled again
    assert not set(tell.connected()) & gone
    await asyncio.sleep(0)


async def test_what_is_taken_back_is_remembered_within_bounds() -> None:
    tell = home(Notes())
    for count in range(MAX_GONE):
        node = count.to_bytes(8, "big")
        tell.seen(report(1, readings=fan_readings(0), node=node))
        tell.removed(node)
    assert len(tell.connected()) == MAX_GONE + 1
    await asyncio.sleep(0)


def test_home_assistant_takes_the_readings_that_its_template_picks() -> None:
    """The template in Jinja's words, on our payloads: other sensors, gaps and backlog change nothing."""
    jinja = pytest.importorskip("jinja2", reason="jinja2 is not installed: the template is not rendered")
    tell = home(Notes())

    async def template() -> str:
        return str(json.loads(tell.seen(READING)[0].payload)["value_template"])

    render = jinja.Template(asyncio.run(template())).render
    payload = JsonPayload("gw")

    def shown(item: Record, late: bool = False) -> str:
        return str(render(value_json=json.loads(payload.messages(item, late)[0][1])))

    assert shown(READING) == "2987.5"
    assert shown(READING, late=True) == ""
    assert shown(report(1, readings=fan_readings(0, sensor=2))) == ""
    assert shown(gap_record()) == ""
