"""What a host's NCMD and DCMD ask for (specification 3.0, sections 5.16, 6.4.23, 6.4.24).

Rules: a metric is known by its name or its alias; one that is not a control, or whose value is not of the
control's type, is counted and left alone: nothing that a host sends is an error here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fieldline_gateway.sparkplug.datatypes import Value
from fieldline_gateway.sparkplug.devices import Slot
from fieldline_gateway.sparkplug.errors import PayloadError
from fieldline_gateway.sparkplug.payload import Payload


@dataclass(frozen=True, slots=True)
class Writes:
    """What one command message asks for."""

    values: tuple[tuple[str, Value], ...]
    """Name of a control and the value written to it."""
    refused: int
    """Metrics that are no control of ours or have no value of its type; 1 for a payload that is none."""


def read_command(payload: bytes, controls: Iterable[Slot]) -> Writes:
    """The values that `payload` writes to `controls`."""
    try:
        metrics = Payload.from_bytes(payload).metrics
    except PayloadError:
        return Writes((), 1)
    by_name = {slot.name: slot for slot in controls}
    by_alias = {slot.alias: slot for slot in by_name.values() if slot.alias is not None}
    values: list[tuple[str, Value]] = []
    for metric in metrics:
        slot = by_name.get(metric.name) if metric.name is not None else by_alias.get(metric.alias or 0)
        if slot is None or metric.value is None or metric.datatype not in (None, slot.datatype):
            continue
        try:
            value = metric.typed(slot.datatype).value
        except PayloadError:
            continue
        if value is not None:
            values.append((slot.name, value))
    return Writes(tuple(values), len(metrics) - len(values))
