"""Our end of a GATT proxy connection, for a node that has no advertising bearer (Mesh Profile 1.0.1, 6).

Rules: sans-IO: values from Data Out go in by feed(), values for Data In come from start() and values(). A PDU goes
both ways under the proxy's own relay rules: it takes one from the TTL.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import proxy
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
from fieldline_wire.mesh.relay import ON_PROXY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.node import Node

ADDRESSES = const(5)  # of one filter message: what fits an unsegmented control PDU (6.5.2)


class ProxyClient:
    """One connection. `ready`: the proxy has told that its filter holds our addresses; `answers`: how often."""

    __slots__ = ("_addresses", "_mtu", "_node", "_reader", "answers", "counts", "proxy", "ready")

    def __init__(self, node: "Node", mtu: int, addresses: "list[int]") -> None:
        self._node = node
        self._mtu = mtu
        self._addresses = addresses
        self._reader = proxy.Reader()
        self.proxy = 0  # address of the proxy node, once it has answered
        self.ready = False
        self.answers = 0
        self.counts = {"in": 0, "out": 0, "beacons": 0, "refused": 0}

    def start(self, now: int) -> "list[bytes]":
        """The values that empty the proxy's filter and put our addresses in (6.4)."""
        return self._configure(now, proxy.set_filter(proxy.ACCEPT)) + self.ask(now)

    def ask(self, now: int) -> "list[bytes]":
        """The values that put our addresses in again: nothing changes, and a proxy that is there answers."""
        values: list[bytes] = []
        for at in range(0, len(self._addresses), ADDRESSES):
            values += self._configure(now, proxy.add_addresses(self._addresses[at : at + ADDRESSES]))
        return values

    def values(self, pdu: bytes) -> "list[bytes]":
        """The values that carry a network PDU."""
        self.counts["out"] += 1
        return proxy.cut(proxy.TYPE_NETWORK, pdu, self._mtu)

    def feed(self, now: int, value: bytes) -> None:
        """A value of Data Out; what is malformed is counted and dropped."""
        try:
            found = self._reader.feed(now, value)
            if found is None:
                return
            kind, pdu = found
            if kind == proxy.TYPE_NETWORK:
                self.counts["in"] += 1
                self._node.receive(now, pdu, ON_PROXY)
            elif kind == proxy.TYPE_BEACON:
                self.counts["beacons"] += 1
                self._node.receive_beacon(now, pdu)
            elif kind == proxy.TYPE_CONFIGURATION:
                self._status(pdu)
        except PeerError:
            self.counts["refused"] += 1

    def _configure(self, now: int, message: bytes) -> "list[bytes]":
        node = self._node
        seq = node.counters.take(now)
        pdu = NetworkPdu(1, 0, seq, node.settings.address, 0, node.counters.sending_iv(), message)
        data = encode(node.network.subnets[0].sending(), pdu, True)
        return proxy.cut(proxy.TYPE_CONFIGURATION, data, self._mtu)

    def _status(self, data: bytes) -> None:
        """A Filter Status, which is only shown; PeerError where it is none, or under no key of ours."""
        pdu = open_configuration(self._node, data, False)
        kind, size = proxy.read_status(pdu.transport)
        self.proxy = pdu.src
        self.ready = kind == proxy.ACCEPT and size >= len(self._addresses)
        self.answers += 1


def open_configuration(node: "Node", data: bytes, once: bool = True) -> NetworkPdu:
    """A proxy configuration message, under whichever key; PeerError where it is none, or `once` and a replay."""
    for subnet in node.network.subnets:
        for key in subnet.hearing():
            try:
                iv_index, head = clear(key, node.counters.iv_index, data)
                pdu = decode(key, iv_index, head, data, True)
            except PeerError:
                continue
            if once:
                if not node.replay.fresh(pdu.src, iv_index, pdu.seq):
                    raise PeerError("proxy configuration %d of 0x%04x again" % (pdu.seq, pdu.src))
                node.replay.take(pdu.src, iv_index, pdu.seq)
            return pdu
    raise PeerError("proxy configuration under no key of ours")
