"""The Low Power node's part of a friendship (Mesh Profile 1.0.1, 3.6.6.4): finds a friend, asks it, loses it.

Rules: sans-IO: its node tells what came and what went on air, calls poll() when due() has come, and lets the radio
listen where listening() says so and at no other time. A friend that does not answer, or that carries nothing, is
given up and another is looked for; without one the node still says what it has, and listens for what answers that.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.mesh import friendship as wire
from fieldline_wire.mesh.friendship import Friendship, Offer, Request, Update
from fieldline_wire.mesh.network import ALL_NODES, NetworkPdu
from fieldline_wire.mesh.transport import WAIT_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.low_power_node import LowPowerNode

POLL_MS = const(
    10000
)  # between two polls where nothing is awaited: so late is a message to this node at most
RECEIVE_DELAY_MS = const(100)  # the radio rests while the friend, or the gateway behind a bridge, gets ready
POLL_TRIES = const(6)  # in a row without an answer: the friend is gone
_TIMEOUTS = const(6)  # PollTimeout in polls
_QUEUE_LOG = const(5)  # 32 PDUs: the longest message
_MIN_GAP_MS = const(20)  # between an answer and the next question
_EARLY_MS = const(10)  # the radio is on so long before the window opens,
_LATE_MS = const(30)  # and after it closes: our advert took its event, the friend's takes another

_OFFERS_MS = const(700)  # from the request on; the last offer leaves us 400 ms for a poll
_FIRST_OFFER_MS = const(90)  # 3.6.6.3.1: no offer before 100 ms
MAX_OFFERS = const(4)  # the best of them are kept
FIRST_PAUSE_MS = const(2000)  # between two requests; 3.6.6.4.1: at least 1.1 s
LONGEST_PAUSE_MS = const(60000)
_ALONE_MS = const(2000)  # without a friend the radio listens for so long after what we say or are told

DOUBTS = const(4)  # segmented messages in a row that nobody acknowledged: the friend carries nothing
_AVOID_MS = const(600000)  # so long another is preferred to one that was doubted; twice as long each time
MAX_AVOIDED = const(4)

_IDLE = const(0)
_OFFERS = const(1)
_ANSWER = const(2)


class LowPower:
    """The role of one node. `friend`: its address, 0 while there is none. Times in ms."""

    def __init__(self, node: "LowPowerNode", poll_ms: int, receive_delay: int) -> None:
        self._node = node
        self._delay = receive_delay
        self.poll_ms = poll_ms
        self.friend = 0
        self._bond: Friendship | None = None
        self._window = 0
        self._previous = 0
        self._counter = 0  # LPNCounter: of the next request
        self._state = _IDLE
        self._next_at = 0  # the next question to the friend, or the next request
        self._asked = b""  # what is to be answered, as it went to the advertiser
        self._open_at = 0  # 0: it is not on air yet
        self._close_at = 0
        self._pause = FIRST_PAUSE_MS
        self._tries = 0
        self._fsn = 0
        self._number = -1  # IV index and sequence number of what the friend said last
        self._offers: list[tuple[int, int, Offer]] = []  # [rank, whose, which]
        self._transaction = 0
        self._listed: list[int] = []  # addresses that the friend confirmed
        self._asks: tuple[int, list[int]] | None = None  # a change of them under way
        self._more = False
        self._said_at = -_ALONE_MS
        self._fails = 0
        self._avoided: dict[int, tuple[int, int]] = {}  # whom, until when, how often
        self.listened_ms = 0  # how long the radio was to listen
        self._since = 0
        self._was = False
        self.counts = dict.fromkeys(
            ("requests", "friends", "lost", "doubted", "polls", "answers", "silent"), 0
        )

    # --- what the node tells

    def begin(self, now: int, stored: "bytes | None") -> None:
        """Takes up what was stored: the friend of before, and its counter."""
        if stored and len(stored) == 4:
            self._previous, self._counter = struct.unpack(">HH", stored)
            self._counter = (self._counter + 1) & 0xFFFF
        self._next_at = self._since = now

    def said(self, now: int, data: bytes) -> None:
        """An advert of ours goes on air now."""
        self._said_at = now
        if data != self._asked or self._open_at:
            return
        if self._state == _OFFERS:
            self._open_at = now + _FIRST_OFFER_MS
            self._close_at = now + _OFFERS_MS
        elif self._state == _ANSWER:
            self._open_at = now + max(1, self._delay - _EARLY_MS)
            self._close_at = now + self._delay + self._window + _LATE_MS

    def spoken_to(self, now: int) -> None:
        """Something came for us: without a friend, more of it is listened for."""
        self._said_at = now

    def offered(self, now: int, src: int, number: int, data: bytes) -> None:
        """A Friend Offer to us; PeerError where it is malformed."""
        offer = Offer.from_bytes(data)
        if self._state != _OFFERS or offer.queue < 1 << _QUEUE_LOG:
            return
        until = self._avoided.get(src, (0, 0))[0]
        # The strongest first; of one that was doubted not much is expected.
        rank = (
            (0 if offer.rssi == wire.NO_RSSI else offer.rssi)
            - offer.window // 8
            - (1000 if now < until else 0)
        )
        rows = [row for row in self._offers if row[1] != src] + [(rank, src, offer)]
        self._offers = sorted(rows, key=lambda row: -row[0])[:MAX_OFFERS]
        self._number = number

    def answered(self, now: int, pdu: "NetworkPdu | None") -> None:
        """A PDU came under the friendship's keys; `pdu` where it is the friend's own control message."""
        if self._state != _ANSWER or not self._open_at:
            return
        code = wire.opcode(pdu.transport) if pdu is not None else -1
        if pdu is not None and code in (wire.UPDATE, wire.LIST_CONFIRM):
            number = pdu.iv_index << 24 | pdu.seq
            if number <= self._number:
                return
            self._number = number
        if self._asks is not None:
            if (
                code == wire.LIST_CONFIRM
                and pdu is not None
                and pdu.transport[1:] == bytes((self._transaction,))
            ):
                self._confirmed(now)
            return
        if code == wire.LIST_CONFIRM:
            return
        self._more = True
        if code == wire.UPDATE and pdu is not None:
            self._updated(now, pdu)
        self._fsn ^= 1
        self._rest(now, _MIN_GAP_MS if self._more else self.poll_ms)

    def carried(self, now: int, ok: bool) -> None:
        """What became of a segmented message of ours."""
        self._fails = 0 if ok else self._fails + 1
        if self._fails >= DOUBTS and self.friend:
            self.doubt(now)

    def doubt(self, now: int) -> None:
        """The friend answers, and carries nothing: another one is preferred for a while."""
        if not self.friend:
            return
        times = self._avoided.get(self.friend, (0, 0))[1]
        if len(self._avoided) >= MAX_AVOIDED and self.friend not in self._avoided:
            del self._avoided[min(self._avoided, key=lambda one: self._avoided[one][0])]
        self._avoided[self.friend] = (now + (_AVOID_MS << times), min(times + 1, 6))
        self.counts["doubted"] += 1
        self.end(now)

    def end(self, now: int) -> None:
        """Ends the friendship: the friend is told once (3.6.6.4.2), and another is looked for."""
        bond = self._bond
        if bond is not None:
            self._node.say(now, bond.friend, wire.clear(bond.lpn, bond.lpn_counter), None)
            self._previous = 0
        self._lose(now)

    def forget(self) -> None:
        """The node has left its network."""
        self._bond = self._asks = None
        self.friend = self._previous = 0
        self._state = _IDLE
        self._node.bind(None)

    # --- what time brings about

    def listening(self, now: int) -> bool:
        """Whether the radio has to listen."""
        if self._state != _IDLE and self._open_at and self._open_at <= now < self._close_at:
            return True
        if self.friend:
            return False
        return now - self._said_at < _ALONE_MS or self._node.transport.busy()

    def poll(self, now: int) -> None:
        """Asks what is due; gives up what was not answered."""
        self._measure(now)
        if self._state == _IDLE:
            if now >= self.ask_at():
                self._ask(now)
        elif self._open_at and now >= self._close_at:
            if self._state == _OFFERS:
                self._choose(now)
            else:
                self._silent(now)

    def due(self, now: int) -> int:
        """When poll() has something to do, or listening() changes."""
        if self._state == _IDLE:
            due = self.ask_at()
        elif not self._open_at:
            due = now + WAIT_MS
        else:
            due = self._open_at if now < self._open_at else self._close_at
        ends = self._said_at + _ALONE_MS
        return min(due, ends) if not self.friend and now < ends else due

    def ask_at(self) -> int:
        """When the next question is due: in time for the acknowledgment of what we said."""
        if not self.friend:
            return self._next_at
        acked = self._node.acked_at()
        lead = self._delay + self._window + _LATE_MS + _EARLY_MS
        return self._next_at if acked is None else min(self._next_at, acked - lead)

    def duty(self, now: int, since: int = 0) -> float:
        """Share of the time from `since` on in which the radio was to listen."""
        self._measure(now)
        return self.listened_ms / max(1, now - since)

    def _measure(self, now: int) -> None:
        if self._was:
            self.listened_ms += now - self._since
        self._since = now
        self._was = self.listening(now)

    # --- a friend is looked for

    def _ask(self, now: int) -> None:
        if self._bond is None:
            self._request(now)
        elif self._asks is None and self.friend and self._change():
            self._ask(now)
        elif self._asks is not None:
            self._question(now, wire.listed(self._asks[0], self._transaction, self._asks[1]))
        else:
            self.counts["polls"] += 1
            self._question(now, wire.poll(self._fsn))

    def _request(self, now: int) -> None:
        self.counts["requests"] += 1
        self._offers = []
        node = self._node
        timeout = max(_TIMEOUTS * self.poll_ms // 100, 100)
        criteria = wire.criteria(0, 0, _QUEUE_LOG)
        request = Request(criteria, self._delay, timeout, self._previous, len(node.elements), self._counter)
        self._state = _OFFERS
        self._open_at = 0
        self._asked = node.say(now, wire.ALL_FRIENDS, request.to_bytes(), None)

    def _choose(self, now: int) -> None:
        self._state = _IDLE
        counter = self._counter
        self._counter = (self._counter + 1) & 0xFFFF
        if not self._offers:
            self._next_at = now + self._pause + self._node.some(self._pause // 4)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_MS)
            return
        _, friend, offer = self._offers[0]
        node = self._node
        self._bond = Friendship(
            node.aes, node.net_index(), node.settings.address, friend, counter, offer.counter
        )
        node.bind(self._bond)
        self._window = offer.window
        self._fsn = self._tries = 0
        self._number = -1
        self._next_at = now

    def _updated(self, now: int, pdu: NetworkPdu) -> None:
        update = Update.from_bytes(pdu.transport)
        bond = self._bond
        assert bond is not None
        if not self.friend:
            self._node.keep(struct.pack(">HH", bond.friend, bond.lpn_counter))
            self.friend = self._previous = bond.friend
            self.counts["friends"] += 1
            self._pause = FIRST_PAUSE_MS
            self._transaction = self._fails = 0
            self._listed = []
            self._node.befriended()
        self._more = bool(update.more) or self._change(False)
        self._node.updated(now, update)

    # --- and asked

    def _question(self, now: int, data: bytes) -> None:
        assert self._bond is not None
        self._state = _ANSWER
        self._open_at = 0
        self._asked = self._node.say(now, self._bond.friend, data, self._bond)

    def _rest(self, now: int, gap: int) -> None:
        self._measure(now)
        self.counts["answers"] += 1
        self._state = _IDLE
        self._open_at = 0
        self._tries = 0
        self._next_at = now + gap

    def _silent(self, now: int) -> None:
        self.counts["silent"] += 1
        self._state = _IDLE
        self._open_at = 0
        self._tries += 1
        if self._tries >= (POLL_TRIES if self.friend else 2):
            if self.friend:
                self.counts["lost"] += 1
            self._lose(now)
        else:  # at once, then ever later: what is in the way may pass
            self._next_at = now + self._node.some(_MIN_GAP_MS << self._tries)

    def _lose(self, now: int) -> None:
        self._measure(now)
        self._bond = None
        self.friend = 0
        self._asks = None
        self._state = _IDLE
        self._fails = 0
        self._node.bind(None)
        self._next_at = now + self._node.some(self._pause)

    def _change(self, take: bool = True) -> bool:
        """Whether the friend's subscription list is to change; `take`: by the next message."""
        wanted = self._node.groups()
        add = [one for one in wanted if one not in self._listed]
        drop = [one for one in self._listed if one not in wanted]
        if take and (add or drop):
            code, addresses = (wire.LIST_REMOVE, drop) if drop else (wire.LIST_ADD, add)
            self._asks = (code, addresses[: wire.MAX_LISTED])
        return bool(add or drop)

    def _confirmed(self, now: int) -> None:
        assert self._asks is not None
        code, addresses = self._asks
        self._asks = None
        self._transaction = (self._transaction + 1) & 0xFF
        if code == wire.LIST_ADD:
            self._listed += addresses
        else:
            self._listed = [one for one in self._listed if one not in addresses]
        self._rest(now, _MIN_GAP_MS)


def groups_of(addresses: "list[int]") -> "list[int]":
    """The addresses that a friend is to hold messages for beside our own, each once."""
    found = [ALL_NODES]
    for one in addresses:
        if one not in found:
            found.append(one)
    return found
