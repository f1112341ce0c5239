"""usb_midi: as much as boot.py uses."""

from cp_world import Holder


def disable():
    if Holder.world.usb_up:
        raise RuntimeError("Cannot change USB devices now")
