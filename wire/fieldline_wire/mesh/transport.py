"""Lower and upper transport of a node: messages in and out, acknowledged and told from replays (3.5, 3.6).

Rules: synchronous and without I/O: what goes out is handed to `emit`, what came to `deliver`. A message is
marked as taken before it takes effect. A whole segmented message is judged by the sequence number it set out
with, so that its segments under new numbers are no second message (Mesh Profile 1.0.1, 3.8.8).
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import lower
from fieldline_wire.mesh.keys import ApplicationKey
from fieldline_wire.mesh.lower import Heartbeat, Segment
from fieldline_wire.mesh.network import FIRST_GROUP, FIRST_VIRTUAL, NetworkPdu, is_unicast
from fieldline_wire.mesh.segments import SPACING_MS, Incoming, Outgoing, Reassembly
from fieldline_wire.mesh.upper import Seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.counters import Counters
    from fieldline_wire.mesh.keys import AppKey, Subnet
    from fieldline_wire.mesh.memory import ReplayList
    from fieldline_wire.ports import Block

MAX_OUTGOING = const(2)  # for each reassembly slot: segmented messages under way or waiting
# Segmented messages in their first try at once. More would only wait in the advertiser while their timers run
# out, and be sent again for nothing: a gateway with a hundred nodes came to a stop by that.
MAX_UNDER_WAY = const(4)
DEVICE_KEY = -1  # key_index of a message under our device key: to our Configuration Server
REMOTE_KEY = -2  # under its sender's: an answer to who configures it
NO_TTL = -1  # send() takes the default
WAIT_MS = const(3600000)  # wait_ms() where nothing is due


class Access:
    """An access message that came. key_index: its AppKey's, DEVICE_KEY or REMOTE_KEY; label: of a virtual dst."""

    __slots__ = ("dst", "key_index", "label", "net_index", "payload", "src", "ttl")

    def __init__(
        self, src: int, dst: int, ttl: int, net_index: int, key_index: int, payload: bytes, label: bytes
    ) -> None:
        self.src = src
        self.dst = dst
        self.ttl = ttl
        self.net_index = net_index
        self.key_index = key_index
        self.payload = payload
        self.label = label


class Keys:
    """The keys that transport may use; the node's configuration fills it."""

    __slots__ = ("app_keys", "device", "labels", "remote")

    def __init__(self, device: "Block") -> None:
        self.device = device
        self.app_keys: list[AppKey] = []
        self.labels: list[tuple[int, bytes]] = []  # virtual addresses we listen to
        # Device keys of other nodes, for who configures them: address -> Block or None.
        self.remote: Callable[[int], Block | None] = _no_key

    def app(self, index: int) -> "AppKey | None":
        """The AppKey of an index."""
        for key in self.app_keys:
            if key.index == index:
                return key
        return None

    def applications(self, subnet: "Subnet", aid: int) -> "list[tuple[int, ApplicationKey]]":
        """(index, key) of each that `aid` may mean in a subnet."""
        found = []
        for app in self.app_keys:
            if app.net_index == subnet.index:
                for key in (app.key, app.new):
                    if key is not None and key.aid == aid:
                        found.append((app.index, key))
        return found


