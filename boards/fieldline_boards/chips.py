"""The chips that boards carry: what each pin of a chip is besides a GPIO, and what MicroPython makes of the chip.

Rules: facts of the chip alone, the same on every board; what a board adds stands in its TOML. Each group names the
datasheet section it is from. What could not be confirmed is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

RP2, ESP32, LINUX = "rp2", "esp32", "linux"


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip. Pins by GPIO number; `adc`, `functions`: what else a pin is."""

    name: str
    title: str
    family: str
    """MicroPython's port, "rp2" or "esp32"; "linux": the board runs no MicroPython."""
    archs: tuple[str, ...]
    """What mpy-cross calls the native code that its MicroPython loads."""
    prefix: str
    """What stands before a GPIO's number in the vendor's documents."""
    gpio: frozenset[int]
    i2c: tuple[int, ...]
    """Numbers of machine.I2C."""
    adc: Mapping[int, str]
    """Pins of the converter that works beside Wi-Fi."""
    functions: Mapping[int, tuple[str, ...]]
    input_only: frozenset[int] = frozenset()
    strapping: frozenset[int] = frozenset()
    """Levels read at reset decide how the chip starts."""
    flash: frozenset[int] = frozenset()
    """Wired to the flash, and to PSRAM where a module has it."""
    usb: frozenset[int] = frozenset()
    uart0: frozenset[int] = frozenset()
    """MicroPython's console where the board has a USB bridge."""
    counters: int = 0
    """Hardware pulse counters: units of machine.Counter, 0 where it does not exist."""
    loader: int = 0
    """Where the second stage boot loader is in flash."""
    image_id: int | None = None
    """Of a native image's header: esp_chip_id_t (ESP-IDF, esp_app_format.h)."""

    def label(self, gpio: int) -> str:
        """What the vendor calls a pin."""
        return f"{self.prefix}{gpio}"

    def other_functions(self, gpio: int) -> tuple[str, ...]:
        """What a pin is besides a GPIO, in a few words each."""
        found = [self.adc[gpio]] if gpio in self.adc else []
        found += self.functions.get(gpio, ())
        for pins, text in (
            (self.input_only, "input only"),
            (self.strapping, "strapping"),
            (self.flash, "flash/PSRAM"),
            (self.usb, "USB"),
        ):
            if gpio in pins:
                found.append(text)
        return tuple(found)


def _merged(*tables: Mapping[int, str]) -> dict[int, tuple[str, ...]]:
    merged: dict[int, tuple[str, ...]] = {}
    for table in tables:
        for pin, text in table.items():
            merged[pin] = (*merged.get(pin, ()), text)
    return merged


def _channels(unit: int, pins: Iterable[int]) -> dict[int, str]:
    return {pin: f"ADC{unit}_CH{channel}" for channel, pin in enumerate(pins)}


# RP2040 datasheet 1.4.3, RP2350 datasheet 1.2.3: functions F1 to F3 repeat every four and every sixteen pins.
_RP2_GPIO = range(30)
_RP2_SPI = {pin: f"SPI{pin // 8 % 2} {('RX', 'CSn', 'SCK', 'TX')[pin % 4]}" for pin in _RP2_GPIO}
_RP2_I2C = {pin: f"I2C{pin // 2 % 2} {('SDA', 'SCL')[pin % 2]}" for pin in _RP2_GPIO}
_RP2_UART = {pin: f"UART{(pin + 4) // 8 % 2} {('TX', 'RX')[pin % 4]}" for pin in _RP2_GPIO if pin % 4 < 2}
_RP2_ADC = {26 + channel: f"ADC{channel}" for channel in range(4)}  # 4.9, 12.4; RP2350 in QFN-60

