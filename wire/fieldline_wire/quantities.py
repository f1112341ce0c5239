"""What the numbers of a reading mean (wire.md 5.8). For hosts: a node never needs it.

Rules: name and unit are what people and brokers see, so neither is changed later.
"""

from fieldline_wire import codes

# code: (name, numerator, denominator, unit): value x numerator / denominator is in unit
QUANTITIES = {
    codes.QTY_SPEED: ("speed", 1, 10, "rpm"),
    codes.QTY_TEMPERATURE: ("temperature", 1, 100, "°C"),
    codes.QTY_VOLTAGE: ("voltage", 1, 1000, "V"),
    codes.QTY_CURRENT: ("current", 1, 10000, "A"),
    codes.QTY_POWER: ("power", 1, 1000, "W"),
    codes.QTY_HUMIDITY: ("humidity", 1, 100, "%"),
    codes.QTY_PRESSURE: ("pressure", 1, 1, "Pa"),
    codes.QTY_ACCELERATION: ("acceleration", 1, 1000, "m/s²"),
    codes.QTY_FREQUENCY: ("frequency", 1, 1000, "Hz"),
    codes.QTY_COUNT: ("count", 1, 1, ""),
    codes.QTY_LEVEL: ("level", 1, 1, ""),
}


def measured(quantity: int, value: int) -> tuple[str, float, str]:
    """(name, value in its unit, unit) of a reading's number; what is not known keeps its number."""
    name, numerator, denominator, unit = QUANTITIES.get(quantity, (f"quantity {quantity}", 1, 1, ""))
    return name, value * numerator if denominator == 1 else value * numerator / denominator, unit
