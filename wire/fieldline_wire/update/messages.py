"""The messages of updates (update.md 9; wire.md 5.1).

Rules: this module says what was said; whether it may be done is the updater's decision.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import Message, check, pack, read_tlvs, text, tlv, unpack_value, write_tlvs
from fieldline_wire.update.codes import CHUNK, WHAT_IMAGE
from fieldline_wire.update.token import TOKEN_SIZE

WINDOW = const(32)  # chunks that a Want can name

_RUNNING = const(1)
_BOARD = const(2)
_VENDOR = const(3)
_ABI = const(4)
_ROOM = const(5)
_PROGRESS = const(6)
_UNASKED = const(7)
_NUMBERS = (
    "state",
    "reason",
    "active",
    "tries",
    "number",
    "running",
    "floor",
    "target",
    "counter",
)


class Status(Message):
    """Where a node's update stands (update.md 9.2).

    `running`, `target`: sequences; `image`: 8 bytes or None; `progress`: (object, chunks here, in all) or None.
    """

    __slots__ = _NUMBERS + (
        "abi",
        "board",
        "image",
        "nonce",
        "progress",
        "room",
        "root",
        "unasked",
        "unknown",
        "vendor",
    )
    TYPE = 0x20
    FIXED = ">BBBBBIIIII8sI"

    def __init__(self, numbers: list[int], nonce: bytes, root: int) -> None:
        """`numbers` in the order of the fixed part, state to token counter."""
        for i in range(len(_NUMBERS)):
            setattr(self, _NUMBERS[i], numbers[i])
        self.nonce = nonce
        self.root = root
        self.image: bytes | None = None
        self.board = ""
        self.vendor = ""
        self.abi = 0
        self.room = 0
        self.progress: tuple[int, int, int] | None = None
        self.unasked = 0
        self.unknown: list[tuple[int, bytes]] = []

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("bytes of nonce", len(self.nonce), 8, 8)
        numbers = [getattr(self, name) for name in _NUMBERS]
        parts = [pack(">BBBBBIIIII", self.TYPE, *numbers), self.nonce, pack(">I", self.root)]
        if self.image is not None:
            parts.append(tlv(_RUNNING, self.image))
        parts.append(tlv(_BOARD, self.board.encode()))
        parts.append(tlv(_VENDOR, self.vendor.encode()))
        parts.append(tlv(_ABI, pack(">H", self.abi)))
        parts.append(tlv(_ROOM, pack(">I", self.room)))
        if self.progress is not None:
            parts.append(tlv(_PROGRESS, pack(">BHH", *self.progress)))
        parts.append(tlv(_UNASKED, pack(">I", self.unasked)))
        parts.append(write_tlvs(self.unknown))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Status":
        """The Status in `data`; PeerError where it is malformed."""
        fields = cls.fixed(data)
        status = cls(list(fields[:9]), fields[9], fields[10])  # type: ignore[arg-type]
        for tag, value in read_tlvs(data, struct.calcsize(cls.FIXED)):
            if tag == _RUNNING:
                status.image = unpack_value("8s", value)[0]  # type: ignore[assignment]
            elif tag == _BOARD:
                status.board = text(value)
            elif tag == _VENDOR:
                status.vendor = text(value)
            elif tag == _ABI:
                (status.abi,) = unpack_value(">H", value)
            elif tag == _ROOM:
                (status.room,) = unpack_value(">I", value)
            elif tag == _PROGRESS:
                object_, here, all_ = unpack_value(">BHH", value)
                status.progress = (object_, here, all_)
            elif tag == _UNASKED:
                (status.unasked,) = unpack_value(">I", value)
            else:
                status.unknown.append((tag, value))
        return status


class Offer(Message):
    """An image (`proof` is its token) or a root file (`proof` is its SHA-256) of `length` bytes: update.md 9.3."""

    __slots__ = ("length", "proof", "what")
    TYPE = 0x21
    FIXED = ">BBI"

    def __init__(self, what: int, length: int, proof: bytes) -> None:
        self.what = what
        self.length = length
        self.proof = proof

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        return pack(self.FIXED, self.TYPE, self.what, self.length) + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> "Offer":
        """The Offer in `data`; PeerError where it is malformed."""
        what, length = cls.fixed(data)
        proof = bytes(data[struct.calcsize(cls.FIXED) :])
        if len(proof) != (TOKEN_SIZE if what == WHAT_IMAGE else 32):
            raise PeerError("an Offer of %d bytes" % len(data))
        return cls(what, length, proof)


class Want(Message):
    """Chunks `first` + i of `object` where bit 31 - i of `mask` is set (update.md 9.4)."""

    __slots__ = ("first", "mask", "object")
    TYPE = 0x22
    FIXED = ">BBHI"

    def __init__(self, object: int, first: int, mask: int) -> None:
        self.object = object
        self.first = first
        self.mask = mask

    def chunks(self) -> list[int]:
        """The chunks that are wanted."""
        return [self.first + i for i in range(WINDOW) if self.mask >> (WINDOW - 1 - i) & 1]

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        return pack(self.FIXED, self.TYPE, self.object, self.first, self.mask)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Want":
        """The Want in `data`; PeerError where it is malformed."""
        return cls(*cls.fixed(data))


class Chunk(Message):
    """Bytes 256 x `index` on of `object` (update.md 9.5)."""

    __slots__ = ("data", "index", "object")
    TYPE = 0x23
    FIXED = ">BBH"

    def __init__(self, object: int, index: int, data: bytes) -> None:
        self.object = object
        self.index = index
        self.data = data

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("bytes of a chunk", len(self.data), 1, CHUNK)
        return pack(self.FIXED, self.TYPE, self.object, self.index) + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Chunk":
        """The Chunk in `data`; PeerError where it is malformed."""
        object_, index = cls.fixed(data)
        content = bytes(data[struct.calcsize(cls.FIXED) :])
        if not 1 <= len(content) <= CHUNK:
            raise PeerError("a Chunk of %d bytes" % len(content))
        return cls(object_, index, content)


class Ask(Message):
    """The gateway has Status `number` on disk, and asks for one that is newer (update.md 9.7)."""

    __slots__ = ("number",)
    TYPE = 0x24
    FIXED = ">BI"

    def __init__(self, number: int) -> None:
        self.number = number

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        return pack(self.FIXED, self.TYPE, self.number)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ask":
        """The Ask in `data`; PeerError where it is malformed."""
        return cls(*cls.fixed(data))


class Abort(Message):
    """Give up what is being received (update.md 9.8)."""

    __slots__ = ()
    TYPE = 0x25

    def to_bytes(self) -> bytes:
        """The message."""
        return bytes((self.TYPE,))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Abort":
        """The Abort in `data`; PeerError where it is none."""
        cls.fixed(data)
        return cls()


BY_TYPE = {each.TYPE: each for each in (Status, Offer, Want, Chunk, Ask, Abort)}
