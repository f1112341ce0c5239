"""What was refused, counted by kind, and logged once for each kind and minute with what to do.

Rules: a hostile peer can fill neither the log nor the memory: kinds are fixed, a log line names one example.
"""

from __future__ import annotations

from fieldline_gateway import logs

LOG_INTERVAL_MS = 60_000

MALFORMED = "malformed"
UNKNOWN_NODE = "unknown-node"
REVOKED = "revoked"
WRONG_KEY = "wrong-key"
REPLAY = "replay"
CLONE = "clone"
ENDED_STREAM = "ended-stream"
BAD_MESSAGE = "bad-message"
UNEXPECTED = "unexpected"
TOO_SPARSE = "too-sparse"
OVER_LIMIT = "over-limit"

ADVICE = {
    MALFORMED: "noise, or something else speaks on this link: look at the link's wiring and counters",
    UNKNOWN_NODE: "if it is yours, enroll it: fieldline gateway enroll NODE_ID",
    REVOKED: "a revoked node still speaks: collect it, or enroll it again",
    WRONG_KEY: "its key is not the enrolled one, or somebody forges messages: enroll it with its present key",
    REPLAY: "one or two after a restart are normal; many mean that somebody records and replays messages",
    CLONE: "two devices use one id and key, or its flash was wiped: find the copy, then give the node a new key",
    ENDED_STREAM: "it counts in a stream that is over: a second device has its key, or its flash was restored",
    BAD_MESSAGE: "its seal is right and its content is not: its firmware is broken or newer than this gateway",
    UNEXPECTED: "it sent what only a gateway sends: its firmware is broken, or a gateway's messages come back",
    TOO_SPARSE: "its numbers have too many holes: its firmware is broken",
    OVER_LIMIT: "it sends more than [limits] lets one node; it keeps what is over and sends it later",
}


class Refusals:
    """Counters by kind; all start at zero so that status shows each."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(ADVICE, 0)
        self._logged_ms: dict[str, int] = {}

    def add(self, kind: str, now_ms: int, link: str, **example: object) -> None:
        """Count one; `now_ms` is monotonic."""
        self.counts[kind] += 1
        last = self._logged_ms.get(kind)
        if last is None or now_ms - last >= LOG_INTERVAL_MS:
            self._logged_ms[kind] = now_ms
            count = self.counts[kind]
            logs.event(
                logs.WARNING, f"refused-{kind}", link=link, **example, count=count, what_to_do=ADVICE[kind]
            )
