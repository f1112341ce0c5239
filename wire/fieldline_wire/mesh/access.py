"""The access layer: opcodes, elements and models (Mesh Profile 1.0.1, 3.7), and what a model is here.

Rules: a model handles messages by opcode and answers by bytes; keys and addresses it is reached by stand in its
ModelState, which the Configuration Server changes and the node stores.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.relay import Transmit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.node import Node
    from fieldline_wire.mesh.transport import Access

NO_COMPANY = -1
MAX_BINDS = const(4)  # AppKeys of a model: bounds what a configuration can make a node store
MAX_SUBSCRIPTIONS = const(4)


def opcode(value: int) -> bytes:
    """An opcode of one or two bytes as it stands in a message; a vendor's is vendor_opcode()."""
    return bytes((value,)) if value < 0x80 else struct.pack(">H", value)


def vendor_opcode(value: int, company: int) -> bytes:
    """A three-byte opcode: 6 bits of value and a company id (3.7.3.1)."""
    return struct.pack("<BH", 0xC0 | value, company)


def split(payload: bytes) -> "tuple[int, bytes]":
    """(opcode, parameters) of an access payload; PeerError where it is none. A vendor's has 24 bits."""
    first = payload[0] if payload else 0x7F
    if first == 0x7F:
        raise PeerError("no opcode")
    size = 1 if first < 0x80 else 2 if first < 0xC0 else 3
    if len(payload) < size:
        raise PeerError("half an opcode")
    return int.from_bytes(payload[:size], "big"), payload[size:]


def key_indexes(first: int, second: int) -> bytes:
    """Two 12-bit key indexes in three bytes (4.3.1.1)."""
    return struct.pack("<HB", first | (second & 0xF) << 12, second >> 4)


def read_key_indexes(data: bytes) -> "tuple[int, int]":
    """The two key indexes at the start of `data`; PeerError where it is too short."""
    if len(data) < 3:
        raise PeerError("half a pair of key indexes")
    return data[0] | (data[1] & 0xF) << 8, data[1] >> 4 | data[2] << 4


class Publication:
    """Where and how often a model publishes (4.2.2). address 0: not at all. period_ms 0: when it has something."""

    __slots__ = ("address", "credential", "key_index", "label", "period", "retransmit", "ttl")

    def __init__(self) -> None:
        self.address = 0
        self.label = b""
        self.key_index = 0
        self.credential = 0
        self.ttl = 0xFF
        self.period = 0  # as on the wire: resolution << 6 | steps
        self.retransmit = Transmit(0, 0)

    def period_ms(self) -> int:
        """4.2.2.2."""
        return (self.period & 0x3F) * (100, 1000, 10000, 600000)[self.period >> 6]


class ModelState:
    """What the Configuration Server knows of a model: its AppKeys, subscriptions and publication."""

    __slots__ = ("binds", "publication", "subscriptions")

    def __init__(self) -> None:
        self.binds: list[int] = []
        self.subscriptions: list[tuple[int, bytes]] = []  # address, and the label of a virtual one
        self.publication = Publication()


class Model:
    """A model of an element. Subclasses set `model_id`, `company` and OPCODES and write receive()."""

    OPCODES: "tuple[int, ...]" = ()
    model_id = 0
    company = NO_COMPANY
    device_key = False  # reached by the device key, not by AppKeys

    def __init__(self) -> None:
        self.state = ModelState()
        self.element = 0
        self.node: Node | None = None

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles a message of OPCODES; the answer's access payload. PeerError where it is malformed."""
        return None

    def published(self, now: int) -> "bytes | None":
        """What to publish when the period is over."""
        return None

    def divisor(self) -> int:
        """By what the publish period is divided now."""
        return 1

    def poll(self, now: int) -> int:
        """What time brings about; ms until it is to be asked again."""
        return 3600000

    def identifier(self) -> bytes:
        """As configuration messages have it."""
        if self.company == NO_COMPANY:
            return struct.pack("<H", self.model_id)
        return struct.pack("<HH", self.company, self.model_id)


class Element:
    """An element: its location (GATT namespace) and models."""

    __slots__ = ("location", "models")

    def __init__(self, models: "list[Model]", location: int = 0) -> None:
        self.models = models
        self.location = location


class Composition:
    """Page 0 of the Composition Data (4.2.1.1)."""

    __slots__ = ("company", "elements", "features", "product", "replays", "version")

    def __init__(
        self, company: int, product: int, version: int, replays: int, features: int, elements: "list[Element]"
    ) -> None:
        self.company = company
        self.product = product
        self.version = version
        self.replays = replays
        self.features = features
        self.elements = elements

    def to_bytes(self) -> bytes:
        """The page without its number."""
        data = struct.pack("<HHHHH", self.company, self.product, self.version, self.replays, self.features)
        for element in self.elements:
            sig = [one for one in element.models if one.company == NO_COMPANY]
            vendor = [one for one in element.models if one.company != NO_COMPANY]
            data += struct.pack("<HBB", element.location, len(sig), len(vendor))
            data += b"".join([one.identifier() for one in sig + vendor])
        return data
