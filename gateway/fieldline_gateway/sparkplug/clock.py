"""The time, as an argument.

Rules: two clocks, because the first is set while the gateway runs, and intervals must not notice.
"""

from __future__ import annotations

from typing import NamedTuple


class Now(NamedTuple):
    """One moment on both clocks."""

    utc_ms: int
    """ms since 1970: what is written into messages."""
    mono_ms: int
    """ms of a clock that never steps: what intervals are measured by."""
