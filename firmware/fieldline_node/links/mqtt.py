"""Wi-Fi and MQTT as a link: sealed messages to the gateway's listener, by umqtt.simple as it is.

Published to node/up/ID, heard on node/down/ID, ID being the node's id in 16 hexadecimal digits; QoS 0, for what says
that a reading is stored is the gateway's Ack (wire.md 5.10) and no PUBACK.

Rules: whatever fails is the link down, a pause that doubles, and a new connection; nothing that was under way is
lost, for the session sends again what no Ack names. Nothing waits for the network longer than _PATIENCE_S, which is
below every watchdog.
"""

from fieldline_wire.codes import const
from fieldline_wire.session import PATIENCE_MS, WINDOW

_PATIENCE_S = const(3)  # of a connect, a read or a write; the RP2040's watchdog takes 8.3 s at most
_PAUSE_MS = const(500)
_MOST_PAUSE_MS = const(30000)
_PING_MS = const(5000)
_SILENT_MS = const(12000)  # two pings without any answer: the connection is dead, whatever TCP says
_KEEP_ALIVE_S = const(30)
_MOST = const(8)  # messages taken in one poll: the rest of the node has its turn between
_MOST_BYTES = const(
    2048
)  # of a topic or a message, wire.md 4.2: a peer that announces more gets no memory for it
_MAX_PID = const(60000)  # umqtt.simple counts packet identifiers without end, and there are 65,535


class MqttLink:
    """A link by `client`, an umqtt.simple.MQTTClient that does not have its callback yet; see make_client().

    `refused`: umqtt.simple.MQTTException. `network`: has is_up(now) (drivers/micropython/wifi.py). up: the gateway's
    listener is connected.
    """

    __slots__ = (
        "_at",
        "_client",
        "_down",
        "_found",
        "_heard",
        "_heard_at",
        "_in",
        "_network",
        "_odd",
        "_out",
        "_pause",
        "_ping_at",
        "_up",
        "up",
    )
    pace = (PATIENCE_MS, WINDOW)
    room = True

    def __init__(self, client, node: bytes, network, refused) -> None:
        name = "".join("%02x" % byte for byte in node)
        self._client = client
        self._network = network
        # umqtt.simple asserts and indexes where a peer says something odd, and finds None where it says nothing.
        self._odd = (OSError, AssertionError, IndexError, TypeError, refused)
        self._up = b"node/up/" + name.encode()
        self._down = b"node/down/" + name.encode()
        self._found = []
        self._at = 0
        self._pause = _PAUSE_MS
        self._ping_at = 0
        self._heard = 0  # bytes that this connection brought
        self._heard_at = 0
        self._in = 0
        self._out = 0
        self.up = False
        client.set_callback(self._take)

    def poll(self, now: int) -> "list[bytes]":
        """The sealed messages that came; `now` in ms. Connects where there is no connection."""
        if not self.up:
            self._connect(now)
            return []
        try:
            for _ in range(_MOST):
                before = len(self._found)
                self._client.check_msg()
                if len(self._found) == before:
                    break
            self._listen(now)
            if now >= self._ping_at:
                self._ping_at = now + _PING_MS
                self._client.ping()
        except self._odd:
            self._lost(now)
        found = self._found
        self._found = []
        return found

    def send(self, sealed: bytes) -> None:
        """Publishes a message. OSError where there is no connection."""
        if not self.up:
            raise OSError(128)  # ENOTCONN
        try:
            self._client.publish(self._up, sealed)
        except OSError:
            self._at = 0
            self.up = False
            self._close()
            raise
        self._out += 1

    def counters(self) -> "tuple[int, int, int, int]":
        """(messages in, messages out, 0, 0): TCP has its own checks."""
        return self._in, self._out, 0, 0

    def close(self) -> None:
        """Nothing has to be kept: the listener sees the connection end."""

    def _connect(self, now: int) -> None:
        if now < self._at or not self._network.is_up(now):
            return
        try:
            self._client.connect()
            self._client.subscribe(self._down)
        except self._odd:
            self._lost(now)
            return
        if self._client.pid > _MAX_PID:
            self._client.pid = 0
        self._pause = _PAUSE_MS
        self._ping_at = now + _PING_MS
        self._heard_at = now
        self.up = True

    def _listen(self, now: int) -> None:
        """OSError where nothing came for too long, not even the answer to a ping."""
        heard = self._client.sock.heard
        if heard != self._heard:
            self._heard = heard
            self._heard_at = now
        elif now - self._heard_at >= _SILENT_MS:
            raise OSError(110)  # ETIMEDOUT

    def _take(self, topic: bytes, payload: bytes) -> None:
        self._in += 1
        self._found.append(payload)

    def _lost(self, now: int) -> None:
        self.up = False
        self._at = now + self._pause
        self._pause = min(2 * self._pause, _MOST_PAUSE_MS)
        self._close()

    def _close(self) -> None:
        try:
            if self._client.sock is not None:
                self._client.sock.close()
        except OSError:
            pass


class PatientSockets:
    """What umqtt.simple takes for the module `socket`: none of its sockets waits longer than _PATIENCE_S."""

    def __init__(self, socket) -> None:
        self._socket = socket
        self.getaddrinfo = socket.getaddrinfo

    def socket(self):
        """A socket, not connected."""
        return _PatientSocket(self._socket.socket())


class _PatientSocket:
    __slots__ = ("_socket", "close", "heard")

    def __init__(self, socket) -> None:
        self.heard = 0
        self._socket = socket
        self.close = socket.close
        socket.settimeout(_PATIENCE_S)

    def connect(self, address) -> None:
        self._socket.connect(address)

    def setblocking(self, blocking: bool) -> None:
        self._socket.settimeout(_PATIENCE_S if blocking else 0)

    def read(self, count: int) -> "bytes | None":
        """As a MicroPython socket; OSError where a socket that waits got less in time than it was to.

        OSError, too, for more than a message takes and for less than nothing: lengths that a peer made up.
        """
        if not 0 <= count <= _MOST_BYTES:
            raise OSError(90)  # EMSGSIZE
        data = self._socket.read(count)
        self.heard += len(data or b"")
        return data

    def write(self, data: bytes, count: "int | None" = None) -> int:
        """All of it, or OSError: half a packet is no packet."""
        wanted = len(data) if count is None else count
        if self._socket.write(data if count is None else data[:count]) != wanted:
            raise OSError(110)  # ETIMEDOUT
        return wanted


def make_client(umqtt, socket, node: bytes, host: str, port: int, user: "str | None", password: "str | None"):
    """A client of umqtt.simple (`umqtt`: that module; `socket`: the interpreter's) for the link of `node`."""
    umqtt.socket = PatientSockets(socket)
    name = b"node-" + "".join("%02x" % byte for byte in node).encode()
    # It tells the length of a str in characters, and sends bytes: only bytes are right beyond ASCII.
    words = [None if word is None else word.encode() for word in (user, password)]
    return umqtt.MQTTClient(name, host, port, *words, _KEEP_ALIVE_S)
