"""The Friend: holds what is said to low-power nodes until they ask for it (Mesh Profile 1.0.1, 3.6.6.3).

Rules: so many low-power nodes, offers, procedures and held messages, and no more, whoever asks; one that is not
polled for its PollTimeout is forgotten. Sans-IO: its node hands in PDUs and calls poll() when due() has come.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import friendship as wire
from fieldline_wire.mesh import lower
from fieldline_wire.mesh.friend_queue import Held, Queue, pack, stored_ttl
from fieldline_wire.mesh.friendship import MAX_SUBSCRIPTIONS, Friendship, Offer, Request, Update
from fieldline_wire.mesh.lower import Segment
from fieldline_wire.mesh.network import NetworkPdu, is_unicast
from fieldline_wire.mesh.segments import Reassembly
from fieldline_wire.mesh.transport import WAIT_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.friend_node import FriendNode
    from fieldline_wire.mesh.keys import Subnet

MAX_LPNS = const(2)  # of a node: 2 x 32 PDUs of 45 bytes of heap; a gateway asks for more
QUEUE = const(32)  # PDUs: the longest message
WINDOW_MS = const(150)  # our ReceiveWindow: an answer waits for an advert that is on air, and for a busy app
MAX_OFFERS = const(4)  # beside the friendships: requests to which we said, or are to say, that we can
MAX_CLEARS = const(4)  # friends of before that are told, and friendships of before that are answered for
_POLL_MS = const(1100)  # 3.6.6.3.1: after an offer the low-power node polls within 1 s, or takes another
_CLEAR_MS = const(1000)  # 3.6.6.3.1: then twice as long each time, until two PollTimeouts are over
_COPIES = const(2)  # of an answer: within the window
_MIN_TTL = const(2)  # 3.5.5: what came at less goes no further
MAX_ELEMENTS = const(8)  # of a low-power node: who claims more claims its neighbours' messages


class Lpn:
    """A low-power node whose friend we are, or have offered to be."""

    __slots__ = (
        "answer",
        "answer_at",
        "dead_at",
        "delay",
        "elements",
        "established",
        "friendship",
        "fsn",
        "number",
        "offer",
        "previous",
        "queue",
        "sent",
        "timeout_ms",
        "told",
    )

    def __init__(
        self, friendship: Friendship, request: Request, offer: Offer, size: int, number: int
    ) -> None:
        self.friendship = friendship
        self.elements = request.elements
        self.delay = request.delay
        self.timeout_ms = 100 * request.timeout
        self.previous = request.previous
        self.offer = offer
        self.queue = Queue(size)
        self.established = False
        self.fsn = -1  # of the last poll
        self.answer_at = 0  # 0: none is due
        self.answer = b""  # what is due where it is no answer to a poll
        self.sent: bytes | None = None  # the message that answered the last poll
        self.told: tuple[int, int] | None = None  # flags and IV index, as it was told last
        self.number = number  # IV index and sequence number of what it said last: a poll played back is none
        self.dead_at = 0

    def is_for(self, dst: int) -> bool:
        """Whether a message to `dst` is held for it."""
        return dst in self.queue.subscriptions or self.owns(dst)

    def owns(self, address: int) -> bool:
        """Whether `address` is one of its elements'."""
        return 0 <= address - self.friendship.lpn < self.elements


