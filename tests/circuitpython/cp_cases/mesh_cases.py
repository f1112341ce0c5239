"""The whole node on CircuitPython's ports with a /mesh.json: member, relay, bridge, device; and BTHome.

The air is that of two: what the node's radio says reaches a gateway's node, and back. Time is the world's.
"""

import json
import sys

import _bleio
from cp_cases.rig import CUT, ENDED, RUNNING, Node, ReleaseBoard
from cp_fat import DIRECTORY
from cp_radio import ADV_NONCONN_IND, Heard
from cp_world import PowerCut
from fakes.aes import Block
from fakes.flash import Lcg
from fakes.node_peer import NODE
from node_cases.joining_cases import STATIC, STATIC_TEXT, Site
from node_cases.mesh_bench import ADDRESS, NET_KEY, SAID, MeshBench

from fieldline_node.links import mesh as link_module
from fieldline_wire.codes import KEY_REPORT_MS, LIVE, QTY_TEMPERATURE, SENSOR_NODE
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE, AD_PB_ADV
from fieldline_wire.mesh.announce import Unprovisioned, node_uuid
from fieldline_wire.mesh.bridge import BridgeState, advert, read_advert
from fieldline_wire.mesh.counters import SEQUENCE_BLOCK
from fieldline_wire.mesh.keys import NetworkKey
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
from fieldline_wire.messages import Config, Hello, Report
from fieldline_wire.serial import BRIDGE_KINDS, KIND_ADVERT, KIND_BRIDGE, Reader
from fieldline_wire.serial import encode as frame

FAN = "GP5"
ON_VM = sys.implementation.name == "micropython"  # where simulated time is dear
EVENT_MS = 8  # of the gateway's radio


class Far:
    """The gateway's node near `board`, and its session with it: `peer`."""

    gateway_kind = MeshBench.gateway_kind

    def __init__(self, board):
        self._board = board
        self.random = Lcg(7)
        MeshBench._make_gateway(self)

    @property
    def time(self):
        return self._board.time

    def _random(self, count):
        return bytes([self.random.bits(8) for _ in range(count)])


class MeshNode(Node):
    """A board with a /mesh.json, and a gateway's node near it; `air`: all that the board said, (AD type, data)."""

    def __init__(self, said=SAID, drive=256 * 1024, **board):
        super().__init__(drive=drive, **board)
        self.key = NetworkKey(Block, NET_KEY)
        self.told = {}  # sequence number to what the board said under it
        self.air = []
        self.lose = lambda data: False
        self.gateway_up = True
        self.cut_at = None  # the power goes when it has said so many numbers
        self._gateway_at = 0
        self.put("/mesh.json", json.dumps(said))
        self.cable = self.peer
        self.peer = Both(self, self.cable)
        self.far = Far(self)
        self.world.radio.on_event = self._said

    @property
    def time(self):
        return self.world.us // 1000

    def put(self, path, text):
        self.world.volume.texts[path] = text.encode()

    def step(self):
        """The gateway's part, with each move of time (Node.run calls it)."""
        if not self.gateway_up or self.time < self._gateway_at:
            return
        self.far.gateway.poll(self.time)
        out = self.far.gateway.air.next(self.time)
        if out is not None:
            self._gateway_at = self.time + EVENT_MS
            if not self.lose(out[1]):
                self.hear(*out)

    def hear(self, kind, data):
        self.world.radio.say(Heard(bytes((len(data) + 1, kind)) + data))

    def _said(self, pdu, data):
        assert pdu == ADV_NONCONN_IND and data[0] == len(data) - 1
        kind, data = data[1], data[2:]
        self.air.append((kind, data))
        if kind == AD_MESSAGE:
            self._judge(data)
        if self.gateway_up and not self.lose(data):
            if kind == AD_MESSAGE:
                self.far.gateway.receive(self.time, data)
            elif kind == AD_BEACON:
                self.far.gateway.receive_beacon(self.time, data)

    def _judge(self, data):
        """Under one sequence number the board says one thing alone."""
        pdu = opened(self.key, data)
        if pdu.src == ADDRESS:
            before = self.told.setdefault(pdu.seq, pdu.transport)
            assert before == pdu.transport, "sequence number %d said twice" % pdu.seq
            if len(self.told) == self.cut_at:
                raise PowerCut


