"""ESP32: the first of the family, with an eFuse controller of its own kind (ESP32 TRM, chapter eFuse
Controller).

Rules: data only. Fuses are read as they are burned (coding scheme "None"); each block has its own
programming registers, and one command burns them all.
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
    Field("WR_DIS", 0, 16, 1),
    Field("RD_DIS", 16, 4, 0),
    Field("FLASH_CRYPT_CNT", 20, 7, 2),
    Field("UART_DOWNLOAD_DIS", 27, 1, 2),
    Field("MAC", 32, 48, 3),
    Field("MAC_CRC", 80, 8, 3),
    Field("DISABLE_APP_CPU", 96, 1, 3),
    Field("DISABLE_BT", 97, 1, 3),
    Field("CHIP_PACKAGE_4BIT", 98, 1),
    Field("DIS_CACHE", 99, 1, 3),
    Field("SPI_PAD_CONFIG_HD", 100, 5),
    Field("CHIP_PACKAGE", 105, 3),
    Field("CHIP_CPU_FREQ_LOW", 108, 1),
    Field("CHIP_CPU_FREQ_RATED", 109, 1),
    Field("BLK3_PART_RESERVE", 110, 1, 10, 3),
    Field("CHIP_VER_REV1", 111, 1),
    Field("CLK8M_FREQ", 128, 8, 4),
    Field("ADC_VREF", 136, 5, 4),
    Field("XPD_SDIO_REG", 142, 1, 5),
    Field("XPD_SDIO_TIEH", 143, 1, 5),
    Field("XPD_SDIO_FORCE", 144, 1, 5),
    Field("SPI_PAD_CONFIG_CLK", 160, 5, 6),
    Field("SPI_PAD_CONFIG_Q", 165, 5, 6),
    Field("SPI_PAD_CONFIG_D", 170, 5, 6),
    Field("SPI_PAD_CONFIG_CS0", 175, 5, 6),
    Field("CHIP_VER_REV2", 180, 1),
    Field("VOL_LEVEL_HP_INV", 182, 2, 3),
    Field("WAFER_VERSION_MINOR", 184, 2),
    Field("FLASH_CRYPT_CONFIG", 188, 4, 10, 3),
    Field("CODING_SCHEME", 192, 2, 10, 3),
    Field("CONSOLE_DEBUG_DISABLE", 194, 1, 15),
    Field("DISABLE_SDIO_HOST", 195, 1),
    Field("ABS_DONE_0", 196, 1, 12),
    Field("ABS_DONE_1", 197, 1, 13),
    Field("JTAG_DISABLE", 198, 1, 14),
    Field("DISABLE_DL_ENCRYPT", 199, 1, 15),
    Field("DISABLE_DL_DECRYPT", 200, 1, 15),
    Field("DISABLE_DL_CACHE", 201, 1, 15),
    Field("KEY_STATUS", 202, 1, 10, 3),
)

ESP32 = Chip(
    name="esp32",
    title="ESP32",
    efuse=EfuseLayout(
        base=0x3FF5A000,
        size=0x120,
        blocks=(
            Block(0, 7, 0x000, 0x01C),
            Block(1, 8, 0x038, 0x098, 7, (ReadDisable(0),)),
            Block(2, 8, 0x058, 0x0B8, 8, (ReadDisable(1),)),
            Block(3, 8, 0x078, 0x0D8, 9, (ReadDisable(2),)),
        ),
        fields=_FIELDS,
        conf=0x0FC,
        command=0x104,
        reed_solomon=False,
    ),
    spi=SpiRegisters(0x3FF42000, user=0x1C, user1=0x20, user2=0x24, w0=0x80, address_high=True),
    mac=Preset(0, 32, 48, 0),
    mac_crc=Preset(0, 80, 8, 0),
    uart_clock_divider=0x3FF40014,
    security_info=0,
    image_chip_id=0,
    presets=(  # an ESP32-D0WD-V3, revision v3.1, 240 MHz
        Preset(0, 105, 3, 1),
        Preset(0, 111, 1, 1),
        Preset(0, 109, 1, 1),
        Preset(0, 180, 1, 1),
        Preset(0, 184, 2, 1),
        Preset(0, 128, 8, 50),  # CLK8M_FREQ, with RTCCALICFG1 a crystal of 40 MHz
    ),
    registers={
        0x40001000: 0x00F01D83,  # a word of the mask ROM by which tools know the chip
        0x3FF6607C: 1 << 31,  # APB_CTRL_DATE: highest bit of the revision
        0x3FF5F06C: 2048 << 7,  # TIMG_RTCCALICFG1: 2048 * 15625 * CLK8M_FREQ / 40 = 40 MHz
    },
)
