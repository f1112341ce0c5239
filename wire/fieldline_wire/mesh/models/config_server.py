"""The Configuration Server (Mesh Profile 1.0.1, 4.4.1): what a provisioner needs to configure a node.

Rules: reached by the device key alone; a malformed message gets no answer; friend and low-power features are not
supported, and say so. Messages about keys and models stand in files of their own.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Composition, Model, opcode
from fieldline_wire.mesh.models import config_keys, config_models
from fieldline_wire.mesh.models import opcodes as op
from fieldline_wire.mesh.models.config_keys import net_index, size
from fieldline_wire.mesh.network import FIRST_GROUP, FIRST_VIRTUAL, MAX_TTL
from fieldline_wire.mesh.settings import log_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.models.config_keys import Handler
    from fieldline_wire.mesh.node import Node
    from fieldline_wire.mesh.transport import Access

NOT_SUPPORTED = const(2)  # of a feature: 4.2.8, 4.2.11, 4.2.13
_LEAVE_MS = const(1000)  # after Node Reset: the answer still goes out


class ConfigurationServer(Model):
    """The first model of element 0. `composition` is what Composition Data Get answers."""

    model_id = op.CONFIGURATION_SERVER
    device_key = True

    def __init__(self, composition: Composition) -> None:
        super().__init__()
        self.composition = composition

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        node = self.node
        assert node is not None
        if code == op.NETKEY_DELETE:
            return config_keys.net_delete(node, now, data, message.net_index)
        if code == op.COMPOSITION_GET:
            size(data, 1)  # whatever page is asked for, page 0 is the one that there is
            return opcode(op.COMPOSITION_STATUS) + b"\x00" + self.composition.to_bytes()
        return _HANDLERS[code](node, now, data)


def _flag(data: bytes) -> bool:
    if size(data, 1)[0] > 1:
        raise PeerError("a state of %d" % data[0])
    return bool(data[0])


def _beacon(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        node.settings.beacon = _flag(data)
        node.save()
    return opcode(op.BEACON_STATUS) + bytes((node.settings.beacon,))


def _ttl(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        if size(data, 1)[0] > MAX_TTL or data[0] == 1:
            raise PeerError("a default TTL of %d" % data[0])
        node.settings.default_ttl = data[0]
        node.save()
    return opcode(op.TTL_STATUS) + bytes((node.settings.default_ttl,))


def _friend(node: "Node", now: int, data: bytes) -> bytes:
    return opcode(op.FRIEND_STATUS) + bytes((NOT_SUPPORTED,))


def _proxy(node: "Node", now: int, data: bytes) -> bytes:
    if node.network.proxy is None:
        return opcode(op.PROXY_STATUS) + bytes((NOT_SUPPORTED,))
    if data:
        node.settings.proxy = _flag(data)
        node.save()
    return opcode(op.PROXY_STATUS) + bytes((node.settings.proxy,))


def _relay(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        node.settings.relay = _flag(size(data, 2)[:1])
        node.network.relay_transmit.set_byte(data[1])
        node.save()
    return opcode(op.RELAY_STATUS) + bytes((node.settings.relay, node.network.relay_transmit.to_byte()))


def _transmit(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        node.network.transmit.set_byte(size(data, 1)[0])
        node.save()
    return opcode(op.TRANSMIT_STATUS) + bytes((node.network.transmit.to_byte(),))


def _identity(node: "Node", now: int, data: bytes) -> bytes:
    """Node Identity is of the proxy's adverts: not supported where the driver asks for none."""
    index = net_index(data)
    status = op.SUCCESS if node.network.subnet(index) else op.INVALID_NETKEY
    return opcode(op.IDENTITY_STATUS) + struct.pack("<BHB", status, index, NOT_SUPPORTED)


def _poll_timeout(node: "Node", now: int, data: bytes) -> bytes:
    size(data, 2)  # we are nobody's friend: 0
    return opcode(op.POLL_TIMEOUT_STATUS) + data + bytes(3)


