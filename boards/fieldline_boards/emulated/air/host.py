"""A mesh node on the host with a radio on the live air: a gateway's side in tests, or somebody's third-party node.

Rules: the stack is fieldline_wire.mesh, unchanged; one advertising event an advert. SIMULATED radio.
"""

from __future__ import annotations

import asyncio

from fieldline_boards.emulated.air.live import Heard, Station
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.node import Node

_INTERVAL_US = 20_000
_EVENT_S = 0.008  # one event: three channels, and the controller's turn
_NAP_S = 0.005
_AD_HEAD = 2  # length and type


def now_ms() -> int:
    """The loop's time."""
    return int(asyncio.get_running_loop().time() * 1000)


class HostNode:
    """Drives `node` over `station` while run() runs."""

    def __init__(self, node: Node, station: Station) -> None:
        self.node = node
        self._station = station
        self._stir = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        station, node = self._station, self.node
        station.hear = self._heard
        station.scan(30_000, 30_000)
        try:
            while True:
                node.poll(now_ms())
                out = node.air.next(now_ms())
                if out is not None:
                    kind, data = out
                    station.advertise(_INTERVAL_US, bytes((len(data) + 1, kind)) + data)
                    await asyncio.sleep(_EVENT_S)
                    station.stop()
                    continue
                self._stir.clear()
                wait = max(_NAP_S, min(node.wait_ms(now_ms()), 1000) / 1000)
                try:
                    await asyncio.wait_for(self._stir.wait(), wait)
                except TimeoutError:
                    continue
        finally:
            station.silence()

    def stir(self) -> None:
        """Something was handed to the node's stack."""
        self._stir.set()

    def _heard(self, heard: Heard) -> None:
        data = heard.data
        if len(data) < _AD_HEAD or len(data) < data[0] + 1:
            return
        body = data[_AD_HEAD : data[0] + 1]
        if data[1] == AD_MESSAGE:
            self.node.receive(now_ms(), body)
        elif data[1] == AD_BEACON:
            self.node.receive_beacon(now_ms(), body)
        self._stir.set()
