"""microcontroller: of the world of cp_world."""

import watchdog as _watchdog
from cp_world import Holder, Reset


class Pin:
    """A pin; `name` and `number` are the fake's own."""

    def __init__(self):
        raise TypeError("no constructor")

    def __hash__(self):
        return hash(self.name)


def _pin(name, number):
    pin = object.__new__(Pin)
    pin.name = name
    pin.number = number
    return pin


class ResetReason:
    """The reasons."""

    POWER_ON = "POWER_ON"
    BROWNOUT = "BROWNOUT"
    SOFTWARE = "SOFTWARE"
    DEEP_SLEEP_ALARM = "DEEP_SLEEP_ALARM"
    RESET_PIN = "RESET_PIN"
    WATCHDOG = "WATCHDOG"
    UNKNOWN = "UNKNOWN"
    RESCUE_DEBUG = "RESCUE_DEBUG"


class RunMode:
    """The modes."""

    NORMAL = "NORMAL"
    SAFE_MODE = "SAFE_MODE"
    UF2 = "UF2"
    BOOTLOADER = "BOOTLOADER"


class Processor:
    """The sole instance is cpu."""

    @property
    def reset_reason(self):
        return getattr(ResetReason, Holder.world.why)

    @property
    def temperature(self):
        celsius = Holder.world.celsius
        return celsius() if callable(celsius) else celsius

    @property
    def uid(self):
        return bytearray(b"\x01\x02\x03\x04\x05\x06\x07\x08")


class _Nvm:
    """The nvm of the running world."""

    def __len__(self):
        return len(Holder.world.nvm)

    def __bool__(self):
        return True

    def __getitem__(self, index):
        return Holder.world.nvm[index]

    def __setitem__(self, index, value):
        Holder.world.nvm[index] = value


def delay_us(delay):
    Holder.world.us += delay  # not advance(): no other code runs meanwhile


def on_next_reset(run_mode):
    Holder.world.run_mode = run_mode


def reset():
    Holder.world.volume.sync()  # common_hal_mcu_reset: filesystem_flush()
    raise Reset("SOFTWARE")


cpu = Processor()
nvm = _Nvm()
watchdog = _watchdog._timer
