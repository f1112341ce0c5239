"""The Configuration Server's messages about keys: NetKeys, AppKeys, key refresh (Mesh Profile 1.0.1, 4.3.2).

Rules: each handler gets the node and the parameters and gives the answer; a repeat of what was done succeeds;
what is changed is stored before it is answered.
"""

import struct

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import key_indexes, opcode, read_key_indexes
from fieldline_wire.mesh.keys import (
    PHASE_DISTRIBUTE,
    PHASE_NORMAL,
    PHASE_SWITCH,
    AppKey,
    ApplicationKey,
    NetworkKey,
    Subnet,
)
from fieldline_wire.mesh.models.opcodes import (
    APPKEY_ADD,
    APPKEY_DELETE,
    APPKEY_GET,
    APPKEY_LIST,
    APPKEY_STATUS,
    APPKEY_UPDATE,
    CANNOT_REMOVE,
    CANNOT_UPDATE,
    INSUFFICIENT_RESOURCES,
    INVALID_APPKEY,
    INVALID_BINDING,
    INVALID_NETKEY,
    KEY_STORED,
    NETKEY_ADD,
    NETKEY_GET,
    NETKEY_LIST,
    NETKEY_STATUS,
    NETKEY_UPDATE,
    REFRESH_GET,
    REFRESH_SET,
    REFRESH_STATUS,
    SUCCESS,
)
from fieldline_wire.mesh.settings import MAX_APP_KEYS, MAX_SUBNETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.node import Node

    Handler = Callable[[Node, int, bytes], bytes]


def size(data: bytes, wanted: int) -> bytes:
    """`data`, if it has `wanted` bytes; else PeerError."""
    if len(data) != wanted:
        raise PeerError("%d bytes of parameters, not %d" % (len(data), wanted))
    return data


def net_index(data: bytes) -> int:
    """The 12-bit NetKey index at the start of `data`; PeerError where there is none."""
    if len(data) < 2:
        raise PeerError("no key index")
    return data[0] | (data[1] & 0x0F) << 8


def _net_status(status: int, index: int) -> bytes:
    return opcode(NETKEY_STATUS) + struct.pack("<BH", status, index)


def net_add(node: "Node", now: int, data: bytes) -> bytes:
    """Config NetKey Add."""
    index, key = net_index(data), size(data, 18)[2:]
    subnet = node.network.subnet(index)
    if subnet is not None:
        status = SUCCESS if subnet.key.key == key and subnet.new is None else KEY_STORED
    elif len(node.network.subnets) >= MAX_SUBNETS:
        status = INSUFFICIENT_RESOURCES
    else:
        node.network.subnets.append(Subnet(index, NetworkKey(node.aes, key)))
        status = node.save()
    return _net_status(status, index)


def net_update(node: "Node", now: int, data: bytes) -> bytes:
    """Config NetKey Update: key refresh phase 1 (3.10.4.1)."""
    index, key = net_index(data), size(data, 18)[2:]
    subnet, status = node.network.subnet(index), SUCCESS
    if subnet is None:
        status = INVALID_NETKEY
    elif subnet.phase == PHASE_SWITCH or (subnet.new is not None and subnet.new.key != key):
        status = CANNOT_UPDATE
    elif subnet.new is None:
        subnet.new = NetworkKey(node.aes, key)
        subnet.phase = PHASE_DISTRIBUTE
        status = node.save()
    return _net_status(status, index)


def net_delete(node: "Node", now: int, data: bytes, arrived: int) -> bytes:
    """Config NetKey Delete; `arrived`: the NetKey index that the message came under."""
    index = net_index(size(data, 2))
    subnet, status = node.network.subnet(index), SUCCESS
    if subnet is not None and (index == arrived or len(node.network.subnets) == 1):
        status = CANNOT_REMOVE
    elif subnet is not None:
        node.network.subnets.remove(subnet)
        for app in [one for one in node.keys.app_keys if one.net_index == index]:
            _drop(node, app)
        status = node.save()
    return _net_status(status, index)


def net_get(node: "Node", now: int, data: bytes) -> bytes:
    """Config NetKey Get."""
    size(data, 0)
    return opcode(NETKEY_LIST) + pack_indexes([one.index for one in node.network.subnets])


def refresh_get(node: "Node", now: int, data: bytes) -> bytes:
    """Config Key Refresh Phase Get."""
    return _phase(node, net_index(size(data, 2)))


