"""supervisor: time and why the chip is in safe mode."""

from cp_world import Holder


def ticks_ms():
    return Holder.world.ticks_ms()


class SafeModeReason:
    """Some of the reasons."""

    NONE = "NONE"
    BROWNOUT = "BROWNOUT"
    FLASH_WRITE_FAIL = "FLASH_WRITE_FAIL"
    HARD_FAULT = "HARD_FAULT"
    PROGRAMMATIC = "PROGRAMMATIC"
    WATCHDOG = "WATCHDOG"


class Runtime:
    """The sole instance is runtime."""

    @property
    def safe_mode_reason(self):
        return Holder.world.safe_mode_reason

    @property
    def ble_workflow(self):
        return Holder.world.ble.workflow

    @ble_workflow.setter
    def ble_workflow(self, on):
        if Holder.world.ble.port is None:
            raise NotImplementedError
        Holder.world.ble.workflow = bool(on)


runtime = Runtime()
