"""ESP32-C2 (ESP8684): one key block of two halves (ESP8684 TRM, chapter eFuse Controller).

Rules: data only.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom.chips.model import (
    Block,
    Chip,
    EfuseLayout,
    Field,
    Preset,
    ReadDisable,
    SpiRegisters,
)

_FIELDS = (
    Field("WR_DIS", 0, 8),
    Field("RD_DIS", 32, 2, 0),
    Field("WDT_DELAY_SEL", 34, 2, 1),
    Field("DIS_PAD_JTAG", 36, 1, 1),
    Field("DIS_DOWNLOAD_ICACHE", 37, 1, 1),
    Field("DIS_DOWNLOAD_MANUAL_ENCRYPT", 38, 1, 2),
    Field("SPI_BOOT_CRYPT_CNT", 39, 3, 2),
    Field("XTS_KEY_LENGTH_256", 42, 1, 2),
    Field("UART_PRINT_CONTROL", 43, 2, 3),
    Field("FORCE_SEND_RESUME", 45, 1, 3),
    Field("DIS_DOWNLOAD_MODE", 46, 1, 3),
    Field("DIS_DIRECT_BOOT", 47, 1, 3),
    Field("ENABLE_SECURITY_DOWNLOAD", 48, 1, 3),
    Field("FLASH_TPUW", 49, 4, 3),
    Field("SECURE_BOOT_EN", 53, 1, 2),
    Field("SECURE_VERSION", 54, 4, 4),
    Field("CUSTOM_MAC_USED", 58, 1, 4),
    Field("DISABLE_WAFER_VERSION_MAJOR", 59, 1, 4),
    Field("DISABLE_BLK_VERSION_MAJOR", 60, 1, 4),
)

ESP32C2 = Chip(
    name="esp32c2",
    title="ESP32-C2",
    efuse=EfuseLayout(
        base=0x60008800,
        size=0x200,
        blocks=(
            Block(0, 2, 0x2C),
            Block(1, 3, 0x34, write_disable=5),
            Block(2, 8, 0x40, write_disable=6),
            Block(3, 8, 0x60, write_disable=7, read_disable=(ReadDisable(0, 0, 16), ReadDisable(1, 16, 32))),
        ),
        fields=_FIELDS,
        conf=0x8C,
        command=0x94,
        reed_solomon=True,
        errors=(0x84,),
    ),
    spi=SpiRegisters(0x60002000),
    mac=Preset(2, 0, 48, 0),
    uart_clock_divider=0x60000014,
    security_info=20,
    image_chip_id=12,
    presets=(Preset(2, 48, 4, 1), Preset(2, 52, 2, 1)),  # revision v1.1
)
