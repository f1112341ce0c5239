"""BTHome adverts on a MicroPython port: /bthome.json says how often.

    {"interval_ms": 10000}

Rules: imported only where the file is there. On a mesh its adverts take their turn at the mesh's radio.
"""

import json

from fieldline_node.bthome import Beacon
from fieldline_node.drivers.micropython.ble import Bearer
from fieldline_node.errors import IdentityError
from fieldline_wire.codes import const

PATH = "/bthome.json"
_SHORTEST_MS = const(1000)  # three events: more often would crowd a mesh


def make_beacon(link) -> Beacon:
    """What says the readings. IdentityError where the file cannot be used, or the radio does not start."""
    try:
        with open(PATH) as file:
            interval = int(json.load(file)["interval_ms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IdentityError("%s: %r" % (PATH, error)) from None
    if interval < _SHORTEST_MS:
        raise IdentityError("%s: interval_ms is %d, the least is %d" % (PATH, interval, _SHORTEST_MS))
    try:
        return Beacon(getattr(link, "bearer", None) or Bearer(False), interval)
    except OSError as error:
        raise IdentityError("%s: Bluetooth does not start: %r" % (PATH, error)) from None
