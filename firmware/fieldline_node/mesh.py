"""Bluetooth mesh on a board: /mesh.json says what the board is in it.

    {"address": "0100", "device_key": "...", "net_key": "...", "app_key": "...", "iv_index": 0, "gateway": "0001"}
    {"role": "device", "static_oob": "..."}
    {"role": "bridge"}

The first is what `fieldline mesh add` prints; "relay": true in it makes the node a relay until the gateway says
otherwise, "friend": true one that can be a Friend, "low_power": true a Low Power node. With the file's keys it joins;
afterwards the journal has them, and what the gateway made of them. The second waits to be taken in on air, by who
knows its 16 bytes of static OOB where it has them; then as the first.

Rules: imported only where the file is there; each role imports its own code.
"""

import json

from fieldline_node.errors import IdentityError
from fieldline_node.links.serial import SerialLink
from fieldline_wire.serial import BRIDGE_KINDS

PATH = "/mesh.json"


class Mesh:
    """What the file says. IdentityError where it says nothing that can be. is_bridge: the board is no node.

    `port`: drivers/<port>/ has the radio and the cipher.
    """

    __slots__ = ("_port", "_role", "_said", "is_bridge")

    def __init__(self, port: str) -> None:
        self._port = port
        try:
            with open(PATH) as file:
                self._said = json.loads(file.read())
            role = self._said.get("role", "node")
        except (OSError, ValueError, AttributeError) as error:
            raise IdentityError("%s: %r" % (PATH, error)) from None
        if role not in ("node", "bridge", "device"):
            raise IdentityError("%s: the role %r is none of node, device, bridge" % (PATH, role))
        self._role = role
        self.is_bridge = role == "bridge"

    def joining(self, journal, hardware, node_id: bytes):
        """The wait of a board that no mesh has taken in yet, None for others. IdentityError as link()."""
        if self._role != "device":
            return None
        if _find("given", "is_member")(journal):
            return None
        return self._make("joining", "make_joining", journal, hardware, node_id)

    def link(self, journal, hardware):
        """The node's link. IdentityError where the file cannot be used, or the radio does not start."""
        if self._role == "node":
            for role in ("low_power", "friend"):
                if self._said.get(role):
                    return self._make("links." + role, "make_%s_link" % role, journal, hardware)
            return self._make("links.mesh", "make_mesh_link", journal, hardware)
        return self._make("links.provisioned", "make_provisioned_link", journal, hardware)

    def _make(self, module: str, name: str, journal, hardware, *more):
        make, aes = _find(module, name), self._find("cipher", "Aes")
        try:
            return make(self._said, *more, self._bearer(), journal, aes, hardware.random, hardware.now_ms)
        except IdentityError as error:
            raise IdentityError("%s: %s" % (PATH, error)) from None

    def bridge(self, hardware, console, name: str):
        """(the bridge, its serial line) in place of app and cable. IdentityError where the radio does not start."""
        from fieldline_node.bridge import Bridge

        line = SerialLink(console, BRIDGE_KINDS)
        return Bridge(hardware, self._bearer(), line, name), line

    def _find(self, module: str, name: str):
        return _find("drivers.%s.%s" % (self._port, module), name)

    def _bearer(self):
        try:
            return self._find("ble", "Bearer")()
        except OSError as error:
            raise IdentityError("Bluetooth does not start: %r" % error) from None


def _find(module: str, name: str):
    """What `name` is in a module of the node that not all builds have."""
    try:
        return getattr(__import__("fieldline_node." + module, None, None, (name,)), name)
    except ImportError:
        raise IdentityError(
            "%s needs %s, which this build has not: docs/mesh.md 12, 15" % (PATH, module)
        ) from None
    except MemoryError:
        raise IdentityError("%s: too little memory for a mesh (docs/mesh.md 12)" % PATH) from None