def _reset(node: "Node", now: int, data: bytes) -> bytes:
    size(data, 0)
    node.leave_at = now + _LEAVE_MS
    return opcode(op.NODE_RESET_STATUS)


def _heartbeat_publication(node: "Node", now: int, data: bytes) -> bytes:
    beats, status = node.settings.heartbeats, op.SUCCESS
    if data:
        dst, count, period, ttl, features, index = struct.unpack("<HBBBHH", size(data, 9))
        if period > 0x11 or 0x11 < count < 0xFF or ttl > MAX_TTL:
            raise PeerError("a heartbeat out of range")
        if FIRST_VIRTUAL <= dst < FIRST_GROUP:
            status = op.INVALID_ADDRESS
        elif node.network.subnet(index) is None:
            status = op.INVALID_NETKEY
        else:
            beats.dst, beats.ttl, beats.features, beats.net_index = dst, ttl, features, index
            beats.count = -1 if count == 0xFF else (1 << count - 1 if count else 0)
            beats.period_log = period
            beats.due = now
            beats.last_features = node.features()
    log = 0xFF if beats.count < 0 else log_of(beats.count)
    return opcode(op.HEARTBEAT_PUB_STATUS) + struct.pack(
        "<BHBBBHH", status, beats.dst, log, beats.period_log, beats.ttl, beats.features, beats.net_index
    )


def _heartbeat_subscription(node: "Node", now: int, data: bytes) -> bytes:
    beats = node.settings.heartbeats
    if data:
        src, dst, period = struct.unpack("<HHB", size(data, 5))
        ours = dst == node.settings.address or dst >= FIRST_GROUP
        if period > 0x11 or src >= FIRST_VIRTUAL or (src and dst and not ours):
            raise PeerError("a heartbeat subscription out of range")
        beats.listen_src = src if dst and period else 0
        beats.listen_dst = dst if src and period else 0
        beats.listen_until = now + (1000 << period - 1 if beats.listen_src else 0)
        node.transport.heartbeats_of = (beats.listen_src, beats.listen_dst)
        if beats.listen_src:
            beats.heard, beats.min_hops, beats.max_hops = 0, MAX_TTL, 0
    left = max(0, beats.listen_until - now + 999) // 1000
    return opcode(op.HEARTBEAT_SUB_STATUS) + struct.pack(
        "<BHHBBBB",
        op.SUCCESS,
        beats.listen_src,
        beats.listen_dst,
        log_of(left),
        log_of(beats.heard) if beats.heard < 0xFFFF else 0xFF,
        beats.min_hops if beats.heard else 0,
        beats.max_hops,
    )


_HANDLERS: "dict[int, Handler]" = {
    op.BEACON_GET: _beacon,
    op.BEACON_SET: _beacon,
    op.TTL_GET: _ttl,
    op.TTL_SET: _ttl,
    op.FRIEND_GET: _friend,
    op.FRIEND_SET: _friend,
    op.PROXY_GET: _proxy,
    op.PROXY_SET: _proxy,
    op.RELAY_GET: _relay,
    op.RELAY_SET: _relay,
    op.TRANSMIT_GET: _transmit,
    op.TRANSMIT_SET: _transmit,
    op.IDENTITY_GET: _identity,
    op.IDENTITY_SET: _identity,
    op.POLL_TIMEOUT_GET: _poll_timeout,
    op.NODE_RESET: _reset,
    op.HEARTBEAT_PUB_GET: _heartbeat_publication,
    op.HEARTBEAT_PUB_SET: _heartbeat_publication,
    op.HEARTBEAT_SUB_GET: _heartbeat_subscription,
    op.HEARTBEAT_SUB_SET: _heartbeat_subscription,
}
_HANDLERS.update(config_keys.HANDLERS)
_HANDLERS.update(config_models.HANDLERS)
ConfigurationServer.OPCODES = (op.NETKEY_DELETE, op.COMPOSITION_GET) + tuple(_HANDLERS)