class Both:
    """Two peers at once, for Node.run: the mesh's and who sits at the cable."""

    def __init__(self, *parts):
        self._parts = parts

    def step(self):
        for part in self._parts:
            part.step()


def opened(key, data):
    iv_index, head = clear(key, 0, data)
    return decode(key, iv_index, head, data)


def mesh_node(said=SAID, **how):
    """(the node, the gateway's session over the mesh); node.cable: the one at the USB port."""
    node = MeshNode(said, **how)
    return node, node.far.peer


def warmer(node):
    """Makes every temperature another one, and turns the fan."""

    def start():
        node.world.spin(FAN, 50)
        node.world.celsius = lambda: 20 + node.world.us // 100000 % 10000 / 100

    return (0, start)


def case_readings_arrive_over_the_mesh_and_the_cable_is_quiet():
    node, session = mesh_node()
    assert node.run(75000, [warmer(node)]) == RUNNING
    assert isinstance(session.messages[0], Hello) and session.messages[0].board == "tested"
    values = session.values(LIVE)
    assert [number for number, _, _, _ in values] == list(range(1, len(values) + 1)) and len(values) > 100
    assert any([quantity == QTY_TEMPERATURE for _, _, quantity, _ in values])
    sizes = [len(report.readings) for report in session.of(Report)]
    assert len(sizes) < 15 and max(sizes) > 10, "full reports, once a minute"
    assert node.world.serial.up == [] and node.cable.messages == []
    assert not session.gaps[LIVE]


def case_after_a_reset_the_journal_goes_on_and_no_number_comes_twice():
    node, session = mesh_node()
    node.run(8000, [warmer(node)])
    first = max(node.told)
    for why in ("SOFTWARE", "POWER_ON"):
        assert node.run(8000, [warmer(node)], why) == RUNNING
    assert max(node.told) > first and session.epoch == 3
    assert len(session.of(Hello)) >= 3


def fast(session):
    """Sets the report interval that MicroPython nodes have."""
    return (2000, lambda: session.send(Config(session._clock() + 1, [(SENSOR_NODE, KEY_REPORT_MS, 1000)])))


def case_power_cut_at_writes_of_flash_repeats_no_number_and_takes_back_nothing_that_was_said():
    for operation in range(1, 34, 40 if ON_VM else 4):
        node, session = mesh_node()
        node.run(3000)  # makes the file
        writes = []

        def cut(address, new, node=node, operation=operation, writes=writes):
            assert address != DIRECTORY
            writes.append(1)
            if len(writes) == operation:
                node.world.volume.data[address : address + 1024] = new[:1024]
                node.world.volume.data[address + 1024 : address + 4096] = b"\xff" * 3072
                raise PowerCut

        node.world.volume.on_operation = cut
        assert node.run(40000, [warmer(node), fast(session)]) == CUT, operation
        node.world.volume.on_operation = None
        _judge_after_a_cut(node, session)


def case_power_cut_when_a_number_of_a_new_block_was_just_said_repeats_none():
    for count in () if ON_VM else range(SEQUENCE_BLOCK + 11, SEQUENCE_BLOCK + 18, 2):
        node, session = mesh_node()
        node.cut_at = count
        assert node.run(60000, [warmer(node), fast(session)]) == CUT, (count, len(node.told))
        node.cut_at = None
        _judge_after_a_cut(node, session)


def case_what_a_message_speaks_of_is_durable_when_the_mesh_takes_it():
    node, session = mesh_node()
    real, waiting = link_module.SealedModel, []

    class Watched(real):
        def send(self, *arguments):
            waiting.append(node.flash.waiting)
            return super().send(*arguments)

    link_module.SealedModel = Watched
    try:
        assert node.run(12000, [warmer(node), fast(session)]) == RUNNING
    finally:
        link_module.SealedModel = real
    assert len(waiting) > 8 and not any(waiting), waiting


