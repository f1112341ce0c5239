"""A node with Wi-Fi, simulated: MicroPython on the VM publishes sealed messages over TCP to our listener.

`own` is a publisher in a few lines, with the calls on a socket that umqtt.simple makes. `umqtt` is that module
itself, unmodified, from PyPI (micropython-umqtt.simple, MIT; scripts/setup test fetches it, pinned by its digest).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import VmError, run_script
from fieldline_gateway.mqtt.codec import v311
from fieldline_gateway.mqtt.security import Passwords, Security, hash_password
from fieldline_host.ccm import AesCcm
from fieldline_wire import messages, seal
from tests.fakes.umqtt import find_umqtt
from tests.gateway.mqtt.support import TIMEOUT_S, ListenerThread, RawClient

ROOT = Path(__file__).parents[3]
NODE = bytes.fromhex("0102030405060708")
KEY = bytes(range(16))
TOPIC = f"fieldline/up/{NODE.hex()}"
COUNT = 20

OWN = """
import socket, struct

class MQTTClient:
    def __init__(self, name, server, port, user, password, keepalive):
        self.words, self.where, self.keepalive, self.pid = (name, user, password), (server, port), keepalive, 0
    def text(self, value):
        return struct.pack("!H", len(value)) + value
    def connect(self):
        self.sock = socket.socket()
        self.sock.connect(socket.getaddrinfo(*self.where)[0][-1])
        body = b"\\0\\4MQTT\\4\\xc2" + struct.pack("!H", self.keepalive)
        body += b"".join([self.text(word) for word in self.words])
        head = bytearray(b"\\x10\\0\\0\\0\\0\\0")
        head[1] = len(body)
        self.sock.write(head, 2)
        self.sock.write(body)
        answer = self.sock.read(4)
        if answer[3]:
            raise OSError(answer[3])
    def publish(self, topic, message, retain=False, qos=0):
        self.pid += 1
        body = self.text(topic) + struct.pack("!H", self.pid) + message
        self.sock.write(bytes((0x32, len(body))))
        self.sock.write(body)
        answer = self.sock.read(1)
        self.sock.setblocking(True)
        assert answer + self.sock.read(3) == b"\\x40\\x02" + struct.pack("!H", self.pid)
    def disconnect(self):
        self.sock.write(b"\\xe0\\0")
        self.sock.close()
"""

SCRIPT = """
from fieldline_node.drivers.micropython.cipher import Aes
from fieldline_wire.readings import Reading, Report
from fieldline_wire.seal import BlockCcm, seal_uplink
client = MQTTClient(b"node", "127.0.0.1", {port}, user=b"node", password={password}, keepalive=60)
client.connect()
ccm = BlockCcm(Aes({key}))
for number in range(1, {count} + 1):
    report = Report(1, 7, number, 1700000000, 1, [Reading(0, 0, 1, 0, 1000 + number)], utc=True)
    client.publish({topic}, seal_uplink(ccm, {node}, 1, 1, number, report.to_bytes()), qos=1)
client.disconnect()
print("published")
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[ListenerThread]:
    (tmp_path / "passwords").write_text(f"node:{hash_password(b'right')}\njudge:{hash_password(b'judge')}\n")
    with ListenerThread(security=Security(passwords=Passwords.load(tmp_path / "passwords"))) as it:
        yield it


def publish(port: int, module: str, paths: list[Path], password: bytes = b"right") -> str:
    """What the program on the VM printed."""
    words = {
        "port": port,
        "password": password,
        "key": KEY,
        "count": COUNT,
        "topic": TOPIC.encode(),
        "node": NODE,
    }
    script = module + SCRIPT.format(**words)
    return run_script(script, paths=[ROOT / "wire", ROOT / "firmware", *paths], network=True, timeout_s=280)


@pytest.mark.vm
@pytest.mark.parametrize("who", ["own", "umqtt"])
def test_sealed_messages_reach_a_subscriber(listener: ListenerThread, who: str) -> None:
    module, paths = OWN, []
    if who == "umqtt":
        module, paths = "from umqtt.simple import MQTTClient\n", [find_umqtt()]
    connect = v311.Connect("judge", username="judge", password=b"judge")
    with RawClient(listener.port, connect) as judge:
        judge.send(v311.Subscribe(1, (("fieldline/up/+", 1),)))
        judge.receive()
        assert publish(listener.port, module, paths) == "published\n"
        ccm, window = AesCcm(KEY), seal.ReplayWindow()
        for number in range(1, COUNT + 1):
            packet = judge.published()
            assert packet.topic == TOPIC
            header = seal.peek(packet.payload)
            assert header.node == NODE
            window.check(header.epoch, header.counter)
            window.accept(header.epoch, header.counter)
            report = messages.decode(seal.open_sealed(ccm, header, packet.payload))
            assert isinstance(report, messages.Report)
            assert (report.first, report.readings[0].value) == (number, 1000 + number)


@pytest.mark.vm
def test_a_wrong_password_stops_it(listener: ListenerThread) -> None:
    with pytest.raises(VmError, match="OSError: 4"):
        publish(listener.port, OWN, [], b"wrong")


@pytest.mark.vm
def test_a_socket_reads_and_writes_as_on_a_board() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        heard: list[bytes] = []

        def serve() -> None:
            peer, _ = server.accept()
            peer.settimeout(TIMEOUT_S)
            data = b""
            while len(data) < 3005:
                data += peer.recv(4096)
            heard.append(data)
            peer.sendall(b"line\nrest")
            peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        script = f"""
import usocket as socket
s = socket.socket()
s.connect(socket.getaddrinfo("127.0.0.1", {port})[0][-1])
s.settimeout(0.01)
try:
    s.recv(1)
except OSError as error:
    print(error.errno)
s.setblocking(False)
print(s.read(1))
s.setblocking(True)
print(s.write(bytearray(b"hello!!"), 5), s.write(bytes(3000)))
buffer = bytearray(2)
print(s.readline(), s.readinto(buffer), buffer, s.recv(1), s.read(9), s.read(1))
s.close()
try:
    s.send(b"x")
except OSError as error:
    print(error.errno)
"""
        out = run_script(script, network=True)
        thread.join(TIMEOUT_S)
    assert heard == [b"hello" + bytes(3000)]
    assert out.split("\n") == [
        "110",
        "None",
        "5 3000",
        "b'line\\n' 2 bytearray(b're') b's' b't' b''",
        "9",
        "",
    ]


@pytest.mark.vm
def test_nobody_listens_and_no_network() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        script = f"import socket\nsocket.socket().connect(('127.0.0.1', {port}))"
        with pytest.raises(VmError, match=r"OSError: .*(111|ECONNREFUSED)"):
            run_script(script, network=True)
        with pytest.raises(VmError, match=r"OSError: .*(113|EHOSTUNREACH)"):
            run_script(script)
