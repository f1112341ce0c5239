"""A mesh configuration that is more than one value of the node's journal: refused and undone, the rest stands."""

import struct

from node_cases.mesh_bench import ADDRESS, MeshBench

from fieldline_node.journal import MAX_VALUE
from fieldline_node.keys import KEY_MESH
from fieldline_wire.codes import LIVE
from fieldline_wire.mesh.access import key_indexes
from fieldline_wire.mesh.models.opcodes import (
    APPKEY_ADD,
    APPKEY_UPDATE,
    HEARTBEAT_PUB_SET,
    INSUFFICIENT_RESOURCES,
    MODEL_BIND,
    NETKEY_ADD,
    NETKEY_UPDATE,
    PUBLICATION_VIRTUAL_SET,
    SUBSCRIPTION_VIRTUAL_ADD,
    SUCCESS,
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
