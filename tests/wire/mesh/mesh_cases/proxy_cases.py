"""Both ends of a GATT proxy connection against each other, on every interpreter.

Rules: a case is a function case_*(aes); `aes(key)` makes the block cipher.
"""

from fieldline_wire.mesh import proxy
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.sealed import SealedModel
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.proxy_client import ProxyClient
from fieldline_wire.mesh.proxy_server import MAX_CONNECTIONS, MAX_VALUES, ProxyServer

CLIENT, SERVER, FAR = 1, 2, 3
MTU = 23


class Store:
    def __init__(self):
        self.records = {}

    def load(self, record):
        return self.records.get(record)

    def save(self, record, data):
        self.records[record] = data


class End:
    """A node with the sealed model."""

    def __init__(self, aes, address, adverts=32):
        self.came = []
        self.model = SealedModel(1, lambda now, src, sealed: self.came.append((src, sealed)), 4)
        element = Element([])
        element.models = [ConfigurationServer(Composition(0xFFFF, 1, 1, 32, 3, [element])), self.model]
        self.seed = address
        self.node = Node(aes, self._random, Store(), [element], adverts=adverts)
        self.node.join(0, address, bytes(16), bytes(range(16)), 0, 0)
        self.node.settings.beacon = False
        self.node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(aes, bytes(range(16, 32)))))
        self.model.state.binds.append(0)

    def _random(self, count):
        self.seed = (self.seed * 1103515245 + 12345) & 0x3FFFFFFF
        return bytes([self.seed >> (i & 15) & 255 for i in range(count)])


class Chain:
    """A client, its proxy, and a node that only the proxy hears."""

    def __init__(self, aes, addresses=None):
        self.client, self.server, self.far = End(aes, CLIENT, 0), End(aes, SERVER), End(aes, FAR)
        self.ends = (self.client, self.server, self.far)
        self.proxy = ProxyServer(self.server.node)
        self.connection = self.proxy.connect(MTU)
        self.link = ProxyClient(self.client.node, MTU, [CLIENT] if addresses is None else addresses)
        self.client.node.network.proxy = lambda pdu, data: self.write(self.link.values(data))
        self.now = 1000
        self.written = []

    def write(self, values):
        for value in values:
            assert len(value) <= MTU - 3
            self.written.append(value)
            self.proxy.receive(self.now, self.connection, value)

    def run(self, ms):
        end = self.now + ms
        while self.now < end:
            for one in self.ends:
                one.node.poll(self.now)
            for one, other in ((self.server, self.far), (self.far, self.server)):
                out = one.node.air.next(self.now)
                if out is not None:
                    other.node.receive(self.now, out[1])
            values, self.connection.out = self.connection.out, []
            for value in values:
                assert len(value) <= MTU - 3
                self.link.feed(self.now, value)
            self.now += 10


def sealed(size):
    return b"\x10\x00" + b"node 001" + bytes(8) + bytes(size)


def case_a_filter_is_set_and_messages_go_both_ways_in_pieces(aes):
    chain = Chain(aes)
    chain.run(50)
    assert chain.link.counts["beacons"] == 1 and not chain.link.ready
    chain.write(chain.link.start(chain.now))
    chain.run(50)
    assert chain.link.ready and chain.link.proxy == SERVER
    assert chain.far.model.send(chain.now, CLIENT, sealed(40))
    chain.run(2000)
    assert chain.client.came == [(FAR, sealed(40))], chain.client.came
    assert chain.client.model.send(chain.now, FAR, sealed(100))
    chain.run(2000)
    assert chain.far.came == [(CLIENT, sealed(100))] and not chain.server.came


def case_what_is_for_others_is_not_sent_to_the_client(aes):
    chain = Chain(aes)
    chain.run(50)
    assert chain.far.model.send(chain.now, 9, sealed(40))
    chain.run(500)
    assert chain.link.counts["in"] == 0 and chain.server.node.network.counts["in"] > 0


def case_who_spoke_is_in_the_filter(aes):
    chain = Chain(aes)
    assert chain.client.model.send(chain.now, FAR, sealed(40))  # no filter was set
    chain.run(2000)
    assert chain.far.came and not chain.client.model.waiting(FAR), "its acknowledgment came back"


def case_many_addresses_are_added_five_at_a_time(aes):
    chain = Chain(aes, list(range(1, 13)))
    chain.write(chain.link.start(chain.now))
    chain.run(50)
    assert chain.link.ready
    assert all([chain.connection.filter.passes(address) for address in range(1, 13)])
    assert not chain.connection.filter.passes(13)


def case_an_old_configuration_changes_nothing(aes):
    chain = Chain(aes)
    chain.write(chain.link.start(chain.now))
    chain.run(50)
    old = list(chain.written)
    chain.connection.filter = proxy.Filter()
    chain.write(old)
    assert chain.proxy.refused == 2 and not chain.connection.filter.passes(CLIENT)


def case_rubbish_is_counted(aes):
    chain = Chain(aes)
    for value in (b"", b"\x00", b"\x80x", b"\x02" + bytes(15), b"\x3f", b"\xc0last"):
        chain.proxy.receive(0, chain.connection, value)
        chain.link.feed(0, value)
    assert chain.proxy.refused >= 4 and chain.link.counts["refused"] >= 4


def case_connections_and_what_waits_for_them_are_bounded(aes):
    chain = Chain(aes)
    others = [chain.proxy.connect(MTU) for _ in range(MAX_CONNECTIONS)]
    assert others[-1] is None and len(chain.proxy.connections) == MAX_CONNECTIONS
    for _ in range(100):
        chain.connection.put(proxy.TYPE_NETWORK, bytes(29))
    assert len(chain.connection.out) == MAX_VALUES and chain.connection.dropped
    chain.proxy.disconnect(chain.connection)
    assert chain.proxy.connect(MTU) is not None
