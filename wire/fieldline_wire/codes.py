"""The code numbers of the wire format: the tables of wire.md in one place.

Rules: numbers and nothing else; a number is never changed or used again. A receiver skips a number
that is not here (wire.md 1.3).
"""


def const(value: int) -> int:
    """`value` itself. MicroPython's compiler knows the name and folds the constant into the code."""
    return value


# Classes of readings: wire.md 5.4
ALARM = const(0)
LIVE = const(1)
BULK = const(2)
CLASSES = const(3)

# Reset causes: wire.md 5.6
RESET_UNKNOWN = const(0)
RESET_POWER_ON = const(1)
RESET_HARD = const(2)
RESET_WATCHDOG = const(3)
RESET_DEEP_SLEEP = const(4)
RESET_SOFT = const(5)
RESET_BROWN_OUT = const(6)
RESET_FAULT = const(7)

# Slots: wire.md 5.6
SLOT_A = const(0)
SLOT_B = const(1)
SLOT_NONE = const(0xFF)

# Flags of a Hello: wire.md 5.6
HELLO_CLOCK_SET = const(0x01)
HELLO_DEVELOPMENT = const(0x02)
HELLO_WANTS_TIME = const(0x04)
HELLO_NO_UPDATES = const(0x08)

# States of a sensor in a Hello: wire.md 5.6
SENSOR_WELL = const(0)
SENSOR_SILENT = const(1)
SENSOR_OUT_OF_RANGE = const(2)

# Flags of a reading: wire.md 5.7. Bits 4 to 7 are the alert's cause.
READING_SATURATED = const(0x01)
READING_RAISED = const(0x02)
READING_CLEARED = const(0x04)
CAUSE_SHIFT = const(4)
CAUSE_STALL = const(1)
CAUSE_OVER = const(2)
CAUSE_UNDER = const(3)
CAUSE_RATE = const(4)
CAUSE_SILENT = const(5)

# Quantities: wire.md 5.8
QTY_SPEED = const(1)
QTY_TEMPERATURE = const(2)
QTY_VOLTAGE = const(3)
QTY_CURRENT = const(4)
QTY_POWER = const(5)
QTY_HUMIDITY = const(6)
QTY_PRESSURE = const(7)
QTY_ACCELERATION = const(8)
QTY_FREQUENCY = const(9)
QTY_COUNT = const(10)
QTY_LEVEL = const(11)

# Reasons of a gap: wire.md 5.9
GAP_DROPPED = const(1)
GAP_UNREADABLE = const(2)
GAP_ERASED = const(3)
GAP_EVICTED = const(4)
GAP_STREAM_ENDED = const(5)

# Status of an Ack: wire.md 5.10
ACK_GO_ON = const(0)
ACK_HOLD = const(1)
ACK_UNKNOWN_STREAM = const(2)

# Settings and why one is refused: wire.md 5.11
SENSOR_NODE = const(0xFF)
KEY_SAMPLE_MS = const(1)
KEY_REPORT_MS = const(2)
KEY_HEALTH_S = const(3)
KEY_PULSES = const(10)
KEY_REJECT_US = const(11)
KEY_STALL_MS = const(12)
KEY_OVER = const(20)
KEY_UNDER = const(21)
KEY_HYSTERESIS = const(22)
KEY_ALERT_STALL = const(23)
KEY_REFLEX = const(24)
SETTING_OFF = -0x80000000
REFUSED_UNKNOWN_KEY = const(1)
REFUSED_RANGE = const(2)
REFUSED_SENSOR = const(3)
REFUSED_READ_ONLY = const(4)

# Commands and their results: wire.md 5.12, 5.13
CMD_PING = const(1)
CMD_RESTART = const(2)
CMD_IDENTIFY = const(3)
CMD_OUTPUT = const(4)
CMD_HELLO = const(5)
CMD_ERASE = const(6)
RESULT_DONE = const(0)
RESULT_TAKEN = const(1)
RESULT_UNKNOWN_CODE = const(2)
RESULT_BAD_ARGUMENT = const(3)
RESULT_EXPIRED = const(4)
RESULT_FAILED = const(5)

# Levels of a log line: wire.md 5.14
LOG_DEBUG = const(10)
LOG_INFO = const(20)
LOG_WARNING = const(30)
LOG_ERROR = const(40)