def case_power_cut_as_soon_as_the_gateway_has_a_message_takes_nothing_of_it_back():
    for count in range(2, 9, 8 if ON_VM else 1):
        node, session = mesh_node()
        node.run(3000)
        del session.messages[:]

        def cut(message, session=session, count=count):
            if len(session.messages) == count:
                raise PowerCut

        session.also = cut
        assert node.run(40000, [warmer(node), fast(session)]) == CUT, count
        session.also = None
        _judge_after_a_cut(node, session)


def _judge_after_a_cut(node, session):
    told, epoch = session.next(LIVE), session.epoch
    del session.messages[:]
    assert node.run(9000, [warmer(node)]) == RUNNING, "a sequence number came twice"
    hello = session.of(Hello)[0]
    assert session.epoch > epoch
    assert next(each for each in hello.classes if each[0] == LIVE)[1] >= told


def case_flash_that_takes_nothing_lets_no_message_out():
    node, session = mesh_node()
    node.run(8000, [warmer(node)])
    volume = node.world.volume
    first, size = volume.files["/fieldline.bin"]
    before, numbers = len(session.messages), len(node.told)
    assert before and numbers
    volume.stuck.append((first, first + size))
    assert node.run(20000, [warmer(node)], why="SOFTWARE") != CUT
    assert len(session.messages) == before and len(node.told) == numbers


def case_a_relay_passes_on_what_others_say():
    said = dict(SAID)
    said["relay"] = True
    node, _ = mesh_node(said)
    node.run(500)
    pdu = NetworkPdu(0, 5, 77, 0x0222, 0x0333, 0, b"\x00\x01\x02\x03\x04\x05\x06\x07")
    data = encode(node.key, pdu)
    del node.air[:]
    node.run(1500, [(1000, lambda: node.hear(AD_MESSAGE, data))], why="SOFTWARE")
    again = [opened(node.key, each) for kind, each in node.air if kind == AD_MESSAGE]
    again = [each for each in again if each.src == 0x0222]
    assert again and again[0].ttl == 4 and again[0].seq == 77 and again[0].transport == pdu.transport


def case_a_person_at_the_cable_gets_the_repl():
    node, _ = mesh_node()

    def ask():
        node.world.serial.down.append(b"\r\x03")

    assert node.run(5000, [(3000, ask)]) == ENDED


def case_what_is_wrong_with_the_file_is_said_and_the_node_talks_over_its_cable():
    for text in ("{", '{"role": "king"}', "[]", '{"role": "node", "address": "0100"}'):
        node, session = mesh_node()
        node.put("/mesh.json", text)
        assert node.run(3000) == RUNNING
        assert node.cable.of(Hello) and not session.messages and not node.air, text


def case_a_radio_that_does_not_start_leaves_the_cable():
    adapter = _bleio.adapter
    node, session = mesh_node()
    try:
        _bleio.adapter = None  # a Pico W
        assert node.run(3000) == RUNNING
    finally:
        _bleio.adapter = adapter
    assert node.cable.of(Hello) and not session.messages and not node.air


def case_a_radio_that_fails_for_a_while_costs_no_reading():
    node, session = mesh_node()

    def fails():
        node.world.ble.repairs = False
        for call in ("start_scan", "start_advertising", "enabled"):
            node.world.ble.refuse[call] = _bleio.BluetoothError("Unknown system firmware error: 12")
        node.world.radio.silence()

    def works():
        node.world.ble.refuse.clear()

    assert node.run(50000, [warmer(node), fast(session), (8000, fails), (30000, works)]) == RUNNING
    values = session.values(LIVE)
    assert [number for number, _, _, _ in values] == list(range(1, len(values) + 1)) and len(values) > 80
    assert not session.gaps[LIVE]


