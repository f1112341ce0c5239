"""The network PDU: bytes to values and back (Mesh Profile 1.0.1, 3.4 and 3.8.7).

Rules: `clear` opens the obfuscated header alone, for one AES call, so that a PDU heard before costs no more;
nothing in it is proven until `decode` has checked the NetMIC.
"""

import struct

from fieldline_wire import ccm
from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import U16, U32, Value, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.keys import NetworkKey

MAX_SEQ = 0xFFFFFF
MAX_TTL = const(0x7F)
MAX_PDU = const(29)  # 3.4.4: IVI to NetMIC
MAX_TRANSPORT = const(16)  # access; 12 where CTL is 1
UNASSIGNED = const(0)
FIRST_VIRTUAL = const(0x8000)
FIRST_GROUP = const(0xC000)
ALL_PROXIES = const(0xFFFC)
ALL_RELAYS = const(0xFFFE)
ALL_NODES = const(0xFFFF)

_MIN_PDU = const(14)  # IVI NID, 6 of header, DST, one byte of transport PDU, a NetMIC of 4
_NONCE_NETWORK = const(0)
_NONCE_PROXY = const(3)


def is_unicast(address: int) -> bool:
    """Whether `address` is one element's (3.4.2.2)."""
    return 0 < address < FIRST_VIRTUAL


class NetworkPdu(Value):
    """One network PDU in clear. `seq` 24 bits; `iv_index` the one it was secured under."""

    __slots__ = ("ctl", "dst", "iv_index", "seq", "src", "transport", "ttl")

    def __init__(
        self, ctl: int, ttl: int, seq: int, src: int, dst: int, iv_index: int, transport: bytes
    ) -> None:
        self.ctl = ctl
        self.ttl = ttl
        self.seq = seq
        self.src = src
        self.dst = dst
        self.iv_index = iv_index
        self.transport = transport


def encode(key: "NetworkKey", pdu: NetworkPdu, proxy: bool = False) -> bytes:
    """The PDU as it goes on air; `proxy`: a proxy configuration message (6.5). UsageError for a field."""
    check("ctl", pdu.ctl, 0, 1)
    check("ttl", pdu.ttl, 0, MAX_TTL)
    check("seq", pdu.seq, 0, MAX_SEQ)
    check("src", pdu.src, 1, FIRST_VIRTUAL - 1)
    check("dst", pdu.dst, 0 if proxy else 1, U16)
    check("IV index", pdu.iv_index, 0, U32)
    check("bytes of transport PDU", len(pdu.transport), 1, MAX_TRANSPORT - 4 * pdu.ctl)
    head = struct.pack(">BBHH", pdu.ctl << 7 | pdu.ttl, pdu.seq >> 16, pdu.seq & U16, pdu.src)
    body = ccm.seal(
        key.encryption,
        _nonce(head, pdu.iv_index, proxy),
        b"",
        struct.pack(">H", pdu.dst) + pdu.transport,
        8 if pdu.ctl else 4,
    )
    first = (pdu.iv_index & 1) << 7 | key.nid
    return bytes((first,)) + _obfuscate(key, pdu.iv_index, head, body) + body


def clear(key: "NetworkKey", iv_index: int, data: bytes) -> "tuple[int, bytes]":
    """IV index and clear header (CTL TTL, SEQ, SRC: 6 bytes) of a PDU, if it is one of `key`; else PeerError.

    `iv_index` is the receiver's own: a PDU of the one before it is heard too (3.10.5).
    """
    if not _MIN_PDU <= len(data) <= MAX_PDU or data[0] & 0x7F != key.nid:
        raise PeerError("no network PDU of NID 0x%02x" % key.nid)
    if iv_index & 1 != data[0] >> 7:
        iv_index -= 1
        if iv_index < 0:
            raise PeerError("IV index below 0")
    head = _obfuscate(key, iv_index, data[1:7], data[7:])
    if not is_unicast(head[4] << 8 | head[5]):
        raise PeerError("no unicast source")
    return iv_index, head


def decode(key: "NetworkKey", iv_index: int, head: bytes, data: bytes, proxy: bool = False) -> NetworkPdu:
    """The PDU whose clear() gave `iv_index` and `head`; PeerError where the NetMIC or an address is wrong."""
    flags, high, low, src = struct.unpack(">BBHH", head)
    ctl = flags >> 7
    if len(data) < _MIN_PDU + 4 * ctl:
        raise PeerError("a control PDU of %d bytes" % len(data))
    body = ccm.open(key.encryption, _nonce(head, iv_index, proxy), b"", data[7:], 8 if ctl else 4)
    dst = body[0] << 8 | body[1]
    if proxy:
        if not ctl or dst:
            raise PeerError("no proxy configuration message")
    elif dst == UNASSIGNED or (ctl and FIRST_VIRTUAL <= dst < FIRST_GROUP):
        raise PeerError("destination 0x%04x" % dst)
    return NetworkPdu(ctl, flags & MAX_TTL, high << 16 | low, src, dst, iv_index, body[2:])


def _nonce(head: bytes, iv_index: int, proxy: bool) -> bytes:
    """3.8.5.1, and 3.8.5.4 for a proxy configuration message."""
    kind, first = (_NONCE_PROXY, 0) if proxy else (_NONCE_NETWORK, head[0])
    return struct.pack(">BB5sHI", kind, first, head[1:], 0, iv_index)


def _obfuscate(key: "NetworkKey", iv_index: int, head: bytes, body: bytes) -> bytes:
    """3.8.7.3; its own inverse."""
    return ccm.xor(head, key.privacy.ecb(struct.pack(">5sI7s", b"", iv_index, body[:7]))[:6])
