"""What a node measures, a file each; a board's TOML names the file as the sensor's kind.

Rules: a module here has make(number, pin, hardware), which gives a sensor:
    number, QUANTITY    as on the wire (wire.md 5.8)
    KEYS                settings of its own besides those that all have (wire.md 5.11)
    configure(settings) takes its settings, at start and whenever they change
    sample(now)         the value in the quantity's unit; None where there is none yet. OSError where the
                        sensor is silent
    stalled, saturated  of the last sample: it stands still; it is out of the sensor's range
"""


def make_sensor(kind: str, number: int, pin, hardware):
    """The sensor of the board's TOML. ImportError where its kind has no file here."""
    return __import__("fieldline_node.sensors." + kind, None, None, ("make",)).make(number, pin, hardware)
