"""The vendor model that carries Fieldline's sealed messages, with its own acknowledgment (docs/mesh.md 5).

Rules: a message is acknowledged when it is whole at the other end, not when it is stored: that is the session's
Ack, by number (wire.md 6). One message a peer is under way; the order is kept. The clear header of the seal is
left out where the peer has it from a message before; the seal covers it all the same.
"""

import struct
from binascii import crc32

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fragments import Assembler, split
from fieldline_wire.mesh.access import Model, vendor_opcode
from fieldline_wire.seal import UPLINK_OVERHEAD, peek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.transport import Access

# 0xFFFF is the company identifier for internal use: Fieldline has none assigned by the Bluetooth SIG yet.
COMPANY = const(0xFFFF)
SEALED_NODE = const(0x0001)  # the same model on both ends: a node's
SEALED_GATEWAY = const(0x0002)  # and a gateway's

MAX_UNIT = const(368)  # bytes of a sealed message in one access message; a longer one goes in fragments
MAX_QUEUED = const(12)  # messages to a peer that wait: one of 2,048 bytes in fragments, and some
TRIES = const(4)
ACK_MS = const(1200)  # from the last segment's acknowledgment to ours
_RETRY_MS = const(700)  # after a failed transport, doubled each time
_LOST_MS = const(20000)  # transport always says what became of a message; this is in case it does not
_RECENT = const(8)  # messages of a peer told apart from new ones
_COUNTER_WINDOW = const(0x4000)  # a short counter is understood this far from the context's

_DATA = const(1)
_ACK = const(2)
_DATA_CODE = 0xC1FFFF
_ACK_CODE = 0xC2FFFF
_KIND_FULL = const(0)
_KIND_FRAGMENT = const(1)
_SHORT = const(0x80)
_TAKEN = const(0)
_WANTS_FULL = const(1)


class Context:
    """The clear header of a sealed message without its counter: what two ends may share (docs/mesh.md 5.2)."""

    __slots__ = ("counter", "hash", "head", "tail")

    def __init__(self, sealed: bytes) -> None:
        """PeerError where `sealed` is no sealed message."""
        header = peek(sealed)
        self.counter = header.counter
        self.head = sealed[:14]
        self.tail = sealed[18 : header.size]
        self.hash = crc32(self.head + self.tail + struct.pack(">I", self.counter)) & 0x7FFF

    def shorten(self, sealed: bytes) -> "bytes | None":
        """`sealed` without what the context says; None where it is another's, or too far on."""
        size = 18 + len(self.tail)
        if len(sealed) < UPLINK_OVERHEAD or sealed[:14] != self.head or sealed[18:size] != self.tail:
            return None
        counter = struct.unpack_from(">I", sealed, 14)[0]
        if not 0 <= counter - self.counter < _COUNTER_WINDOW:
            return None
        return struct.pack(">HH", _SHORT << 8 | self.hash, counter & 0xFFFF) + sealed[size:]

    def restore(self, short: bytes) -> bytes:
        """The sealed message of shorten(); PeerError where it is of another context."""
        if len(short) < 4:
            raise PeerError("half a short header")
        mark, low = struct.unpack_from(">HH", short)
        if mark & 0x7FFF != self.hash:
            raise PeerError("a short header of another context")
        counter = self.counter + (low - self.counter & 0xFFFF) & 0xFFFFFFFF
        return self.head + struct.pack(">I", counter) + self.tail + short[4:]


class _Flight:
    """A message that was sent and not acknowledged; transport tells it what became of it."""

    __slots__ = ("access", "due", "id", "tries", "unit")

    def __init__(self, number: int, unit: "tuple[int, bytes]") -> None:
        self.id = number
        self.unit = unit  # kind, and the unit in full
        self.access = b""
        self.tries = 0
        self.due = 0

    def sent(self, now: int, ok: bool) -> None:
        """From transport: all segments were acknowledged, or it gave up."""
        self.due = now + (ACK_MS if ok else _RETRY_MS << self.tries)


class Peer:
    """What we share with one address."""

    __slots__ = ("assembler", "flight", "heard_at", "last_id", "ours", "queue", "recent", "theirs")

    def __init__(self) -> None:
        self.queue: list[tuple[int, bytes]] = []
        self.flight: _Flight | None = None
        self.last_id = 0
        self.recent: list[int] = []
        self.ours: Context | None = None  # of what we send, known to the peer
        self.theirs: Context | None = None
        self.assembler = Assembler(2)
        self.heard_at = 0


