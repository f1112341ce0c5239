"""Wi-Fi on a MicroPython port: /wifi.json says which network and where the gateway is; links/mqtt.py does the rest.

    {"ssid": "site", "key": "...", "host": "192.0.2.7", "port": 1883, "user": "node", "password": "..."}

"port" may be left out (1883), and so may "user" and "password" where the listener asks for none. What goes over it is
sealed under the node's own key (docs/wire.md 3), so the network needs to be trusted with nothing but the password.

Rules: nothing here waits for the network: it is asked to connect, and looked at.
"""

import json
import socket

import network

from fieldline_node.errors import IdentityError
from fieldline_node.links.mqtt import MqttLink, make_client
from fieldline_wire.codes import const

PATH = "/wifi.json"
_AGAIN_MS = const(15000)  # to find the network and have an address takes 2 to 8 s


class Wifi:
    """The station; is_up(now) also asks it to connect again where it does not by itself."""

    __slots__ = ("_asked_at", "_key", "_ssid", "_wlan")

    def __init__(self, ssid: str, key: str) -> None:
        self._ssid = ssid
        self._key = key
        self._asked_at = None
        self._wlan = network.WLAN(network.STA_IF)
        self._wlan.active(True)

    def is_up(self, now: int) -> bool:
        """Whether there is an address."""
        if self._wlan.isconnected():
            return True
        if self._asked_at is None or now - self._asked_at >= _AGAIN_MS:
            self._asked_at = now
            try:
                self._wlan.connect(self._ssid, self._key)
            except OSError:
                pass  # it is still at the last one
        return False


def make_link(node: bytes) -> MqttLink:
    """The link that /wifi.json describes. IdentityError where that cannot be."""
    try:
        import umqtt.simple as umqtt  # pyright: ignore[reportMissingImports] - put there by mip
    except ImportError:
        raise IdentityError("umqtt.simple is not on this board: mpremote mip install umqtt.simple") from None
    try:
        with open(PATH) as file:
            said = json.load(file)
        client = make_client(
            umqtt, socket, node, said["host"], said.get("port", 1883), said.get("user"), said.get("password")
        )
        return MqttLink(client, node, Wifi(said["ssid"], said["key"]), umqtt.MQTTException)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise IdentityError("%s: %r" % (PATH, error)) from None
