"""The PB-ADV bearer: a link of two over adverts, transactions in segments (Mesh Profile 1.0.1, 5.2 and 5.3).

Rules: one transaction of ours at a time; one of theirs is delivered once, and acknowledged as often as it comes.
What is not acknowledged is repeated until 5.3.3's time is over, and then the link closes. `now` in ms.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_START = const(0)
_ACK = const(1)
_CONTINUATION = const(2)
_CONTROL = const(3)
_LINK_OPEN = const(0)
_LINK_ACK = const(1)
_LINK_CLOSE = const(2)

FIRST = const(20)  # bytes in the first segment: 5.3.1.1
NEXT = const(23)
MAX_PDU = const(65)  # Provisioning Public Key: longer there is none
LINK_TIMEOUT_MS = const(60000)  # 5.3.2: of opening a link, and of its silence
TRANSACTION_TIMEOUT_MS = const(30000)  # 5.3.3
_AGAIN_MS = const(500)  # between two tries
_OPEN_AGAIN_MS = const(1500)  # of Link Open: bluetooth-meshd takes its answer back when it comes sooner
_CLOSE_COPIES = const(3)  # 5.3.1.4.3: nobody acknowledges a Link Close
MAX_WAITING = const(4)
_OLD = const(0x40)  # so many transactions back, of the 128 numbers: it was delivered

CLOSE_SUCCESS = const(0)
CLOSE_TIMEOUT = const(1)
CLOSE_FAIL = const(2)


def fcs(data: bytes) -> int:
    """The frame check sequence: CRC-8 of 3GPP TS 27.010 (5.3.1.1)."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xE0 if crc & 1 else 0)
    return crc ^ 0xFF


def cut(pdu: bytes) -> "list[bytes]":
    """The generic provisioning PDUs of a transaction; UsageError where `pdu` is too long."""
    if not 0 < len(pdu) <= MAX_PDU:
        raise UsageError("a provisioning PDU of %d bytes" % len(pdu))
    rest = [pdu[at : at + NEXT] for at in range(FIRST, len(pdu), NEXT)]
    head = struct.pack(">BHB", len(rest) << 2 | _START, len(pdu), fcs(pdu))
    return [head + pdu[:FIRST]] + [bytes((i + 1 << 2 | _CONTINUATION,)) + rest[i] for i in range(len(rest))]


