"""The sensors' integer maths against the datasheets' formulas in floating point."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.emulated.chips.bme280 import Trim
from fieldline_node.sensors import bme280, ds18b20, ina219, lis3dh, voltage

# Trims as chips have them, around the datasheet's example.
TRIMS = st.builds(
    lambda t, p, h: Trim(t=t, p=p, h=h),
    st.tuples(st.integers(27000, 29000), st.integers(25500, 27500), st.integers(-1500, 100)),
    st.tuples(
        st.integers(35500, 38500),
        st.integers(-11000, -10000),
        st.integers(2900, 3100),
        st.integers(1000, 8000),
        st.integers(-300, 300),
        st.just(-7),
        st.integers(9000, 16000),
        st.integers(-15000, -9000),
        st.integers(4000, 6500),
    ),
    st.tuples(
        st.integers(50, 100),
        st.integers(340, 390),
        st.integers(0, 100),
        st.integers(270, 350),
        st.integers(-60, 60),
        st.integers(10, 50),
    ),
)


def words(trim: Trim) -> tuple[int, ...]:
    return trim.t + trim.p + trim.h


@given(TRIMS, st.integers(300_000, 700_000))
def test_bme280_temperature(trim: Trim, raw: int) -> None:
    celsius, fine = trim.temperature(raw)
    assert abs(bme280.t_fine(words(trim), raw) - fine) <= 16  # its steps: 8 raw ones
    assert abs((bme280.t_fine(words(trim), raw) * 5 + 128 >> 8) - celsius * 100) <= 1


@given(TRIMS, st.integers(300_000, 700_000), st.integers(150_000, 700_000))
def test_bme280_pressure(trim: Trim, raw_t: int, raw: int) -> None:
    fine = bme280.t_fine(words(trim), raw_t)
    pascal = trim.pressure(raw, float(fine))
    assert abs(bme280.to_pressure(words(trim), raw, fine) / 256 - pascal) <= 0.1 + abs(pascal) * 1e-6


@given(TRIMS, st.integers(350_000, 650_000), st.integers(15_000, 45_000))
def test_bme280_humidity(trim: Trim, raw_t: int, raw: int) -> None:
    fine = bme280.t_fine(words(trim), raw_t)
    percent = trim.humidity(raw, float(fine))
    assert abs(bme280.to_humidity(words(trim), raw, fine) / 4194304 - percent) <= 0.02 + abs(percent) * 2e-4


@given(TRIMS, st.integers(-2048, 2047), st.integers(-2048, 2047), st.integers(-128, 127))
def test_bme280_trim_comes_out_of_its_memory(trim: Trim, h4: int, h5: int, h6: int) -> None:
    trim = Trim(t=trim.t, p=trim.p, h=(*trim.h[:3], h4, h5, h6))
    memory = trim.memory()
    low, high = (bytes(memory[at] for at in range(*part)) for part in ((0x88, 0xA2), (0xE1, 0xE8)))
    assert bme280.read_trim(low, high) == words(trim)


@given(st.integers(0, 0xFFFF), st.integers(9, 12))
def test_ds18b20_every_register(register: int, bits: int) -> None:
    signed = register - 0x10000 if register >= 0x8000 else register
    step = 1 << (12 - bits)
    assert ds18b20.to_sixteenths(register, bits) == math.floor(signed / step) * step


@given(st.binary(max_size=16), st.integers(0, 127))
def test_ds18b20_crc_finds_every_single_turned_bit(data: bytes, bit: int) -> None:
    whole = data + bytes((ds18b20.crc8(data),))
    assert ds18b20.crc8(whole) == 0
    turned = bytearray(whole)
    turned[bit // 8 % len(whole)] ^= 1 << bit % 8
    assert ds18b20.crc8(turned) != 0


@given(st.integers(10, 10_000_000), st.integers(10, 100_000), st.integers(-32768, 32767))
def test_ina219_current(shunt_uohm: int, max_ma: int, register: int) -> None:
    if not 1_000_000 <= shunt_uohm * max_ma <= 320_000_000:
        return
    word = ina219.calibration(shunt_uohm, max_ma)
    assert 0 < word <= 0xFFFE and not word & 1
    lsb = 0.04096 / (word * shunt_uohm * 1e-6)  # A: SBOS448G 8.5.1, equation 1
    value = ina219.to_current(register, word * shunt_uohm)
    assert abs(value - register * lsb * 1e4) <= 0.5001
    if word < 0xFFFE:  # the LSB is that of equation 2, but for what the register cannot hold
        assert max_ma / 32768e3 <= lsb <= max_ma / 32768e3 * (1 + 2 / word) * 1.0001
    drop_mv = 40 << ina219.gain_for(shunt_uohm, max_ma)
    assert shunt_uohm * max_ma <= drop_mv * 1e6 and (drop_mv == 40 or shunt_uohm * max_ma > drop_mv * 5e5)


SAMPLES = st.lists(st.tuples(*[st.integers(-2048, 2047)] * 3), min_size=32, max_size=256)


@given(SAMPLES, st.sampled_from([1, 2, 4, 12]))
def test_lis3dh_rms(samples: list[tuple[int, int, int]], mg: int) -> None:
    axes = list(zip(*samples, strict=True))
    sums = [sum(axis) for axis in axes] + [sum(x * x for x in axis) for axis in axes]
    variance = sum(sum((x - sum(axis) / len(axis)) ** 2 for x in axis) / len(axis) for axis in axes)
    expected = math.sqrt(variance) * mg * 9.80665  # mm/s2
    assert abs(lis3dh.rms(sums, len(samples), mg) - expected) <= 0.51 + expected * 1e-9


@given(SAMPLES, st.tuples(*[st.integers(-500, 500)] * 3))
def test_lis3dh_what_stands_still_does_not_count(
    samples: list[tuple[int, int, int]], gravity: tuple[int, int, int]
) -> None:
    def value(moved: tuple[int, int, int]) -> int:
        axes = list(zip(*[[a + b for a, b in zip(s, moved, strict=True)] for s in samples], strict=True))
        sums = [sum(axis) for axis in axes] + [sum(x * x for x in axis) for axis in axes]
        return lis3dh.rms(sums, len(samples), 1)

    assert value(gravity) == value((0, 0, 0))


@given(st.integers(0, 2**100))
def test_root(number: int) -> None:
    assert lis3dh.root(number) == math.isqrt(number)


@given(st.integers(0, 5_500_000), st.integers(0, 1_000_000), st.integers(1, 1_000_000))
def test_voltage(uv: int, above: int, below: int) -> None:
    expected = uv / 1000 * (above + below) / below
    assert abs(voltage.to_millivolts(uv, above, below) - expected) <= 0.5 + expected * 1e-9
