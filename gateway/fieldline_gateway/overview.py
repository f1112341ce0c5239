"""The gateway's own state in parts, as the page, `gateway top` and /metrics show it: plain JSON values, no secrets.

Rules: reads state, changes nothing. What differs at each look only because time goes on (an uptime) is left out, so
that a part is told again only when something happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from fieldline_gateway.config import Config
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.records import CLASS_NAMES
from fieldline_gateway.sinks.make import AnySink
from fieldline_gateway.store.store import Store

OLDEST_S = 10.0
"""How often the age of the oldest records is read from the disk, while somebody looks."""


class Overview:
    """Looks at the gateway's parts."""

    def __init__(
        self,
        config: Config,
        identity: tuple[int, int],
        store: Store,
        sinks: Sequence[AnySink],
        links: Callable[[], list[dict[str, object]]],
        ingest: Ingest,
        utc_ms: Callable[[], int],
    ) -> None:
        """`identity`: the gateway's id and the number of this run."""
        self._store = store
        self._sinks = sinks
        self._links = links
        self._ingest = ingest
        self._oldest: dict[int, int] = {}
        self._looked_s = -OLDEST_S
        self._gateway = {
            "name": config.name,
            "id": identity[0],
            "run": identity[1],
            "version": version("fieldline"),
            "started_ms": utc_ms(),
            "silent_ms": config.silent_ms,
        }

    async def look_at_store(self) -> None:
        """Read from the disk what parts() tells from memory, if that was long ago."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= OLDEST_S:
            self._looked_s = now_s
            self._oldest = await self._store.history.oldest_ms()

    def parts(self) -> dict[str, Any]:
        """By name; each is compared with what was told before."""
        told = self._store.status()
        classes = {
            name: {**each, "oldest_ms": self._oldest.get(CLASS_NAMES.index(name))}
            for name, each in told["classes"].items()  # type: ignore[attr-defined]
        }
        return {
            "gateway": self._gateway,
            "store": {key: value for key, value in told.items() if key != "sinks"} | {"classes": classes},
            "sinks": [_sink(sink, told["sinks"][sink.name]) for sink in self._sinks],  # type: ignore[index]
            "links": self._links(),
            "refused": {kind: count for kind, count in self._ingest.refusals.counts.items() if count},
        }


def _sink(sink: AnySink, place: dict[str, Any]) -> dict[str, Any]:
    """A sink, and its place in the store."""
    return {
        "sink": sink.name,
        **sink.status(),
        "lag": place["lag"],
        "backlog": sum(place["backlog"].values()),
    }
