"""The link by umqtt.simple when its peer or the node's memory fails it, on both interpreters.

Rules: the client is a fake that raises what umqtt.simple raises (its asserts, its indexing, its MQTTException).
"""

from fieldline_node.links.mqtt import MqttLink, PatientSockets

NODE = bytes(8)


class Refused(Exception):
    """Stands for umqtt.simple.MQTTException."""


class Client:
    """As umqtt.simple.MQTTClient; `fails` is raised once by the method of that name."""

    def __init__(self):
        self.pid = 0
        self.fails = {}
        self.connects = 0
        self.sock = self
        self.heard = 0

    def set_callback(self, take):
        self.take = take

    def connect(self):
        self.connects += 1
        self._fail("connect")

    def subscribe(self, topic):
        self._fail("subscribe")

    def check_msg(self):
        self.heard += 1
        self._fail("check_msg")

    def ping(self):
        self._fail("ping")

    def close(self):
        pass

    def _fail(self, name):
        error = self.fails.pop(name, None)
        if error is not None:
            raise error


class Network:
    def is_up(self, now):
        return True


def linked():
    client = Client()
    return client, MqttLink(client, NODE, Network(), Refused)


def case_a_peer_that_says_something_odd_is_a_connection_that_is_over():
    for error in (AssertionError(), IndexError(), TypeError(), OSError(104), Refused(5)):
        for name in ("connect", "subscribe", "check_msg", "ping"):
            client, link = linked()
            client.fails[name] = error
            link.poll(0)
            if link.up:
                link.poll(5000)  # a ping is due
            assert not link.up, (name, error)
            link.poll(10000)
            assert link.up and client.connects == 2, (name, error)


def case_memory_that_ran_out_is_no_lost_connection():
    for name in ("connect", "check_msg"):
        client, link = linked()
        client.fails[name] = MemoryError()
        try:
            link.poll(0)
            link.poll(1)
        except MemoryError:
            continue
        raise AssertionError("swallowed in " + name)


class Sockets:
    """The module, and its socket."""

    def __init__(self):
        self.asked = []

    def getaddrinfo(self, *where):
        return []

    def socket(self):
        return self

    def settimeout(self, s):
        pass

    def close(self):
        pass

    def read(self, count):
        self.asked.append(count)
        return bytes(count)


def case_a_peer_gets_no_memory_for_a_length_that_it_made_up():
    below = Sockets()
    socket = PatientSockets(below).socket()
    for count in (2049, 268435455, -1, -7):
        try:
            socket.read(count)
        except OSError:
            continue
        raise AssertionError(count)
    assert len(socket.read(2048)) == 2048
    assert below.asked == [2048]
