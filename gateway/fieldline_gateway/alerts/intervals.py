"""How often nodes are to speak, by their desired settings.

Rules: a Config is decoded when it is new and not at each look: with 30,000 nodes that would be most of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fieldline_wire import messages as wire
from fieldline_wire.codes import KEY_HEALTH_S, KEY_REPORT_MS, SENSOR_NODE
from fieldline_wire.errors import PeerError

HEALTH_S = 300
"""wire.md 5.11: where the settings do not say."""


class DesiredIntervals:
    """`desired`: (version, Config message) of each node that has one; asked at each call."""

    def __init__(self, desired: Callable[[], Mapping[bytes, tuple[int, bytes]]]) -> None:
        self._desired = desired
        self._known: dict[bytes, tuple[bytes, float | None]] = {}

    def get(self, node: bytes, /) -> float | None:
        """In seconds; None where its settings do not say."""
        wanted = self._desired().get(node)
        if wanted is None:
            return None
        known = self._known.get(node)
        if known is None or known[0] != wanted[1]:
            known = self._known[node] = (wanted[1], _interval_s(wanted[1]))
        return known[1]


def _interval_s(message: bytes) -> float | None:
    try:
        config = wire.Config.from_bytes(message)
    except PeerError:
        return None
    own = {key: value for sensor, key, value in config.settings if sensor == SENSOR_NODE}
    if KEY_REPORT_MS not in own and KEY_HEALTH_S not in own:
        return None
    return float(min(own.get(KEY_REPORT_MS, 1000) / 1000, own.get(KEY_HEALTH_S, HEALTH_S)))
