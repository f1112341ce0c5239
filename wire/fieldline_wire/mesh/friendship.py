"""Friendship: its control messages, bytes to values and back, and its security material (Mesh Profile 1.0.1,
3.6.5, 3.6.6, 3.8.6.3).

Rules: no state but the derived keys here. A field out of its range is the peer's fault, and the message is refused
whole. What both roles share stands here, so that a node carries the role that it has and no other.
"""

import struct
from binascii import crc32

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import Value
from fieldline_wire.mesh.crypto import k2
from fieldline_wire.mesh.network import is_unicast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.mesh.keys import NetworkKey, Subnet
    from fieldline_wire.ports import Block

RECORD = const(4)  # of the node's store: what a Friend or a Low Power node must not forget
ALL_FRIENDS = const(0xFFFD)  # 3.4.2.4
FEATURE_FRIEND = const(4)  # 4.2.1.1
FEATURE_LOW_POWER = const(8)

# 3.6.5: transport control opcodes
POLL = const(0x01)
UPDATE = const(0x02)
REQUEST = const(0x03)
OFFER = const(0x04)
CLEAR = const(0x05)
CLEAR_CONFIRM = const(0x06)
LIST_ADD = const(0x07)
LIST_REMOVE = const(0x08)
LIST_CONFIRM = const(0x09)

NO_RSSI = const(127)  # 3.6.5.4: not known
MIN_RECEIVE_DELAY_MS = const(10)  # 3.6.5.3: 0x0A to 0xFF
MIN_POLL_TIMEOUT = const(0x00000A)  # of 100 ms
MAX_POLL_TIMEOUT = 0x34BBFF
MAX_SUBSCRIPTIONS = const(8)  # addresses of a low-power node; said in our offer, and no more are asked for
MAX_LISTED = const(5)  # addresses in one message of the subscription list: 11 bytes are unsegmented
CLEAR_TTL = const(0x7F)  # 3.6.6.3.1

_HALVES = (2, 3, 4, 5)  # RSSIFactor and ReceiveWindowFactor, 1 to 2.5, in halves


def opcode(data: bytes) -> int:
    """The opcode of a transport control PDU."""
    return data[0] & 0x7F


def poll(fsn: int) -> bytes:
    """Friend Poll (3.6.5.1); `fsn` 0 or 1."""
    return bytes((POLL, fsn))


def read_poll(data: bytes) -> int:
    """The FSN; PeerError where `data` is no Friend Poll."""
    if len(data) != 2 or data[0] != POLL or data[1] > 1:
        raise PeerError("no friend poll")
    return data[1]


class Update(Value):
    """Friend Update (3.6.5.2). flags as in a secure network beacon; more: 1 where the queue holds something."""

    __slots__ = ("flags", "iv_index", "more")

    def __init__(self, flags: int, iv_index: int, more: int) -> None:
        self.flags = flags
        self.iv_index = iv_index
        self.more = more

    def to_bytes(self) -> bytes:
        """The transport PDU."""
        return struct.pack(">BBIB", UPDATE, self.flags, self.iv_index, self.more)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Update":
        """PeerError where `data` is none."""
        if len(data) != 7 or data[0] != UPDATE or data[6] > 1:
            raise PeerError("no friend update")
        return cls(data[1] & 3, struct.unpack_from(">I", data, 2)[0], data[6])


