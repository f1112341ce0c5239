"""The specification's sample data (Mesh Profile 1.0.1, section 8) in both directions, on every interpreter.

Rules: a case is data from mesh_vectors/<kind>.json, its name begins with the clause; `run` raises where the code
disagrees. The values are facts of the specification; nothing in here was made by the code under test.
"""

import struct
from binascii import hexlify, unhexlify

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import announce, beacon, crypto, friendship, lower, proxy
from fieldline_wire.mesh.access import Element
from fieldline_wire.mesh.advertiser import AD_MESSAGE
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.friendship import Friendship, Offer, Request, Update
from fieldline_wire.mesh.keys import AppKey, ApplicationKey, NetworkKey, Subnet, virtual_address
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
from fieldline_wire.mesh.provisioning.device import Device
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pbadv import Assembly, Link, cut
from fieldline_wire.mesh.provisioning.pdus import Data
from fieldline_wire.mesh.provisioning.provisioner import Provisioner
from fieldline_wire.mesh.provisioning.security import NO_OOB, Secrets
from fieldline_wire.mesh.transport import Keys, Transport


def run(kind, case, aes):
    """Tries one case of mesh_vectors/<kind>.json; `aes(key)` makes the block cipher."""
    _KINDS[kind](case, aes)


def same(got, expected):
    """AssertionError where the two differ; says both."""
    if got != expected:
        raise AssertionError("got %r, not %r" % (got, expected))


def raises(error, call, *arguments):
    """AssertionError where the call does not raise `error`."""
    try:
        got = call(*arguments)
    except error:
        return
    raise AssertionError("got %r, not %s" % (got, error.__name__))


def hexed(data):
    return hexlify(data).decode()


def _functions(case, aes):
    key, text = unhexlify(case.get("key", "")), unhexlify(case.get("text", ""))
    name = case["function"]
    if name == "s1":
        got = crypto.s1(aes, text)
    elif name == "k1":
        got = crypto.k1(aes, key, unhexlify(case["salt"]), text)
    elif name == "k2":
        nid, encryption, privacy = crypto.k2(aes, key, text)
        got = bytes((nid,)) + encryption + privacy
    elif name == "k3":
        got = crypto.k3(aes, key)
    elif name == "k4":
        got = bytes((crypto.k4(aes, key),))
    else:  # a derived key is inside a cipher: what it makes of a block tells it
        block = getattr(NetworkKey(aes, key), name)
        same(block.ecb(bytes(16)), aes(unhexlify(case["result"])).ecb(bytes(16)))
        return
    same(hexed(got), case["result"])


