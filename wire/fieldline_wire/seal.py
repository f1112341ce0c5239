"""Messages sealed under a node's key, and the window that refuses replays (wire.md 3).

Rules: the caller never uses a (direction, epoch, counter, gateway, run) twice under one key; a window is
moved only by a message whose tag was right; what a peer sends raises PeerError or nothing.
"""

import struct

from fieldline_wire import ccm
from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import U8, U16, U32, Value, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.ports import Block, Ccm

VERSION = const(1)
NODE_ID_SIZE = const(8)
MAX_EPOCH = 0x7FFFFFFF  # wire.md 3.2
MAX_RUN = const(0xFFFFFF)
TAG_SIZE = const(8)
WINDOW = const(64)  # counters below the highest that are told apart; wire.md 3.4
UPLINK_OVERHEAD = const(26)  # bytes that a seal adds: header and tag
DOWNLINK_OVERHEAD = const(31)

_UPLINK = ">BB8sII"
_UPLINK_SIZE = const(18)
_DOWNLINK_SIZE = const(23)
_DOWNLINK_BIT = 0x80000000


class Header(Value):
    """The clear part of a sealed message (wire.md 3.2). `size` in bytes; gateway and run 0 on an uplink."""

    __slots__ = ("counter", "downlink", "epoch", "gateway", "key_number", "node", "run", "size", "version")

    def __init__(
        self,
        node: bytes,
        key_number: int,
        epoch: int,
        counter: int,
        downlink: bool = False,
        gateway: int = 0,
        run: int = 0,
    ) -> None:
        self.version = VERSION
        self.node = node
        self.key_number = key_number
        self.epoch = epoch
        self.counter = counter
        self.downlink = downlink
        self.gateway = gateway
        self.run = run
        self.size = _DOWNLINK_SIZE if downlink else _UPLINK_SIZE

    def to_bytes(self) -> bytes:
        """The header; UsageError for a field out of range."""
        check("bytes of node id", len(self.node), NODE_ID_SIZE, NODE_ID_SIZE)
        check("key number", self.key_number, 0, U8)
        check("epoch", self.epoch, 0, MAX_EPOCH)
        check("counter", self.counter, 0, U32)
        check("gateway", self.gateway, 0, U16 if self.downlink else 0)
        check("run", self.run, 0, MAX_RUN if self.downlink else 0)
        first = VERSION << 4 | (1 if self.downlink else 0)
        data = struct.pack(_UPLINK, first, self.key_number, self.node, self.epoch, self.counter)
        if self.downlink:
            data += struct.pack(">HBH", self.gateway, self.run >> 16, self.run & U16)
        return data

    def nonce(self) -> bytes:
        """13 bytes (wire.md 3.3)."""
        epoch = self.epoch | (_DOWNLINK_BIT if self.downlink else 0)
        return struct.pack(">IIHBH", epoch, self.counter, self.gateway, self.run >> 16, self.run & U16)


def peek(data: bytes) -> Header:
    """The header of a sealed message; no key needed, nothing proven. PeerError where it is malformed."""
    if len(data) < UPLINK_OVERHEAD:
        raise PeerError("%d bytes are no sealed message" % len(data))
    first, key_number, node, epoch, counter = struct.unpack_from(_UPLINK, data)
    if first & 0xFE != VERSION << 4:
        raise PeerError("version and direction 0x%02x" % first)
    if epoch > MAX_EPOCH:
        raise PeerError("epoch %d" % epoch)
    if not first & 1:
        return Header(node, key_number, epoch, counter)
    if len(data) < DOWNLINK_OVERHEAD:
        raise PeerError("%d bytes are no sealed downlink" % len(data))
    gateway, high, low = struct.unpack_from(">HBH", data, _UPLINK_SIZE)
    return Header(node, key_number, epoch, counter, True, gateway, high << 16 | low)


def seal(ccm: "Ccm", header: Header, message: bytes) -> bytes:
    """`message` sealed under `ccm`'s key; UsageError for a field out of range."""
    clear = header.to_bytes()
    return clear + ccm.seal(header.nonce(), clear, message)


def seal_uplink(ccm: "Ccm", node: bytes, key_number: int, epoch: int, counter: int, message: bytes) -> bytes:
    """`message` sealed by a node; UsageError for a field out of range."""
    return seal(ccm, Header(node, key_number, epoch, counter), message)


def seal_downlink(
    ccm: "Ccm",
    node: bytes,
    key_number: int,
    epoch: int,
    counter: int,
    gateway: int,
    run: int,
    message: bytes,
) -> bytes:
    """`message` sealed by a gateway for the node's boot `epoch`; UsageError for a field out of range."""
    return seal(ccm, Header(node, key_number, epoch, counter, True, gateway, run), message)


def open_sealed(ccm: "Ccm", header: Header, data: bytes) -> bytes:
    """The message in `data`, whose peek() is `header`; PeerError where the tag is wrong."""
    return ccm.open(header.nonce(), data[: header.size], data[header.size :])


class BlockCcm:
    """AES-CCM from a block cipher's ECB and CBC: two calls a message (wire.md 3.1)."""

    __slots__ = ("_block",)

    def __init__(self, block: "Block") -> None:
        self._block = block

    def seal(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        """Ciphertext and tag."""
        return ccm.seal(self._block, nonce, aad, plain, TAG_SIZE)

    def open(self, nonce: bytes, aad: bytes, data: bytes) -> bytes:
        """The plain text of ciphertext and tag; PeerError where the tag is wrong."""
        return ccm.open(self._block, nonce, aad, data, TAG_SIZE)


class ReplayWindow:
    """What was heard of one sender (wire.md 3.4). A window made from a stored state refuses all up to it."""

    __slots__ = ("_below", "_major", "_minor")

    def __init__(self, major: int = -1, minor: int = -1) -> None:
        self._major = major
        self._minor = minor
        self._below = (1 << WINDOW) - 1  # bit i: minor - 1 - i was seen

    def check(self, major: int, minor: int) -> None:
        """PeerError where (major, minor) was seen or is below the window; changes nothing."""
        back = self._minor - minor
        if major > self._major or (major == self._major and back < 0):
            return
        if major < self._major or back == 0 or back > WINDOW or self._below >> (back - 1) & 1:
            raise PeerError("counter %d.%d again: a replay" % (major, minor))

    def accept(self, major: int, minor: int) -> None:
        """Marks (major, minor) as seen, its tag being right; PeerError where check() would raise."""
        self.check(major, minor)
        ahead = minor - self._minor
        if major > self._major:
            self._major = major
            self._minor = minor
            self._below = 0
        elif ahead < 0:
            self._below |= 1 << (-ahead - 1)
        else:
            # The old highest becomes bit ahead - 1.
            seen = (self._below << 1 | 1) << (ahead - 1) if ahead <= WINDOW else 0
            self._below = seen & ((1 << WINDOW) - 1)
            self._minor = minor

    def state(self) -> tuple[int, int]:
        """(major, minor) of the highest seen: what is stored over a restart (wire.md 3.5)."""
        return self._major, self._minor