class Request(Value):
    """Friend Request (3.6.5.3). criteria: RSSIFactor, ReceiveWindowFactor, MinQueueSizeLog; delay in ms; timeout
    in 100 ms; previous: address of the friend before, or 0."""

    __slots__ = ("counter", "criteria", "delay", "elements", "previous", "timeout")

    def __init__(
        self, criteria: int, delay: int, timeout: int, previous: int, elements: int, counter: int
    ) -> None:
        self.criteria = criteria
        self.delay = delay
        self.timeout = timeout
        self.previous = previous
        self.elements = elements
        self.counter = counter

    def to_bytes(self) -> bytes:
        """The transport PDU; its fields are ours and in range."""
        high, low = self.timeout >> 16, self.timeout & 0xFFFF
        return struct.pack(
            ">BBBBHHBH",
            REQUEST,
            self.criteria,
            self.delay,
            high,
            low,
            self.previous,
            self.elements,
            self.counter,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Request":
        """PeerError where `data` is none, or a field is prohibited."""
        if len(data) != 11 or data[0] != REQUEST:
            raise PeerError("no friend request")
        _, criteria, delay, high, low, previous, elements, counter = struct.unpack(">BBBBHHBH", data)
        timeout = high << 16 | low
        if (
            not criteria & 7
            or delay < MIN_RECEIVE_DELAY_MS
            or not MIN_POLL_TIMEOUT <= timeout <= MAX_POLL_TIMEOUT
            or previous >= 0x8000
            or not elements
        ):
            raise PeerError("a friend request out of range")
        return cls(criteria & 0x7F, delay, timeout, previous, elements, counter)

    def queue(self) -> int:
        """Messages that the friend's queue must hold at least."""
        return 1 << (self.criteria & 7)

    def offer_ms(self, window: int, rssi: int) -> int:
        """How long a friend waits before it offers (3.6.6.3.1): the better it serves, the shorter. 100 at least."""
        delay = _HALVES[self.criteria >> 3 & 3] * window
        if rssi != NO_RSSI:
            delay -= _HALVES[self.criteria >> 5 & 3] * rssi
        return max(100, delay // 2)


def criteria(rssi_factor: int, window_factor: int, queue_log: int) -> int:
    """The criteria's byte; factors 0 to 3 for 1, 1.5, 2, 2.5; a queue of 2^queue_log (1 to 7) messages."""
    return rssi_factor << 5 | window_factor << 3 | queue_log


class Offer(Value):
    """Friend Offer (3.6.5.4). window in ms; queue in messages; subscriptions in addresses; rssi in dBm or NO_RSSI."""

    __slots__ = ("counter", "queue", "rssi", "subscriptions", "window")

    def __init__(self, window: int, queue: int, subscriptions: int, rssi: int, counter: int) -> None:
        self.window = window
        self.queue = queue
        self.subscriptions = subscriptions
        self.rssi = rssi
        self.counter = counter

    def to_bytes(self) -> bytes:
        """The transport PDU."""
        return struct.pack(
            ">BBBBbH", OFFER, self.window, self.queue, self.subscriptions, self.rssi, self.counter
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Offer":
        """PeerError where `data` is none."""
        if len(data) != 7 or data[0] != OFFER or not data[1]:
            raise PeerError("no friend offer")
        _, window, queue, subscriptions, rssi, counter = struct.unpack(">BBBBbH", data)
        return cls(window, queue, subscriptions, rssi, counter)


def clear(lpn: int, counter: int, confirm: bool = False) -> bytes:
    """Friend Clear (3.6.5.5), or Friend Clear Confirm (3.6.5.6)."""
    return struct.pack(">BHH", CLEAR_CONFIRM if confirm else CLEAR, lpn, counter)


def read_clear(data: bytes) -> "tuple[int, int]":
    """(LPNAddress, LPNCounter) of a Friend Clear or Friend Clear Confirm; PeerError where it is neither."""
    if len(data) != 5 or data[0] not in (CLEAR, CLEAR_CONFIRM):
        raise PeerError("no friend clear")
    lpn, counter = struct.unpack_from(">HH", data, 1)
    if not is_unicast(lpn):
        raise PeerError("a friend clear of address 0x%04x" % lpn)
    return lpn, counter


def listed(code: int, transaction: int, addresses: "list[int]") -> bytes:
    """Friend Subscription List Add or Remove (3.6.5.7, 3.6.5.8) for 1 to MAX_LISTED addresses."""
    return bytes((code, transaction)) + b"".join([struct.pack(">H", one) for one in addresses])


def read_listed(data: bytes) -> "tuple[int, list[int]]":
    """(transaction, addresses) of a Friend Subscription List Add or Remove; PeerError where it is neither."""
    size = len(data) - 2
    if data[0] not in (LIST_ADD, LIST_REMOVE) or size < 2 or size & 1 or size > 2 * MAX_LISTED:
        raise PeerError("no friend subscription list")
    addresses = [data[at] << 8 | data[at + 1] for at in range(2, len(data), 2)]
    if min(addresses) < 0x8000:
        raise PeerError("a subscription to a unicast address")
    return data[1], addresses


def list_confirm(transaction: int) -> bytes:
    """Friend Subscription List Confirm (3.6.5.9)."""
    return bytes((LIST_CONFIRM, transaction))


class FriendKey:
    """Friendship security material of one NetKey: what network.py needs of a key. network_id: the NetKey's."""

    __slots__ = ("encryption", "network_id", "nid", "privacy")

    def __init__(self, aes: "Aes", net: "NetworkKey", text: bytes) -> None:
        self.nid, encryption, privacy = k2(aes, net.key, text)
        self.encryption: Block = aes(encryption)
        self.privacy: Block = aes(privacy)
        self.network_id = net.network_id


class Friendship:
    """Two nodes, and the keys that they alone use (whoever holds the NetKey can derive them). index: NetKey index.

    mark: tells what comes by this friendship from the same PDU as it was said, or as another friendship brought it: a
    held PDU keeps the numbers that it set out with, and taken for a copy it would be asked for for ever.
    """

    __slots__ = ("_aes", "_keys", "_text", "friend", "index", "lpn", "lpn_counter", "mark")

    def __init__(
        self, aes: "Aes", index: int, lpn: int, friend: int, lpn_counter: int, friend_counter: int
    ) -> None:
        self._aes = aes
        self._text = struct.pack(">BHHHH", 1, lpn, friend, lpn_counter, friend_counter)
        self._keys: list[tuple[NetworkKey, FriendKey]] = []
        self.mark = crc32(self._text) & 0x3FFFFFFF
        self.index = index
        self.lpn = lpn
        self.friend = friend
        self.lpn_counter = lpn_counter

    def hearing(self, subnet: "Subnet") -> "list[FriendKey]":
        """The keys of what may come in: two of them while the NetKey is refreshed."""
        nets = subnet.hearing()
        self._keys = [row for row in self._keys if row[0] in nets]
        return [self._of(net) for net in nets]

    def sending(self, subnet: "Subnet") -> FriendKey:
        """The key of what goes out."""
        return self._of(subnet.sending())

    def _of(self, net: "NetworkKey") -> FriendKey:
        for known, key in self._keys:
            if known is net:
                return key
        key = FriendKey(self._aes, net, self._text)
        self._keys.append((net, key))
        return key
