"""What makes a device a node of a network, as one durable record: keys, address, features, models' states.

Rules: one record, replaced whole, so that no power cut leaves half a configuration; bounds as named here.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Model
from fieldline_wire.mesh.keys import AppKey, ApplicationKey, NetworkKey, Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.mesh.relay import Network
    from fieldline_wire.mesh.transport import Keys

RECORD = const(3)
FORMAT = const(1)
MAX_RECORD = const(400)  # bytes: what a node's journal takes as one value
MAX_SUBNETS = const(3)  # a network, a guest of it, and one to spare
MAX_APP_KEYS = const(4)

FEATURE_RELAY = const(1)  # 4.2.1.1
FEATURE_PROXY = const(2)

_HEAD = ">BH16sBBBBBB"


class Heartbeats:
    """Heartbeat publication and subscription (4.2.17, 4.2.18). Logs as on the wire. One for ever is stored."""

    __slots__ = (
        "count",
        "dst",
        "due",
        "features",
        "heard",
        "last_features",
        "listen_dst",
        "listen_src",
        "listen_until",
        "max_hops",
        "min_hops",
        "net_index",
        "period_log",
        "ttl",
    )

    def __init__(self) -> None:
        self.dst = 0
        self.count = 0  # left to send; -1 for ever
        self.period_log = 0
        self.ttl = 0
        self.features = 0  # whose change triggers one
        self.net_index = 0
        self.due = 0
        self.last_features = 0
        self.listen_src = 0
        self.listen_dst = 0
        self.listen_until = 0
        self.heard = 0
        self.min_hops = 0x7F
        self.max_hops = 0

    def take(self, now: int, hops: int) -> None:
        """A heartbeat that we listen to came over `hops`."""
        if now < self.listen_until:
            self.heard = min(self.heard + 1, 0xFFFF)
            self.min_hops = min(self.min_hops, hops)
            self.max_hops = max(self.max_hops, hops)


def log_of(value: int) -> int:
    """4.1.2: the logarithm that stands for a count or period: 0 for 0, else n where 2^(n-1) <= value < 2^n."""
    bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


class Settings:
    """A node's configuration; `device_key` empty: it is no node yet."""

    __slots__ = ("address", "beacon", "default_ttl", "device_key", "heartbeats", "proxy", "relay")

    def __init__(self) -> None:
        self.address = 0
        self.device_key = b""
        self.relay = False
        self.beacon = True
        self.proxy = False
        self.default_ttl = 5
        self.heartbeats = Heartbeats()

    def to_bytes(self, network: "Network", keys: "Keys", models: "list[Model]") -> bytes:
        """The record."""
        flags = self.relay | self.beacon << 1 | self.proxy << 2
        parts = [
            struct.pack(
                _HEAD,
                FORMAT,
                self.address,
                self.device_key,
                flags,
                self.default_ttl,
                network.transmit.to_byte(),
                network.relay_transmit.to_byte(),
                len(network.subnets),
                len(keys.app_keys),
            )
        ]
        for net in network.subnets:
            parts.append(struct.pack(">HB", net.index, net.phase))
            parts.append(_pair(net.key.key, net.new.key if net.new else None))
        for app in keys.app_keys:
            parts.append(struct.pack(">HH", app.index, app.net_index))
            parts.append(_pair(app.key.key, app.new.key if app.new else None))
        for model in models:
            parts.append(_model_bytes(model))
        beats = self.heartbeats
        if beats.count < 0:  # for ever: also after a reset
            parts.append(
                struct.pack(">HBBHH", beats.dst, beats.period_log, beats.ttl, beats.features, beats.net_index)
            )
        return b"".join(parts)

    def take(self, aes: "Aes", data: bytes, network: "Network", keys: "Keys", models: "list[Model]") -> None:
        """Fills itself, `network`, `keys` and `models` from a record; PeerError where it is none."""
        reader = _Reader(data)
        form, self.address, key_bytes, flags, self.default_ttl, own, relayed, nets, apps = reader.take(_HEAD)
        self.device_key = key_bytes  # type: ignore[assignment]  # struct gives bytes for a field of 16s
        if form != FORMAT:
            raise PeerError("a configuration of format %d" % form)
        self.relay, self.beacon, self.proxy = bool(flags & 1), bool(flags & 2), bool(flags & 4)
        network.transmit.set_byte(own)
        network.relay_transmit.set_byte(relayed)
        network.subnets = []
        for _ in range(nets):
            index, phase = reader.take(">HB")
            key, new = reader.pair()
            subnet = Subnet(index, NetworkKey(aes, key))
            subnet.new = NetworkKey(aes, new) if new else None
            subnet.phase = phase
            network.subnets.append(subnet)
        keys.app_keys = []
        for _ in range(apps):
            index, net_index = reader.take(">HH")
            key, new = reader.pair()
            app = AppKey(index, net_index, ApplicationKey(aes, key))
            app.new = ApplicationKey(aes, new) if new else None
            keys.app_keys.append(app)
        for model in models:
            _take_model(reader, model)
        beats = self.heartbeats
        beats.count = 0
        if reader.more():
            beats.count = -1
            beats.dst, beats.period_log, beats.ttl, beats.features, beats.net_index = reader.take(">HBBHH")


def _pair(key: bytes, new: "bytes | None") -> bytes:
    return bytes((1 if new else 0,)) + key + (new or b"")


def _model_bytes(model: Model) -> bytes:
    state, out = model.state, model.state.publication
    parts = [bytes((len(state.binds),))]
    parts += [struct.pack(">H", index) for index in state.binds]
    parts.append(bytes((len(state.subscriptions),)))
    parts += [struct.pack(">HB", address, len(label)) + label for address, label in state.subscriptions]
    parts.append(
        struct.pack(
            ">HHBBBBB",
            out.address,
            out.key_index,
            out.credential,
            out.ttl,
            out.period,
            out.retransmit.to_byte(),
            len(out.label),
        )
    )
    return b"".join(parts) + out.label


class _Reader:
    """Fields of a record one after the other; PeerError where it ends too soon."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, fmt: str) -> "tuple[int, ...]":
        size = struct.calcsize(fmt)
        if len(self._data) - self._at < size:
            raise PeerError("half a configuration")
        self._at += size
        return struct.unpack_from(fmt, self._data, self._at - size)

    def more(self) -> bool:
        return self._at < len(self._data)

    def raw(self, size: int) -> bytes:
        if len(self._data) - self._at < size:
            raise PeerError("half a configuration")
        self._at += size
        return self._data[self._at - size : self._at]

    def pair(self) -> "tuple[bytes, bytes]":
        two = self.take(">B")[0]
        return self.raw(16), self.raw(16) if two else b""


def _take_model(reader: _Reader, model: Model) -> None:
    state, out = model.state, model.state.publication
    state.binds = [reader.take(">H")[0] for _ in range(reader.take(">B")[0])]
    state.subscriptions = []
    for _ in range(reader.take(">B")[0]):
        address, size = reader.take(">HB")
        state.subscriptions.append((address, reader.raw(size)))
    out.address, out.key_index, out.credential, out.ttl, out.period, again, size = reader.take(">HHBBBBB")
    out.retransmit.set_byte(again)
    out.label = reader.raw(size)
