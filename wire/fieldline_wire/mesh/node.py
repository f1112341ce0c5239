"""A mesh node: network, transport, access and what is stored of them, put together.

Rules: sans-IO: the driver hands in PDUs and beacons with the time, asks `air.next` what to send, calls poll() when
wait_ms() is over. A change of the configuration is stored before it is answered. `random(n)` gives n bytes.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.mesh import beacon, settings
from fieldline_wire.mesh.access import Element, Model, ModelState, split
from fieldline_wire.mesh.advertiser import AD_BEACON, MAX_ADVERTS, Advertiser
from fieldline_wire.mesh.counters import Counters
from fieldline_wire.mesh.keys import PHASE_DISTRIBUTE, PHASE_SWITCH, NetworkKey, Subnet
from fieldline_wire.mesh.memory import Cache, ReplayList
from fieldline_wire.mesh.models.opcodes import INSUFFICIENT_RESOURCES, SUCCESS
from fieldline_wire.mesh.network import ALL_NODES, ALL_PROXIES, ALL_RELAYS, NetworkPdu, is_unicast
from fieldline_wire.mesh.publisher import Publisher
from fieldline_wire.mesh.relay import Network
from fieldline_wire.mesh.segments import MAX_INCOMING
from fieldline_wire.mesh.settings import FEATURE_PROXY, FEATURE_RELAY, Settings
from fieldline_wire.mesh.transport import DEVICE_KEY, NO_TTL, REMOTE_KEY, WAIT_MS, Access, Keys, Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.mesh.ports import Store

REPLAYS = const(32)  # sources a node hears: its gateways and who configures it
BEACON_MS = const(10000)  # 3.9.3.1
_MAX_BEACON_MS = const(600000)
_BEACONS_HEARD = const(8)  # authenticated beacons kept, so that the same one costs no AES


class Node:
    """One node, provisioned or not. Element 0's first model is the Configuration Server."""

    def __init__(
        self,
        aes: "Aes",
        random: "Callable[[int], bytes]",
        store: "Store",
        elements: "list[Element]",
        replays: int = REPLAYS,
        incoming: int = MAX_INCOMING,
        adverts: int = MAX_ADVERTS,
    ) -> None:
        self.aes = aes
        self.random = random
        self._store = store
        self.elements = elements
        self.settings = Settings()
        self.counters = Counters(store)
        self.replay = ReplayList(store, replays)
        self.keys = Keys(aes(bytes(16)))
        self.air = Advertiser(self._random16, adverts)
        self.network = Network(self.counters, self.air, self._mine, self._is_ours, self._receive)
        self.transport = Transport(
            self.counters,
            self.replay,
            self.keys,
            self.network.emit,
            self._deliver,
            self._sent,
            self._heartbeat,
            incoming,
        )
        # Messages under a remote device key, for who configures others.
        self.remote: Callable[[int, Access], None] | None = None
        # Heartbeats that came, for who watches others: source, hops, features.
        self.beat: Callable[[int, int, int, int], None] | None = None
        self._beacons = Cache(_BEACONS_HEARD)
        self._beacon_due = 0
        self._beacons_heard = 0
        self._publisher = Publisher(self)
        self.leave_at = 0  # ms: the node forgets its network then (Node Reset); 0: it stays
        for number in range(len(elements)):
            for model in elements[number].models:
                model.element = number
                model.node = self

    def models(self) -> "list[Model]":
        """All models, in the order of the composition."""
        return [model for element in self.elements for model in element.models]

    @property
    def provisioned(self) -> bool:
        """Whether it is part of a network."""
        return bool(self.settings.device_key)

    def load(self, now: int) -> bool:
        """Takes up what was stored; False where the device is in no network."""
        data = self._store.load(settings.RECORD)
        if not data or not self.counters.load(now):
            return False
        self.settings.take(self.aes, data, self.network, self.keys, self.models())
        self.replay.load()
        self._apply()
        self._beacon_due = now + BEACON_MS
        return True

    def join(
        self,
        now: int,
        address: int,
        device_key: bytes,
        net_key: bytes,
        net_index: int,
        iv_index: int,
        iv_update: bool = False,
        key_refresh: bool = False,
    ) -> None:
        """Becomes a node, with what the provisioner or the jig gave."""
        if not is_unicast(address) or not is_unicast(address + len(self.elements) - 1):
            raise UsageError("address 0x%04x for %d elements" % (address, len(self.elements)))
        self.counters.start(now, iv_index, iv_update)
        self.replay.clear()
        self.settings.address = address
        self.settings.device_key = device_key
        subnet = Subnet(net_index, NetworkKey(self.aes, net_key))
        if key_refresh:  # 5.4.2.5: the key given is the new one
            subnet.new = subnet.key
            subnet.phase = PHASE_SWITCH
        self.network.subnets = [subnet]
        self.keys.app_keys = []
        self.save()
        self._beacon_due = now

    def leave(self) -> None:
        """Forgets its network (Node Reset, 4.3.2.53)."""
        self.settings = Settings()
        self.network.subnets = []
        self.keys.app_keys = []
        for model in self.models():
            model.state = ModelState()
        self.leave_at = 0
        self._store.save(settings.RECORD, b"")

    def save(self) -> int:
        """Stores the configuration and puts it in force; a status of 4.3.5. What is not kept is undone."""
        state = self.network, self.keys, self.models()
        data = self.settings.to_bytes(*state)
        status: "int | None" = INSUFFICIENT_RESOURCES
        if len(data) <= settings.MAX_RECORD:
            status = self._store.save(settings.RECORD, data)
            if not status:
                self._apply()
                return SUCCESS
        self.settings.take(self.aes, self._store.load(settings.RECORD), *state)  # type: ignore[arg-type]
        return status  # type: ignore[return-value]

    def receive(self, now: int, data: bytes, bearer: int = 0) -> None:
        """A network PDU from a bearer (relay.ON_AIR, relay.ON_PROXY)."""
        self.network.receive(now, data, bearer)

    def receive_beacon(self, now: int, data: bytes) -> None:
        """A mesh beacon; what is none of ours is passed over."""
        if self._beacons.has(data):
            self._beacons_heard += 1
            return
        try:
            network_id = beacon.network_id(data)
        except PeerError:
            return
        for subnet in self.network.subnets:
            for key in subnet.hearing():
                if key.network_id != network_id:
                    continue
                try:
                    said = beacon.read_secure(key, data)
                except PeerError:
                    return
                self._beacons_heard += 1
                if not self._take_beacon(now, subnet, key, said):
                    self._beacons.add(data)
                return

    def send(
        self,
        now: int,
        dst: int,
        key_index: int,
        payload: bytes,
        element: int = 0,
        ttl: int = NO_TTL,
        token: object = None,
        label: bytes = b"",
        segmented: bool = False,
    ) -> bool:
        """Sends an access message under an AppKey; False where the queue is full. UsageError for the key."""
        app = self.keys.app(key_index)
        subnet = self.network.subnet(app.net_index) if app is not None else None
        if app is None or subnet is None:
            raise UsageError("no AppKey 0x%03x" % key_index)
        src = self.settings.address + element
        key = app.sending(subnet)
        return self.transport.send(now, subnet, src, dst, key, payload, ttl, token, label, segmented)

    def publish(self, now: int, model: Model, payload: bytes) -> bool:
        """Sends what a model says to where it publishes; False where it is nowhere or the queue is full."""
        return self._publisher.publish(now, model, payload)

    def poll(self, now: int) -> None:
        """What time brings about."""
        if not self.provisioned:
            return
        if self.leave_at and now >= self.leave_at:
            self.leave()
            return
        self.transport.poll(now)
        if self.counters.tick(now, self.transport.busy()):
            self._iv_changed(now)
        if now >= self._beacon_due:
            self._send_beacons(now)
        self._publisher.poll(now)

    def wait_ms(self, now: int) -> int:
        """ms until poll() or air.next() has something to do, if nothing is heard."""
        due = now + WAIT_MS
        if self.provisioned:
            due = min(due, self._beacon_due, now + self.transport.wait_ms(now))
            due = min(due, self._publisher.due(now))
            if self.leave_at:
                due = min(due, self.leave_at)
        return self.air.wait_ms(now, max(0, due - now))

    def features(self) -> int:
        """The features in use (4.2.1.1)."""
        mine = self.settings
        return (FEATURE_RELAY if mine.relay else 0) | (FEATURE_PROXY if mine.proxy else 0)

    def secure_beacon(self, subnet: Subnet) -> bytes:
        """The secure network beacon of a subnet as it is now."""
        flags = (beacon.FLAG_KEY_REFRESH if subnet.phase == PHASE_SWITCH else 0) | (
            beacon.FLAG_IV_UPDATE if self.counters.updating else 0
        )
        return beacon.secure(subnet.sending(), flags, self.counters.iv_index)

    def send_beacon_now(self, now: int) -> None:
        """What our beacon says has changed: it goes out at once."""
        self._beacon_due = now

    def _apply(self) -> None:
        self.keys.device = self.aes(self.settings.device_key)
        self.network.relay = self.settings.relay
        self.transport.default_ttl = self.settings.default_ttl
        self.keys.labels = []
        for model in self.models():
            for address, label in model.state.subscriptions:
                if label and (address, label) not in self.keys.labels:
                    self.keys.labels.append((address, label))

    def _random16(self) -> int:
        low, high = self.random(2)
        return high << 8 | low

    def _is_ours(self, address: int) -> bool:
        return 0 <= address - self.settings.address < len(self.elements)

    def _mine(self, dst: int) -> "tuple[bool, bool]":
        if is_unicast(dst):
            ours = self._is_ours(dst)
            return ours, ours
        if dst == ALL_NODES:
            return True, False
        if dst == ALL_RELAYS:
            return self.settings.relay, False
        if dst == ALL_PROXIES:
            return self.settings.proxy, False
        if dst == self.settings.heartbeats.listen_dst:
            return True, False
        for model in self.models():
            for address, _ in model.state.subscriptions:
                if address == dst:
                    return True, False
        return False, False

    def _receive(self, now: int, subnet: Subnet, pdu: NetworkPdu) -> None:
        self.transport.receive(now, subnet, pdu)

    def _deliver(self, now: int, message: Access) -> None:
        if message.key_index == REMOTE_KEY:
            if self.remote is not None:
                self.remote(now, message)
            return
        code, data = split(message.payload)
        for model in self._addressed(message):
            if code in model.OPCODES:
                answer = model.receive(now, message, code, data)
                if answer is not None:
                    self.answer(now, message, model.element, answer)

    def answer(self, now: int, message: Access, element: int, payload: bytes) -> None:
        """Sends `payload` to who sent `message`, under the key it came under."""
        subnet = self.network.subnet(message.net_index)
        if subnet is None:  # the message took the subnet away
            return
        src = self.settings.address + element
        if message.key_index == DEVICE_KEY:
            self.transport.send(now, subnet, src, message.src, self.keys.device, payload)
        elif self.keys.app(message.key_index) is not None:
            self.send(now, message.src, message.key_index, payload, element)

    def _addressed(self, message: Access) -> "list[Model]":
        """The models that a message is for: by address, and by key (3.7.4.2)."""
        if message.key_index == DEVICE_KEY:
            if message.dst != self.settings.address:
                return []
            return [one for one in self.elements[0].models if one.device_key]
        if is_unicast(message.dst):
            models = self.elements[message.dst - self.settings.address].models
        elif message.dst >= ALL_PROXIES:
            models = self.elements[0].models
        else:
            wanted = (message.dst, message.label)
            models = [one for one in self.models() if wanted in one.state.subscriptions]
        return [one for one in models if message.key_index in one.state.binds]

    def _sent(self, now: int, token: object, ok: bool) -> None:
        token.sent(now, ok)  # type: ignore[attr-defined]

    def _heartbeat(self, now: int, src: int, hops: int, features: int) -> None:
        self.settings.heartbeats.take(now, hops)
        if self.beat is not None:
            self.beat(now, src, hops, features)

    def _take_beacon(self, now: int, subnet: Subnet, key: NetworkKey, said: beacon.SecureNetwork) -> bool:
        """Whether the beacon changed anything."""
        changed = False
        if (
            subnet.new is not None and key.network_id == subnet.new.network_id
        ):  # 3.10.4.2: what is said under the old key says nothing of the refresh
            refreshing = bool(said.flags & beacon.FLAG_KEY_REFRESH)
            if refreshing and subnet.phase == PHASE_DISTRIBUTE:
                subnet.phase = PHASE_SWITCH
                changed = True
            elif not refreshing and subnet.phase in (PHASE_DISTRIBUTE, PHASE_SWITCH):
                self.end_refresh(subnet)
                changed = True
            if changed:
                self.save()
        primary = self.network.subnet(0)
        if primary is None or subnet is primary:  # 3.10.5: the primary subnet leads
            updating = bool(said.flags & beacon.FLAG_IV_UPDATE)
            if self.counters.heard(now, said.iv_index, updating, self.transport.busy()):
                self._iv_changed(now)
                return True
        return changed

    def end_refresh(self, subnet: Subnet) -> None:
        """Phase 3: old keys are revoked. The caller saves."""
        subnet.finish()
        for app in self.keys.app_keys:
            if app.net_index == subnet.index:
                app.finish()

    def _iv_changed(self, now: int) -> None:
        self.replay.forget(self.counters.iv_index)
        self._beacons = Cache(_BEACONS_HEARD)
        self._beacon_due = now

    def _send_beacons(self, now: int) -> None:
        """3.9.3.1: the more beacons were heard, the rarer is ours."""
        if self.settings.beacon:
            for subnet in self.network.subnets:
                self.air.put(now, AD_BEACON, self.secure_beacon(subnet), 1, 20, True)
        self._beacon_due = now + min(BEACON_MS * (1 + self._beacons_heard), _MAX_BEACON_MS)
        self._beacons_heard = 0
