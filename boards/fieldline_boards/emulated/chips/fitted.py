"""The emulated chips that a board's TOML asks for.

Rules: a chip is called as its sensor is. What chips measure is set on them, `rig.chips["inlet"].celsius = 31`;
what inputs of the converter see is set in `rig.analog`.
"""

from __future__ import annotations

import time

from fieldline_boards.emulated.chips.rig import Rig
from fieldline_boards.spec import BoardSpec, SensorSpec

_I2C_KINDS = ("bme280", "ina219", "lis3dh")


def rig_for(spec: BoardSpec) -> Rig:
    """All chips of a board's sensors, wired as its TOML says; their time is the host's."""
    rig = Rig(lambda: time.monotonic_ns() // 1000)
    for sensor in spec.sensors:
        fit(rig, sensor)
    return rig


def fit(rig: Rig, sensor: SensorSpec) -> None:
    """Add the sensor's chip, where its kind has one."""
    place = sensor.place
    if not isinstance(place, tuple):
        return
    if sensor.kind == "ds18b20":
        pin, rom, _ = place
        assert isinstance(pin, int)
        serial = rom[1:7].hex() if isinstance(rom, bytes) else "000000000000"
        rig.add(sensor.name, sensor.kind, pin, serial=serial)
    elif sensor.kind in _I2C_KINDS:
        bus, address, *rest = place
        assert isinstance(bus, tuple)
        number, scl, sda, hz = bus
        assert (
            isinstance(number, int) and isinstance(scl, int) and isinstance(sda, int) and isinstance(hz, int)
        )
        if number not in rig.i2c:
            rig.add_i2c(number, scl=scl, sda=sda, hz=hz)
        more = {"ohms": int(str(rest[0])) / 1e6} if sensor.kind == "ina219" else {}
        rig.add(sensor.name, sensor.kind, number, address=address, **more)
