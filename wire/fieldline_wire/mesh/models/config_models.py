"""The Configuration Server's messages about models: bindings, subscriptions, publication (4.3.2).

Rules: as config_keys.py; a model is named by its element's address and its identifier, of 2 or 4 bytes.
"""

import struct

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import MAX_BINDS, MAX_SUBSCRIPTIONS, Model, Publication, opcode
from fieldline_wire.mesh.keys import virtual_address
from fieldline_wire.mesh.models.config_keys import pack_indexes
from fieldline_wire.mesh.models.opcodes import (
    CANNOT_BIND,
    INSUFFICIENT_RESOURCES,
    INVALID_ADDRESS,
    INVALID_APPKEY,
    INVALID_MODEL,
    INVALID_PUBLISH,
    MODEL_BIND,
    MODEL_STATUS,
    MODEL_UNBIND,
    NOT_SUPPORTED,
    PUBLICATION_GET,
    PUBLICATION_SET,
    PUBLICATION_STATUS,
    PUBLICATION_VIRTUAL_SET,
    SIG_MODEL_GET,
    SIG_MODEL_LIST,
    SIG_SUBSCRIPTION_GET,
    SIG_SUBSCRIPTION_LIST,
    SUBSCRIPTION_ADD,
    SUBSCRIPTION_DELETE,
    SUBSCRIPTION_DELETE_ALL,
    SUBSCRIPTION_OVERWRITE,
    SUBSCRIPTION_STATUS,
    SUBSCRIPTION_VIRTUAL_ADD,
    SUBSCRIPTION_VIRTUAL_DELETE,
    SUBSCRIPTION_VIRTUAL_OVERWRITE,
    SUCCESS,
    VENDOR_MODEL_GET,
    VENDOR_MODEL_LIST,
    VENDOR_SUBSCRIPTION_GET,
    VENDOR_SUBSCRIPTION_LIST,
)
from fieldline_wire.mesh.network import ALL_NODES, FIRST_GROUP, FIRST_VIRTUAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.models.config_keys import Handler
    from fieldline_wire.mesh.node import Node


def find(node: "Node", data: bytes, at: int) -> "tuple[int, Model | None, bytes]":
    """(status, model, identifier) for the element address at 0 and the identifier from `at` on."""
    if len(data) < at or len(data) - at not in (2, 4):
        raise PeerError("no model identifier")
    element = data[0] | data[1] << 8
    number = element - node.settings.address
    if not 0 <= number < len(node.elements):
        return INVALID_ADDRESS, None, data[at:]
    for model in node.elements[number].models:
        if model.identifier() == data[at:]:
            return SUCCESS, model, data[at:]
    return INVALID_MODEL, None, data[at:]


def _bind_status(status: int, data: bytes) -> bytes:
    return opcode(MODEL_STATUS) + bytes((status,)) + data


