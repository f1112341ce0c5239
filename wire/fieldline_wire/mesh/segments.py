"""Segmentation and reassembly with acknowledgments and timers (Mesh Profile 1.0.1, 3.5.3).

Rules: what a peer can make us hold is bounded: one message a source, MAX_INCOMING sources; a newer message
of a source replaces its older one. A slot that is silent gives way, so that messages that never complete
starve nobody. `now` in ms.
"""

from fieldline_wire.codes import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.keys import Subnet
    from fieldline_wire.mesh.lower import Segment
    from fieldline_wire.mesh.network import NetworkPdu

# 3.5.3.3 and 3.5.3.4: the shortest times allowed
ACK_MS = const(150)
SEGMENT_MS = const(200)
PER_TTL_MS = const(50)
# Beyond the shortest: the peer says which segments it lacks no sooner than ACK_MS + PER_TTL_MS x TTL after the first,
# and its acknowledgment takes its time over the relays. Who does not wait for it sends all of them again for nothing.
_ROUND_TRIP_MS = const(200)
INCOMPLETE_MS = const(10000)
# Between two segments of a message: who relays one is deaf to the next, and near relays repeat it at the same time;
# three copies of one take a radio 36 ms. Both ends wait for it: what is still in the relays' queues is not asked for
# (in a busy mesh a chunk of an update, 24 segments, went five times).
SPACING_MS = const(50)

MAX_INCOMING = const(4)  # 4 x 384 bytes of a node's heap; a gateway asks for more
MAX_DONE = const(4)  # for each slot: finished messages whose late segments are still answered
_YIELD_MS = const(2000)  # a slot silent for so long may be taken over
UNICAST_TRIES = const(5)
GROUP_TRIES = const(3)  # 3.5.3.3: at least two, nobody acknowledges
_GROUP_MS = const(300)


class Incoming:
    """A message of which some segments came. `seq_auth` as lower.seq_auth()."""

    __slots__ = (
        "ack_at",
        "dead_at",
        "dst",
        "have",
        "heard_at",
        "key",
        "last",
        "long_mic",
        "parts",
        "seq_auth",
        "src",
        "subnet",
        "ttl",
    )

    def __init__(self, pdu: "NetworkPdu", segment: "Segment", seq_auth: int, subnet: "Subnet") -> None:
        self.src = pdu.src
        self.dst = pdu.dst
        self.ttl = pdu.ttl
        self.subnet = subnet
        self.seq_auth = seq_auth
        self.key = segment.key
        self.long_mic = segment.long_mic
        self.last = segment.last
        self.parts: list[bytes] = [b""] * (segment.last + 1)
        self.have = 0
        self.ack_at = 0  # 0: the acknowledgment timer does not run
        self.dead_at = 0
        self.heard_at = 0

    def matches(self, pdu: "NetworkPdu", segment: "Segment") -> bool:
        """Whether `segment` can be one of this message."""
        return (
            pdu.dst == self.dst
            and segment.last == self.last
            and segment.key == self.key
            and segment.long_mic == self.long_mic
        )

    def add(self, now: int, segment: "Segment", acknowledge: bool, ttl: int) -> bool:
        """Takes a segment; whether it was new. `ttl` that an acknowledgment will travel under."""
        bit = 1 << segment.offset
        new = not self.have & bit
        if new:
            self.parts[segment.offset] = segment.data
            self.have |= bit
            self.dead_at = now + INCOMPLETE_MS
        self.heard_at = now
        if acknowledge and not self.ack_at:
            self.ack_at = now + ACK_MS + PER_TTL_MS * ttl + SPACING_MS * max(0, self.last - 3)
        return new

    def complete(self) -> bool:
        """Whether all segments are here."""
        return self.have == (1 << self.last + 1) - 1


class Reassembly:
    """The unfinished messages, and which were finished lately."""

    __slots__ = ("_done", "_size", "incoming", "refused")

    def __init__(self, size: int = MAX_INCOMING) -> None:
        self._size = size
        self.incoming: dict[int, Incoming] = {}  # by source
        self._done: list[list[int]] = []  # [source, SeqAuth, last segment, highest seq heard, when answered]
        self.refused = 0  # messages for which no slot was free

    def slot(self, now: int, fresh: Incoming) -> bool:
        """Makes room for `fresh`; False where there is none."""
        if fresh.src not in self.incoming and len(self.incoming) >= self._size:
            silent = min(self.incoming.values(), key=lambda one: one.heard_at)
            if now - silent.heard_at < _YIELD_MS:
                self.refused += 1
                return False
            del self.incoming[silent.src]
        self.incoming[fresh.src] = fresh
        return True

    def finish(self, now: int, message: Incoming, seq: int) -> None:
        """The message is whole and was delivered, or was refused for good."""
        self.incoming.pop(message.src, None)
        self._done = [row for row in self._done if row[0] != message.src][-(MAX_DONE * self._size - 1) :]
        self._done.append([message.src, message.seq_auth, message.last, seq, now])

    def late(self, now: int, src: int, seq_auth: int, seq: int) -> "int | None":
        """Of a segment of a finished message: segment count - 1 where it is to be answered once more, else -1.

        None where it is of no such message. Only one with a new sequence number is answered, for what is played
        back verbatim gets nothing, and one of those that come together.
        """
        for row in self._done:
            if row[0] == src and row[1] == seq_auth:
                if seq <= row[3] or now - row[4] < ACK_MS:
                    return -1
                row[3] = seq
                row[4] = now
                return row[2]
        return None

    def expire(self, now: int) -> None:
        """Drops what did not complete in its time."""
        for src in [src for src, one in self.incoming.items() if now >= one.dead_at]:
            del self.incoming[src]


class Outgoing:
    """A segmented message on its way out. `missing`: bits of segments not yet acknowledged."""

    __slots__ = (
        "dst",
        "due",
        "iv_index",
        "missing",
        "segments",
        "seq",
        "src",
        "subnet",
        "token",
        "tries",
        "ttl",
        "unicast",
    )

    def __init__(
        self,
        src: int,
        dst: int,
        ttl: int,
        iv_index: int,
        seq: int,
        subnet: "Subnet",
        segments: "list[Segment]",
        token: object,
        unicast: bool,
    ) -> None:
        self.src = src
        self.dst = dst
        self.ttl = ttl
        self.iv_index = iv_index
        self.seq = seq  # SeqAuth's
        self.subnet = subnet
        self.segments = segments
        self.missing = (1 << len(segments)) - 1
        self.token = token
        self.unicast = unicast
        self.tries = 0
        self.due = 0

    def again(self, now: int) -> "list[Segment] | None":
        """The segments to send, SPACING_MS apart from now; None where the tries are used up."""
        if self.tries >= (UNICAST_TRIES if self.unicast else GROUP_TRIES):
            return None
        self.tries += 1
        missing = [one for one in self.segments if self.missing >> one.offset & 1]
        wait = SEGMENT_MS + PER_TTL_MS * self.ttl + _ROUND_TRIP_MS if self.unicast else _GROUP_MS
        wait += SPACING_MS * len(missing)
        # Twice as long, then four times: where it is the mesh that is busy, more of the same does not help.
        self.due = now + (wait << min(self.tries - 1, 2))
        return missing

    def acknowledged(self, block: int) -> bool:
        """Takes a BlockAck; whether it brought anything."""
        before = self.missing
        self.missing &= ~block
        if self.missing != before:
            self.tries = 0  # the peer is there: it gets all tries for what is left, and the first timer
        return self.missing != before
