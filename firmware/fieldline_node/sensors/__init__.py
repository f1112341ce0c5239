"""What a node measures, a file each; a board's TOML names the file as the sensor's kind.

Rules: a module here with a make(number, place, hardware) is a kind of sensor. `place` is the pin of the board's
TOML, or for what needs more a tuple that the module describes; make() asks no chip. It gives a sensor:
    number, QUANTITY    as on the wire (wire.md 5.8); limits and alerts are of this quantity
    KEYS                settings of its own besides those that all have (wire.md 5.11)
    configure(settings) takes its settings, at start and whenever they change
    sample(now)         the value in the quantity's unit; None where there is none yet. OSError where the
                        sensor is silent. It never waits for a chip
    wait_ms             after None: how long the measurement takes yet, 0 where that is not known
    stalled, saturated  of the last sample: it stands still, which may end before there is a value again; it is out
                        of the sensor's range
    others              (quantity, value, saturated) of what else was measured with it
"""


def make_sensor(kind: str, number: int, place, hardware):
    """The sensor of the board's TOML. ImportError where its kind has no file here."""
    return __import__("fieldline_node.sensors." + kind, None, None, ("make",)).make(number, place, hardware)
