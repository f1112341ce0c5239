"""A gateway as a node sees it, written with fieldline_wire alone (runs on MicroPython too).

Rules: what the node sends is decoded and judged at once; readings count as stored when the Ack is made. It
answers as wire.md 6.4 says unless it is told to be silent.
"""

from fakes.aes import Block

from fieldline_wire.codes import ACK_GO_ON, CLASSES, HELLO_WANTS_TIME
from fieldline_wire.messages import Ack, Gap, Hello, Report, TimeSync, decode
from fieldline_wire.seal import BlockCcm, ReplayWindow, open_sealed, peek, seal_downlink
from fieldline_wire.serial import KIND_SEALED, Reader, encode

NODE = b"\x01\x23\x45\x67\x89\xab\xcd\xef"
KEY = bytes(range(16))
UNIX = 1750000000  # s, of the gateway's clock at the node's time 0


class Line:
    """The node's stream and the gateway's end of it. `broken`: the node's writes raise OSError."""

    def __init__(self):
        self.down = []
        self.up = []
        self.broken = False

    def read(self):
        return self.down.pop(0) if self.down else b""

    def write(self, data):
        if self.broken:
            raise OSError(5)
        self.up.append(bytes(data))


class Peer:
    """A gateway that keeps what a node tells it."""

    def __init__(self, line, clock, gateway=7, run=1):
        """`clock()` gives ms since the test began: the gateway's Unix time is UNIX plus that."""
        self.line = line
        self.silent = False
        self.lose_up = self.lose_down = lambda: False  # True: this frame is lost
        self.messages = []  # of all types, as they came
        self.sealed = []  # the same, as they were sealed
        self.readings = [{} for _ in range(CLASSES)]  # number to (Report, Reading)
        self.gaps = [{} for _ in range(CLASSES)]  # number to reason
        self.duplicates = 0
        self.window = ReplayWindow()
        self.stream = 0
        self.epoch = 0
        self.hold = 0  # s, told in each Ack
        self.status = ACK_GO_ON
        self.also = None  # called with each message, when it was answered
        self._clock = clock
        self._ccm = BlockCcm(Block(KEY))
        self._reader = Reader()
        self._gateway = gateway
        self._run = run
        self._counter = 0

    def step(self):
        """Takes all that the node sent; answers."""
        frames, self.line.up = self.line.up, []
        for data in frames:
            if self.lose_up():
                continue
            for _, sealed in self._reader.feed(data):
                self._take(sealed)

    def send(self, message, epoch=None):
        """Sends a message to the node; the sealed bytes."""
        sealed = self.seal(message, epoch)
        self.send_sealed(sealed)
        return sealed

    def seal(self, message, epoch=None):
        counter = self._counter
        self._counter += 1
        return seal_downlink(
            self._ccm,
            NODE,
            0,
            self.epoch if epoch is None else epoch,
            counter,
            self._gateway,
            self._run,
            message.to_bytes(),
        )

    def send_sealed(self, sealed):
        if not self.lose_down():
            self.line.down.append(encode(KIND_SEALED, sealed))

    def of(self, kind):
        """All messages of a class that came."""
        return [message for message in self.messages if isinstance(message, kind)]

    def values(self, cls):
        """(number, sensor, quantity, value) of all that is stored."""
        found = []
        for number in sorted(self.readings[cls]):
            reading = self.readings[cls][number][1]
            found.append((number, reading.sensor, reading.quantity, reading.value))
        return found

    def next(self, cls):
        """All numbers below are stored or known to be gone."""
        number = 1
        while number in self.readings[cls] or number in self.gaps[cls]:
            number += 1
        return number

    def _take(self, sealed):
        header = peek(sealed)
        assert header.node == NODE and not header.downlink
        self.window.check(header.epoch, header.counter)
        message = decode(open_sealed(self._ccm, header, sealed))
        self.window.accept(header.epoch, header.counter)
        self.epoch = header.epoch
        self.messages.append(message)
        self.sealed.append(sealed)
        if not self.silent:
            self._answer(message)
            if self.also is not None:
                self.also(message)

    def _answer(self, message):
        if isinstance(message, Hello):
            self.stream = message.stream
            if message.flags & HELLO_WANTS_TIME:
                self._tell_time(message.uptime * 1000)
            for cls, _, _ in message.classes:
                self._ack(cls)
        elif isinstance(message, Report):
            self._store(message)
            self._ack(message.cls)
        elif isinstance(message, Gap):
            for number in range(message.first, message.last + 1):
                if number not in self.readings[message.cls]:
                    self.gaps[message.cls][number] = message.reason
            self._ack(message.cls)
        elif isinstance(message, TimeSync):
            self._tell_time(message.uptime_ms)

    def _tell_time(self, uptime_ms):
        now = self._clock()
        self.send(TimeSync(uptime_ms, True, UNIX + now // 1000, now % 1000))

    def _store(self, report):
        for i in range(len(report.readings)):
            number = report.first + i
            kept = self.readings[report.cls].get(number)
            if kept is None:
                self.readings[report.cls][number] = (report, report.readings[i])
            else:
                self.duplicates += 1
                assert kept[1].value == report.readings[i].value, f"number {number} has two values"

    def _ack(self, cls):
        self.send(Ack(cls, self.stream, self.next(cls), self.status, self.hold))