def bind(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model App Bind."""
    status, model, _ = find(node, data, 4)
    if model is None:
        return _bind_status(status, data)
    index = data[2] | (data[3] & 0x0F) << 8
    if node.keys.app(index) is None:
        return _bind_status(INVALID_APPKEY, data)
    if model.device_key:
        return _bind_status(CANNOT_BIND, data)
    if index not in model.state.binds:
        if len(model.state.binds) >= MAX_BINDS:
            return _bind_status(INSUFFICIENT_RESOURCES, data)
        model.state.binds.append(index)
        status = node.save()
    return _bind_status(status, data)


def unbind(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model App Unbind."""
    status, model, _ = find(node, data, 4)
    if model is None:
        return _bind_status(status, data)
    index = data[2] | (data[3] & 0x0F) << 8
    if index in model.state.binds:
        model.state.binds.remove(index)
        if model.state.publication.key_index == index:
            model.state.publication = Publication()
        status = node.save()
    return _bind_status(status, data)


def binds_of(node: "Node", now: int, data: bytes) -> bytes:
    """Config SIG Model App Get and Vendor Model App Get."""
    status, model, name = find(node, data, 2)
    code = SIG_MODEL_LIST if len(name) == 2 else VENDOR_MODEL_LIST
    binds = [] if model is None else model.state.binds
    return opcode(code) + bytes((status,)) + data + pack_indexes(binds)


def _subscription_status(status: int, element: bytes, address: int, name: bytes) -> bytes:
    return opcode(SUBSCRIPTION_STATUS) + bytes((status,)) + element + struct.pack("<H", address) + name


def _subscribe(node: "Node", data: bytes, address: int, label: bytes, at: int, change: str) -> bytes:
    status, model, name = find(node, data, at)
    if model is None:
        return _subscription_status(status, data[:2], address, name)
    low = FIRST_VIRTUAL if label else FIRST_GROUP
    if model.device_key or not low <= address < ALL_NODES:
        status = INVALID_ADDRESS if not model.device_key else INVALID_MODEL
        return _subscription_status(status, data[:2], address, name)
    listed = [] if change == "overwrite" else model.state.subscriptions
    row = (address, label)
    if change == "delete":
        listed = [one for one in listed if one != row]
    elif row not in listed:
        if len(listed) >= MAX_SUBSCRIPTIONS:
            return _subscription_status(INSUFFICIENT_RESOURCES, data[:2], address, name)
        listed = listed + [row]
    model.state.subscriptions = listed
    return _subscription_status(node.save(), data[:2], address, name)


def _group(data: bytes) -> int:
    if len(data) < 4:
        raise PeerError("no group address")
    return data[2] | data[3] << 8


def subscription_add(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Add."""
    return _subscribe(node, data, _group(data), b"", 4, "add")


def subscription_delete(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Delete."""
    return _subscribe(node, data, _group(data), b"", 4, "delete")


def subscription_overwrite(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Overwrite."""
    return _subscribe(node, data, _group(data), b"", 4, "overwrite")


def _virtual(node: "Node", data: bytes, change: str) -> bytes:
    if len(data) < 18:
        raise PeerError("no label")
    label = data[2:18]
    return _subscribe(node, data, virtual_address(node.aes, label), label, 18, change)


def virtual_add(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Virtual Address Add."""
    return _virtual(node, data, "add")


def virtual_delete(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Virtual Address Delete."""
    return _virtual(node, data, "delete")


def virtual_overwrite(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Virtual Address Overwrite."""
    return _virtual(node, data, "overwrite")


def subscription_delete_all(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Subscription Delete All."""
    status, model, name = find(node, data, 2)
    if model is not None:
        model.state.subscriptions = []
        status = node.save()
    return _subscription_status(status, data[:2], 0, name)


def subscriptions_of(node: "Node", now: int, data: bytes) -> bytes:
    """Config SIG Model Subscription Get and Vendor Model Subscription Get."""
    status, model, name = find(node, data, 2)
    code = SIG_SUBSCRIPTION_LIST if len(name) == 2 else VENDOR_SUBSCRIPTION_LIST
    rows = [] if model is None else model.state.subscriptions
    packed = b"".join([struct.pack("<H", address) for address, _ in rows])
    return opcode(code) + bytes((status,)) + data + packed


def _publication_status(status: int, element: bytes, out: Publication, name: bytes) -> bytes:
    key = out.key_index | out.credential << 12
    fields = struct.pack("<HHBBB", out.address, key, out.ttl, out.period, out.retransmit.to_byte())
    return opcode(PUBLICATION_STATUS) + bytes((status,)) + element + fields + name


def publication_get(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Publication Get."""
    status, model, name = find(node, data, 2)
    out = model.state.publication if model is not None else Publication()
    return _publication_status(status, data[:2], out, name)


def _set_publication(node: "Node", data: bytes, address: int, label: bytes, at: int) -> bytes:
    status, model, name = find(node, data, at + 5)
    key, out = data[at] | data[at + 1] << 8, Publication()
    out.address, out.label = address, label
    out.key_index, out.credential = key & 0x0FFF, key >> 12 & 1
    out.ttl, out.period = data[at + 2], data[at + 3]
    out.retransmit.set_byte(data[at + 4])
    if model is None:
        return _publication_status(status, data[:2], Publication(), name)
    if address and node.keys.app(out.key_index) is None:
        return _publication_status(INVALID_APPKEY, data[:2], Publication(), name)
    if out.credential:  # friendship security material: we are no friend
        return _publication_status(NOT_SUPPORTED, data[:2], Publication(), name)
    if 0x80 <= out.ttl < 0xFF:
        return _publication_status(INVALID_PUBLISH, data[:2], Publication(), name)
    model.state.publication = out if address else Publication()
    status = node.save()
    return _publication_status(status, data[:2], model.state.publication, name)


def publication_set(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Publication Set."""
    if len(data) < 11:
        raise PeerError("half a publication")
    address = data[2] | data[3] << 8
    if FIRST_VIRTUAL <= address < FIRST_GROUP:
        raise PeerError("no label")
    return _set_publication(node, data, address, b"", 4)


def publication_virtual_set(node: "Node", now: int, data: bytes) -> bytes:
    """Config Model Publication Virtual Address Set."""
    if len(data) < 25:
        raise PeerError("half a publication")
    label = data[2:18]
    return _set_publication(node, data, virtual_address(node.aes, label), label, 18)


HANDLERS: "dict[int, Handler]" = {
    MODEL_BIND: bind,
    MODEL_UNBIND: unbind,
    SIG_MODEL_GET: binds_of,
    VENDOR_MODEL_GET: binds_of,
    SUBSCRIPTION_ADD: subscription_add,
    SUBSCRIPTION_DELETE: subscription_delete,
    SUBSCRIPTION_OVERWRITE: subscription_overwrite,
    SUBSCRIPTION_DELETE_ALL: subscription_delete_all,
    SUBSCRIPTION_VIRTUAL_ADD: virtual_add,
    SUBSCRIPTION_VIRTUAL_DELETE: virtual_delete,
    SUBSCRIPTION_VIRTUAL_OVERWRITE: virtual_overwrite,
    SIG_SUBSCRIPTION_GET: subscriptions_of,
    VENDOR_SUBSCRIPTION_GET: subscriptions_of,
    PUBLICATION_GET: publication_get,
    PUBLICATION_SET: publication_set,
    PUBLICATION_VIRTUAL_SET: publication_virtual_set,
}