def case_a_bridge_hands_adverts_over_and_needs_no_identity_and_no_host():
    node = Node()
    node.world.volume.texts.pop("/identity.bin")
    node.world.volume.texts["/mesh.json"] = b'{"role": "bridge"}'
    air, frames, reader = [], [], Reader(kinds=BRIDGE_KINDS)
    node.world.radio.on_event = lambda kind, data: air.append(data)

    class Host:
        def step(self):
            serial = node.world.serial
            lines, serial.up = serial.up, []
            for line in lines:
                frames.extend(reader.feed(line))

    node.peer = Host()

    def hear(data):
        return lambda: node.world.radio.say(Heard(data))

    def tell():
        node.world.serial.down.append(b"\x00" + frame(KIND_ADVERT, advert(AD_MESSAGE, b"to the air")))

    def gone():
        node.world.serial.open = False

    def back():
        node.world.serial.open = True

    script = [
        (500, hear(b"\x06\x2aheard")),
        (600, hear(b"\x01\x2a\x00")),  # a structure of nothing
        (1000, tell),
        (2000, gone),
        (2100, hear(b"\x06\x2aunsaid"[:7])),
        (3000, back),
        (3100, hear(b"\x06\x2bagain")),
    ]
    assert node.run(9000, script) == RUNNING
    said = [read_advert(payload) for kind, payload in frames if kind == KIND_ADVERT]
    assert said == [(AD_MESSAGE, b"heard"), (AD_BEACON, b"again")], said
    assert air == [b"\x0b\x2ato the air"]
    state = [BridgeState.from_bytes(payload) for kind, payload in frames if kind == KIND_BRIDGE][-1]
    assert (state.board, state.sent, state.dropped) == ("tested", 1, 0)


def case_a_bridge_whose_host_takes_nothing_stays_alive():
    node = Node(ReleaseBoard)
    node.world.volume.texts["/mesh.json"] = b'{"role": "bridge"}'
    node.world.serial.room = 0
    script = []
    for at in range(1000, 8000, 90):
        script.extend([(at, lambda: node.world.radio.say(Heard(b"\x1e\x2a" + bytes(29))))] * 30)
    assert node.run(10000, script) == RUNNING, "no watchdog"


def case_a_device_is_taken_in_over_the_air_and_is_a_member_after_its_restart():
    room = Site(static=STATIC, node=NODE)  # the provisioner's part of it
    node = MeshNode({"role": "device", "static_oob": STATIC_TEXT})
    uuid = node_uuid(NODE)
    beacons = []

    class Provisioner:
        def step(self):
            room.now = node.time
            if room.link is not None:
                room.link.poll(room.now)
            for kind, data in node.air:
                if kind == AD_BEACON and not room.done:
                    beacons.append(data)
                elif kind == AD_PB_ADV and room.link is not None:
                    room.link.receive(room.now, data)
            del node.air[:]

    room._say = lambda now, data: node.hear(AD_PB_ADV, data)
    node.gateway_up = False
    node._judge = lambda data: None
    cable = node.cable
    node.peer = Both(Provisioner(), cable)
    how = node.run(60000, [(2500, room.provision)])
    assert how == "SOFTWARE" and room.done, (how, room.why)
    assert Unprovisioned.from_bytes(beacons[0]).uuid == uuid
    assert cable.of(Hello), "meanwhile it talks over its cable"
    told = len(cable.messages)
    assert node.run(25000, why="SOFTWARE") == RUNNING
    assert len(cable.messages) == told, "the mesh is its link now, and it waits for an AppKey"
    assert not [kind for kind, _ in node.air if kind == AD_PB_ADV]


def case_others_hear_the_readings_with_a_mesh_and_without_one():
    for said in (SAID, None):
        node = MeshNode(said or SAID)
        if said is None:
            node.world.volume.texts.pop("/mesh.json")
        node.put("/bthome.json", '{"interval_ms": 2000}')
        session = node.far.peer if said else node.cable
        assert node.run(9000, [warmer(node)]) == RUNNING
        heard = [data for kind, data in node.air if kind == 0x16]
        assert len(heard) >= 9 and all([data[:3] == b"\xd2\xfc\x40" for data in heard])
        speeds = [int.from_bytes(data[-2:], "little") / 10 for data in heard if data[-3] == 0x61]
        assert speeds and all([abs(each - 150) < 10 for each in speeds[-3:]]), speeds
        assert session.of(Hello), "and its messages go their way"
        assert bool([1 for kind, _ in node.air if kind == AD_MESSAGE]) == (said is not None)


def case_a_bthome_file_that_cannot_be_used_is_said_and_the_node_runs():
    node, session = mesh_node()
    node.put("/bthome.json", '{"interval_ms": 10}')
    assert node.run(8000, [warmer(node)]) == RUNNING
    assert session.of(Hello) and not [kind for kind, _ in node.air if kind == 0x16]
