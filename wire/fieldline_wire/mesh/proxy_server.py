"""The GATT proxy of a node: network PDUs and beacons between its connections and the air (Mesh Profile 1.0.1, 6).

Rules: sans-IO: a connection's values from Data In go in by receive(), what it is to be notified of waits in its
`out`. A client is sent what its filter lets pass; where too much waits for it, what comes is dropped and counted.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import proxy
from fieldline_wire.mesh.network import NetworkPdu, clear, encode
from fieldline_wire.mesh.proxy_client import open_configuration
from fieldline_wire.mesh.relay import ON_PROXY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.node import Node

MAX_CONNECTIONS = const(2)  # what a Pico W's controller bears beside advertising is 1, an ESP32's 3
MAX_VALUES = const(64)  # that wait for a client: a whole segmented message at MTU 23


class Connection:
    """A client. `out`: values to notify it of, in order."""

    __slots__ = ("dropped", "filter", "mtu", "out", "reader")

    def __init__(self, mtu: int) -> None:
        self.mtu = mtu
        self.reader = proxy.Reader()
        self.filter = proxy.Filter()
        self.out: list[bytes] = []
        self.dropped = 0

    def put(self, kind: int, pdu: bytes) -> None:
        """Queues a proxy PDU: all of its values or none."""
        values = proxy.cut(kind, pdu, self.mtu)
        if len(self.out) + len(values) > MAX_VALUES:
            self.dropped += 1
            return
        self.out += values


class ProxyServer:
    """Joins connections to `node`, from when it is made."""

    __slots__ = ("_node", "connections", "refused")

    def __init__(self, node: "Node") -> None:
        self._node = node
        self.connections: list[Connection] = []
        self.refused = 0
        node.network.proxy = self._pass

    def connect(self, mtu: int) -> "Connection | None":
        """A client came; None where there are enough. It is told of the network first (6.7)."""
        if len(self.connections) >= MAX_CONNECTIONS:
            return None
        one = Connection(mtu)
        self.connections.append(one)
        for subnet in self._node.network.subnets:
            one.put(proxy.TYPE_BEACON, self._node.secure_beacon(subnet))
        return one

    def disconnect(self, connection: Connection) -> None:
        """The client went."""
        if connection in self.connections:
            self.connections.remove(connection)

    def receive(self, now: int, connection: Connection, value: bytes) -> None:
        """A value that the client wrote; what is malformed is counted and dropped."""
        try:
            found = connection.reader.feed(now, value)
            if found is None:
                return
            kind, pdu = found
            if kind == proxy.TYPE_NETWORK:
                self._network(now, connection, pdu)
            elif kind == proxy.TYPE_BEACON:
                self._node.receive_beacon(now, pdu)
            elif kind == proxy.TYPE_CONFIGURATION:
                self._configure(now, connection, pdu)
        except PeerError:
            self.refused += 1

    def _network(self, now: int, connection: Connection, pdu: bytes) -> None:
        network = self._node.network
        new = network.counts["in"]
        network.receive(now, pdu, ON_PROXY)
        if network.counts["in"] == new:
            return  # not valid, or not new
        for subnet in network.subnets:
            for key in subnet.hearing():
                try:
                    _, head = clear(key, self._node.counters.iv_index, pdu)
                except PeerError:
                    continue
                connection.filter.heard(head[4] << 8 | head[5])
                return

    def _configure(self, now: int, connection: Connection, data: bytes) -> None:
        node = self._node
        status = connection.filter.configure(open_configuration(node, data).transport)
        seq = node.counters.take(now)
        pdu = NetworkPdu(1, 0, seq, node.settings.address, 0, node.counters.sending_iv(), status)
        connection.put(proxy.TYPE_CONFIGURATION, encode(node.network.subnets[0].sending(), pdu, True))

    def _pass(self, pdu: NetworkPdu, data: bytes) -> None:
        """A PDU that goes out, of ours or passed on."""
        for one in self.connections:
            if one.filter.passes(pdu.dst):
                one.put(proxy.TYPE_NETWORK, data)
