"""Which nodes are there: told once when it changes."""

from __future__ import annotations

from fieldline_gateway.presence import Change, Presence

A, B = b"a" * 8, b"b" * 8


async def look(presence: Presence, nodes: list[tuple[bytes, int]], now_ms: int) -> list[tuple[bytes, Change]]:
    return [change async for changes in presence.look(nodes, now_ms) for change in changes]


async def test_a_change_is_told_once() -> None:
    presence = Presence(1000)
    assert await look(presence, [(A, 0), (B, 500)], 1000) == [(B, Change.HEARD)]
    assert await look(presence, [(A, 900), (B, 900)], 1499) == [(A, Change.HEARD)]
    assert await look(presence, [(A, 900), (B, 1800)], 1900) == [(A, Change.SILENT)]
    assert await look(presence, [(A, 900), (B, 1800)], 1900) == []
    assert await look(presence, [(A, 900)], 1900) == [(B, Change.REMOVED)]
    assert await look(presence, [(A, 900)], 1900) == []


async def test_what_an_earlier_run_told_of_and_is_gone_is_taken_back() -> None:
    presence = Presence(1000)
    presence.expect([A, B])
    assert await look(presence, [(B, 0)], 0) == [(A, Change.REMOVED)]