def _network(case, aes):
    net = NetworkKey(aes, unhexlify(case["net_key"]))
    key, text = net, unhexlify(case["friendship"])
    if text:
        key = Friendship(aes, 0, *struct.unpack(">HHHH", text[1:])).sending(Subnet(0, net))
    pdu = NetworkPdu(
        case["ctl"],
        case["ttl"],
        case["seq"],
        case["src"],
        case["dst"],
        case["iv_index"],
        unhexlify(case["transport"]),
    )
    data = unhexlify(case["pdu"])
    same(hexed(encode(key, pdu)), case["pdu"])
    for ahead in (0, 1):  # a receiver at this IV index, and one that is a step ahead
        iv_index, head = clear(key, case["iv_index"] + ahead, data)
        same(iv_index, case["iv_index"])
        same(decode(key, iv_index, head, data), pdu)
    for at in range(1, len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 0x10
        raises(PeerError, _decode, key, case["iv_index"], bytes(wrong))


def _decode(key, iv_index, data):
    iv_index, head = clear(key, iv_index, data)
    return decode(key, iv_index, head, data)


class _Counters:
    """Sequence numbers from where a case says."""

    def __init__(self, seq, iv_index):
        self.seq, self.iv_index = seq, iv_index

    def take(self, now, count=1):
        self.seq += count
        return self.seq - count

    def sending_iv(self):
        return self.iv_index


class _NoReplay:
    def fresh(self, src, iv_index, seq):
        return True

    def take(self, src, iv_index, seq):
        pass


def _access(case, aes):
    subnet = Subnet(0, NetworkKey(aes, unhexlify(case["net_key"])))
    sent, came = [], []
    keys = Keys(aes(unhexlify(case["device_key"]) or bytes(16)))
    key = keys.device
    if case["app_key"]:
        key = ApplicationKey(aes, unhexlify(case["app_key"]))
        keys.app_keys.append(AppKey(7, 0, key))
    label = unhexlify(case["label"])
    if label:
        same(virtual_address(aes, label), case["dst"])
        keys.labels.append((case["dst"], label))
    transport = Transport(
        _Counters(case["seq"], case["iv_index"]),
        _NoReplay(),
        keys,
        lambda now, net, pdu: sent.append(encode(net.key, pdu)),
        lambda now, message: came.append(message),
        lambda now, token, ok: None,
        lambda now, src, hops, features: None,
        1,
    )
    payload = unhexlify(case["payload"])
    transport.send(
        0,
        subnet,
        case["src"],
        case["dst"],
        key,
        payload,
        case["ttl"],
        None,
        label,
        case["segmented"],
        case["long_mic"],
    )
    same([hexed(one) for one in sent], case["pdus"])
    for data in [unhexlify(one) for one in case["pdus"]]:
        iv_index, head = clear(subnet.key, case["iv_index"], data)
        transport.receive(0, subnet, decode(subnet.key, iv_index, head, data))
    same(len(came), 1)
    message = came[0]
    same(message.payload, payload)
    same((message.src, message.dst, message.label), (case["src"], case["dst"], label))
    same(message.key_index, 7 if case["app_key"] else -1)


def _control(case, aes):
    data = unhexlify(case["pdu"])
    same(lower.read_ack(data), (True, case["seq_zero"], case["block"]))  # both are a friend's
    same(lower.ack(case["seq_zero"], case["block"], True), data)


def _beacons(case, aes):
    data = unhexlify(case["data"])
    kind = case["kind"]
    if kind == "unprovisioned":
        said = announce.Unprovisioned(unhexlify(case["uuid"]), case["oob"], unhexlify(case["uri_hash"]))
        same(said.to_bytes(), data)
        same(announce.Unprovisioned.from_bytes(data), said)
        return
    if kind == "provisioning":
        same(announce.provisioning_service_data(unhexlify(case["uuid"]), case["oob"]), data)
        return
    key = NetworkKey(aes, unhexlify(case["net_key"]))
    if kind == "proxy_network":
        same(announce.network_service_data(key), data)
    elif kind == "proxy_node":
        same(announce.node_service_data(key, case["address"], unhexlify(case["random"])), data)
    else:
        same(beacon.secure(key, case["flags"], case["iv_index"]), data)
        same(beacon.read_secure(key, data), beacon.SecureNetwork(case["flags"], case["iv_index"]))
        for at in range(len(data)):
            wrong = bytearray(data)
            wrong[at] ^= 2
            raises(PeerError, beacon.read_secure, key, bytes(wrong))


def _pairs(case):
    return PlainKeyPair(None, unhexlify(case["prov_private"])), PlainKeyPair(
        None, unhexlify(case["dev_private"])
    )


def _ecdh(case, aes):
    ours, theirs = _pairs(case)
    same(hexed(ours.public), case["prov_public"])
    same(hexed(theirs.public), case["dev_public"])
    same(hexed(ours.secret(theirs.public)), case["secret"])
    same(hexed(theirs.secret(ours.public)), case["secret"])
    wrong = bytearray(theirs.public)
    wrong[63] ^= 1
    raises(PeerError, ours.secret, bytes(wrong))


class _Fixed:
    """A key pair whose secret is known: what counts here is not the curve."""

    def __init__(self, case, public):
        self.public = unhexlify(case[public])
        self._secret = unhexlify(case["secret"])

    def secret(self, peer):
        return self._secret


def _given(case):
    return Data(unhexlify(case["net_key"]), case["net_index"], case["iv_index"], case["address"])


def _provisioning(case, aes):
    secrets = Secrets(aes, unhexlify(case["secret"]), unhexlify(case["inputs"]))
    prov, dev = unhexlify(case["prov_random"]), unhexlify(case["dev_random"])
    same(hexed(secrets.confirmation(prov, NO_OOB)), case["prov_confirmation"])
    same(hexed(secrets.confirmation(dev, NO_OOB)), case["dev_confirmation"])
    secrets.randoms(prov, dev)
    same(hexed(secrets.device_key()), case["device_key"])
    same(hexed(secrets.seal(unhexlify(case["data"]))), case["sealed"])
    same(hexed(secrets.open(unhexlify(case["sealed"]))), case["data"])
    same(Data.from_bytes(unhexlify(case["data"])), _given(case))
    same(hexed(_given(case).to_bytes()), case["data"])
    to_device, to_provisioner, ends = [], [], []

    def from_device(now, pdu):
        to_provisioner.append(hexed(pdu))

    def from_provisioner(now, pdu):
        to_device.append(hexed(pdu))

    device = Device(
        aes,
        _Fixed(case, "dev_public"),
        lambda size: dev,
        1,
        b"",
        from_device,
        lambda now, data, key: ends.append((data, hexed(key))),
    )
    provisioner = Provisioner(
        aes,
        _Fixed(case, "prov_public"),
        lambda size: prov,
        b"",
        from_provisioner,
        lambda elements, key: _given(case),
        lambda now, data, key: ends.append((data, hexed(key))),
        lambda now, why: ends.append(why),
    )
    provisioner.start(0)
    done = [0, 0]
    while done != [len(to_device), len(to_provisioner)]:
        while done[0] < len(to_device):
            done[0] += 1
            device.receive(0, unhexlify(to_device[done[0] - 1]))
        while done[1] < len(to_provisioner):
            done[1] += 1
            provisioner.receive(0, unhexlify(to_provisioner[done[1] - 1]))
    same(to_device, case["to_device"])
    same(to_provisioner, case["to_provisioner"])
    same(ends, [(_given(case), case["device_key"])] * 2)


def _transactions(case, aes):
    head = unhexlify(case["link"]) + bytes((case["number"],))
    pdu = unhexlify(case["pdu"])
    same([hexed(head + one) for one in cut(pdu)], case["messages"])
    pieces = [unhexlify(one)[5:] for one in case["messages"]]
    for order in (pieces, list(reversed(pieces))):
        assembly = Assembly(case["number"])
        for piece in order[:-1]:
            same(assembly.add(piece), None)
        same(assembly.add(order[-1]), pdu)


def _links(case, aes):
    """Both ends of a link and both sides of the protocol, and every PB-ADV PDU of 8.7 on air between them."""
    air, ends = [], []
    uuid = unhexlify(case["uuid"])
    prov, dev = unhexlify(case["prov_random"]), unhexlify(case["dev_random"])

    def say(who):
        return lambda now, data: air.append((who, data))

    near = Link(
        True,
        uuid,
        say("provisioner"),
        lambda now: provisioner.start(now),  # noqa: PLW0108 - bound below
        lambda now, pdu: provisioner.receive(now, pdu),  # noqa: PLW0108
        lambda now, reason: ends.append(reason),
    )
    far = Link(
        False,
        uuid,
        say("device"),
        lambda now: None,
        lambda now, pdu: device.receive(now, pdu),  # noqa: PLW0108
        lambda now, reason: ends.append(reason),
    )
    device = Device(
        aes, _Fixed(case, "dev_public"), lambda size: dev, 1, b"", far.send, lambda now, data, key: None
    )
    provisioner = Provisioner(
        aes,
        _Fixed(case, "prov_public"),
        lambda size: prov,
        b"",
        near.send,
        lambda elements, key: _given(case),
        lambda now, data, key: near.close(now, 0),
        lambda now, why: ends.append(why),
    )
    near.open(0, unhexlify(case["link"]))
    done = 0
    while done < len(air):
        who, data = air[done]
        done += 1
        (far if who == "provisioner" else near).receive(0, data)
    same(ends, [0, 0])
    said = {"provisioner": [], "device": []}
    for who, data in air:
        if hexed(data) not in said[who]:
            said[who].append(hexed(data))
    same(said["provisioner"][0], case["open"])
    same(said["provisioner"][-1], case["close"])
    same(said["device"][0], case["open_ack"])
    same([one for one in said["device"] if len(one) == 12][1:], case["device_acks"])
    same([one for one in said["provisioner"] if len(one) == 12], case["provisioner_acks"])


def _gatt(case, aes):
    pdu = unhexlify(case["pdu"])
    same([hexed(one) for one in proxy.cut(case["kind"], pdu, case["mtu"])], case["values"])
    reader = proxy.Reader()
    values = [unhexlify(one) for one in case["values"]]
    for value in values[:-1]:
        same(reader.feed(0, value), None)
    same(reader.feed(0, values[-1]), (case["kind"], pdu))


def _proxy(case, aes):
    key = NetworkKey(aes, unhexlify(case["net_key"]))
    pdu = NetworkPdu(1, 0, case["seq"], case["src"], 0, case["iv_index"], unhexlify(case["message"]))
    data = unhexlify(case["pdu"])
    same(hexed(encode(key, pdu, True)), case["pdu"])
    iv_index, head = clear(key, case["iv_index"], data)
    same(decode(key, iv_index, head, data, True), pdu)
    raises(PeerError, decode, key, iv_index, head, data)
    same([hexed(one) for one in proxy.cut(proxy.TYPE_CONFIGURATION, data, 23)], [case["value"]])
    same(proxy.Reader().feed(0, unhexlify(case["value"])), (proxy.TYPE_CONFIGURATION, data))
    same(proxy.set_filter(proxy.ACCEPT), pdu.transport)
    same(proxy.Filter().configure(pdu.transport), b"\x03\x00\x00\x00")


def _friendship(case, aes):
    kind, data = case["kind"], unhexlify(case.get("pdu", ""))
    if kind == "conversation":
        _conversation(case, aes)
    elif kind == "poll":
        same((friendship.read_poll(data), friendship.poll(case["fields"][0])), (case["fields"][0], data))
    else:
        said = {"request": Request, "offer": Offer, "update": Update}[kind]
        same(said(*case["fields"]).to_bytes(), data)
        same(said.from_bytes(data), said(*case["fields"]))


class _NoStore:
    def load(self, record):
        return None

    def save(self, record, data):
        pass


def _conversation(case, aes):
    """The friend of the sample data: what it hears, and byte for byte what it says."""
    element = Element([])
    node = FriendNode(aes, bytes, _NoStore(), [element], window=case["window"], queue=8)
    node.join(0, case["friend"], bytes(16), unhexlify(case["net_key"]), 0, case["iv_index"])
    node.transport.default_ttl = case["ttl"]
    node.set_friend(True)
    node.friend.begin(case["counter"])
    node.friend.rssi = case["rssi"]
    now = 0
    for step in case["steps"]:
        node.receive(now, unhexlify(step["in"]))
        for _, lpn, _ in node.friend._offers:  # the sample's friend offers less than it is asked for
            lpn.offer.queue = case["queue"]
        node.counters.seq = step["seq"]
        said = []
        end = now + step["wait"]
        while now < end + 60:
            node.poll(now)
            out = node.air.next(now)
            if out is not None and out[0] == AD_MESSAGE:
                said.append((now, hexed(out[1])))
            now += 5
        same({text for _, text in said}, {step["out"]})
        assert said[0][0] >= end, "before its time"


_KINDS = {
    "functions": _functions,
    "network": _network,
    "access": _access,
    "control": _control,
    "friendship": _friendship,
    "beacons": _beacons,
    "ecdh": _ecdh,
    "provisioning": _provisioning,
    "transactions": _transactions,
    "links": _links,
    "gatt": _gatt,
    "proxy": _proxy,
}
