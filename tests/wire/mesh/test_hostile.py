"""Arbitrary and mutated bytes at every layer: nothing but PeerError, nothing kept without bound, nothing believed.

The long form (`-m soak`) runs the same properties over 200,000 examples.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import access, announce, beacon, lower, proxy
from fieldline_wire.mesh import settings as mesh_settings
from fieldline_wire.mesh.keys import NetworkKey
from fieldline_wire.mesh.lower import Segment
from fieldline_wire.mesh.models.sealed import SEALED_GATEWAY, SealedModel
from fieldline_wire.mesh.models.sensor_server import (
    PROPERTY_TEMPERATURE,
    Sensor,
    SensorServer,
    SensorSetupServer,
)
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.provisioning import pdus
from fieldline_wire.mesh.provisioning.device import Device
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pbadv import Link
from fieldline_wire.mesh.provisioning.provisioner import Provisioner
from fieldline_wire.mesh.segments import MAX_DONE, MAX_INCOMING
from fieldline_wire.mesh.transport import DEVICE_KEY, Access
from fieldline_wire.mesh.upper import Seal
from tests.fakes.aes import Block
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, MemoryStore, device_key, make

KEY = NetworkKey(Block, NET_KEY)
short = st.binary(max_size=70)
quick = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class _KeyPair:
    """No curve: what counts here is the protocol."""

    public = bytes(range(64))

    def secret(self, peer: bytes) -> bytes:
        return peer[:32]


def full_node() -> Node:
    sensors = [Sensor(PROPERTY_TEMPERATURE, 2, lambda: -5)]
    models: list[access.Model] = [
        SensorServer(sensors),
        SensorSetupServer(sensors),
        SealedModel(SEALED_GATEWAY, lambda now, address, sealed: None, 4),
    ]
    return make(0x0100, models)


def only_peer_errors(call: Callable[..., Any], *arguments: Any) -> None:
    try:
        call(*arguments)
    except PeerError:
        pass


# --- codecs


def codecs(data: bytes) -> None:
    only_peer_errors(clear, KEY, IV_INDEX, data)
    only_peer_errors(lambda: decode(KEY, *clear(KEY, IV_INDEX, data), data))
    only_peer_errors(Segment.from_bytes, data)
    only_peer_errors(lower.read_ack, data)
    only_peer_errors(lower.Heartbeat.from_bytes, data)
    only_peer_errors(announce.Unprovisioned.from_bytes, data)
    only_peer_errors(beacon.read_secure, KEY, data)
    only_peer_errors(access.split, data)
    only_peer_errors(access.read_key_indexes, data)
    only_peer_errors(pdus.check, data)
    only_peer_errors(proxy.read_status, data)
    if len(data) >= 1:
        only_peer_errors(proxy.Filter().configure, data)
    only_peer_errors(_CURVE.secret, data)


_CURVE = PlainKeyPair(random.Random(1).randbytes)


@quick
@given(short)
def test_codecs(data: bytes) -> None:
    codecs(data)


# --- a whole node, by what an outsider, a holder of the NetKey and one of the AppKey can say


def outsider(node: Node, chunks: list[bytes]) -> None:
    for number, data in enumerate(chunks):
        node.receive(number, data)
        node.receive_beacon(number, data)
        node.receive(number, bytes((KEY.nid,)) + data)
        node.receive_beacon(number, b"\1\0" + KEY.network_id + data)
        node.poll(number)
    bounded(node)


def net_holder(node: Node, rows: list[tuple[int, int, int, int, bytes]]) -> None:
    for number, (ctl, src, seq, ttl, transport) in enumerate(rows):
        data = encode(KEY, NetworkPdu(ctl, ttl, seq, src, 0x0100, IV_INDEX, transport[: 12 if ctl else 16]))
        node.receive(number, data)
        node.poll(number)
    bounded(node)
    assert node.transport.keys.app(0) is not None and node.settings.device_key == device_key(0x0100)


def app_holder(node: Node, rows: list[tuple[int, bytes]]) -> None:
    app = node.keys.app_keys[0].key
    for number, (src, payload) in enumerate(rows):
        seq = 1000 * number
        upper = Seal(True, 0, seq, src, 0x0100, IV_INDEX).close(app.block, payload)
        parts = lower.cut(upper)
        for offset, part in enumerate(parts):
            segment = Segment(lower.key_bits(app.aid), 0, seq & 0x1FFF, offset, len(parts) - 1, part)
            pdu = NetworkPdu(0, 3, seq + offset, src, 0x0100, IV_INDEX, segment.to_bytes())
            node.receive(number, encode(KEY, pdu))
        node.poll(number)
    bounded(node)
    assert node.settings.device_key == device_key(0x0100), "an AppKey configures nothing"


def configurator(node: Node, rows: list[bytes]) -> None:
    """Whoever holds the device key may say anything and gets an answer or none."""
    for number, payload in enumerate(rows):
        message = Access(0x0001, 0x0100, 3, 0, DEVICE_KEY, payload, b"")
        only_peer_errors(node._deliver, number, message)
        node.poll(number)
    bounded(node)
    if node.provisioned:  # whatever it stored can be read back
        again = make(0x0100, [*_same_models()], node._store)  # type: ignore[arg-type]
        assert again.settings.to_bytes(again.network, again.keys, again.models()) == node.settings.to_bytes(
            node.network, node.keys, node.models()
        )


def _same_models() -> list[access.Model]:
    sensors = [Sensor(PROPERTY_TEMPERATURE, 2, lambda: 1)]
    return [
        SensorServer(sensors),
        SensorSetupServer(sensors),
        SealedModel(SEALED_GATEWAY, lambda now, address, sealed: None, 4),
    ]


def bounded(node: Node) -> None:
    assert len(node.transport.reassembly.incoming) <= MAX_INCOMING
    assert len(node.transport.reassembly._done) <= MAX_DONE * MAX_INCOMING
    assert len(node.replay._highest) <= 32
    assert len(node.air._queue) <= 32
    assert len(node.network._seen._new) + len(node.network._seen._old) <= 128
    assert len(node.transport._outgoing) + len(node.transport._waiting) <= 8
    assert len(node.network.subnets) <= 3 and len(node.keys.app_keys) <= 4


unicast = st.integers(1, 0x7FFF).filter(lambda one: one != 0x0100)
net_rows = st.lists(
    st.tuples(
        st.integers(0, 1),
        unicast,
        st.integers(0, 0xFFFFFF),
        st.integers(0, 127),
        st.binary(min_size=1, max_size=16),
    ),
    max_size=8,
)
opcodes = st.sampled_from([b"\x00", b"\x01", b"\x03", b"\x52", b"\x55"]) | st.builds(
    lambda low: bytes((0x80, low)), st.integers(0, 0x50)
)
sensor_opcodes = st.builds(lambda low: bytes((0x82, low)), st.integers(0x30, 0x37))
sealed_opcodes = st.sampled_from([b"\xc1\xff\xff", b"\xc2\xff\xff"])
elements = st.sampled_from([b"", b"\0\1", b"\0\1\0\0", b"\0\1\5\xc1\0\x11"])
payloads = st.builds(
    lambda code, head, rest: code + head + rest, opcodes | sensor_opcodes | sealed_opcodes, elements, short
).map(lambda one: one[:100])


@quick
@given(st.lists(short, max_size=6))
def test_an_outsider(chunks: list[bytes]) -> None:
    outsider(full_node(), chunks)


@quick
@given(net_rows)
def test_a_holder_of_the_netkey(rows: list[tuple[int, int, int, int, bytes]]) -> None:
    net_holder(full_node(), rows)


@quick
@given(st.lists(st.tuples(unicast, payloads), max_size=6))
def test_a_holder_of_the_appkey(rows: list[tuple[int, bytes]]) -> None:
    app_holder(full_node(), rows)


@quick
@given(st.lists(payloads | opcodes.map(lambda code: code + b"\0\1" + APP_KEY), max_size=8))
def test_a_holder_of_the_device_key(rows: list[bytes]) -> None:
    configurator(full_node(), rows)


# --- bearers and provisioning


def bearers(values: list[bytes]) -> None:
    reader = proxy.Reader()
    for number, value in enumerate(values):
        only_peer_errors(reader.feed, number, value)
        assert sum(len(part) for part in reader._parts) <= 2 * proxy.MAX_PDU
    for provisioner in (True, False):
        said: list[bytes] = []
        link = Link(
            provisioner,
            bytes(16),
            lambda now, data, said=said: said.append(data),  # type: ignore[misc]
            lambda now: None,
            lambda now, pdu: None,
            lambda now, reason: None,
        )
        if provisioner:
            link.open(0, b"link")
            link.receive(1, b"link\0\7")
        else:
            link.receive(0, b"link\0\3" + bytes(16))
        for number, value in enumerate(values):
            link.receive(number, b"link" + value)
            link.receive(number, value)
            link.poll(number)
        assert len(said) <= 8 + 8 * len(values)


def provisioning(rows: list[bytes]) -> None:
    ends: list[Any] = []
    device = Device(
        Block,
        _KeyPair(),
        bytes,
        1,
        b"",
        lambda now, pdu: None,
        lambda now, data, key: ends.append(data),
    )
    provisioner = Provisioner(
        Block,
        _KeyPair(),
        bytes,
        b"",
        lambda now, pdu: None,
        lambda elements, key: pdus.Data(NET_KEY, 0, 0, 1),
        lambda now, data, key: ends.append(data),
        lambda now, why: None,
    )
    provisioner.start(0)
    for number, row in enumerate(rows):
        device.receive(number, row)
        provisioner.receive(number, row)
    assert ends == [], "somebody was provisioned by noise"


prov_rows = st.lists(
    short
    | st.builds(
        lambda kind, rest: bytes((kind,)) + rest[: pdus._SIZES[kind] - 1].ljust(pdus._SIZES[kind] - 1, b"\7"),
        st.integers(0, 9),
        short,
    ),
    max_size=8,
)


@quick
@given(st.lists(short, max_size=8))
def test_bearers(values: list[bytes]) -> None:
    bearers(values)


@quick
@given(prov_rows)
def test_provisioning(rows: list[bytes]) -> None:
    provisioning(rows)


# --- mutations of what is right


def mutations(seed: int) -> None:
    """One bit or byte of a real exchange is changed on its way: what arrives is what was said, or nothing."""
    rng = random.Random(seed)
    node, came = full_node(), []
    peer = make(0x0001, [SealedModel(SEALED_GATEWAY, lambda now, address, sealed: came.append(sealed), 4)])
    text = rng.randbytes(rng.randint(26, 90))
    text = b"\x10" + text[1:10] + b"\0\0\0\1" + text[14:]
    model = node.models()[-1]
    assert isinstance(model, SealedModel)
    model.send(0, 0x0001, text)
    now = 0
    for now in range(0, 4000, 10):
        for one, other in ((node, peer), (peer, node)):
            one.poll(now)
            out = one.air.next(now)
            if out is None:
                continue
            data = bytearray(out[1])
            if rng.random() < 0.3:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if rng.random() < 0.05:
                del data[rng.randrange(len(data)) :]
            other.receive(now, bytes(data))
    assert came in ([], [text])


@pytest.mark.parametrize("seed", range(12))
def test_mutations_on_the_way(seed: int) -> None:
    mutations(seed)


@quick
@given(short)
def test_a_record_of_the_configuration_that_is_none(data: bytes) -> None:
    """Flash gives back what it likes: the node is then in no network, or says so."""
    store = MemoryStore()
    node = make(0x0100, store=store)
    for record in (data, store.records[mesh_settings.RECORD][: len(data)]):
        only_peer_errors(mesh_settings.Settings().take, Block, record, node.network, node.keys, node.models())


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("strategy", "check"),
    [
        (short, codecs),
        (st.lists(short, max_size=6), lambda chunks: outsider(full_node(), chunks)),
        (net_rows, lambda rows: net_holder(full_node(), rows)),
        (st.lists(st.tuples(unicast, payloads), max_size=6), lambda rows: app_holder(full_node(), rows)),
        (st.lists(payloads, max_size=8), lambda rows: configurator(full_node(), rows)),
        (st.lists(short, max_size=8), bearers),
        (prov_rows, provisioning),
        (st.integers(0, 1 << 40), mutations),
    ],
    ids=["codecs", "outsider", "netkey", "appkey", "devicekey", "bearers", "provisioning", "mutations"],
)
def test_long(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """40,000 for the cheap ones, 20,000 and 8,000 for the dearest: 200,000 and more in all."""
    count = {codecs: 60_000, mutations: 2_000, bearers: 50_000, provisioning: 40_000}.get(check, 15_000)
    settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))(
        given(strategy)(check)
    )()
