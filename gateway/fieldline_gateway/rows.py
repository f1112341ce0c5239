"""What `live` tells of a node beside its readings: labels, and after how long it is silent.

Rules: asked for each node at each look, so it is made anew only when the node's settings or labels are other objects
than before; both are replaced when they change, never changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Desired = Mapping[bytes, tuple[int, bytes]]


class RowExtras:
    """Callable as live.Live wants it. `silent_ms`: by the node's settings; `labels`: those that it has."""

    def __init__(
        self,
        desired: Callable[[], Desired],
        labels: Callable[[bytes], Mapping[str, Any]],
        silent_ms: Callable[[bytes], int],
    ) -> None:
        self._desired = desired
        self._labels = labels
        self._silent_ms = silent_ms
        self._known: dict[bytes, tuple[object, object, Mapping[str, Any]]] = {}

    def __call__(self, node: bytes) -> Mapping[str, Any]:
        wanted, labels = self._desired().get(node), self._labels(node)
        known = self._known.get(node)
        if known is not None and known[0] is wanted and known[1] is labels:
            return known[2]
        told = {"silent_ms": self._silent_ms(node), **labels}
        self._known[node] = wanted, labels, told
        return told
