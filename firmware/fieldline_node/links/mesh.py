"""A Bluetooth mesh as a link: sealed messages by the vendor model to the gateway's node (docs/mesh.md 5).

Rules: what the mesh must not forget stands in the node's journal, written before it is used: no reset repeats a
sequence number. A message that the mesh gave up takes the link down: a gateway that cannot be reached is asked for by
a Hello now and then, and the air is left to others. A relay's work goes on while the app has none: work().
"""

from fieldline_node.errors import IdentityError, StorageError
from fieldline_node.keys import KEY_MESH
from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.models.opcodes import STORAGE_FAILURE
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_NODE, SealedModel
from fieldline_wire.mesh.node import REPLAYS, Node
from fieldline_wire.mesh.settings import FEATURE_RELAY, RECORD

_PATIENCE_MS = const(
    120000
)  # the gateway acknowledges eight reports by one Ack, or after 90 s: docs/mesh.md 5.5
_WINDOW = const(12)
_REPORT_MS = const(10000)  # the default of a report's interval here: full reports, few acknowledgments
_PEERS = const(2)
_WAITING = const(2)  # messages: one under way, one ready to follow
_PROBE_MS = const(15000)  # down for so long after a message was given up, twice as long each time
_MOST_PROBE_MS = const(120000)
_PRODUCT = const(1)
_VERSION = const(1)


class Records:
    """What the mesh stores, in the node's journal: the port Store of wire/fieldline_wire/mesh/ports.py.

    settled: the node has joined: a configuration that flash does not take is from then on told, not raised.
    """

    __slots__ = ("_journal", "settled")

    def __init__(self, journal) -> None:
        self._journal = journal
        self.settled = False

    def load(self, record: int) -> "bytes | None":
        """The record, None where there is none."""
        return self._journal.get(KEY_MESH + record)

    def save(self, record: int, data: bytes) -> "int | None":
        """Makes the record durable. StorageError; for a configuration over the air its status (4.3.5)."""
        try:
            self._journal.put(KEY_MESH + record, data)
        except StorageError:
            if record != RECORD or not self.settled:
                raise
            return STORAGE_FAILURE
        return None


