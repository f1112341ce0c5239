"""The Configuration Server (Mesh Profile 1.0.1, 4.4.1): what a provisioner needs to configure a node.

Rules: reached by the device key alone; a malformed message gets no answer; friend and low-power features are not
supported, and say so. Messages about keys and models stand in files of their own.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Composition, Model, opcode
from fieldline_wire.mesh.models import config_keys, config_models
from fieldline_wire.mesh.models.config_keys import net_index, size
from fieldline_wire.mesh.models.opcodes import (
    BEACON_GET,
    BEACON_SET,
    BEACON_STATUS,
    COMPOSITION_GET,
    COMPOSITION_STATUS,
    CONFIGURATION_SERVER,
    FRIEND_GET,
    FRIEND_SET,
    FRIEND_STATUS,
    HEARTBEAT_PUB_GET,
    HEARTBEAT_PUB_SET,
    HEARTBEAT_PUB_STATUS,
    HEARTBEAT_SUB_GET,
    HEARTBEAT_SUB_SET,
    HEARTBEAT_SUB_STATUS,
    IDENTITY_GET,
    IDENTITY_SET,
    IDENTITY_STATUS,
    INVALID_ADDRESS,
    INVALID_NETKEY,
    NETKEY_DELETE,
    NODE_RESET,
    NODE_RESET_STATUS,
    POLL_TIMEOUT_GET,
    POLL_TIMEOUT_STATUS,
    PROXY_GET,
    PROXY_SET,
    PROXY_STATUS,
    RELAY_GET,
    RELAY_SET,
    RELAY_STATUS,
    SUCCESS,
    TRANSMIT_GET,
    TRANSMIT_SET,
    TRANSMIT_STATUS,
    TTL_GET,
    TTL_SET,
    TTL_STATUS,
)
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

    model_id = CONFIGURATION_SERVER
    device_key = True

    def __init__(self, composition: Composition) -> None:
        super().__init__()
        self.composition = composition

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        node = self.node
        assert node is not None
        if code == NETKEY_DELETE:
            return config_keys.net_delete(node, now, data, message.net_index)
        if code == COMPOSITION_GET:
            size(data, 1)  # whatever page is asked for, page 0 is the one that there is
            return opcode(COMPOSITION_STATUS) + b"\x00" + self.composition.to_bytes()
        return _HANDLERS[code](node, now, data)


def _flag(data: bytes) -> bool:
    if size(data, 1)[0] > 1:
        raise PeerError("a state of %d" % data[0])
    return bool(data[0])


def _beacon(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        node.settings.beacon = _flag(data)
        node.save()
    return opcode(BEACON_STATUS) + bytes((node.settings.beacon,))


def _ttl(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        if size(data, 1)[0] > MAX_TTL or data[0] == 1:
            raise PeerError("a default TTL of %d" % data[0])
        node.settings.default_ttl = data[0]
        node.save()
    return opcode(TTL_STATUS) + bytes((node.settings.default_ttl,))


def _friend(node: "Node", now: int, data: bytes) -> bytes:
    return opcode(FRIEND_STATUS) + bytes((NOT_SUPPORTED,))


def _proxy(node: "Node", now: int, data: bytes) -> bytes:
    if node.network.proxy is None:
        return opcode(PROXY_STATUS) + bytes((NOT_SUPPORTED,))
    if data:
        node.settings.proxy = _flag(data)
        node.save()
    return opcode(PROXY_STATUS) + bytes((node.settings.proxy,))


def _relay(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        node.settings.relay = _flag(size(data, 2)[:1])
        node.network.relay_transmit.set_byte(data[1])
        node.save()
    return opcode(RELAY_STATUS) + bytes((node.settings.relay, node.network.relay_transmit.to_byte()))


def _transmit(node: "Node", now: int, data: bytes) -> bytes:
    if data:
        node.network.transmit.set_byte(size(data, 1)[0])
        node.save()
    return opcode(TRANSMIT_STATUS) + bytes((node.network.transmit.to_byte(),))


def _identity(node: "Node", now: int, data: bytes) -> bytes:
    """Node Identity is of the proxy's adverts: not supported where the driver asks for none."""
    index = net_index(data)
    status = SUCCESS if node.network.subnet(index) else INVALID_NETKEY
    return opcode(IDENTITY_STATUS) + struct.pack("<BHB", status, index, NOT_SUPPORTED)