class Assembly:
    """The segments of one transaction."""

    __slots__ = ("_check", "_last", "_parts", "_size", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._parts: dict[int, bytes] = {}
        self._last = -1
        self._size = 0
        self._check = 0

    def add(self, data: bytes) -> "bytes | None":
        """Takes a generic provisioning PDU of kind start or continuation; the PDU that it completes.

        PeerError where it is malformed or the check sequence is wrong: then all begins anew.
        """
        index = data[0] >> 2
        if data[0] & 3 == _START:
            if len(data) < 5:
                raise PeerError("half a transaction start")
            size, self._check = struct.unpack_from(">HB", data, 1)
            if not 0 < size <= MAX_PDU or index != (max(size - FIRST, 0) + NEXT - 1) // NEXT:
                raise PeerError("a transaction of %d bytes in %d segments" % (size, index + 1))
            self._last, self._size = index, size
            self._parts[0] = data[4 : 4 + min(size, FIRST)]
        elif 0 < index <= 2:
            self._parts[index] = data[1:]
        else:
            raise PeerError("segment %d of a transaction" % index)
        if self._last < 0 or any([i not in self._parts for i in range(self._last + 1)]):
            return None
        # A bearer may pad the last segment with zeros: the size says what counts.
        pdu = b"".join([self._parts[i] for i in range(self._last + 1)])[: self._size]
        self._parts = {}
        self._last = -1
        if len(pdu) != self._size or fcs(pdu) != self._check:
            raise PeerError("the check sequence of a transaction is wrong")
        return pdu


class Link:
    """One end. `send(now, data)` puts a PB-ADV payload on air; `opened(now)`, `received(now, pdu)` and
    `closed(now, reason)` tell. A device's end is opened by a Link Open that names its `uuid`."""

    def __init__(
        self,
        provisioner: bool,
        uuid: bytes,
        send: "Callable[[int, bytes], None]",
        opened: "Callable[[int], None]",
        received: "Callable[[int, bytes], None]",
        closed: "Callable[[int, int], None]",
    ) -> None:
        self._provisioner = provisioner
        self._uuid = uuid
        self._send = send
        self._opened = opened
        self._received = received
        self._closed = closed
        self._id = b""
        self._state = "idle"
        self._ours = 0x7F if provisioner else 0xFF  # the transaction before the first
        self._theirs = -1  # the last of theirs that was whole
        self._assembly: Assembly | None = None
        self._waiting: list[bytes] = []
        self._pieces: list[bytes] = []  # of the transaction under way
        self._since = 0
        self._again = 0
        self._heard = 0

    @property
    def is_open(self) -> bool:
        """Whether PDUs can be sent."""
        return self._state == "open"

    def open(self, now: int, link_id: bytes) -> None:
        """Provisioner: opens the link to the device of `uuid`; `link_id` is 4 random bytes."""
        self._id = link_id
        self._state = "opening"
        self._since = self._heard = now
        self._say_open(now)

    def send(self, now: int, pdu: bytes) -> None:
        """Sends a provisioning PDU after those before it. UsageError where the link is not open."""
        if self._state != "open" or len(self._waiting) >= MAX_WAITING:
            raise UsageError("the PB-ADV link takes no PDU: %s" % self._state)
        self._waiting.append(pdu)
        self._begin(now)

    def close(self, now: int, reason: int) -> None:
        """Ends the link."""
        if self._state in ("idle", "closed"):
            return
        self._state = "closed"
        for _ in range(_CLOSE_COPIES):
            self._send(now, self._id + bytes((0, _LINK_CLOSE << 2 | _CONTROL, reason)))
        self._closed(now, reason)

    def receive(self, now: int, data: bytes) -> None:
        """A PB-ADV payload; what is none of this link is passed over."""
        if len(data) < 6:
            return
        if data[:4] == self._id:
            self._heard = now
        kind = data[5] & 3
        if kind == _CONTROL:
            self._control(now, data)
        elif data[:4] == self._id and self._state == "open":
            if kind == _ACK:
                if self._pieces and data[4] == self._ours:
                    self._pieces = []
                    self._begin(now)
            else:
                self._piece(now, data)

    def poll(self, now: int) -> None:
        """Repeats what is not acknowledged; closes what is silent for too long."""
        if self._state in ("idle", "closed"):
            return
        if now - self._heard >= LINK_TIMEOUT_MS or (
            self._pieces and now - self._since >= TRANSACTION_TIMEOUT_MS
        ):
            self.close(now, CLOSE_TIMEOUT)
        elif now >= self._again:
            if self._state == "opening":
                self._say_open(now)
            elif self._pieces:
                self._say(now)

    def wait_ms(self, now: int) -> int:
        """ms until poll() has something to do."""
        if self._state in ("idle", "closed"):
            return LINK_TIMEOUT_MS
        due = self._heard + LINK_TIMEOUT_MS
        if self._pieces or self._state == "opening":
            due = min(due, self._again)
        return max(0, due - now)

    def _say_open(self, now: int) -> None:
        self._again = now + _OPEN_AGAIN_MS
        self._send(now, self._id + bytes((0, _LINK_OPEN << 2 | _CONTROL)) + self._uuid)

    def _begin(self, now: int) -> None:
        if self._pieces or not self._waiting:
            return
        self._ours = self._ours + 1 & 0x7F | (0 if self._provisioner else 0x80)
        head = self._id + bytes((self._ours,))
        self._pieces = [head + one for one in cut(self._waiting.pop(0))]
        self._since = now
        self._say(now)

    def _say(self, now: int) -> None:
        self._again = now + _AGAIN_MS
        for piece in self._pieces:
            self._send(now, piece)

    def _control(self, now: int, data: bytes) -> None:
        code = data[5] >> 2
        if code == _LINK_OPEN and not self._provisioner and data[6:22] == self._uuid:
            if self._state == "idle" or (self._state == "open" and data[:4] == self._id):
                fresh = self._state == "idle"
                self._id, self._state, self._heard = data[:4], "open", now
                self._send(now, self._id + bytes((0, _LINK_ACK << 2 | _CONTROL)))
                if fresh:
                    self._opened(now)
        elif data[:4] != self._id:
            return
        elif code == _LINK_ACK and self._state == "opening":
            self._state = "open"
            self._opened(now)
        elif code == _LINK_CLOSE and self._state in ("open", "opening"):
            self._state = "closed"
            self._closed(now, data[6] if len(data) > 6 else CLOSE_FAIL)

    def _piece(self, now: int, data: bytes) -> None:
        number = data[4]
        if number >> 7 != (1 if self._provisioner else 0):
            return  # an echo of our own
        if self._theirs >= 0 and (self._theirs - number) & 0x7F < _OLD:
            self._acknowledge(now, number)  # also of one before it: a bearer's queue may hold it for long
            return
        if self._assembly is None or self._assembly.number != number:
            self._assembly = Assembly(number)
        try:
            pdu = self._assembly.add(data[5:])
        except PeerError:
            self._assembly = None
            return
        if pdu is None:
            return
        self._theirs = number
        self._assembly = None
        self._acknowledge(now, number)
        # 5.3.3: an answer acknowledges too; our transaction, if its acknowledgment got lost, is over.
        self._pieces = []
        self._received(now, pdu)
        self._begin(now)

    def _acknowledge(self, now: int, number: int) -> None:
        self._send(now, self._id + bytes((number, _ACK)))
