"""usb_cdc: the data port's other end is the world's `serial`. console and data follow boot.py."""

from cp_world import Holder

TX_FIFO = 256  # ports/raspberrypi/Makefile


class Serial:
    """A port. A call that would wait for ever is a failure of the test."""

    def __init__(self):
        raise TypeError("no constructor")

    @property
    def connected(self):
        return Holder.world.serial.open

    @property
    def in_waiting(self):
        return sum([len(each) for each in Holder.world.serial.down])

    def readinto(self, buf):
        assert self.timeout == 0 or self.in_waiting >= len(buf), "readinto waits"
        serial = Holder.world.serial
        waiting = b"".join([bytes(each) for each in serial.down])
        count = min(len(buf), len(waiting))
        buf[:count] = waiting[:count]
        serial.down = [waiting[count:]] if count < len(waiting) else []
        return count

    def write(self, buf):
        serial = Holder.world.serial
        taken = len(buf) if serial.room is None else min(len(buf), serial.room)
        if taken < len(buf):
            assert self.write_timeout is not None, "write waits for ever"
            Holder.world.advance(int(self.write_timeout * 1000000))
        if serial.room is not None:
            serial.room -= taken
        serial.up.append(bytes(buf)[:taken])
        return taken


def _port():
    port = object.__new__(Serial)
    port.timeout = None
    port.write_timeout = None
    return port


console = None
data = None


def enable(*, console=True, data=False):
    world = Holder.world
    if world.usb_up:
        raise RuntimeError("Cannot change USB devices now")
    world.console = console
    world.has_usb_data = data


def disable():
    enable(console=False, data=False)


def _connect():
    """USB comes up after boot.py: the ports are there, or are None.

    As supervisor/shared/usb/usb_desc.c counts: one endpoint of its own, two a port, one for the drive.
    """
    world = Holder.world
    world.usb_up = True
    wanted = 1 + 2 * world.console + 2 * world.has_usb_data + world.drive
    assert wanted <= world.usb_in, "USB_TOO_MANY_ENDPOINTS: it would start in safe mode"
    globals()["console"] = _port() if Holder.world.console else None
    globals()["data"] = _port() if Holder.world.has_usb_data else None
