"""Offers to a ring of 30,000 nodes: a transaction of the disk for as many as a call names, and a turn of the event
loop for everybody else between slices of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fieldline_gateway.errors import UsageError
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.operations import Caller, Operations, Role
from fieldline_gateway.slices import SLICE
from fieldline_gateway.updates import service
from fieldline_gateway.updates.config import UpdatesConfig
from fieldline_gateway.updates.state import Row, UpdateState
from fieldline_ota.rollout.gateways import RemoteGateway
from fieldline_wire.update.token import Token

DIGEST = bytes(range(32))
CALLER = Caller("release manager", Role.OPERATOR, "test")


def node(number: int) -> bytes:
    return number.to_bytes(8, "big")


def token(number: int) -> bytes:
    return Token(node(number), 1, bytes(8), DIGEST).to_bytes(bytes(32))


class Counted(UpdateState):
    """Counts its transactions."""

    saves: list[int]

    def save(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        self.saves.append(len(rows))
        super().save(rows)


class Site:
    """The part of a gateway that offers, with `count` nodes enrolled."""

    def __init__(self, folder: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "UpdateState", Counted)
        Counted.saves = []
        states: dict[bytes, Any] = {node(i): SimpleNamespace(link=None) for i in range(1, count + 1)}
        ingest: Any = SimpleNamespace(
            states=states, downlinks=SimpleNamespace(say=lambda *_: None), updates=None
        )
        self.updates = service.Updates(
            UpdatesConfig(), folder, 115200, ingest, lambda: Moment(0, 0), lambda: None
        )
        self.updates._serving.catalogue.releases[DIGEST.hex()] = SimpleNamespace()  # type: ignore[assignment]
        self.operations = Operations()
        self.updates.add_to(self.operations)
        self.folder = folder

    async def ask(self, operation: str, **arguments: Any) -> Any:
        return await self.operations.call(CALLER, operation, arguments)

    def offered(self) -> int:
        with sqlite3.connect(self.folder / "updates.db") as db:
            return int(db.execute("SELECT count(*) FROM node WHERE offered != ''").fetchone()[0])


def test_a_thousand_offers_are_one_transaction_and_let_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, 2500, monkeypatch)

    async def scenario() -> None:
        async with site.updates:
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            busy = asyncio.create_task(others())
            numbers = range(1, 1001)
            told = await site.ask(
                "updates.offer", digest=DIGEST.hex(), nodes=[node(i).hex() for i in numbers],
                tokens=[token(i).hex() for i in numbers],
            )  # fmt: skip
            busy.cancel()
            assert len(told["offered"]) == 1000 and told["refused"] == {}
            assert turns >= 1000 // SLICE
            assert Counted.saves == [1000] and site.offered() == 1000, "on disk when it is answered"
            told = await site.ask("updates.withdraw", nodes=[node(i).hex() for i in numbers])
            assert len(told["withdrawn"]) == 1000
            assert Counted.saves == [1000, 1000] and site.offered() == 0

    asyncio.run(scenario())


def test_one_node_that_is_refused_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, 3, monkeypatch)

    async def scenario() -> None:
        async with site.updates:
            told = await site.ask(
                "updates.offer", digest=DIGEST.hex(), nodes=[node(i).hex() for i in (1, 2, 3, 4)],
                tokens=[token(i).hex() for i in (1, 3, 3, 4)],
            )  # fmt: skip
            assert told["offered"] == [node(1).hex(), node(3).hex()]
            assert "not one of this node" in told["refused"][node(2).hex()]
            assert "no enrolled node" in told["refused"][node(4).hex()]
            assert site.offered() == 2
            with pytest.raises(UsageError, match="1 to 1000"):
                await site.ask("updates.withdraw", nodes=[])

    asyncio.run(scenario())


def test_a_rollout_hands_in_30000_tokens_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, 30_000, monkeypatch)
    gateway = RemoteGateway("one", socket=tmp_path / "none")
    tokens = {node(i).hex(): token(i) for i in range(1, 30_001)}

    async def scenario() -> None:
        async with site.updates:
            loop = asyncio.get_running_loop()

            def asked(operation: str, **arguments: Any) -> Any:
                return asyncio.run_coroutine_threadsafe(site.ask(operation, **arguments), loop).result()

            monkeypatch.setattr(gateway, "_ask", asked)
            assert await asyncio.to_thread(gateway.offer, DIGEST.hex(), tokens) == {}
            assert site.offered() == 30_000
            print(f"{len(Counted.saves)} transactions for {len(tokens)} nodes")
            assert len(Counted.saves) <= 60
            assert await asyncio.to_thread(gateway.withdraw, list(tokens)) == {}
            assert site.offered() == 0

    asyncio.run(scenario())