class Transport:
    """`emit(now, subnet, pdu)` sends a network PDU; `deliver(now, access)` takes a message; `sent(now, token,
    ok)` says what became of a segmented one; `heartbeat(now, src, hops, features)` tells of a heartbeat."""

    __slots__ = (
        "_counters",
        "_deliver",
        "_emit",
        "_heartbeat",
        "_max_outgoing",
        "_outgoing",
        "_replay",
        "_sent",
        "_waiting",
        "default_ttl",
        "heartbeats_of",
        "keys",
        "reassembly",
        "refused",
        "repeats",
        "replays",
        "ttls",
    )

    def __init__(
        self,
        counters: "Counters",
        replay: "ReplayList",
        keys: Keys,
        emit: "Callable[[int, Subnet, NetworkPdu], None]",
        deliver: "Callable[[int, Access], None]",
        sent: "Callable[[int, object, bool], None]",
        heartbeat: "Callable[[int, int, int, int], None]",
        incoming: int,
    ) -> None:
        self._counters = counters
        self._replay = replay
        self.keys = keys
        self._emit = emit
        self._deliver = deliver
        self._sent = sent
        self._heartbeat = heartbeat
        self.reassembly = Reassembly(incoming)
        self._max_outgoing = MAX_OUTGOING * incoming
        self._outgoing: list[Outgoing] = []
        # Segmented messages that wait for their destination to be free. bits: AKF and AID.
        self._waiting: list[tuple[int, int, Subnet, Block, int, bytes, int, object, bytes, int]] = []
        self.default_ttl = 5
        self.ttls: dict[int, int] = {}  # of destinations that are known to be nearer
        self.heartbeats_of = (0, 0)  # source and destination of those we listen to (4.2.18); source 0: of all
        self.repeats = 0  # segments sent again
        self.replays = 0
        self.refused = 0  # messages whose MIC or form was wrong

    def busy(self) -> bool:
        """Whether a segmented message is under way: the IV index must stay (3.10.5)."""
        return bool(self._outgoing)

    def send(
        self,
        now: int,
        subnet: "Subnet",
        src: int,
        dst: int,
        key: "ApplicationKey | Block",
        payload: bytes,
        ttl: int = NO_TTL,
        token: object = None,
        label: bytes = b"",
        segmented: bool = False,
        long_mic: int = 0,
    ) -> bool:
        """Sends an access message under an ApplicationKey, or a Block that is a device key.

        False where too many segmented messages wait; UsageError where the payload is too long. A `token` is
        handed to `sent` when a segmented message has come to its end; at once for an unsegmented one.
        """
        if ttl < 0:
            ttl = self._ttl(dst)
        bits = 0
        if isinstance(key, ApplicationKey):
            bits = lower.key_bits(key.aid)
            key = key.block
        if len(payload) + 4 <= lower.MAX_UNSEGMENTED and not segmented and not long_mic:
            self._send_whole(now, subnet, src, dst, key, bits, payload, ttl, label)
            if token is not None:
                self._sent(now, token, True)
            return True
        lower.cut(payload + bytes(8 if long_mic else 4))
        if len(self._outgoing) + len(self._waiting) >= self._max_outgoing:
            return False
        self._waiting.append((dst, src, subnet, key, bits, payload, ttl, token, label, long_mic))
        self._start(now)
        return True

    def _ttl(self, dst: int) -> int:
        return self.ttls.get(dst, self.default_ttl)

    def cancel(self, now: int, token: object) -> None:
        """Takes back a segmented message that has reached its end by other news; `sent` is not told."""
        for out in self._outgoing:
            if out.token is token:
                self._outgoing.remove(out)
                self._start(now)
                return

    def send_control(self, now: int, subnet: "Subnet", src: int, dst: int, ttl: int, data: bytes) -> None:
        """An unsegmented control message."""
        seq = self._counters.take(now)
        pdu = NetworkPdu(1, ttl, seq, src, dst, self._counters.sending_iv(), data)
        self._emit(now, subnet, pdu)

    def receive(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        """A network PDU that is for us; PeerError where it is malformed, a replay or forged."""
        if pdu.ctl:
            self._control(now, pdu)
        elif pdu.transport[0] & 0x80:
            self._segment(now, subnet, pdu)
        else:
            if not self._replay.fresh(pdu.src, pdu.iv_index, pdu.seq):
                self._replayed(pdu)
            data, auth = pdu.transport, pdu.iv_index << 24 | pdu.seq
            self._open(now, subnet, pdu, data[0], 0, auth, data[1:])

    def poll(self, now: int) -> None:
        """What time brings about: acknowledgments, retransmissions, timeouts."""
        self.reassembly.expire(now)
        for one in list(self.reassembly.incoming.values()):
            if one.ack_at and now >= one.ack_at:
                one.ack_at = 0
                self._acknowledge(now, one.subnet, one.dst, one.src, one.ttl, one.seq_auth, one.have)
        for out in list(self._outgoing):
            if now >= out.due:
                self._push(now, out)
        if self._waiting:
            self._start(now)

    def wait_ms(self, now: int) -> int:
        """How long poll() has nothing to do if nothing happens."""
        due = now + WAIT_MS
        for one in self.reassembly.incoming.values():
            due = min(due, one.dead_at, one.ack_at or due)
        for out in self._outgoing:
            due = min(due, out.due)
        return max(0, due - now)

    def _send_whole(
        self,
        now: int,
        subnet: "Subnet",
        src: int,
        dst: int,
        block: "Block",
        bits: int,
        payload: bytes,
        ttl: int,
        label: bytes,
    ) -> None:
        seq = self._counters.take(now)
        iv_index = self._counters.sending_iv()
        upper = Seal(bool(bits), 0, seq, src, dst, iv_index, label).close(block, payload)
        self._emit(now, subnet, NetworkPdu(0, ttl, seq, src, dst, iv_index, bytes((bits,)) + upper))

    def _start(self, now: int) -> None:
        """Starts waiting messages whose destination has none under way (3.6.4.1: one at a time)."""
        for job in list(self._waiting):
            if sum([out.tries < 2 for out in self._outgoing]) >= MAX_UNDER_WAY:
                return
            dst, src, subnet, block, bits, payload, ttl, token, label, long_mic = job
            if any([out.dst == dst and out.src == src for out in self._outgoing]):
                continue
            self._waiting.remove(job)
            last = len(lower.cut(payload + bytes(8 if long_mic else 4))) - 1
            seq = self._counters.take(now, last + 1)
            iv_index = self._counters.sending_iv()
            seal = Seal(bool(bits), long_mic, seq, src, dst, iv_index, label)
            parts = lower.cut(seal.close(block, payload))
            segments = [Segment(bits, long_mic, seq & 0x1FFF, i, last, parts[i]) for i in range(last + 1)]
            out = Outgoing(src, dst, ttl, iv_index, seq, subnet, segments, token, is_unicast(dst))
            self._outgoing.append(out)
            self._push(now, out)

    def _push(self, now: int, out: Outgoing) -> None:
        first = not out.due
        segments = out.again(now)
        if segments is None:
            self._end(now, out, not out.unicast)
            return
        # The first time around the numbers are those that were taken with SeqAuth.
        seq = out.seq
        if not first:
            self.repeats += len(segments)
            seq = self._counters.take(now, len(segments))
        for segment in segments:
            pdu = NetworkPdu(0, out.ttl, seq, out.src, out.dst, out.iv_index, segment.to_bytes())
            self._emit(now, out.subnet, pdu)
            now += SPACING_MS
            seq += 1

    def _end(self, now: int, out: Outgoing, ok: bool) -> None:
        self._outgoing.remove(out)
        if out.token is not None:
            self._sent(now, out.token, ok)
        self._start(now)

    def _control(self, now: int, pdu: NetworkPdu) -> None:
        opcode = pdu.transport[0]
        if opcode == lower.OPCODE_ACK:
            on_behalf, zero, block = lower.read_ack(pdu.transport)
            for out in self._outgoing:
                if (on_behalf or out.dst == pdu.src) and out.src == pdu.dst and out.seq & 0x1FFF == zero:
                    self._count(pdu)
                    self._acked(now, out, block)
                    return
        elif opcode == lower.OPCODE_HEARTBEAT and self.heartbeats_of in ((pdu.src, pdu.dst), (0, pdu.dst)):
            self._count(pdu)
            beat = Heartbeat.from_bytes(pdu.transport)
            self._heartbeat(now, pdu.src, beat.ttl - pdu.ttl + 1, beat.features)

    def _acked(self, now: int, out: Outgoing, block: int) -> None:
        if not block:  # the peer will not take it
            self._end(now, out, False)
        elif out.acknowledged(block):
            if not out.missing:
                self._end(now, out, True)
            else:
                self._push(now, out)

    def _count(self, pdu: NetworkPdu) -> None:
        """A control message is taken once; PeerError for a replay."""
        if not self._replay.fresh(pdu.src, pdu.iv_index, pdu.seq):
            self._replayed(pdu)
        self._replay.take(pdu.src, pdu.iv_index, pdu.seq)

    def _replayed(self, pdu: NetworkPdu) -> None:
        self.replays += 1
        raise PeerError("0x%04x said number %d again" % (pdu.src, pdu.seq))

    def _segment(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        segment = Segment.from_bytes(pdu.transport)
        auth = lower.seq_auth(pdu.iv_index, pdu.seq, segment.seq_zero)
        unicast = is_unicast(pdu.dst)
        message = self.reassembly.incoming.get(pdu.src)
        if message is None or message.seq_auth != auth:
            last = self.reassembly.late(now, pdu.src, auth, pdu.seq)
            if last is not None:
                if unicast and last >= 0:
                    all_bits = (1 << last + 1) - 1
                    self._acknowledge(now, subnet, pdu.dst, pdu.src, pdu.ttl, auth, all_bits)
                return
            if message is not None and auth < message.seq_auth:
                self._replayed(pdu)  # an older message than the one under way
            if not self._replay.fresh(pdu.src, pdu.iv_index, auth & 0xFFFFFF):
                self._replayed(pdu)
            message = Incoming(pdu, segment, auth, subnet)
            if not self.reassembly.slot(now, message):
                return
        elif not message.matches(pdu, segment):
            raise PeerError("0x%04x: a segment of another message" % pdu.src)
        message.add(now, segment, unicast, self._ttl(pdu.src))
        if not message.complete():
            return
        self.reassembly.finish(now, message, pdu.seq)
        if unicast:
            self._acknowledge(now, subnet, pdu.dst, pdu.src, pdu.ttl, auth, message.have)
        upper = b"".join(message.parts)
        self._open(now, subnet, pdu, message.key, message.long_mic, auth, upper)

    def _acknowledge(
        self, now: int, subnet: "Subnet", src: int, dst: int, ttl: int, auth: int, block: int
    ) -> None:
        """3.5.3.4: TTL 0 is answered with TTL 0."""
        data = lower.ack(auth & 0x1FFF, block)
        self.send_control(now, subnet, src, dst, ttl and self._ttl(dst), data)

    def _open(
        self, now: int, subnet: "Subnet", pdu: NetworkPdu, key: int, long_mic: int, auth: int, upper: bytes
    ) -> None:
        """Takes a whole upper transport PDU apart; PeerError where no key of ours opens it."""
        application = lower.is_application(key)
        virtual = FIRST_VIRTUAL <= pdu.dst < FIRST_GROUP
        labels = [label for address, label in self.keys.labels if address == pdu.dst] if virtual else [b""]
        for index, block in self._candidates(subnet, pdu, application, key & 0x3F):
            for label in labels:
                seq, iv_index = auth & 0xFFFFFF, auth >> 24
                seal = Seal(application, long_mic, seq, pdu.src, pdu.dst, iv_index, label)
                try:
                    payload = seal.open(block, upper)
                except PeerError:
                    continue
                self._replay.take(pdu.src, iv_index, seq)
                access = Access(pdu.src, pdu.dst, pdu.ttl, subnet.index, index, payload, label)
                self._deliver(now, access)
                return
        self.refused += 1
        raise PeerError("no key opens a message of 0x%04x" % pdu.src)

    def _candidates(
        self, subnet: "Subnet", pdu: NetworkPdu, application: bool, aid: int
    ) -> "list[tuple[int, Block]]":
        if application:
            return [(index, key.block) for index, key in self.keys.applications(subnet, aid)]
        if not is_unicast(pdu.dst):
            return []
        found = [(DEVICE_KEY, self.keys.device)]
        remote = self.keys.remote(pdu.src)
        if remote is not None:
            found.append((REMOTE_KEY, remote))
        return found


def _no_key(address: int) -> "Block | None":
    return None
