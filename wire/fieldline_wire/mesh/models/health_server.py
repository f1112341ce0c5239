"""The Health Server (Mesh Profile 1.0.1, 4.4.3): faults now and since the last clearing, and the attention timer.

Rules: faults are numbers of 4.2.15.1, or the vendor's from 0x80 on; at most MAX_FAULTS at a time are told.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.mesh.access import Model, opcode
from fieldline_wire.mesh.models.config_keys import size
from fieldline_wire.mesh.models.opcodes import (
    ATTENTION_GET,
    ATTENTION_SET,
    ATTENTION_SET_QUIET,
    ATTENTION_STATUS,
    FAULT_CLEAR,
    FAULT_CLEAR_QUIET,
    FAULT_GET,
    FAULT_TEST,
    FAULT_TEST_QUIET,
    HEALTH_CURRENT,
    HEALTH_FAULT_STATUS,
    HEALTH_PERIOD_GET,
    HEALTH_PERIOD_SET,
    HEALTH_PERIOD_SET_QUIET,
    HEALTH_PERIOD_STATUS,
    HEALTH_SERVER,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.transport import Access

MAX_FAULTS = const(8)  # a Current Status stays within one segmented message of two
FAULT_BATTERY_LOW = const(0x01)
FAULT_NO_LOAD = const(0x0F)
FAULT_MEMORY = const(0x13)
FAULT_MECHANISM_JAMMED = const(0x17)  # a fan that stalls
FAULT_SENSOR = const(0x80)  # vendor's: a sensor does not answer


class HealthServer(Model):
    """`company` speaks of the vendor's faults; `attention_until` in ms, 0 when nobody asked."""

    model_id = HEALTH_SERVER
    OPCODES = (
        FAULT_CLEAR,
        FAULT_CLEAR_QUIET,
        FAULT_GET,
        FAULT_TEST,
        FAULT_TEST_QUIET,
        HEALTH_PERIOD_GET,
        HEALTH_PERIOD_SET,
        HEALTH_PERIOD_SET_QUIET,
        ATTENTION_GET,
        ATTENTION_SET,
        ATTENTION_SET_QUIET,
    )

    def __init__(self, faults_company: int) -> None:
        super().__init__()
        self.faults_company = faults_company
        self.current: list[int] = []
        self.registered: list[int] = []
        self.fast_period = 0
        self.attention_until = 0
        self._test = 0

    def set(self, fault: int, on: bool) -> bool:
        """Raises or clears a current fault; whether that changed anything."""
        if on == (fault in self.current):
            return False
        if not on:
            self.current.remove(fault)
            return True
        if len(self.current) >= MAX_FAULTS:
            return False
        self.current.append(fault)
        if fault not in self.registered:
            self.registered = self.registered[-(MAX_FAULTS - 1) :] + [fault]
        return True

    def published(self, now: int) -> "bytes | None":
        """Health Current Status."""
        head = struct.pack("<BH", self._test, self.faults_company)
        return opcode(HEALTH_CURRENT) + head + bytes(self.current)

    def receive(self, now: int, message: "Access", code: int, data: bytes) -> "bytes | None":
        """Handles one message."""
        if code in (ATTENTION_GET, ATTENTION_SET, ATTENTION_SET_QUIET):
            return self._attention(now, code, data)
        if code in (HEALTH_PERIOD_GET, HEALTH_PERIOD_SET, HEALTH_PERIOD_SET_QUIET):
            return self._period(code, data)
        test = -1
        if code in (FAULT_TEST, FAULT_TEST_QUIET):
            test, data = size(data, 3)[0], data[1:]
        if struct.unpack("<H", size(data, 2))[0] != self.faults_company:
            return None
        if test >= 0:
            self._test = test
        elif code in (FAULT_CLEAR, FAULT_CLEAR_QUIET):
            self.registered = list(self.current)
        if code in (FAULT_CLEAR_QUIET, FAULT_TEST_QUIET):
            return None
        head = struct.pack("<BH", self._test, self.faults_company)
        return opcode(HEALTH_FAULT_STATUS) + head + bytes(self.registered)

    def _attention(self, now: int, code: int, data: bytes) -> "bytes | None":
        if code != ATTENTION_GET:
            self.attention_until = now + 1000 * size(data, 1)[0]
            if code == ATTENTION_SET_QUIET:
                return None
        left = max(0, self.attention_until - now + 999) // 1000
        return opcode(ATTENTION_STATUS) + bytes((left,))

    def _period(self, code: int, data: bytes) -> "bytes | None":
        if code != HEALTH_PERIOD_GET:
            self.fast_period = size(data, 1)[0] & 0x0F
            if code == HEALTH_PERIOD_SET_QUIET:
                return None
        return opcode(HEALTH_PERIOD_STATUS) + bytes((self.fast_period,))
