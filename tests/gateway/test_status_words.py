"""`fieldline gateway status` in words: what stands in the line of the mesh."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from fieldline_gateway.cli import show


def node(address: str, hops: int | None = 1, **more: Any) -> dict[str, Any]:
    base = {"address": address, "heard_s": 3.0, "lost": False, "usual_hops": hops, "relay": False, "open": []}
    return base | more


def said(mesh: dict[str, Any] | None) -> str:
    out = StringIO()
    store = {"bytes": 0, "max_bytes": 1024**2, "held": ""}
    told = {"nodes": [], "sinks": [], "store": store, "links": [], "refused": {}, "mesh": mesh}
    show(told, Console(file=out, width=80))
    return out.getvalue()


LOST = [node(f"010{at}", None, lost=True) for at in range(7)]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([], "mesh: 0 of 0 nodes heard\n"),
        ([node("0100")], "mesh: 1 of 1 node heard, 0 relays, at most 1 hop\n"),
        (
            [node("0100", relay=True), node("0101", 3, open=["ttl"]), node("0102", None, heard_s=None)],
            "mesh: 2 of 3 nodes heard, 1 never heard, 1 relay, at most 3 hops, 1 not all set yet\n",
        ),
        (LOST[:2], "mesh: 0 of 2 nodes heard, LOST 0100, 0101\n"),
        (LOST, "mesh: 0 of 7 nodes heard, LOST 0100, 0101, 0102, 0103, 0104 and 2 more\n"),
    ],
)
def test_the_mesh_has_a_line(nodes: list[dict[str, Any]], words: str) -> None:
    assert words in said({"nodes": nodes})


def test_a_gateway_without_a_mesh_says_nothing_of_one() -> None:
    assert "mesh" not in said(None)