# ESP32 datasheet, tables "Pin Overview" and "IO MUX"; 2.2: 34 to 39 neither drive nor pull.
_ESP32_ADC = _channels(1, (36, 37, 38, 39, 32, 33, 34, 35))
_ESP32_MORE = _merged(
    _channels(2, (4, 0, 2, 15, 13, 12, 14, 27, 25, 26)),
    {25: "DAC1", 26: "DAC2"},
    {18: "VSPI CLK", 19: "VSPI MISO", 23: "VSPI MOSI", 5: "VSPI CS0"},
    {14: "HSPI CLK", 12: "HSPI MISO", 13: "HSPI MOSI", 15: "HSPI CS0"},
    {1: "UART0 TX", 3: "UART0 RX"},
    {32: "XTAL_32K", 33: "XTAL_32K"},
)
# ESP32-S3 datasheet, "Pin Overview", "IO MUX Functions"; strapping: section "Boot Configurations".
_S3_MORE = _merged(
    _channels(2, range(11, 21)),
    {10: "FSPI CS0", 11: "FSPI MOSI", 12: "FSPI CLK", 13: "FSPI MISO"},
    {43: "UART0 TX", 44: "UART0 RX", 17: "UART1 TX", 18: "UART1 RX"},
    {39: "JTAG TCK", 40: "JTAG TDO", 41: "JTAG TDI", 42: "JTAG TMS"},
    {15: "XTAL_32K", 16: "XTAL_32K"},
)
# ESP32-C3 datasheet, the same sections. Its ADC2 gives wrong values (ESP32-C3 errata) and is not used.
_C3_MORE = _merged(
    {10: "FSPI CS0", 7: "FSPI MOSI", 6: "FSPI CLK", 2: "FSPI MISO"},
    {21: "UART0 TX", 20: "UART0 RX"},
    {4: "JTAG TMS", 5: "JTAG TDI", 6: "JTAG TCK", 7: "JTAG TDO"},
    {0: "XTAL_32K", 1: "XTAL_32K"},
)
# ESP32-C6 datasheet, the same sections.
_C6_MORE = _merged(
    {16: "FSPI CS0", 7: "FSPI MOSI", 6: "FSPI CLK", 2: "FSPI MISO"},
    {16: "UART0 TX", 17: "UART0 RX"},
    {4: "JTAG TMS", 5: "JTAG TDI", 6: "JTAG TCK", 7: "JTAG TDO"},
    {0: "XTAL_32K", 1: "XTAL_32K"},
)
# BCM2835 ARM Peripherals 6.2, alternate function 0 (SPI1: 4), as Raspberry Pi OS switches them on.
_BCM_MORE = _merged(
    {2: "I2C1 SDA", 3: "I2C1 SCL", 0: "ID EEPROM SDA", 1: "ID EEPROM SCL", 4: "1-Wire (w1-gpio)"},
    {7: "SPI0 CE1", 8: "SPI0 CE0", 9: "SPI0 MISO", 10: "SPI0 MOSI", 11: "SPI0 SCLK"},
    {14: "UART TX", 15: "UART RX"},
    {12: "PWM0", 13: "PWM1", 18: "PWM0", 19: "PWM1"},
    {18: "PCM CLK", 19: "PCM FS", 20: "PCM DIN", 21: "PCM DOUT"},
)


def _rp2(name: str, title: str, archs: tuple[str, ...]) -> Chip:
    return Chip(
        name=name,
        title=title,
        family=RP2,
        archs=archs,
        prefix="GP",
        gpio=frozenset(_RP2_GPIO),
        i2c=(0, 1),
        adc=_RP2_ADC,
        functions=_merged(_RP2_I2C, _RP2_SPI, _RP2_UART),
    )


CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        _rp2("rp2040", "RP2040", ("armv6m",)),
        _rp2("rp2350", "RP2350", ("armv7m",)),  # ports/rp2/CMakeLists.txt, MICROPY_CROSS_FLAGS
        Chip(
            name="esp32",
            title="ESP32",
            family=ESP32,
            archs=("xtensawin",),
            prefix="GPIO",
            gpio=frozenset({*range(20), 21, 22, 23, 25, 26, 27, *range(32, 40)}),
            i2c=(0, 1),
            adc=_ESP32_ADC,
            functions=_ESP32_MORE,
            input_only=frozenset(range(34, 40)),
            strapping=frozenset({0, 2, 5, 12, 15}),
            flash=frozenset(range(6, 12)),
            uart0=frozenset({1, 3}),
            counters=8,
            loader=0x1000,
            image_id=0,
        ),
        Chip(
            name="esp32s3",
            title="ESP32-S3",
            family=ESP32,
            archs=("xtensawin",),
            prefix="GPIO",
            gpio=frozenset({*range(22), *range(26, 49)}),
            i2c=(0, 1),
            adc=_channels(1, range(1, 11)),
            functions=_S3_MORE,
            strapping=frozenset({0, 3, 45, 46}),
            flash=frozenset(range(26, 33)),
            usb=frozenset({19, 20}),
            uart0=frozenset({43, 44}),
            counters=4,
            image_id=9,
        ),
        Chip(
            name="esp32c3",
            title="ESP32-C3",
            family=ESP32,
            archs=("rv32imc",),
            prefix="GPIO",
            gpio=frozenset(range(22)),
            i2c=(0,),
            adc=_channels(1, range(5)),
            functions=_C3_MORE,
            strapping=frozenset({2, 8, 9}),
            flash=frozenset(range(12, 18)),
            usb=frozenset({18, 19}),
            uart0=frozenset({20, 21}),
            image_id=5,
        ),
        Chip(
            name="esp32c6",
            title="ESP32-C6",
            family=ESP32,
            archs=("rv32imc",),
            prefix="GPIO",
            gpio=frozenset(range(31)),
            i2c=(0,),
            adc=_channels(1, range(7)),
            functions=_C6_MORE,
            strapping=frozenset({4, 5, 8, 9, 15}),
            flash=frozenset(range(24, 31)),
            usb=frozenset({12, 13}),
            uart0=frozenset({16, 17}),
            counters=4,
            image_id=13,
        ),
        Chip(
            name="bcm",
            title="BCM2835 and later",
            family=LINUX,
            archs=(),
            prefix="GPIO",
            gpio=frozenset(range(28)),
            i2c=(1,),
            adc={},
            functions=_BCM_MORE,
        ),
        Chip(
            name="blinka",
            title="computer that Blinka knows",
            family=LINUX,
            archs=(),
            prefix="",
            gpio=frozenset(),  # its pins are named in [pins]
            i2c=(0, 1),
            adc={},
            functions={},
        ),
    )
}
NODE_CHIPS = tuple(name for name, chip in CHIPS.items() if chip.family != LINUX)
"""Names of the chips that run the node's firmware."""