class Friend:
    """The role of one node. `rssi`: of the advert at hand, where the bearer tells it."""

    def __init__(self, node: "FriendNode", lpns: int, size: int, window: int, incoming: int) -> None:
        self._node = node
        self._most = lpns
        self._size = size
        self._window = window
        self._counter = 0
        self.rssi = wire.NO_RSSI
        self.accepts: Callable[[int, int], bool] = _any  # (address, elements) of who asks
        self.lpns: list[Lpn] = []
        self._offers: list[tuple[int, Lpn, Subnet]] = []  # when it is made
        # [when, how often said, until, subnet, whom, low-power node, its counter]: Friend Clear
        self._clears: list[list[int]] = []
        self._cleared: list[tuple[int, int]] = []  # low-power nodes and their counters: confirmed again
        self._reassembly = Reassembly(incoming)
        self.counts = dict.fromkeys(
            ("requests", "refused", "offers", "established", "ended", "held", "dropped"), 0
        )

    def begin(self, counter: int) -> None:
        """FriendCounter begins at `counter`."""
        self._counter = counter & 0xFFFF

    def serves(self, dst: int) -> bool:
        """Whether a message to `dst` is held for anybody."""
        return any([one.established and one.is_for(dst) for one in self.lpns])

    def end_all(self) -> None:
        """The feature was switched off (4.2.13), or the node has left."""
        for one in list(self.lpns):
            self._end(one)
        self._offers = []
        self._clears = []

    def poll_timeout(self, now: int, address: int) -> int:
        """100 ms that are left until the friendship with `address` is over; 0: there is none (4.2.16)."""
        for one in self.lpns:
            if one.established and one.friendship.lpn == address:
                return max(1, (one.dead_at - now) // 100)
        return 0

    # --- what comes

    def take(self, now: int, subnet: "Subnet", pdu: NetworkPdu, own: bool = False) -> None:
        """A PDU for a low-power node of ours, or of our own to one: it is held. PeerError where it is malformed."""
        takers = [
            one
            for one in self.lpns
            if one.established
            and one.friendship.index == subnet.index
            and one.is_for(pdu.dst)
            and not one.owns(pdu.src)
        ]
        if not takers or not (own or pdu.ttl >= _MIN_TTL):
            return
        if pdu.ctl:
            code = wire.opcode(pdu.transport)
            if code == lower.OPCODE_ACK:
                for one in takers:
                    one.queue.add_ack(pack(pdu, stored_ttl(pdu)))
            elif not wire.POLL <= code <= wire.LIST_CONFIRM:
                self._hold(takers, [pack(pdu, stored_ttl(pdu))])
        elif pdu.transport[0] & 0x80:
            self._segment(now, subnet, pdu, takers, own)
        else:
            self._hold(takers, [pack(pdu, stored_ttl(pdu))])

    def control(self, now: int, subnet: "Subnet", pdu: NetworkPdu, under: "Friendship | None") -> None:
        """A friendship's control message to us; PeerError where it is malformed or none of ours."""
        data, code = pdu.transport, wire.opcode(pdu.transport)
        if code == wire.REQUEST and under is None and pdu.dst == wire.ALL_FRIENDS:
            self._requested(now, subnet, pdu)
        elif code == wire.CLEAR and under is None:
            self._clear(now, subnet, pdu)
        elif code == wire.CLEAR_CONFIRM and under is None:
            told = [pdu.src] + list(wire.read_clear(data))
            self._clears = [row for row in self._clears if row[4:] != told]
        elif under is not None and pdu.src == under.lpn:
            lpn, number = self._of(under), _number(pdu)
            if lpn is None or number <= lpn.number:
                return
            lpn.number = number
            if code == wire.POLL:
                self._polled(now, lpn, wire.read_poll(data))
            elif code in (wire.LIST_ADD, wire.LIST_REMOVE) and lpn.established:
                transaction, addresses = wire.read_listed(data)
                lpn.queue.subscribe(addresses, code == wire.LIST_ADD)
                self._alive(now, lpn)
                lpn.answer = wire.list_confirm(transaction)

    def _requested(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        request = Request.from_bytes(pdu.transport)
        node, lpn = self._node, pdu.src
        self.counts["requests"] += 1
        others = [one for one in self.lpns if one.established and one.friendship.lpn != lpn]
        self.lpns = [one for one in self.lpns if one.established or one.friendship.lpn != lpn]
        self._offers = [row for row in self._offers if row[1].friendship.lpn != lpn]
        self._listen()
        if (
            len(others) >= self._most
            or len(self._offers) + len(self.lpns) >= self._most + MAX_OFFERS
            or request.queue() > self._size
            or request.elements > MAX_ELEMENTS
            or not is_unicast(lpn + request.elements - 1)
            or not self.accepts(lpn, request.elements)
        ):
            self.counts["refused"] += 1
            return
        offer = Offer(self._window, self._size, MAX_SUBSCRIPTIONS, self.rssi, self._counter)
        self._counter = (self._counter + 1) & 0xFFFF
        ours = node.settings.address
        bond = Friendship(node.aes, subnet.index, lpn, ours, request.counter, offer.counter)
        due = now + request.offer_ms(self._window, self.rssi)
        self._offers.append((due, Lpn(bond, request, offer, self._size, _number(pdu)), subnet))

    def _polled(self, now: int, lpn: Lpn, fsn: int) -> None:
        if not lpn.established:
            self._establish(now, lpn)
        elif fsn != lpn.fsn:
            if lpn.sent is not None:
                lpn.queue.taken(lpn.sent)
            lpn.sent = None
        lpn.fsn = fsn
        lpn.answer = b""
        self._alive(now, lpn)

    def _alive(self, now: int, lpn: Lpn) -> None:
        lpn.dead_at = now + lpn.timeout_ms
        lpn.answer_at = now + lpn.delay

    def _establish(self, now: int, lpn: Lpn) -> None:
        bond = lpn.friendship
        for other in list(self.lpns):
            if other is not lpn and other.friendship.lpn == bond.lpn:
                lpn.queue.take_over(other.queue)
                self._end(other)
        if len([one for one in self.lpns if one.established]) >= self._most:  # another was faster
            self._drop(lpn)
            raise PeerError("no room for low-power node 0x%04x" % bond.lpn)
        lpn.established = True
        self.counts["established"] += 1
        self._cleared = [row for row in self._cleared if row[0] != bond.lpn]
        if is_unicast(lpn.previous) and lpn.previous != bond.friend:
            until = now + 2 * lpn.timeout_ms
            told = [now, 0, until, bond.index, lpn.previous, bond.lpn, bond.lpn_counter]
            self._clears = self._clears[-(MAX_CLEARS - 1) :] + [told]

    def _clear(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        """3.6.6.3.1: another is its friend now, or it wants none; one of before by its counter is no news."""
        lpn, counter = wire.read_clear(pdu.transport)
        known = (lpn, counter) in self._cleared
        for one in list(self.lpns):
            bond = one.friendship
            if bond.lpn == lpn and counter - bond.lpn_counter & 0xFFFF < 256:
                self._end(one)
                known = True
        if known:
            self._cleared = [row for row in self._cleared if row[0] != lpn][-(MAX_CLEARS - 1) :] + [
                (lpn, counter)
            ]
            ttl = wire.CLEAR_TTL if pdu.ttl else 0
            self._send(now, subnet, pdu.src, ttl, wire.clear(lpn, counter, True))

    # --- what is held

    def _hold(self, takers: "list[Lpn]", pdus: "list[bytes]") -> None:
        for one in takers:
            if len(pdus) <= self._size and one.queue.add(list(pdus)):
                self.counts["held"] += 1

    def _segment(self, now: int, subnet: "Subnet", pdu: NetworkPdu, takers: "list[Lpn]", own: bool) -> None:
        """Segments are held when all are there, and acknowledged on behalf of the low-power node (3.5.3.4)."""
        segment = Segment.from_bytes(pdu.transport)
        auth = lower.seq_auth(pdu.iv_index, pdu.seq, segment.seq_zero)
        unicast, box = is_unicast(pdu.dst), self._reassembly
        message = box.incoming.get(pdu.src)
        if message is None or message.seq_auth != auth:
            last = box.late(now, pdu.src, auth, pdu.seq)
            if last is not None:
                if unicast and (last >= 0 or own):
                    self._acknowledge(now, subnet, pdu, auth, (1 << segment.last + 1) - 1)
                return
            if message is not None and auth < message.seq_auth:
                return  # an older one than that under way
            if segment.last >= self._size:
                if unicast:
                    self._acknowledge(now, subnet, pdu, auth, 0)
                return
            message = Held(pdu, segment, auth, subnet)
            if not box.slot(now, message):
                return
        elif not message.matches(pdu, segment):
            raise PeerError("a segment of 0x%04x does not fit the others" % pdu.src)
        message.hold(now, pdu, segment, unicast, self._node.transport.default_ttl)  # type: ignore[attr-defined]
        if message.complete():
            box.finish(now, message, pdu.seq)
            self._hold(takers, message.parts)
            if unicast:
                self._acknowledge(now, subnet, pdu, auth, message.have)

    def _acknowledge(self, now: int, subnet: "Subnet", pdu: NetworkPdu, auth: int, block: int) -> None:
        if self._node.is_ours(pdu.src):
            self._node.held(auth & 0x1FFF, pdu.dst, block)
        else:
            ttl = self._node.transport.ttls.get(pdu.src, self._node.transport.default_ttl) if pdu.ttl else 0
            self._send(now, subnet, pdu.src, ttl, lower.ack(auth & 0x1FFF, block, True))

    # --- what time brings about

    def poll(self, now: int) -> None:
        """Offers, answers, clears and ends that are due."""
        for row in list(self._offers):
            if now >= row[0]:
                self._offers.remove(row)
                self._offer(now, row[1], row[2])
        for one in list(self.lpns):
            if now >= one.dead_at:
                self._end(one)
            elif one.answer_at and now >= one.answer_at:
                one.answer_at = 0
                self._answer(now, one)
        for told in list(self._clears):
            if now >= told[2]:
                self._clears.remove(told)
            elif now >= told[0]:
                told[0] = now + (_CLEAR_MS << told[1])
                told[1] += 1
                subnet = self._node.network.subnet(told[3])
                if subnet is not None:
                    self._send(now, subnet, told[4], wire.CLEAR_TTL, wire.clear(told[5], told[6]))
        self._reassembly.expire(now)
        for message in self._reassembly.incoming.values():
            if message.ack_at and now >= message.ack_at:
                message.ack_at = 0
                first = NetworkPdu(0, message.ttl, 0, message.src, message.dst, 0, b"")
                self._acknowledge(now, message.subnet, first, message.seq_auth, message.have)

    def due(self, now: int) -> int:
        """When poll() has something to do."""
        due = now + WAIT_MS
        for row in self._offers:
            due = min(due, row[0])
        for one in self.lpns:
            due = min(due, one.dead_at, one.answer_at or due)
        for clear in self._clears:
            due = min(due, clear[0])
        for message in self._reassembly.incoming.values():
            due = min(due, message.dead_at, message.ack_at or due)
        return due

    def _offer(self, now: int, lpn: Lpn, subnet: "Subnet") -> None:
        self.counts["offers"] += 1
        lpn.dead_at = now + _POLL_MS
        self.lpns.append(lpn)
        self._listen()
        self._node.say(now, subnet, lpn.friendship.lpn, lpn.offer.to_bytes(), None, _COPIES)

    def _answer(self, now: int, lpn: Lpn) -> None:
        """To a poll or a change of the list, under the friendship's keys."""
        bond, node = lpn.friendship, self._node
        subnet = node.network.subnet(bond.index)
        if subnet is None:
            self._end(lpn)
            return
        if lpn.answer:
            node.say(now, subnet, bond.lpn, lpn.answer, bond, _COPIES)
            return
        state = node.security(subnet)
        head = lpn.queue.head()
        if lpn.told != state or head is None:
            lpn.told = state
            lpn.sent = None
            update = Update(state[0], state[1], head is not None)
            node.say(now, subnet, bond.lpn, update.to_bytes(), bond, _COPIES)
        else:
            lpn.sent = head
            node.pass_to(now, subnet, head, bond, _COPIES)

    def _send(self, now: int, subnet: "Subnet", dst: int, ttl: int, data: bytes) -> None:
        self._node.transport.send_control(now, subnet, self._node.settings.address, dst, ttl, data)

    def _of(self, bond: Friendship) -> "Lpn | None":
        for one in self.lpns:
            if one.friendship is bond:
                return one
        return None

    def _end(self, lpn: Lpn) -> None:
        """The friendship is over, and what was held is given up."""
        if lpn.established:
            self.counts["ended"] += 1
        self._drop(lpn)

    def _drop(self, lpn: Lpn) -> None:
        self.lpns.remove(lpn)
        self.counts["dropped"] += lpn.queue.dropped + lpn.queue.messages()
        self._listen()
        incoming = self._reassembly.incoming
        for src in [src for src, message in incoming.items() if not self.serves(message.dst)]:
            del incoming[src]

    def _listen(self) -> None:
        self._node.friend_network.friendships = [one.friendship for one in self.lpns]


def _number(pdu: NetworkPdu) -> int:
    return pdu.iv_index << 24 | pdu.seq


def _any(address: int, elements: int) -> bool:
    return True