class SealedModel(Model):
    """`received(now, address, sealed)` takes a message. `max_peers` bounds who is remembered."""

    company = COMPANY
    OPCODES = (_DATA_CODE, _ACK_CODE)

    def __init__(
        self, model_id: int, received: "Callable[[int, int, bytes], None]", max_peers: int, key_index: int = 0
    ) -> None:
        super().__init__()
        self.model_id = model_id
        self.key_index = key_index
        self._received = received
        self._max_peers = max_peers
        self.peers: dict[int, Peer] = {}
        self._message_id = 0
        self.counts = {"sent": 0, "again": 0, "given_up": 0, "received": 0, "twice": 0}

    def send(self, now: int, address: int, sealed: bytes) -> bool:
        """Queues a sealed message to the node at `address`; False where too many wait: it is not sent."""
        peer = self._peer(now, address)
        if len(sealed) <= MAX_UNIT:
            units = [(_KIND_FULL, sealed)]
        else:
            self._message_id = (self._message_id + 1) & 0xFF
            units = [(_KIND_FRAGMENT, one) for one in split(sealed, MAX_UNIT, self._message_id)]
        if len(peer.queue) + len(units) > MAX_QUEUED:
            return False
        peer.queue += units
        self._next(now, address, peer)
        return True

    def waiting(self, address: int) -> int:
        """How many messages to `address` are queued or under way."""
        peer = self.peers.get(address)
        return 0 if peer is None else len(peer.queue) + (peer.flight is not None)

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Data, or an acknowledgment of ours."""
        if len(data) < 2:
            raise PeerError("a sealed model's message of %d bytes" % len(data))
        peer = self._peer(now, message.src)
        peer.heard_at = now
        if code == _ACK_CODE:
            self._acknowledged(now, message.src, peer, data[0], data[1])
            return None
        number, kind = data[0], data[1]
        mark = crc32(data) & 0xFFFFFF  # a peer that started anew may use an id again, for something else
        if mark in peer.recent:
            self.counts["twice"] += 1
            return vendor_opcode(_ACK, COMPANY) + bytes((number, _TAKEN))
        sealed: bytes | None = None
        if kind & _SHORT:
            try:
                if peer.theirs is None:
                    raise PeerError("no context")
                sealed = peer.theirs.restore(data[1:])
            except PeerError:
                return vendor_opcode(_ACK, COMPANY) + bytes((number, _WANTS_FULL))
        elif kind == _KIND_FULL:
            sealed = data[2:]
            peer.theirs = Context(sealed)
        elif kind == _KIND_FRAGMENT:
            sealed = peer.assembler.feed(now, data[2:])
        else:
            raise PeerError("kind %d" % kind)
        peer.recent = peer.recent[-(_RECENT - 1) :] + [mark]
        if sealed is not None:
            self.counts["received"] += 1
            self._received(now, message.src, sealed)
        return vendor_opcode(_ACK, COMPANY) + bytes((number, _TAKEN))

    def poll(self, now: int) -> int:
        """Sends again what was not acknowledged; ms until the next such."""
        wait = 3600000
        for address, peer in list(self.peers.items()):
            flight = peer.flight
            if flight is None:
                if not peer.queue:
                    continue
                self._next(now, address, peer)
                wait = min(wait, _RETRY_MS)
            elif now >= flight.due:
                self._again(now, address, peer, flight)
                wait = min(wait, _RETRY_MS)
            else:
                wait = min(wait, flight.due - now)
        return wait

    def _peer(self, now: int, address: int) -> Peer:
        peer = self.peers.get(address)
        if peer is None:
            if len(self.peers) >= self._max_peers:
                oldest = min(self.peers, key=lambda one: self.peers[one].heard_at)
                del self.peers[oldest]
            peer = self.peers[address] = Peer()
            peer.heard_at = now
            if self.node is not None:  # ids of an earlier boot are not taken for ours
                peer.last_id = self.node.random(1)[0]
        return peer

    def _next(self, now: int, address: int, peer: Peer) -> None:
        if peer.flight is None and peer.queue:
            peer.last_id = (peer.last_id + 1) & 0xFF
            peer.flight = _Flight(peer.last_id, peer.queue.pop(0))
            self._transmit(now, address, peer, peer.flight)

    def _transmit(self, now: int, address: int, peer: Peer, flight: _Flight) -> None:
        kind, unit = flight.unit
        short = peer.ours.shorten(unit) if kind == _KIND_FULL and peer.ours is not None else None
        body = bytes((kind,)) + unit if short is None else short
        payload = vendor_opcode(_DATA, COMPANY) + bytes((flight.id,)) + body
        flight.due = now + _LOST_MS
        assert self.node is not None
        if self.node.keys.app(self.key_index) is None or not self.node.send(
            now, address, self.key_index, payload, self.element, token=flight
        ):
            flight.due = now + _RETRY_MS
            flight.tries -= 1  # it was not tried: there was no room
            return
        self.counts["sent"] += 1

    def _again(self, now: int, address: int, peer: Peer, flight: _Flight) -> None:
        flight.tries += 1
        if flight.tries >= TRIES:
            self.counts["given_up"] += 1
            peer.flight = None
            peer.ours = None  # the peer may have started anew
            self._next(now, address, peer)
            return
        self.counts["again"] += 1
        self._transmit(now, address, peer, flight)

    def _acknowledged(self, now: int, address: int, peer: Peer, number: int, status: int) -> None:
        flight = peer.flight
        if flight is None or flight.id != number:
            return
        if self.node is not None:
            self.node.transport.cancel(now, flight)
        if status == _WANTS_FULL:
            if peer.ours is not None:
                peer.ours = None
                self._transmit(now, address, peer, flight)
            return
        kind, unit = flight.unit
        if kind == _KIND_FULL and (peer.ours is None or peer.ours.shorten(unit) is None):
            peer.ours = Context(unit)
        peer.flight = None
        self._next(now, address, peer)
