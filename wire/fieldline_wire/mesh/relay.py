"""The network layer of a node: what is heard once, what is for us, what is passed on (Mesh Profile 1.0.1, 3.4.6).

Rules: a PDU byte for byte as one before costs a look-up and no AES; one heard before at another TTL costs one
AES call; only what passed its NetMIC enters the cache. `air` is the advertiser; `proxy` takes PDUs for GATT.
"""

import struct
from binascii import crc32

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.advertiser import AD_MESSAGE, Advertiser
from fieldline_wire.mesh.heard import MAX_HEARD, Heard
from fieldline_wire.mesh.memory import Cache
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.counters import Counters
    from fieldline_wire.mesh.keys import NetworkKey, Subnet

CACHE = const(128)  # of either kind; 3.4.6.5 asks for two at least; at 70 PDUs a second this is two seconds
RELAY_DELAY_MS = const(50)  # 3.4.6.3: a random delay before relaying, so that relays do not collide

ON_AIR = const(0)
ON_PROXY = const(1)


# Cache keys are integers that MicroPython keeps without heap. That two differ and look the same happens to one
# PDU in eight million, and what transport sends again has a new number.
_SMALL = 0x3FFFFFFF


def cache_key(number: bytes, iv_index: int) -> int:
    """The cache's key of SEQ and SRC (5 bytes) under an IV index."""
    return crc32(number, iv_index & 1) & _SMALL


class Transmit:
    """Network Transmit or Relay Retransmit (4.2.19, 4.2.20): `count` more copies, (`steps` + 1) x 10 ms apart."""

    __slots__ = ("count", "steps")

    def __init__(self, count: int, steps: int) -> None:
        self.count = count
        self.steps = steps

    def to_byte(self) -> int:
        """As the configuration messages have it."""
        return self.steps << 3 | self.count

    def set_byte(self, value: int) -> None:
        """From a configuration message."""
        self.count = value & 7
        self.steps = value >> 3


class Network:
    """`mine(dst)` says whether an address is ours: (for us, for us alone). `deliver(now, subnet, pdu)` takes it."""

    __slots__ = (
        "_counters",
        "_deliver",
        "_mine",
        "_raw",
        "_seen",
        "_source_is_ours",
        "air",
        "counts",
        "heard",
        "proxy",
        "relay",
        "relay_transmit",
        "subnets",
        "toward",
        "transmit",
    )

    def __init__(
        self,
        counters: "Counters",
        air: Advertiser,
        mine: "Callable[[int], tuple[bool, bool]]",
        source_is_ours: "Callable[[int], bool]",
        deliver: "Callable[[int, Subnet, NetworkPdu], None]",
    ) -> None:
        self._counters = counters
        self._mine = mine
        self._source_is_ours = source_is_ours
        self._deliver = deliver
        self._seen = Cache(CACHE)
        self._raw = Cache(CACHE)
        self.air = air
        self.subnets: list[Subnet] = []
        self.heard = Heard(MAX_HEARD)
        self.relay = False
        self.transmit = Transmit(2, 1)
        self.relay_transmit = Transmit(1, 1)
        self.proxy: Callable[[NetworkPdu, bytes], None] | None = None
        # A gateway, and over how few hops it has reached us: what cannot do as many is not relayed
        self.toward = (0, 0)
        # in: new ones; mine: for us; again: byte for byte heard before; known: heard before at another TTL
        self.counts = dict.fromkeys(
            ("in", "mine", "again", "known", "foreign", "relayed", "out", "refused"), 0
        )

    def subnet(self, index: int) -> "Subnet | None":
        """The subnet of a NetKey index."""
        for one in self.subnets:
            if one.index == index:
                return one
        return None

    def emit(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        """Sends a PDU of ours on all bearers."""
        data = encode(subnet.sending(), pdu)
        self._seen.add(cache_key(struct.pack(">BHH", pdu.seq >> 16, pdu.seq & 0xFFFF, pdu.src), pdu.iv_index))
        self.counts["out"] += 1
        self._air(now, data, self.transmit, True, 0)
        if self.proxy is not None:
            self.proxy(pdu, data)

    def receive(self, now: int, data: bytes, bearer: int = ON_AIR) -> None:
        """A network PDU from a bearer. Never raises for what a peer sent: it is counted."""
        raw = crc32(data) & _SMALL
        if self._raw.has(raw):
            self.counts["again"] += 1
            return
        found = self._open(data)
        self._raw.add(raw)
        if found is None:
            return
        subnet, key, pdu = found
        if self._source_is_ours(pdu.src):
            return
        self.counts["in"] += 1
        self.heard.take(pdu, bearer)
        ours, alone = self._mine(pdu.dst)
        gateway, hops = self.toward
        if not alone and pdu.ttl >= 2 and (pdu.dst != gateway or pdu.ttl > hops):
            self._pass_on(now, key, pdu, bearer)
        if ours:
            self.counts["mine"] += 1
            try:
                self._deliver(now, subnet, pdu)
            except PeerError:
                self.counts["refused"] += 1

    def _open(self, data: bytes) -> "tuple[Subnet, NetworkKey, NetworkPdu] | None":
        iv_index = self._counters.iv_index
        for subnet in self.subnets:
            for key in subnet.hearing():
                if not data or data[0] & 0x7F != key.nid:
                    continue
                try:
                    theirs, head = clear(key, iv_index, data)
                    seen = cache_key(head[1:], theirs)
                    if self._seen.has(seen):
                        self.counts["known"] += 1
                        return None
                    pdu = decode(key, theirs, head, data)
                    self._seen.add(seen)
                    return subnet, key, pdu
                except PeerError:
                    continue
        self.counts["foreign"] += 1
        return None

    def _pass_on(self, now: int, key: "NetworkKey", pdu: NetworkPdu, bearer: int) -> None:
        """3.4.6.3: relayed between adverts where we are a relay, and between GATT and adverts as a proxy."""
        to_air = self.relay if bearer == ON_AIR else self.proxy is not None
        if not to_air and self.proxy is None:
            return
        pdu = NetworkPdu(pdu.ctl, pdu.ttl - 1, pdu.seq, pdu.src, pdu.dst, pdu.iv_index, pdu.transport)
        data = encode(key, pdu)
        if to_air:
            self.counts["relayed"] += 1
            self._air(now, data, self.relay_transmit, False, RELAY_DELAY_MS)
        if self.proxy is not None:
            self.proxy(pdu, data)

    def _air(self, now: int, data: bytes, transmit: Transmit, own: bool, delay: int) -> None:
        spacing = 10 * (transmit.steps + 1)
        self.air.put(now, AD_MESSAGE, data, transmit.count + 1, spacing, own, delay)
