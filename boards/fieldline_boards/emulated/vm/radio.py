"""Between a VM's `bluetooth` (ble.mjs) and a station of the simulated air.

Rules: a new process has a controller that is off. What it is told wrongly is refused by the shim, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldline_boards.emulated.air.live import Heard, Station


class VmRadio:
    """The controller of one board."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self._tell: Callable[[dict[str, Any]], None] = lambda message: None
        station.hear = self._heard

    def setup(self) -> dict[str, object]:
        """What a VM process is told (read by ble.mjs)."""
        return {"radio": {"address": self.station.address.hex()}}

    def connect(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """A new process."""
        self.silence()
        self._tell = tell

    def silence(self) -> None:
        """The process is gone."""
        self.station.silence()
        self._tell = lambda message: None

    def command(self, message: dict[str, Any]) -> None:
        """What the board told its controller."""
        match message:
            case {"do": "advertise", "interval_us": int(interval), "data": str(data), "kind": int(kind)}:
                self.station.advertise(interval, bytes.fromhex(data), kind)
            case {"do": "stop"}:
                self.station.stop()
            case {"do": "scan", "interval_us": int(interval), "window_us": int(window)}:
                self.station.scan(interval, window)
            case {"do": "silence"}:
                self.station.silence()
            case _:
                raise ValueError(f"no command of a radio: {message}")

    def _heard(self, heard: Heard) -> None:
        self._tell(
            {
                "type": "advert",
                "from": heard.sender.hex(),
                "kind": heard.kind,
                "rssi": heard.rssi,
                "data": heard.data.hex(),
            }
        )
