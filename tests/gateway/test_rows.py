"""What `live` tells of a node beside its readings follows settings and labels, and is made anew only with them."""

from __future__ import annotations

from typing import Any

from fieldline_gateway.rows import RowExtras

NODE = bytes(8)


def test_it_is_made_anew_when_settings_or_labels_are_replaced_and_only_then() -> None:
    desired: dict[bytes, tuple[int, bytes]] = {}
    labels: dict[bytes, dict[str, Any]] = {NODE: {}}
    silent, asked = 750_000, 0

    def silent_ms(_: bytes) -> int:
        nonlocal asked
        asked += 1
        return silent

    extras = RowExtras(lambda: desired, lambda node: labels[node], silent_ms)
    first = extras(NODE)
    assert first == {"silent_ms": 750_000} and extras(NODE) is first and asked == 1
    labels[NODE] = {"tags": ["site:kiel"], "place": "hall 2"}
    assert extras(NODE) == {"silent_ms": 750_000, "tags": ["site:kiel"], "place": "hall 2"}
    silent, desired = 60_000, {NODE: (1, b"5000")}
    assert extras(NODE)["silent_ms"] == 60_000 and asked == 3
    assert extras(NODE) is extras(NODE)
