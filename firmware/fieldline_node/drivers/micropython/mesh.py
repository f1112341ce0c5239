"""Bluetooth mesh on a MicroPython port: /mesh.json says whether the board is a node of a mesh or a bridge to one.

    {"address": "0100", "device_key": "...", "net_key": "...", "app_key": "...", "iv_index": 0, "gateway": "0001"}
    {"role": "bridge"}

The first is what `fieldline mesh add` prints; "relay": true in it makes the node a relay until the gateway says
otherwise. With the file's keys it joins; afterwards the journal has them, and what the gateway made of them.

Rules: imported only where the file is there; each role imports its own code.
"""

import json

from fieldline_node.drivers.micropython.ble import Bearer
from fieldline_node.errors import IdentityError
from fieldline_node.links.serial import SerialLink
from fieldline_wire.serial import BRIDGE_KINDS

PATH = "/mesh.json"
_LINK = "fieldline_node.links.mesh"  # in the builds of boards that have room for it


class Mesh:
    """What the file says. IdentityError where it says nothing that can be. is_bridge: the board is no node."""

    __slots__ = ("_said", "is_bridge")

    def __init__(self) -> None:
        try:
            with open(PATH) as file:
                self._said = json.load(file)
            role = self._said.get("role", "node")
        except (OSError, ValueError, AttributeError) as error:
            raise IdentityError("%s: %r" % (PATH, error)) from None
        if role not in ("node", "bridge"):
            raise IdentityError("%s: the role %r is neither node nor bridge" % (PATH, role))
        self.is_bridge = role == "bridge"

    def link(self, journal, hardware):
        """The node's link. IdentityError where the file cannot be used, or the radio does not start."""
        from fieldline_node.drivers.micropython.cipher import Aes

        try:
            make = __import__(_LINK, None, None, ("make_mesh_link",)).make_mesh_link
        except ImportError:
            raise IdentityError("%s: this build has the bridge alone (docs/mesh.md 12)" % PATH) from None
        except MemoryError:
            raise IdentityError("%s: too little memory for a mesh (docs/mesh.md 12)" % PATH) from None
        try:
            return make(self._said, _bearer(), journal, Aes, hardware.random, hardware.now_ms)
        except IdentityError as error:
            raise IdentityError("%s: %s" % (PATH, error)) from None

    def bridge(self, hardware, console, name: str):
        """(the bridge, its serial line) in place of app and cable. IdentityError where the radio does not start."""
        from fieldline_node.bridge import Bridge

        line = SerialLink(console, BRIDGE_KINDS)
        return Bridge(hardware, _bearer(), line, name), line


def _bearer() -> Bearer:
    try:
        return Bearer()
    except OSError as error:
        raise IdentityError("Bluetooth does not start: %r" % error) from None
