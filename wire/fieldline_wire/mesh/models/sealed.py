"""The vendor model that carries Fieldline's sealed messages (docs/mesh.md 5).

Rules: every message is sent in segments, so that transport's own acknowledgment says when it is whole at the other
end; whether it is stored says the session's Ack, by number (wire.md 6). One message a peer is under way; the order
is kept. The clear header of the seal is left out where the peer has it from a message before; the seal covers it
all the same, and who lacks it asks for the message in full.
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
_RETRY_MS = const(700)  # after a failed transport, doubled each time
_LOST_MS = const(120000)  # transport always says what became of a message; this is in case it does not
_RECENT = const(8)  # messages of a peer told apart from new ones
_COUNTER_WINDOW = const(0x4000)  # a short counter is understood this far from the context's

_DATA = const(1)
_IN_FULL = const(2)
_HEARD_STATUS = const(4)
_DATA_CODE = 0xC1FFFF
_IN_FULL_CODE = 0xC2FFFF
_HEARD_GET_CODE = 0xC3FFFF
_KIND_FULL = const(0)
_KIND_FRAGMENT = const(1)
_SHORT = const(0x80)
_SHORT_SIZE = const(4)


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
        if len(short) < _SHORT_SIZE:
            raise PeerError("half a header")
        mark, low = struct.unpack_from(">HH", short)
        if mark & 0x7FFF != self.hash:
            raise PeerError("another context")
        counter = self.counter + (low - self.counter & 0xFFFF) & 0xFFFFFFFF
        return self.head + struct.pack(">I", counter) + self.tail + short[_SHORT_SIZE:]


class _Flight:
    """A message under way; transport tells it what became of it."""

    __slots__ = ("_done", "body", "due", "peer", "tries", "unit")

    def __init__(self, peer: "Peer", unit: "tuple[int, bytes]", done: "Callable[[int, Peer], None]") -> None:
        self.peer = peer
        self.unit = unit  # kind, and the unit in full
        self.body = b""  # as it was sent last
        self.tries = 0
        self.due = 0
        self._done = done

    def sent(self, now: int, ok: bool) -> None:
        """From transport: all segments were acknowledged, or it gave up."""
        if self.peer.flight is not self:
            return  # it was given up
        if ok:
            self._done(now, self.peer)
        else:
            self.due = now + (_RETRY_MS << self.tries)


class Peer:
    """What we share with one address."""

    __slots__ = ("address", "assembler", "flight", "heard_at", "last", "ours", "queue", "recent", "theirs")

    def __init__(self, address: int) -> None:
        self.address = address
        self.queue: list[tuple[int, bytes]] = []
        self.flight: _Flight | None = None
        self.last: _Flight | None = None  # the one before: the peer may still ask for it in full
        self.recent: list[int] = []
        self.ours: Context | None = None  # of what we send, known to the peer
        self.theirs: Context | None = None
        self.assembler = Assembler(2)
        self.heard_at = 0


class SealedModel(Model):
    """`received(now, address, sealed)` takes a message. `max_peers` bounds who is remembered."""

    company = COMPANY
    OPCODES: "tuple[int, ...]" = (_DATA_CODE, _IN_FULL_CODE, _HEARD_GET_CODE)

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
        self._next(now, peer)
        return True

    def acquaint(self, now: int, address: int, ours: bytes, theirs: bytes) -> None:
        """Both ends know these sealed messages: what is like them goes without its clear header at once."""
        peer = self._peer(now, address)
        peer.ours = Context(ours)
        peer.theirs = Context(theirs)

    def waiting(self, address: int) -> int:
        """How many messages to `address` are queued or under way."""
        peer = self.peers.get(address)
        return 0 if peer is None else len(peer.queue) + (peer.flight is not None)

    def drop(self, now: int, address: int) -> None:
        """Takes back what is queued or under way to `address`."""
        peer = self.peers.get(address)
        if peer is not None:
            peer.queue = []
            if peer.flight is not None:
                assert self.node is not None
                self.node.transport.cancel(now, peer.flight)
                peer.flight = None
                peer.ours = None

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Data, the wish to have one in full, or the question whom we hear."""
        if code == _HEARD_GET_CODE:
            assert self.node is not None
            return vendor_opcode(_HEARD_STATUS, COMPANY) + self.node.network.heard.report()
        if len(data) < 2:
            raise PeerError("a message of %d bytes" % len(data))
        peer = self._peer(now, message.src)
        peer.heard_at = now
        assert self.node is not None
        network = self.node.network
        # At least so many: its TTL may be greater than ours
        hops = self.node.transport.default_ttl + 1 - message.ttl
        if network.toward[0] != message.src or hops < network.toward[1]:
            network.toward = (message.src, hops)
        if code == _IN_FULL_CODE:
            self._wanted_in_full(now, peer, data)
            return None
        kind = data[0]
        mark = crc32(data) & 0xFFFFFF
        if mark in peer.recent:
            self.counts["twice"] += 1
            return None
        sealed: bytes | None = None
        if kind & _SHORT:
            try:
                if peer.theirs is None:
                    raise PeerError("no context")
                sealed = peer.theirs.restore(data)
            except PeerError:
                return vendor_opcode(_IN_FULL, COMPANY) + data[:_SHORT_SIZE]
        elif kind == _KIND_FULL:
            sealed = data[1:]
            peer.theirs = Context(sealed)
        elif kind == _KIND_FRAGMENT:
            sealed = peer.assembler.feed(now, data[1:])
        else:
            raise PeerError("kind %d" % kind)
        peer.recent = peer.recent[-(_RECENT - 1) :] + [mark]
        if sealed is not None:
            self.counts["received"] += 1
            self._received(now, message.src, sealed)
        return None

    def poll(self, now: int) -> int:
        """Sends again what was not acknowledged; ms until the next such."""
        wait = 3600000
        for peer in list(self.peers.values()):
            flight = peer.flight
            if flight is None:
                if not peer.queue:
                    continue
                self._next(now, peer)
                wait = min(wait, _RETRY_MS)
            elif now >= flight.due:
                self._again(now, peer, flight)
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
            peer = self.peers[address] = Peer(address)
            peer.heard_at = now
        return peer

    def _next(self, now: int, peer: Peer) -> None:
        if peer.flight is None and peer.queue:
            peer.flight = _Flight(peer, peer.queue.pop(0), self._done)
            self._transmit(now, peer, peer.flight)

    def _transmit(self, now: int, peer: Peer, flight: _Flight) -> None:
        kind, unit = flight.unit
        short = peer.ours.shorten(unit) if kind == _KIND_FULL and peer.ours is not None else None
        flight.body = bytes((kind,)) + unit if short is None else short
        payload = vendor_opcode(_DATA, COMPANY) + flight.body
        flight.due = now + _LOST_MS
        assert self.node is not None
        if self.node.keys.app(self.key_index) is None or not self.node.send(
            now, peer.address, self.key_index, payload, self.element, token=flight, segmented=True
        ):
            flight.due = now + _RETRY_MS
            flight.tries -= 1  # it was not tried: there was no room
            return
        self.counts["sent"] += 1

    def _again(self, now: int, peer: Peer, flight: _Flight) -> None:
        flight.tries += 1
        assert self.node is not None
        self.node.transport.cancel(now, flight)
        if flight.tries >= TRIES:
            self.counts["given_up"] += 1
            peer.flight = None
            peer.ours = None  # the peer may have started anew
            self._next(now, peer)
            return
        self.counts["again"] += 1
        self._transmit(now, peer, flight)

    def _done(self, now: int, peer: Peer) -> None:
        """The message under way is whole at the peer."""
        flight = peer.flight
        assert flight is not None
        kind, unit = flight.unit
        if kind == _KIND_FULL and (peer.ours is None or peer.ours.shorten(unit) is None):
            peer.ours = Context(unit)
        peer.last = flight
        peer.flight = None
        self._next(now, peer)

    def _wanted_in_full(self, now: int, peer: Peer, start: bytes) -> None:
        """The peer lacks the context of a message that began with `start`."""
        flight = peer.flight
        if flight is not None and flight.body.startswith(start):
            assert self.node is not None
            self.node.transport.cancel(now, flight)
            peer.ours = None
            self._transmit(now, peer, flight)
        elif peer.last is not None and peer.last.body.startswith(start):
            peer.queue.insert(0, peer.last.unit)
            peer.last = None
            peer.ours = None
            self._next(now, peer)
