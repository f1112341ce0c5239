"""Many packets at once: a run of QoS 1 PUBLISH to bytes, and bytes to a run of PUBACK.

Rules: the bytes are those that one packet after the other would give; only the cost differs. At 50,000
messages a second nothing may be done once a message that can be done once a run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import byteorder

from fieldline_gateway.mqtt.codec.fields import MAX_PACKET_ID, remaining_length

_PUBACK = b"\x40"  # type 4, no flags (3.4.1)
_TWO = b"\x02"  # its remaining length
_IDS = [n.to_bytes(2, "big") for n in range(MAX_PACKET_ID + 1)]


@dataclass(frozen=True, slots=True)
class PubackRun:
    """PUBACKs that came one after the other."""

    packet_ids: Sequence[int]


def encode_publishes(
    messages: Iterable[tuple[bytes, bytes]], first: int, *, dup: bool = False, retain: bool = False
) -> bytes:
    """QoS 1 PUBLISH packets as one buffer.

    messages: (topic as fields.text gives it, payload). first: packet identifier of the first; the others
    count up and go from 65,535 to 1.
    """
    head = 0x32 | dup << 3 | retain
    parts: list[bytes] = []
    lengths: dict[int, bytes] = {}  # fixed header by remaining length: a run has few
    ids = _IDS
    ident = first
    for topic, payload in messages:
        length = len(topic) + 2 + len(payload)
        fixed = lengths.get(length)
        if fixed is None:
            fixed = lengths[length] = bytes((head,)) + remaining_length(length)
        parts += (fixed, topic, ids[ident], payload)
        ident = ident + 1 if ident < MAX_PACKET_ID else 1
    return b"".join(parts)


def decode_pubacks(data: bytes | bytearray, at: int) -> Sequence[int]:
    """Packet identifiers of the right PUBACKs that stand in `data` from `at` on; 4 bytes each are used up."""
    count = (len(data) - at) // 4
    run = bytes(data[at : at + 4 * count])
    firsts, lengths = run[::4], run[1::4]
    count -= max(len(firsts.lstrip(_PUBACK)), len(lengths.lstrip(_TWO)))
    words = array("H", run[: 4 * count])
    if byteorder == "little":
        words.byteswap()
    ids = words[1::2]
    return ids[: ids.index(0)] if 0 in ids else ids  # 0 is an error, to be found in its place
