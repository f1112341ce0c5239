"""A node on a mesh of two, on fakes: its own link and a gateway's node in one room (runs on MicroPython too).

Rules: time moves only in run(). `lose(data)` says which adverts nobody hears. All that the node says is kept by
(IV index, sequence number), and judged at once: under one number it may say one thing alone.
"""

from fakes.aes import Block
from fakes.flash import Lcg
from fakes.hardware import FakeHardware
from fakes.node_peer import KEY, NODE, Line, Peer
from node_cases.bench import FAN_PIN, STEP_MS, Bench, TestedBoard

from fieldline_node.faults import Faults
from fieldline_node.journal import Journal
from fieldline_node.links.mesh import make_mesh_link
from fieldline_node.node import make_node
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.keys import AppKey, ApplicationKey, NetworkKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SealedModel
from fieldline_wire.mesh.network import clear, decode
from fieldline_wire.mesh.node import Node
from fieldline_wire.seal import BlockCcm

GATEWAY = 1
ADDRESS = 0x100
NET_KEY = bytes(range(16))
APP_KEY = bytes(range(16, 32))
JOURNAL_SECTORS = 4


def hexed(data):
    return "".join(["%02x" % byte for byte in data])


SAID = {
    "address": "0100",
    "gateway": "0001",
    "device_key": hexed(b"d" * 16),
    "net_key": hexed(NET_KEY),
    "app_key": hexed(APP_KEY),
    "iv_index": 0,
}


class MemoryStore:
    def __init__(self):
        self.records = {}

    def load(self, record):
        return self.records.get(record)

    def save(self, record, data):
        self.records[record] = data


class FakeBearer:
    """The bearer port (ports.py): adverts in two lists. `room`: how many may wait to be taken."""

    def __init__(self, room=32):
        self.out = []
        self.came = []
        self.lost = 0
        self.ready = True
        self.listens = True
        self._room = room

    def listen(self, now, on):
        self.listens = on

    def poll(self, now):
        return 1000

    def send(self, now, ad_type, data):
        self.out.append((ad_type, data))

    def take(self):
        return self.came.pop(0) if self.came else None

    def hear(self, ad_type, data, rssi=-60):
        if len(self.came) < self._room:
            self.came.append((ad_type, data, rssi))
        else:
            self.lost += 1


class MeshPeer(Peer):
    """What the node says comes by the mesh, and so goes what it is told."""

    def send_sealed(self, sealed):
        if not self.lose_down():
            self.model.send(self._clock(), ADDRESS, sealed)


class MeshBench(Bench):
    """A node, its flash, and the gateway at the other end of its mesh."""

    make_link = staticmethod(make_mesh_link)
    gateway_kind = Node, ConfigurationServer

    def __init__(self, said=None, sectors=16, random=None, prepare=None, updates=None):
        """prepare(bench) is called before the node's first start; `updates`: their loader (ports.py)."""
        self.said = said or SAID
        self.random = random or Lcg(7)
        self.told = {}  # (IV index, sequence number) to what the node said under it
        self.lose = lambda data: False
        self.key = NetworkKey(Block, NET_KEY)
        self.gateway_up = True
        self.prepare = prepare
        super().__init__(sectors, JOURNAL_SECTORS, updates)

    def boot(self, cause=1):
        """Starts the node as after a reset."""
        if not hasattr(self, "gateway"):
            self._make_gateway()
            if self.prepare is not None:
                self.prepare(self)
        self.hardware = FakeHardware(self.state.operations + 1)
        self.hardware.cause = cause
        self.bearer = FakeBearer()
        self.journal = journal = Journal(self.state)
        journal.mount()
        faults = Faults(journal)
        faults.load()
        random = self.hardware.random
        self.link = self.make_link(self.said, self.bearer, journal, Block, random, lambda: self.hardware.now)
        identity = (NODE, 0, BlockCcm(Block(KEY)))
        self.app = make_node(
            TestedBoard, self.hardware, self.link, journal, faults, self.flash, identity, self.updates
        )
        self.fan = self.hardware.fans.get(FAN_PIN)

    def run(self, ms):
        """Lets time pass."""
        end = self.time + ms
        while self.time < end:
            self.step()

    def step(self):
        self.app.step(self.hardware.now)
        self.link.work(self.hardware.now)
        self._carry()
        self.time += STEP_MS
        self.hardware.now += STEP_MS

    def _carry(self):
        said, self.bearer.out = self.bearer.out, []
        for ad_type, data in said:
            if ad_type == AD_MESSAGE:
                self._judge(data)
            if self.gateway_up and not self.lose(data):
                self._gateway_hears(ad_type, data)
        if not self.gateway_up:
            return
        self.gateway.poll(self.time)
        out = self.gateway.air.next(self.time)
        if out is not None and self.bearer.listens and not self.lose(out[1]):
            self.bearer.hear(*out)

    def _gateway_hears(self, ad_type, data):
        if ad_type == AD_MESSAGE:
            self.gateway.receive(self.time, data)
        elif ad_type == AD_BEACON:
            self.gateway.receive_beacon(self.time, data)

    def _judge(self, data):
        try:
            iv_index, head = clear(self.key, self.link.node.counters.sending_iv(), data)
            pdu = decode(self.key, iv_index, head, data)
        except PeerError:
            raise AssertionError("the node said what its key does not open") from None
        if pdu.src != ADDRESS:
            return
        number = pdu.iv_index, pdu.seq
        before = self.told.get(number)
        assert before is None or before == data, "sequence number %d said twice" % pdu.seq
        self.told[number] = data

    def _make_gateway(self):
        self.peer = MeshPeer(Line(), lambda: self.time)
        model = self.peer.model = SealedModel(
            SEALED_GATEWAY, lambda now, src, sealed: self.peer._take(sealed), 4
        )
        elements = [Element([])]
        node_kind, config_kind = self.gateway_kind
        config = config_kind(Composition(COMPANY, 2, 1, 32, 0, elements))
        elements[0].models = [config, model]
        self.gateway = node_kind(Block, self._random, MemoryStore(), elements)
        self.gateway.join(0, GATEWAY, b"g" * 16, NET_KEY, 0, 0)
        self.gateway.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Block, APP_KEY)))
        model.state.binds.append(0)

    def _random(self, count):
        return bytes([self.random.bits(8) for _ in range(count)])
