"""A Low Power node's firmware on an emulated board in real time (SIMULATED board and air): its radio is off, but when
its friend is to answer, and its readings arrive.

Reason for its some 20 s: the node's reports are 10 s apart, and the share of listening wants two of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fieldline_boards.emulated.air.live import Station
from fieldline_wire.codes import LIVE
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer
from tests.node.mesh_bench import STRONG, MeshSite, mesh_file, now_ms

pytestmark = pytest.mark.vm
ADDRESS = 0x0100


class FriendSite(MeshSite):
    """Its gateway can be a friend; its boards carry the roles."""

    kinds = (FriendNode, FriendConfigurationServer)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.spec = replace(self.spec, radio=replace(self.spec.radio, friendship=True))

    def join(self) -> None:
        super().join()
        assert isinstance(self.node, FriendNode)
        self.node.set_friend(True)


class Ear:
    """How long a station listened."""

    def __init__(self, station: Station) -> None:
        self.ms = 0.0
        self.turns = 0
        self._station = station
        self._since = now_ms()
        self._scan = station.scan
        station.scan = self._changed  # type: ignore[method-assign]

    def _changed(self, interval_us: int, window_us: int) -> None:
        self.told()
        self.turns += 1
        self._scan(interval_us, window_us)

    def told(self) -> float:
        now = now_ms()
        self.ms += self._station.listening * (now - self._since)
        self._since = now
        return self.ms


def test_a_board_whose_radio_sleeps_has_its_readings_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        site = FriendSite(tmp_path)
        node = site.add("node", ADDRESS, mesh=mesh_file(ADDRESS, low_power=True))
        site.air.link("node", "gateway", STRONG)
        async with site:
            assert isinstance(site.node, FriendNode)
            friend, ear = site.node.friend, Ear(site.air.station("node"))
            await site.until(lambda: friend.counts["established"], "a friendship")
            await site.until(lambda: node.next(LIVE) > 5, "readings")
            before, begun, turns = ear.told(), now_ms(), ear.turns
            first = node.next(LIVE)
            await site.until(lambda: node.next(LIVE) > first + 15, "more readings")
            share = (ear.told() - before) / (now_ms() - begun)
            print(
                f"SIMULATED: the radio listened {100 * share:.1f} % of the time, in {ear.turns - turns} turns"
            )
            assert share < 0.5 and ear.turns > turns + 4
            assert not node.gaps[LIVE] and friend.counts["established"] == 1

    asyncio.run(scenario())
