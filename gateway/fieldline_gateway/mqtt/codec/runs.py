"""Many packets at once: a run of QoS 1 PUBLISH to bytes, and bytes to a run of PUBACK.

Rules: the bytes are those that one packet after the other would give; only the cost differs. At 50,000
messages a second nothing may be done once a message that can be done once a run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import byteorder

from fieldline_gateway.mqtt.codec.fields import MAX_PACKET_ID, PUBLISH_IDS, remaining_length
from fieldline_gateway.mqtt.codec.reasons import NO_MATCHING_SUBSCRIBERS

_PUBACK = b"\x40"  # type 4, no flags (3.4.1)
_TWO = b"\x02"  # its remaining length
_THREE = b"\x03"  # the same of one with a reason code
_UNMATCHED = bytes((NO_MATCHING_SUBSCRIBERS,))
_IDS = [n.to_bytes(2, "big") for n in range(MAX_PACKET_ID + 1)]
_LENGTHS = [remaining_length(n) for n in range(512)]
"""Lengths of properties as they are often."""

_TOPIC_ALIAS = b"\x23"  # 5.0: 3.3.2.3.4
_NO_TOPIC = b"\0\0"


@dataclass(frozen=True, slots=True)
class PubackRun:
    """PUBACKs that came one after the other."""

    packet_ids: Sequence[int]


class Aliases:
    """Topic aliases that this side gave on one connection: the first `maximum` topics get one, for good."""

    __slots__ = ("known", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.known: dict[bytes, bytes] = {}
        """Topic, with its length, to the property that stands for it."""


def encode_publishes(
    messages: Iterable[tuple[bytes, bytes, bytes]], first: int, *, dup: bool = False, retain: bool = False
) -> bytes:
    """QoS 1 PUBLISH packets of MQTT 3.1.1 as one buffer; properties are left out.

    messages: (topic as fields.text gives it, payload, properties). first: packet identifier of the first; the
    others count up and go from PUBLISH_IDS to 1.
    """
    head = 0x32 | dup << 3 | retain
    parts: list[bytes] = []
    lengths: dict[int, bytes] = {}  # fixed header by remaining length: a run has few
    ids = _IDS
    ident = first
    for topic, payload, _ in messages:
        length = len(topic) + 2 + len(payload)
        fixed = lengths.get(length)
        if fixed is None:
            fixed = lengths[length] = bytes((head,)) + remaining_length(length)
        parts += (fixed, topic, ids[ident], payload)
        ident = ident + 1 if ident < PUBLISH_IDS else 1
    return b"".join(parts)


def encode_publishes_v5(
    messages: Iterable[tuple[bytes, bytes, bytes]],
    first: int,
    aliases: Aliases,
    *,
    dup: bool = False,
    retain: bool = False,
) -> bytes:
    """QoS 1 PUBLISH packets of MQTT 5.0 as one buffer, as above; properties without their length.

    A topic is written once and then stands as its alias, as far as there are any.
    """
    head = 0x32 | dup << 3 | retain
    parts: list[bytes] = []
    lengths: dict[int, bytes] = {}
    ids, known, maximum = _IDS, aliases.known, aliases.maximum
    ident = first
    for topic, payload, block in messages:
        alias = known.get(topic)
        if alias is not None:
            topic = _NO_TOPIC
            block = alias + block
        elif len(known) < maximum:
            alias = known[topic] = _TOPIC_ALIAS + ids[len(known) + 1]
            block = alias + block
        size = len(block)
        counted = _LENGTHS[size] if size < 512 else remaining_length(size)
        length = len(topic) + 2 + len(counted) + size + len(payload)
        fixed = lengths.get(length)
        if fixed is None:
            fixed = lengths[length] = bytes((head,)) + remaining_length(length)
        parts += (fixed, topic, ids[ident], counted, block, payload)
        ident = ident + 1 if ident < PUBLISH_IDS else 1
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
    return _up_to_0(words[1::2])


def decode_unmatched(data: bytes | bytearray, at: int) -> Sequence[int]:
    """The same for PUBACKs of 5.0 that say "no matching subscribers"; 5 bytes each are used up.

    A broker says it for every message as long as nobody listens.
    """
    count = (len(data) - at) // 5
    run = bytes(data[at : at + 5 * count])
    wrong = (len(run[::5].lstrip(_PUBACK)), len(run[1::5].lstrip(_THREE)), len(run[4::5].lstrip(_UNMATCHED)))
    count -= max(wrong)
    words = bytearray(2 * count)
    words[::2], words[1::2] = run[2 : 5 * count : 5], run[3 : 5 * count : 5]
    ids = array("H", bytes(words))
    if byteorder == "little":
        ids.byteswap()
    return _up_to_0(ids)


def _up_to_0(ids: array[int]) -> array[int]:
    """Identifier 0 is an error, to be found in its place."""
    return ids[: ids.index(0)] if 0 in ids else ids