class MeshLink:
    """A link to the node at `gateway`, by `node`, which has yet to load() or join(); see make_mesh_link().

    before_send: called before a message is taken; OSError where what it may speak of cannot be made durable.
    unkept: what flash did not take, and so was not sent or not heard.
    """

    pace = (_PATIENCE_MS, _WINDOW)
    report_ms = _REPORT_MS
    node_class = Node
    config_class = ConfigurationServer
    features = FEATURE_RELAY
    before_send = None
    ended = False  # where true the board is to restart: links/provisioned.py

    def __init__(self, bearer, gateway: int, journal, aes, random, now_ms) -> None:
        self.bearer = bearer
        self._gateway = gateway
        self._now_ms = now_ms
        self._found = []
        self._due = 0
        self._down_until = 0
        self._probe = _PROBE_MS
        self._given_up = 0
        self.model = SealedModel(SEALED_NODE, self._take, _PEERS)
        elements = [Element([])]
        config = self.config_class(Composition(COMPANY, _PRODUCT, _VERSION, REPLAYS, self.features, elements))
        elements[0].models = [config, HealthServer(COMPANY), self.model]
        self.records = Records(journal)
        self.node = self.node_class(aes, random, self.records, elements)
        self.unkept = 0
        self.stirred = False  # the app has something to do: a message came, or there is room again

    @property
    def up(self) -> bool:
        """Whether the gateway may be there: a node that was taken in on air waits for its AppKey first."""
        return bool(self.model.state.binds) and not self._down_until

    @property
    def room(self) -> bool:
        """Whether a message more would not only wait."""
        return self.model.waiting(self._gateway) < _WAITING

    def poll(self, now: int) -> "list[bytes]":
        """The sealed messages that came."""
        self.work(now)
        found = self._found
        self._found = []
        self.stirred = False
        return found

    def send(self, sealed: bytes) -> None:
        """Queues a message. OSError where too many wait, or flash does not take what comes before it."""
        if self.before_send is not None:
            self.before_send()
        self._due = 0
        if not self._try(self.model.send, self._gateway, sealed):
            raise OSError(105)  # ENOBUFS

    def counters(self) -> "tuple[int, int, int, int]":
        """(network PDUs in, out, refused, adverts lost for want of room)."""
        counts = self.node.network.counts
        return counts["in"], counts["out"], counts["refused"], self.bearer.lost

    def close(self) -> None:
        """Stores the replay list as it is: after this restart nothing is refused for nothing."""
        try:
            self.node.replay.settle()
        except StorageError:
            self.unkept += 1

    def work(self, now: int) -> int:
        """Takes adverts, does what time brings about, sends the next advert; ms until it is to be called again."""
        bearer, node = self.bearer, self.node
        advert = bearer.take()
        if advert is None and now < self._due:
            return self._due - now
        had_room = self.room
        while advert is not None:
            self._hear(advert)
            advert = bearer.take()
        self._try(node.poll)
        self._watch(now)
        wait = bearer.poll(now)
        if bearer.ready:
            advert = node.air.next(now)
            if advert is not None:
                bearer.send(now, *advert)
                wait = bearer.poll(now)
        if bearer.ready:
            wait = min(wait, node.wait_ms(now))
        self._due = now + wait
        if self.room and not had_room:
            self.stirred = True
        return wait

    def _hear(self, advert) -> None:
        if advert[0] == AD_MESSAGE:
            self._try(self.node.receive, advert[1])
        elif advert[0] == AD_BEACON:
            self._try(self.node.receive_beacon, advert[1])

    def _watch(self, now: int) -> None:
        """Down where a message was given up; up again after a while, or as soon as the gateway is heard."""
        given_up = self.model.counts["given_up"]
        if given_up != self._given_up:
            self._given_up = given_up
            self.model.drop(now, self._gateway)
            self._down_until = now + self._probe
            self._probe = min(2 * self._probe, _MOST_PROBE_MS)
            self.stirred = True
        elif self._down_until and now >= self._down_until:
            self._down_until = 0
            self.stirred = True

    def _take(self, now: int, address: int, sealed: bytes) -> None:
        if address == self._gateway:
            self._found.append(sealed)
            self._down_until = 0
            self._probe = _PROBE_MS
            self.stirred = True

    def _try(self, call, *arguments):
        """What `call` gives; None where flash did not take what has to be kept, or the numbers are used up."""
        try:
            return call(self._now_ms(), *arguments)
        except (StorageError, UsageError):
            self.unkept += 1
            return None


def make_mesh_link(said: dict, bearer, journal, aes, random, now_ms, kind=MeshLink) -> MeshLink:
    """The link that /mesh.json describes (`fieldline mesh add` prints it). IdentityError where that cannot be.

    `said`: its content; `bearer`: ports.py; `aes`: class of the wire's Block; `random(n)`: n bytes; `kind`: the class
    of the link.
    """
    try:
        address, gateway = int(said["address"], 16), int(said["gateway"], 16)
        device_key, net_key, app_key = [_key(said, name) for name in ("device_key", "net_key", "app_key")]
        iv_index = int(said["iv_index"])
        relay = bool(said.get("relay", False))
        link = kind(bearer, gateway, journal, aes, random, now_ms)
        node, now = link.node, now_ms()
        if not _is_loaded(node, now, address, device_key):
            node.counters.load(now)  # so that its numbers go on
            node.join(now, address, device_key, net_key, 0, iv_index)
            node.settings.relay = relay
            node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(aes, app_key)))
            for model in node.models()[1:]:
                model.state.binds = [0]
            node.save()
        link.records.settled = True
    except KeyError as error:
        raise IdentityError("no %s in it" % error) from None
    except (ValueError, TypeError, UsageError) as error:
        raise IdentityError(str(error)) from None
    return link


def _is_loaded(node: Node, now: int, address: int, device_key: bytes) -> bool:
    """Whether what was stored is of the node that the file names."""
    try:
        if not node.load(now):
            return False
    except PeerError:
        return False
    mine = node.settings
    return mine.address == address and mine.device_key == device_key and node.keys.app(0) is not None


def _key(said: dict, name: str) -> bytes:
    key = bytes.fromhex(said[name])
    if len(key) != 16:
        raise ValueError("%s has %d bytes, not 16" % (name, len(key)))
    return key
