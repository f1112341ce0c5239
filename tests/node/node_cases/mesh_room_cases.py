"""A mesh configuration that is more than one value of the node's journal: refused and undone, the rest stands."""

import struct

from node_cases.mesh_bench import ADDRESS, MeshBench

from fieldline_node.errors import StorageError
from fieldline_node.journal import MAX_VALUE, Journal
from fieldline_node.keys import KEY_MESH
from fieldline_wire.codes import LIVE
from fieldline_wire.mesh.access import key_indexes
from fieldline_wire.mesh.models.opcodes import (
    APPKEY_ADD,
    APPKEY_DELETE,
    APPKEY_UPDATE,
    HEARTBEAT_PUB_SET,
    INSUFFICIENT_RESOURCES,
    MODEL_BIND,
    MODEL_UNBIND,
    NETKEY_ADD,
    NETKEY_DELETE,
    NETKEY_UPDATE,
    PUBLICATION_VIRTUAL_SET,
    STORAGE_FAILURE,
    SUBSCRIPTION_DELETE_ALL,
    SUBSCRIPTION_VIRTUAL_ADD,
    SUCCESS,
    TTL_SET,
)
from fieldline_wire.mesh.settings import MAX_RECORD, RECORD
from fieldline_wire.mesh.transport import DEVICE_KEY, Access

HEALTH = b"\x02\x00"


def _record(node):
    return node.settings.to_bytes(node.network, node.keys, node.models())


def _ask(bench, code, data):
    """The status that the Configuration Server answers."""
    message = Access(1, ADDRESS, 5, 0, DEVICE_KEY, b"", b"")
    said = bench.link.node.models()[0].receive(bench.hardware.now, message, code, data)
    return said[1 if said[0] < 0x80 else 2]


def _wishes(sealed):
    """(opcode, parameters) of each kind of message that makes the configuration larger."""
    element = struct.pack("<H", ADDRESS)
    wishes = [(NETKEY_ADD, struct.pack("<H", index) + bytes((index,)) * 16) for index in (1, 2)]
    wishes += [(APPKEY_ADD, key_indexes(0, index) + bytes((index,)) * 16) for index in (1, 2, 3)]
    for label in range(4):
        for model in (HEALTH, sealed):
            wishes.append((SUBSCRIPTION_VIRTUAL_ADD, element + bytes((label,)) * 16 + model))
    wishes += [(NETKEY_UPDATE, struct.pack("<H", index) + b"n" * 16) for index in (1, 0)]
    wishes.append((APPKEY_UPDATE, key_indexes(0, 1) + b"a" * 16))
    for model in (HEALTH, sealed):
        wishes.append((PUBLICATION_VIRTUAL_SET, element + b"l" * 16 + b"\x00\x00\x05\x00\x00" + model))
    wishes += [(MODEL_BIND, element + struct.pack("<H", index) + HEALTH) for index in (1, 2, 3)]
    wishes.append((HEARTBEAT_PUB_SET, struct.pack("<HBBBHH", 1, 0xFF, 5, 5, 0, 0)))
    return wishes


def case_what_has_no_room_is_refused_whole_and_the_rest_stands():
    assert MAX_RECORD == MAX_VALUE
    wishes = _wishes(MeshBench().link.node.models()[2].identifier())
    refused = []
    for first in range(len(wishes)):  # each kind is the one that finds no room
        bench = MeshBench()
        node = bench.link.node
        for code, data in wishes[first:] + wishes[:first]:
            before = _record(node)
            status = _ask(bench, code, data)
            if status != SUCCESS:
                assert _record(node) == before, "half a change of 0x%x" % code
            if status == INSUFFICIENT_RESOURCES:
                refused.append(code)
            assert len(_record(node)) <= MAX_VALUE
            assert bench.journal.get(KEY_MESH + RECORD) == _record(node)
    for code, _ in wishes:
        assert code in refused, "0x%x always found room" % code


def case_readings_go_on_after_a_refusal_and_a_reset():
    bench = MeshBench()
    bench.fan.spin(50)
    wishes = _wishes(bench.link.node.models()[2].identifier())
    said = [_ask(bench, code, data) for code, data in wishes]
    assert INSUFFICIENT_RESOURCES in said
    bench.run(8000)
    got = bench.peer.next(LIVE)
    assert got > 5 and bench.link.unkept == 0
    before = _record(bench.link.node)
    bench.boot()
    assert _record(bench.link.node) == before


def _changes(node):
    """(opcode, parameters) of messages whose answer has a status, each of which would change the configuration."""
    element = struct.pack("<H", ADDRESS)
    sealed = node.models()[2].identifier()
    return [
        (NETKEY_ADD, b"\x02\x00" + b"2" * 16),
        (NETKEY_UPDATE, b"\x01\x00" + b"n" * 16),
        (NETKEY_DELETE, b"\x01\x00"),
        (APPKEY_ADD, key_indexes(0, 2) + b"2" * 16),
        (APPKEY_UPDATE, key_indexes(0, 0) + b"a" * 16),
        (APPKEY_DELETE, key_indexes(0, 0)),
        (MODEL_BIND, element + b"\x01\x00" + HEALTH),
        (MODEL_UNBIND, element + b"\x00\x00" + sealed),
        (SUBSCRIPTION_VIRTUAL_ADD, element + b"m" * 16 + HEALTH),
        (SUBSCRIPTION_DELETE_ALL, element + HEALTH),
        (PUBLICATION_VIRTUAL_SET, element + b"l" * 16 + b"\x01\x00\x05\x00\x00" + HEALTH),
        (HEARTBEAT_PUB_SET, struct.pack("<HBBBHH", 1, 0xFF, 7, 5, 0, 0)),
    ]


def case_what_flash_does_not_take_is_told_and_undone():
    bench = MeshBench()
    bench.fan.spin(50)
    node = bench.link.node
    for code, data in (
        (NETKEY_UPDATE, b"\x00\x00" + b"n" * 16),
        (NETKEY_ADD, b"\x01\x00" + b"1" * 16),
        (APPKEY_ADD, key_indexes(0, 1) + b"1" * 16),
        (SUBSCRIPTION_VIRTUAL_ADD, struct.pack("<H", ADDRESS) + b"l" * 16 + HEALTH),
    ):
        assert _ask(bench, code, data) == SUCCESS
    before, put, refused = _record(node), Journal.put, []

    def refuse(self, key, value):
        if key == KEY_MESH + RECORD:
            refused.append(key)
            raise StorageError("worn out")
        put(self, key, value)

    Journal.put = refuse
    try:
        for code, data in _changes(node):
            assert _ask(bench, code, data) == STORAGE_FAILURE, "0x%x" % code
            assert _record(node) == before, "half a change of 0x%x" % code
        # An answer without a status says what still holds.
        assert _ask(bench, TTL_SET, b"\x09") == node.settings.default_ttl != 9
        assert len(refused) == len(_changes(node)) + 1
        bench.run(4000)
    finally:
        Journal.put = put
    got = bench.peer.next(LIVE)
    assert got > 3, "readings went on"
    for code, data in _changes(node):
        assert _ask(bench, code, data) == SUCCESS, "0x%x" % code
    bench.boot()
    assert _record(bench.link.node) != before


def case_a_node_that_cannot_keep_its_joining_does_not_run_on_it():
    put = Journal.put

    def refuse(self, key, value):
        if key == KEY_MESH + RECORD:
            raise StorageError("worn out")
        put(self, key, value)

    Journal.put = refuse
    try:
        MeshBench()
    except StorageError:
        pass
    else:
        raise AssertionError("it runs with keys that the next start does not have")
    finally:
        Journal.put = put
