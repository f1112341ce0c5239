"""A sink from its configuration.

Rules: makes and does nothing else; what it loads is loaded when the sink runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Union

from fieldline_gateway.sinks.config import JsonForm, SinkConfig
from fieldline_gateway.sinks.homeassistant import HomeAssistant
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.payload import JsonPayload, Payload
from fieldline_gateway.sinks.plain import FanForm, FanPayload, TemplateForm, TemplatePayload
from fieldline_gateway.sinks.port import Herald, Notes
from fieldline_gateway.sinks.tags import Tags
from fieldline_gateway.sparkplug.config import EdgeConfig

if TYPE_CHECKING:
    from fieldline_gateway.sinks.sparkplug import OnCommand, SparkplugSink

AnySink = Union[MqttSink, "SparkplugSink"]


def make(
    config: SinkConfig, gateway: str, name_of: Callable[[bytes], str], notes: Notes, on_command: OnCommand
) -> AnySink:
    """The sink that a [[sink]] table asks for; `gateway` is this gateway's name."""
    mqtt = config.mqtt
    tags = Tags(gateway, mqtt.user_properties, mqtt.expiry_s)
    payload: Payload
    herald: Herald | None = None
    match config.form:
        case EdgeConfig() as edge:
            from fieldline_gateway.sinks.sparkplug import SparkplugSink  # few sites need it

            return SparkplugSink(mqtt, edge, config.name, notes=notes, name_of=name_of, on_command=on_command)
        case JsonForm() as form:
            payload = JsonPayload(gateway, mqtt.topic, tags)
            if form.homeassistant is not None:
                herald = HomeAssistant(gateway, payload.topic, name_of, notes, form.homeassistant)
        case FanForm() as form:
            payload = FanPayload(gateway, form, name_of, tags)
        case TemplateForm() as form:
            payload = TemplatePayload(gateway, form, name_of, tags)
    return MqttSink(mqtt, payload, config.name, herald=herald)
