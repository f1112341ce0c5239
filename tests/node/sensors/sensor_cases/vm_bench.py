"""The bench on the MicroPython VM: the node's own drivers on the emulated buses."""

import json

import _hw
from sensor_cases.bench import Bench

from fieldline_node.drivers.micropython.hardware import Hardware

_STRIDE = 11


def act(action, *arguments):
    return json.loads(_hw.rig(json.dumps({"rig": action, "with": list(arguments)})))


def bench():
    return Bench(act, Hardware("rp2"), _STRIDE)
