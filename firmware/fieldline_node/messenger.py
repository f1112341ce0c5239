"""Messages sealed and opened under the node's key (wire.md 3).

Rules: the epoch is in flash before this begins; the counter counts up with every message; a downlink counts
only if it is for this node, this key and this epoch, was never seen before and its tag is right.
"""

from fieldline_wire.codes import const
from fieldline_wire.control import Command, Config
from fieldline_wire.errors import PeerError
from fieldline_wire.health import TimeSync
from fieldline_wire.readings import Ack
from fieldline_wire.seal import ReplayWindow, open_sealed, peek, seal_uplink

MAX_GATEWAYS = const(8)  # that are heard in one boot; a window each stays in memory

_DOWNLINKS = {Ack.TYPE: Ack, Config.TYPE: Config, Command.TYPE: Command, TimeSync.TYPE: TimeSync}


class Messenger:
    """One boot's messages. refused: downlinks that were not taken; unknown: of a type not known."""

    __slots__ = (
        "_ccm",
        "_counter",
        "_epoch",
        "_key_number",
        "_node",
        "_windows",
        "others",
        "refused",
        "unknown",
    )

    def __init__(self, node: bytes, key_number: int, ccm, epoch: int) -> None:
        self._node = node
        self._key_number = key_number
        self._ccm = ccm
        self._epoch = epoch
        self._counter = 0
        self._windows = {}  # gateway id to ReplayWindow
        self.others = None  # gives the class of a type that is not known here, or None
        self.refused = 0
        self.unknown = 0

    def seal(self, message) -> bytes:
        """`message` as it goes on a link. UsageError for a field out of range."""
        counter = self._counter
        data = message.to_bytes()
        self._counter = counter + 1
        return seal_uplink(self._ccm, self._node, self._key_number, self._epoch, counter, data)

    def open(self, sealed: bytes):
        """The message in `sealed`; None where it is not for us, not authentic, old or of no known type."""
        try:
            data = self._open(sealed)
            if data[:1]:
                kind = _DOWNLINKS.get(data[0])
                if kind is None and self.others is not None:
                    kind = self.others(data[0])
                if kind is not None:
                    return kind.from_bytes(data)
        except PeerError:
            self.refused += 1
            return None
        self.unknown += 1
        return None

    def _open(self, sealed: bytes) -> bytes:
        header = peek(sealed)
        if (header.downlink, header.node, header.key_number, header.epoch) != (
            True,
            self._node,
            self._key_number,
            self._epoch,
        ):
            raise PeerError("not for this node, key and epoch")
        window = self._windows.get(header.gateway)
        if window is None:
            if len(self._windows) >= MAX_GATEWAYS:
                raise PeerError("more than %d gateways" % MAX_GATEWAYS)
            window = ReplayWindow()
        window.check(header.run, header.counter)
        data = open_sealed(self._ccm, header, sealed)
        window.accept(header.run, header.counter)
        self._windows[header.gateway] = window
        return data
