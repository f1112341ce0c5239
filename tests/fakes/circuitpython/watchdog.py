"""watchdog as the RP2 port has it (ports/raspberrypi/common-hal/watchdog/WatchDogTimer.c)."""

from cp_world import Holder


class WatchDogTimeout(Exception):
    """Raised in mode RAISE, which RP2 does not have."""


class WatchDogMode:
    """The modes."""

    RAISE = "RAISE"
    RESET = "RESET"


class WatchDogTimer:
    """The sole instance is microcontroller.watchdog."""

    def __init__(self):
        raise TypeError("no constructor")

    def feed(self):
        Holder.world.fed_us = Holder.world.us

    @property
    def timeout(self):
        return Holder.world.wdt_timeout

    @timeout.setter
    def timeout(self, seconds):
        if not 0 <= seconds <= 8:
            raise ValueError("timeout must be 0-8")
        Holder.world.wdt_timeout = seconds
        self.feed()

    @property
    def mode(self):
        return Holder.world.wdt_mode

    @mode.setter
    def mode(self, mode):
        if mode == WatchDogMode.RAISE:
            raise NotImplementedError
        if mode == WatchDogMode.RESET and not Holder.world.wdt_timeout:
            raise ValueError("timeout must be greater than 0")
        Holder.world.wdt_mode = mode
        self.feed()


_timer = object.__new__(WatchDogTimer)
