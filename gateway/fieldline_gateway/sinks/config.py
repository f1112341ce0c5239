"""The [[sink]] tables of the configuration: where readings go and in which form.

Rules: each table is a sink of its own, with its own cursor, which its name names. A wrong line is a ConfigError
that says what to write. Nothing is opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from fieldline_gateway.sinks.homeassistant import DEFAULT_PREFIX
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.plain import (
    DEFAULT_FAN_ID,
    DEFAULT_FAN_TOPIC,
    FAN_WORDS,
    GAP_WORDS,
    TOPIC_WORDS,
    WORDS,
    FanForm,
    TemplateForm,
)
from fieldline_gateway.sinks.templates import as_it_is, as_json, topic_words_error, words_error
from fieldline_gateway.sparkplug.config import Confirm, EdgeConfig
from fieldline_gateway.sparkplug.errors import UsageError as SparkplugUsageError
from fieldline_host.tomlfile import Table

KINDS = ("json", "fan", "template", "sparkplug")
LISTENER = "listener"
"""The name of the sink of the gateway's own listener."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_ESCAPES = {"json": as_json, "none": as_it_is}


@dataclass(frozen=True, slots=True)
class JsonForm:
    """docs/payload-json.md"""

    homeassistant: str | None = None
    """Home Assistant's discovery prefix; None: it is told nothing."""


Form = JsonForm | FanForm | TemplateForm | EdgeConfig


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One sink."""

    name: str
    kind: str
    mqtt: MqttConfig
    form: Form


def sinks(tables: list[Table], gateway: str, folder: Path, data: Path) -> tuple[SinkConfig, ...]:
    """All [[sink]] tables. Paths in them are relative to `folder`; dead letters go below `data`."""
    found: list[SinkConfig] = []
    for table in tables:
        one = _sink(table, gateway, folder)
        letters = data / "dead-letters" / f"{one.name}.jsonl"
        one = replace(one, mqtt=replace(one.mqtt, dead_letters=letters))
        for other in found:
            if other.name == one.name:
                raise table.error(
                    "name", f"a sink 'name' {one.name!r} is there already; give this one another"
                )
            if other.mqtt.client_id == one.mqtt.client_id:
                raise table.error(
                    "client_id", f"'client_id' {one.mqtt.client_id!r} is another sink's; change it"
                )
        found.append(one)
    return tuple(found)


def _sink(table: Table, gateway: str, folder: Path) -> SinkConfig:
    kind = table.choice("kind", KINDS)
    name = table.get("name", str, kind) or ""
    if not _NAME.fullmatch(name) or name == LISTENER:
        raise table.error(
            "name", f"'name' {name!r} must be 1 to 32 letters, digits, '_' or '-', and not {LISTENER}"
        )
    who = f"{gateway}-{name}"
    match kind:
        case "json":
            return SinkConfig(name, kind, MqttConfig.from_table(table, who, folder), _json(table))
        case "fan":
            mqtt = MqttConfig.from_table(
                table,
                who,
                folder,
                topic=DEFAULT_FAN_TOPIC,
                topic_fault=_fan_topic_fault,
                user_properties=True,
            )
            return SinkConfig(name, kind, mqtt, _fan(table, mqtt.topic))
        case "template":
            table.need("topic", str)
            mqtt = MqttConfig.from_table(
                table, who, folder, topic="", topic_fault=_topic_fault, user_properties=True
            )
            return SinkConfig(name, kind, mqtt, _template(table, mqtt.topic))
    mqtt = MqttConfig.from_table(table, who, folder, topic=None)
    if mqtt.retain:
        raise table.error("retain", "'retain' is not for Sparkplug, which forbids it; remove the line")
    return SinkConfig(name, kind, mqtt, _sparkplug(table, gateway, len(mqtt.addresses)))


def _json(table: Table) -> JsonForm:
    prefix = table.get("homeassistant_prefix", str, DEFAULT_PREFIX) or ""
    if fault := topic_words_error(prefix, ()):
        raise table.error("homeassistant_prefix", f"'homeassistant_prefix' {fault}")
    return JsonForm(prefix if table.get("homeassistant", bool, False) else None)


def _fan(table: Table, topic: str) -> FanForm:
    fan_id = table.get("fan_id", str, DEFAULT_FAN_ID) or ""
    if fault := words_error(fan_id, FAN_WORDS):
        raise table.error("fan_id", f"'fan_id' {fault}")
    return FanForm(topic, fan_id, table.integer("pulses_per_turn", 2, low=1, high=64))


def _template(table: Table, topic: str) -> TemplateForm:
    payload, gap = table.need("payload", str), table.get("gap_payload", str)
    if fault := words_error(payload, WORDS):
        raise table.error("payload", f"'payload' {fault}")
    if gap is not None and (fault := words_error(gap, GAP_WORDS)):
        raise table.error("gap_payload", f"'gap_payload' {fault}")
    return TemplateForm(topic, payload, gap, _ESCAPES[table.choice("escape", tuple(_ESCAPES), "json")])


def _sparkplug(table: Table, gateway: str, servers: int) -> EdgeConfig:
    values = {
        key: table.get(key, str, default) for key, default in (("group", "Fieldline"), ("edge", gateway))
    }
    host = table.get("primary_host", str)
    for key, id_ in (*values.items(), ("primary_host", host)):
        try:
            EdgeConfig(id_ or "", "edge") if id_ is not None else None
        except SparkplugUsageError as error:
            raise table.error(key, f"'{key}': {error}") from None
    confirm = Confirm(table.choice("confirm", tuple(each.value for each in Confirm), Confirm.ECHO.value))
    return EdgeConfig(
        values["group"] or "",
        values["edge"] or "",
        host,
        servers=servers,
        confirm=confirm,
        settle_ms=table.integer("settle_s", 60, low=0, high=3600) * 1000,
        fresh_ms=table.integer("fresh_s", 10, low=1, high=600) * 1000,
        host_wait_ms=table.integer("host_wait_s", 10, low=1, high=3600) * 1000,
    )


def _fan_topic_fault(text: str) -> str:
    return topic_words_error(text, FAN_WORDS)


def _topic_fault(text: str) -> str:
    return topic_words_error(text, TOPIC_WORDS)
