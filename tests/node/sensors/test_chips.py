"""The emulated chips against their datasheets, by bytes on the bus and without our drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.catalog import read
from fieldline_boards.emulated.chips import Rig
from fieldline_boards.emulated.chips.bme280 import EXAMPLE
from fieldline_boards.emulated.chips.ds18b20 import Ds18b20
from fieldline_boards.emulated.chips.fitted import rig_for
from fieldline_boards.emulated.chips.i2c import I2cFault
from fieldline_boards.emulated.chips.one_wire import OneWireBus, crc8
from fieldline_boards.errors import BoardError


class Wired:
    """A chip on a bus, and register accesses."""

    def __init__(self, kind: str, address: int, **options: Any) -> None:
        self.rig = Rig()
        self.bus = self.rig.add_i2c(0, scl=9, sda=8)
        self.chip: Any = self.rig.add("chip", kind, 0, address=address, **options)
        self.address = address
        self.rig.advance(10)

    def read(self, register: int, count: int) -> bytes:
        return self.bus.transfer(self.address, bytes((register,)), count)

    def write(self, *data: int) -> None:
        self.bus.transfer(self.address, bytes(data), 0)


# ---- I2C


def test_an_address_that_nobody_has_is_not_acknowledged() -> None:
    wired = Wired("ina219", 0x40)
    for out, count in ((b"\x00", 0), (b"\x00", 2), (b"", 2), (b"", 0)):
        with pytest.raises(I2cFault, match="nack"):
            wired.bus.transfer(0x41, out, count)
    wired.chip.unplug()
    with pytest.raises(I2cFault, match="nack"):
        wired.read(0, 2)


def test_bytes_take_their_time() -> None:
    wired = Wired("ina219", 0x40)
    before = wired.rig.clock.us
    wired.read(0, 2)  # address, register, address again, two bytes
    assert wired.rig.clock.us - before == 5 * 23


def test_a_bus_hangs_until_nine_clock_pulses_came() -> None:
    wired = Wired("ina219", 0x40)
    wired.bus.hang()
    for _ in range(8):
        wired.bus.set_scl(0)
        wired.bus.set_scl(1)
    with pytest.raises(I2cFault, match="timeout"):
        wired.read(0, 2)
    wired.bus.set_scl(0)
    wired.bus.set_scl(1)
    assert wired.read(0, 2) == b"\x39\x9f"


def test_a_chip_can_go_in_the_middle_of_a_transfer() -> None:
    wired = Wired("lis3dh", 0x18)
    wired.bus.after(4, wired.chip.unplug)
    assert wired.read(0x8F, 3)[1:] == b"\xff\xff"


# ---- INA219


def test_ina219_after_power_on_and_reset() -> None:
    wired = Wired("ina219", 0x40, amps=1.0, volts=10.0)
    assert wired.read(0, 2) == b"\x39\x9f"
    assert wired.read(4, 2) == wired.read(5, 2) == b"\0\0", "no current without calibration"
    wired.write(5, 0x10, 0x01)
    assert wired.read(5, 2) == b"\x10\x00", "bit 0 is void"
    wired.write(0, 0x80, 0x00)
    assert wired.read(0, 2) == b"\x39\x9f" and wired.read(5, 2) == b"\0\0"


def test_ina219_the_datasheets_example() -> None:
    """SBOS448G 9.2.2, table 8."""
    wired = Wired("ina219", 0x40, ohms=0.002, amps=10.0, volts=11.98)
    wired.write(5, 0x50, 0x00)
    wired.write(0, 0x01, 0x9F)
    wired.rig.advance(2)
    assert wired.read(1, 2) == b"\x07\xd0"
    bus = int.from_bytes(wired.read(2, 2), "big")
    assert bus & 0xFFF8 == 0x5D98
    assert wired.read(4, 2) == b"\x27\x10"
    assert wired.read(3, 2) == b"\x17\x66"


def test_ina219_the_pointer_stays_and_registers_are_read_again() -> None:
    wired = Wired("ina219", 0x40)
    wired.read(0, 2)
    assert wired.bus.transfer(0x40, b"", 4) == b"\x39\x9f\x39\x9f"


def test_ina219_a_triggered_conversion_takes_its_time_and_says_when_it_is_done() -> None:
    wired = Wired("ina219", 0x40, amps=1.0, volts=10.0)
    wired.write(0, 0x3F, 0xFB & 0xF8 | 3)
    wired.write(0, 0x26, 0x63)  # 16 samples each, triggered
    assert not wired.read(2, 2)[1] & 2
    wired.chip.amps = 2.0
    wired.rig.advance(16)
    assert not wired.read(2, 2)[1] & 2
    wired.rig.advance(2)
    assert wired.read(2, 2)[1] & 2
    assert int.from_bytes(wired.read(1, 2), "big") == 4000, "clipped: the gain is 1, 40 mV"
    wired.read(3, 2)
    assert not wired.read(2, 2)[1] & 2, "reading the power register clears it"
    wired.chip.amps = 0.1
    wired.rig.advance(1000)
    assert int.from_bytes(wired.read(1, 2), "big") == 4000, "nothing is converted without a trigger"


# ---- BME280


def test_bme280_starts_up_and_sleeps() -> None:
    wired = Wired("bme280", 0x76)
    assert wired.read(0xD0, 1) == b"\x60"
    assert wired.read(0xF2, 4) == bytes(4)
    assert wired.read(0xF7, 8) == b"\x80\0\0\x80\0\0\x80\0", "reset values of the data (5.4.7)"
    wired.write(0xE0, 0xB6)
    with pytest.raises(I2cFault, match="nack"):
        wired.read(0xD0, 1)
    wired.rig.advance(2)
    assert wired.read(0xD0, 1) == b"\x60"


def test_bme280_a_forced_measurement() -> None:
    wired = Wired("bme280", 0x77)
    wired.chip.raw = (519888, 415148, 30000)
    wired.write(0xF2, 0x01, 0xF4, 0x25)  # pairs of address and value
    assert wired.read(0xF3, 1) == b"\x08"
    wired.rig.advance(9.0)
    assert wired.read(0xF3, 1) == b"\x08"
    wired.rig.advance(0.4)
    assert wired.read(0xF3, 2) == b"\x00\x24", "done, and asleep again"
    data = wired.read(0xF7, 8)
    assert int.from_bytes(data[:3], "big") >> 4 == 415148
    assert int.from_bytes(data[3:6], "big") >> 4 == 519888
    assert int.from_bytes(data[6:], "big") == 30000


def test_bme280_humidity_counts_from_the_next_write_of_ctrl_meas() -> None:
    wired = Wired("bme280", 0x76)
    wired.write(0xF4, 0x25)
    wired.write(0xF2, 0x01)
    wired.rig.advance(20)
    assert wired.read(0xFD, 2) == b"\x80\x00"
    wired.write(0xF4, 0x25)
    wired.rig.advance(20)
    assert wired.read(0xFD, 2) != b"\x80\x00"


def test_bme280_the_float_formulas_on_the_datasheets_example() -> None:
    """BMP280 datasheet 3.12."""
    celsius, fine = EXAMPLE.temperature(519888)
    assert round(celsius, 2) == 25.08 and round(fine) in (128422, 128423)
    assert round(EXAMPLE.pressure(415148, fine), 2) == 100653.27


# ---- LIS3DH


def test_lis3dh_after_power_on() -> None:
    wired = Wired("lis3dh", 0x19)
    assert wired.read(0x0F, 1) == b"\x33"
    assert wired.read(0xA0, 6) == b"\x07\0\0\0\0\0"
    assert wired.read(0x20, 2) == b"\x07\x07", "without bit 7 the address stays"
    assert wired.read(0x2F, 1) == b"\x20", "the FIFO is empty"
    wired.write(0x0F, 0x00)
    assert wired.read(0x0F, 1) == b"\x33", "read only"


def test_lis3dh_one_g_and_its_fifo() -> None:
    wired = Wired("lis3dh", 0x18)
    wired.write(0xA0, 0x77, 0, 0, 0x88, 0x40)
    wired.write(0x2E, 0x40)
    wired.rig.advance(10)
    assert wired.read(0x2F, 1)[0] & 0x7F == 4
    wired.rig.advance(1000)
    assert wired.read(0x2F, 1)[0] & 0x7F == 0x5F, "full: it takes no more"
    data = wired.read(0xA8, 192)
    assert data == (b"\0\0\0\0" + (1000 << 4).to_bytes(2, "little")) * 32
    assert wired.read(0x2F, 1)[0] == 0x20
    wired.rig.advance(1000)
    assert wired.read(0x2F, 1)[0] == 0x20, "closed until it was in bypass mode"
    wired.write(0x2E, 0x00)
    wired.write(0x2E, 0x40)
    wired.rig.advance(10)
    assert wired.read(0x2F, 1)[0] & 0x7F == 4
    wired.write(0x2E, 0x00)
    assert wired.read(0x2F, 1)[0] == 0x20, "bypass empties it"


# ---- DS18B20


def one_wire(*chips: Ds18b20) -> tuple[Rig, OneWireBus]:
    rig = Rig()
    bus = rig.add_wire(14)
    for chip in chips:
        bus.attach(chip)
    return rig, bus


def scratchpad(bus: OneWireBus) -> bytes:
    assert bus.reset()
    bus.write(b"\xcc\xbe")
    return bus.read(9)


def test_ds18b20_after_power_on() -> None:
    """Figure 9: 85 degrees, TH and TL of EEPROM, FF, a byte that is reserved, 10h, CRC."""
    _, bus = one_wire(Ds18b20())
    data = scratchpad(bus)
    assert data[:2] == b"\x50\x05" and data[4:6] == b"\x7f\xff" and data[7] == 0x10
    assert crc8(data) == 0


def test_ds18b20_converts_in_its_time_and_says_when() -> None:
    rig, bus = one_wire(Ds18b20(celsius=25.0625))
    bus.reset()
    bus.write(b"\xcc\x44")
    assert bus.slot(1) == 0
    rig.advance(740)
    assert bus.slot(1) == 0
    assert scratchpad(bus)[:2] == b"\x50\x05", "not before the end"
    rig.advance(15)
    assert scratchpad(bus)[:2] == b"\x91\x01"


def test_ds18b20_eeprom() -> None:
    _, bus = one_wire(chip := Ds18b20())
    bus.reset()
    bus.write(b"\xcc\x4e\x01\x02\xff")
    assert scratchpad(bus)[2:5] == b"\x01\x02\x7f", "bit 7 of the configuration reads 0"
    chip.blink()
    assert scratchpad(bus)[2:5] == b"\x4b\x46\x7f"
    bus.reset()
    bus.write(b"\xcc\x4e\x01\x02\x1f")
    bus.reset()
    bus.write(b"\xcc\x48")
    chip.blink()
    assert scratchpad(bus)[2:5] == b"\x01\x02\x1f"


def test_one_wire_presence_and_a_line_at_ground() -> None:
    _, bus = one_wire(chip := Ds18b20())
    assert bus.reset()
    chip.unplug()
    assert not bus.reset()
    assert bus.read(2) == b"\xff\xff"
    bus.short = True
    assert bus.reset()
    assert bus.read(9) == bytes(9) and crc8(bytes(9)) == 0


def test_one_wire_two_at_once_collide_and_are_told_apart() -> None:
    one, two = Ds18b20(b"\x01\0\0\0\0\0"), Ds18b20(b"\x02\0\0\0\0\0")
    _, bus = one_wire(one, two)
    bus.reset()
    bus.write(b"\x33")
    assert bus.read(8) == bytes(a & b for a, b in zip(one.rom, two.rom, strict=True)), "zeros win"
    for chip in (one, two):
        bus.reset()
        bus.write(b"\x55" + chip.rom + b"\x4e" + chip.rom[1:2] + b"\x00\x7f")
    assert [chip.scratchpad()[2] for chip in (one, two)] == [1, 2]


def test_one_wire_a_bit_can_be_turned_by_noise() -> None:
    _, bus = one_wire(Ds18b20())
    bus.reset()
    bus.write(b"\xcc\xbe")
    bus.flips = {9}
    assert crc8(bus.read(9)) != 0
    assert crc8(scratchpad(bus)) == 0


# ---- the rig


def test_a_rig_refuses_what_cannot_be() -> None:
    rig = Rig()
    rig.add_i2c(0, scl=9, sda=8)
    rig.add("a", "bme280", 0)
    with pytest.raises(BoardError, match="two chips at I2C address 0x76"):
        rig.add("b", "bme280", 0)
    with pytest.raises(BoardError, match="no emulated chip 'bmp180'"):
        rig.add("c", "bmp180", 0)
    with pytest.raises(BoardError, match="does not know"):
        rig.answer({"spi": 0})


def test_time_of_a_board_never_goes_back() -> None:
    times = iter([5000, 4000, 9000])
    rig = Rig(lambda: next(times))
    seen = []
    for _ in range(3):
        rig.answer({"analog": 0})
        seen.append(rig.clock.us)
    assert seen == [5000, 5000, 9000]


def test_the_chips_of_a_boards_toml() -> None:
    rig = rig_for(read(Path(__file__).with_name("sensor_board.toml")))
    assert sorted(rig.chips) == ["bearing", "inlet", "outlet", "room", "supply"]
    assert rig.i2c[0].transfer(0x41, b"\0", 2) == b"\x39\x9f"
    assert [chip.rom.hex() for chip in rig.wires[14].chips] == ["2801000000000029", "2802000000000070"]
    assert rig.watched == [8, 9]