def refresh_set(node: "Node", now: int, data: bytes) -> bytes:
    """Config Key Refresh Phase Set: 2 switches to the new key, 3 revokes the old one (4.2.14)."""
    index, wanted = net_index(data), size(data, 3)[2]
    subnet = node.network.subnet(index)
    if subnet is None:
        return opcode(REFRESH_STATUS) + struct.pack("<BHB", INVALID_NETKEY, index, 0)
    if wanted == 2 and subnet.phase in (PHASE_DISTRIBUTE, PHASE_SWITCH):
        subnet.phase = PHASE_SWITCH
    elif wanted == 3:
        if subnet.phase != PHASE_NORMAL:
            node.end_refresh(subnet)
    else:
        return opcode(REFRESH_STATUS) + struct.pack("<BHB", CANNOT_UPDATE, index, subnet.phase)
    node.save()
    node.send_beacon_now(now)
    return _phase(node, index)


def _phase(node: "Node", index: int) -> bytes:
    subnet = node.network.subnet(index)
    if subnet is None:
        return opcode(REFRESH_STATUS) + struct.pack("<BHB", INVALID_NETKEY, index, 0)
    return opcode(REFRESH_STATUS) + struct.pack("<BHB", SUCCESS, index, subnet.phase)


def _app_status(status: int, net: int, app: int) -> bytes:
    return opcode(APPKEY_STATUS) + bytes((status,)) + key_indexes(net, app)


def app_add(node: "Node", now: int, data: bytes) -> bytes:
    """Config AppKey Add."""
    net, index = read_key_indexes(data)
    key = size(data, 19)[3:]
    app = node.keys.app(index)
    if node.network.subnet(net) is None or (app is not None and app.net_index != net):
        status = INVALID_NETKEY
    elif app is not None:
        status = SUCCESS if app.key.key == key and app.new is None else KEY_STORED
    elif len(node.keys.app_keys) >= MAX_APP_KEYS:
        status = INSUFFICIENT_RESOURCES
    else:
        node.keys.app_keys.append(AppKey(index, net, ApplicationKey(node.aes, key)))
        status = node.save()
    return _app_status(status, net, index)


def app_update(node: "Node", now: int, data: bytes) -> bytes:
    """Config AppKey Update: allowed in key refresh phase 1 alone."""
    net, index = read_key_indexes(data)
    key = size(data, 19)[3:]
    subnet, app, status = node.network.subnet(net), node.keys.app(index), SUCCESS
    if subnet is None:
        status = INVALID_NETKEY
    elif app is None:
        status = INVALID_APPKEY
    elif app.net_index != net:
        status = INVALID_BINDING
    elif subnet.phase != PHASE_DISTRIBUTE or (app.new is not None and app.new.key != key):
        status = CANNOT_UPDATE
    elif app.new is None:
        app.new = ApplicationKey(node.aes, key)
        status = node.save()
    return _app_status(status, net, index)


def app_delete(node: "Node", now: int, data: bytes) -> bytes:
    """Config AppKey Delete."""
    net, index = read_key_indexes(size(data, 3))
    app, status = node.keys.app(index), SUCCESS
    if node.network.subnet(net) is None or (app is not None and app.net_index != net):
        status = INVALID_NETKEY
    elif app is not None:
        _drop(node, app)
        status = node.save()
    return _app_status(status, net, index)


def app_get(node: "Node", now: int, data: bytes) -> bytes:
    """Config AppKey Get."""
    index = net_index(size(data, 2))
    if node.network.subnet(index) is None:
        return opcode(APPKEY_LIST) + struct.pack("<BH", INVALID_NETKEY, index)
    found = [one.index for one in node.keys.app_keys if one.net_index == index]
    return opcode(APPKEY_LIST) + struct.pack("<BH", SUCCESS, index) + pack_indexes(found)


def pack_indexes(indexes: "list[int]") -> bytes:
    """Key indexes in pairs of three bytes, an odd last one in two (4.3.1.1)."""
    parts = [key_indexes(indexes[at], indexes[at + 1]) for at in range(0, len(indexes) - 1, 2)]
    if len(indexes) % 2:
        parts.append(struct.pack("<H", indexes[-1]))
    return b"".join(parts)


def _drop(node: "Node", app: AppKey) -> None:
    node.keys.app_keys.remove(app)
    for model in node.models():
        if app.index in model.state.binds:
            model.state.binds.remove(app.index)
        if model.state.publication.key_index == app.index:
            model.state.publication.address = 0


HANDLERS: "dict[int, Handler]" = {
    NETKEY_ADD: net_add,
    NETKEY_UPDATE: net_update,
    NETKEY_GET: net_get,
    REFRESH_GET: refresh_get,
    REFRESH_SET: refresh_set,
    APPKEY_ADD: app_add,
    APPKEY_UPDATE: app_update,
    APPKEY_DELETE: app_delete,
    APPKEY_GET: app_get,
}
