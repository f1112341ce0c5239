"""The Configuration Servers of a Friend and of a Low Power node (Mesh Profile 1.0.1, 4.2.13, 4.2.16).

Rules: all but Friend, Low Power Node PollTimeout and Relay is ConfigurationServer's.
"""

import struct

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import opcode
from fieldline_wire.mesh.models.config_keys import size
from fieldline_wire.mesh.models.config_server import NOT_SUPPORTED, ConfigurationServer
from fieldline_wire.mesh.models.opcodes import (
    FRIEND_GET,
    FRIEND_SET,
    FRIEND_STATUS,
    POLL_TIMEOUT_GET,
    POLL_TIMEOUT_STATUS,
    RELAY_GET,
    RELAY_SET,
    RELAY_STATUS,
)
from fieldline_wire.mesh.network import is_unicast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.friend_node import FriendNode
    from fieldline_wire.mesh.transport import Access


class FriendConfigurationServer(ConfigurationServer):
    """Of a FriendNode."""

    node: "FriendNode | None"

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        node = self.node
        assert node is not None
        if code in (FRIEND_GET, FRIEND_SET):
            if size(data, 1 if code == FRIEND_SET else 0) and data[0] > 1:
                raise PeerError("a friend state of %d" % data[0])
            if data:
                node.set_friend(bool(data[0]))
            return opcode(FRIEND_STATUS) + bytes((node.is_friend,))
        if code == POLL_TIMEOUT_GET:
            lpn = struct.unpack("<H", size(data, 2))[0]
            if not is_unicast(lpn):
                raise PeerError("0x%04x is no low-power node" % lpn)
            left = node.friend.poll_timeout(now, lpn)
            return opcode(POLL_TIMEOUT_STATUS) + data + left.to_bytes(3, "little")
        return super().receive(now, message, code, data)


class LowPowerConfigurationServer(ConfigurationServer):
    """Of a LowPowerNode: it relays nothing, whatever it is told."""

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        if code in (RELAY_GET, RELAY_SET):
            return opcode(RELAY_STATUS) + bytes((NOT_SUPPORTED, 0))
        return super().receive(now, message, code, data)