def _poll_timeout(node: "Node", now: int, data: bytes) -> bytes:
    size(data, 2)  # we are nobody's friend: 0
    return opcode(POLL_TIMEOUT_STATUS) + data + bytes(3)


def _reset(node: "Node", now: int, data: bytes) -> bytes:
    size(data, 0)
    node.leave_at = now + _LEAVE_MS
    return opcode(NODE_RESET_STATUS)


def _heartbeat_publication(node: "Node", now: int, data: bytes) -> bytes:
    beats, status = node.settings.heartbeats, SUCCESS
    if data:
        dst, count, period, ttl, features, index = struct.unpack("<HBBBHH", size(data, 9))
        if period > 0x11 or 0x11 < count < 0xFF or ttl > MAX_TTL:
            raise PeerError("a heartbeat out of range")
        if FIRST_VIRTUAL <= dst < FIRST_GROUP:
            status = INVALID_ADDRESS
        elif node.network.subnet(index) is None:
            status = INVALID_NETKEY
        else:
            beats.dst, beats.ttl, beats.features, beats.net_index = dst, ttl, features, index
            beats.count = -1 if count == 0xFF else (1 << count - 1 if count else 0)
            beats.period_log = period
            beats.due = now
            beats.last_features = node.features()
            status = node.save()
    log = 0xFF if beats.count < 0 else log_of(beats.count)
    return opcode(HEARTBEAT_PUB_STATUS) + struct.pack(
        "<BHBBBHH", status, beats.dst, log, beats.period_log, beats.ttl, beats.features, beats.net_index
    )


def _heartbeat_subscription(node: "Node", now: int, data: bytes) -> bytes:
    beats = node.settings.heartbeats
    if data:
        src, dst, period = struct.unpack("<HHB", size(data, 5))
        ours = dst == node.settings.address or dst >= FIRST_GROUP
        if period > 0x11 or src >= FIRST_VIRTUAL or (src and dst and not ours):
            raise PeerError("a heartbeat out of range")
        beats.listen_src = src if dst and period else 0
        beats.listen_dst = dst if src and period else 0
        beats.listen_until = now + (1000 << period - 1 if beats.listen_src else 0)
        node.transport.heartbeats_of = (beats.listen_src, beats.listen_dst)
        if beats.listen_src:
            beats.heard, beats.min_hops, beats.max_hops = 0, MAX_TTL, 0
    left = max(0, beats.listen_until - now + 999) // 1000
    return opcode(HEARTBEAT_SUB_STATUS) + struct.pack(
        "<BHHBBBB",
        SUCCESS,
        beats.listen_src,
        beats.listen_dst,
        log_of(left),
        log_of(beats.heard) if beats.heard < 0xFFFF else 0xFF,
        beats.min_hops if beats.heard else 0,
        beats.max_hops,
    )


_HANDLERS: "dict[int, Handler]" = {
    BEACON_GET: _beacon,
    BEACON_SET: _beacon,
    TTL_GET: _ttl,
    TTL_SET: _ttl,
    FRIEND_GET: _friend,
    FRIEND_SET: _friend,
    PROXY_GET: _proxy,
    PROXY_SET: _proxy,
    RELAY_GET: _relay,
    RELAY_SET: _relay,
    TRANSMIT_GET: _transmit,
    TRANSMIT_SET: _transmit,
    IDENTITY_GET: _identity,
    IDENTITY_SET: _identity,
    POLL_TIMEOUT_GET: _poll_timeout,
    NODE_RESET: _reset,
    HEARTBEAT_PUB_GET: _heartbeat_publication,
    HEARTBEAT_PUB_SET: _heartbeat_publication,
    HEARTBEAT_SUB_GET: _heartbeat_subscription,
    HEARTBEAT_SUB_SET: _heartbeat_subscription,
}
_HANDLERS.update(config_keys.HANDLERS)
_HANDLERS.update(config_models.HANDLERS)
ConfigurationServer.OPCODES = (NETKEY_DELETE, COMPOSITION_GET) + tuple(_HANDLERS)
