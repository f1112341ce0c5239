"""ESP32-S2, S3, C3, C6 and H2: one kind of eFuse controller with six key blocks.

Rules: data only. The layout is the same in the TRM of each (chapter eFuse Controller, Register Summary);
BLOCK0 differs in some fields, which stand chip by chip below the common ones.
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

_BLOCKS = (
    Block(0, 6, 0x02C),
    Block(1, 6, 0x044, write_disable=20),
    Block(2, 8, 0x05C, write_disable=21),
    Block(3, 8, 0x07C, write_disable=22),
    *(Block(4 + key, 8, 0x09C + 32 * key, 0, 23 + key, (ReadDisable(key),)) for key in range(6)),
    Block(10, 8, 0x15C, 0, 29, (ReadDisable(6),)),
)

_COMMON = (
    Field("WR_DIS", 0, 32),
    Field("RD_DIS", 32, 7, 0),
    Field("DIS_ICACHE", 40, 1, 2),
    Field("DIS_FORCE_DOWNLOAD", 44, 1, 2),
    Field("DIS_TWAI", 46, 1, 2),
    Field("WDT_DELAY_SEL", 80, 2, 3),
    Field("SPI_BOOT_CRYPT_CNT", 82, 3, 4),
    *(Field(f"SECURE_BOOT_KEY_REVOKE{key}", 85 + key, 1, 5 + key) for key in range(3)),
    *(Field(f"KEY_PURPOSE_{key}", 88 + 4 * key, 4, 8 + key) for key in range(6)),
    Field("SECURE_BOOT_EN", 116, 1, 15),
    Field("SECURE_BOOT_AGGRESSIVE_REVOKE", 117, 1, 16),
    Field("FLASH_TPUW", 124, 4, 18),
    Field("DIS_DOWNLOAD_MODE", 128, 1, 18),
    Field("ENABLE_SECURITY_DOWNLOAD", 133, 1, 18),
    Field("UART_PRINT_CONTROL", 134, 2, 18),
)

_S2 = (
    Field("DIS_DCACHE", 41, 1, 2),
    Field("DIS_DOWNLOAD_ICACHE", 42, 1, 2),
    Field("DIS_DOWNLOAD_DCACHE", 43, 1, 2),
    Field("DIS_USB", 45, 1, 2),
    Field("DIS_BOOT_REMAP", 47, 1, 2),
    Field("SOFT_DIS_JTAG", 49, 1, 2),
    Field("HARD_DIS_JTAG", 50, 1, 2),
    Field("DIS_DOWNLOAD_MANUAL_ENCRYPT", 51, 1, 2),
    Field("USB_EXCHG_PINS", 56, 1, 30),
    Field("USB_EXT_PHY_ENABLE", 57, 1, 30),
    Field("USB_FORCE_NOPERSIST", 58, 1, 30),
    Field("BLOCK0_VERSION", 59, 2, 30),
    Field("VDD_SPI_XPD", 68, 1, 3),
    Field("VDD_SPI_TIEH", 69, 1, 3),
    Field("VDD_SPI_FORCE", 70, 1, 3),
    Field("DIS_LEGACY_SPI_BOOT", 129, 1, 18),
    Field("UART_PRINT_CHANNEL", 130, 1, 18),
    Field("DIS_USB_DOWNLOAD_MODE", 132, 1, 18),
    Field("PIN_POWER_SELECTION", 136, 1, 18),
    Field("FLASH_TYPE", 137, 1, 18),
    Field("FORCE_SEND_RESUME", 138, 1, 18),
    Field("SECURE_VERSION", 139, 16, 18),
    Field("DISABLE_WAFER_VERSION_MAJOR", 160, 1),
    Field("DISABLE_BLK_VERSION_MAJOR", 161, 1),
)

# What S3, C3, C6 and H2 have in common beyond that.
_LATER = (
    Field("SOFT_DIS_JTAG", 48, 3, 31),
    Field("DIS_PAD_JTAG", 51, 1, 2),
    Field("DIS_DOWNLOAD_MANUAL_ENCRYPT", 52, 1, 2),
    Field("USB_EXCHG_PINS", 57, 1, 30),
    Field("DIS_DIRECT_BOOT", 129, 1, 18),
    Field("DIS_USB_SERIAL_JTAG_ROM_PRINT", 130, 1, 18),
    Field("DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE", 132, 1, 18),
)

_S3 = (
    Field("DIS_DCACHE", 41, 1, 2),
    Field("DIS_DOWNLOAD_ICACHE", 42, 1, 2),
    Field("DIS_DOWNLOAD_DCACHE", 43, 1, 2),
    Field("DIS_USB_OTG", 45, 1, 2),
    Field("DIS_APP_CPU", 47, 1, 2),
    Field("USB_EXT_PHY_ENABLE", 58, 1, 30),
    Field("VDD_SPI_XPD", 68, 1, 3),
    Field("VDD_SPI_TIEH", 69, 1, 3),
    Field("VDD_SPI_FORCE", 70, 1, 3),
    Field("DIS_USB_JTAG", 118, 1, 2),
    Field("DIS_USB_SERIAL_JTAG", 119, 1, 2),
    Field("STRAP_JTAG_SEL", 120, 1, 2),
    Field("USB_PHY_SEL", 121, 1, 2),
    Field("FLASH_ECC_MODE", 131, 1, 18),
    Field("PIN_POWER_SELECTION", 136, 1, 18),
    Field("FLASH_TYPE", 137, 1, 18),
    Field("FLASH_PAGE_SIZE", 138, 2, 18),
    Field("FLASH_ECC_EN", 140, 1, 18),
    Field("FORCE_SEND_RESUME", 141, 1, 18),
    Field("SECURE_VERSION", 142, 16, 18),
    Field("DIS_USB_OTG_DOWNLOAD_MODE", 159, 1, 19),
    Field("DISABLE_WAFER_VERSION_MAJOR", 160, 1, 19),
    Field("DISABLE_BLK_VERSION_MAJOR", 161, 1, 19),
)

_C3 = (
    Field("DIS_USB_JTAG", 41, 1, 2),
    Field("DIS_DOWNLOAD_ICACHE", 42, 1, 2),
    Field("DIS_USB_SERIAL_JTAG", 43, 1, 2),
    Field("VDD_SPI_AS_GPIO", 58, 1, 30),
    Field("FORCE_SEND_RESUME", 141, 1, 18),
    Field("SECURE_VERSION", 142, 16, 18),
    Field("ERR_RST_ENABLE", 159, 1, 19),
    Field("DISABLE_WAFER_VERSION_MAJOR", 160, 1, 19),
    Field("DISABLE_BLK_VERSION_MAJOR", 161, 1, 19),
)

_C6 = (
    Field("SWAP_UART_SDIO_EN", 39, 1, 2),
    Field("DIS_USB_JTAG", 41, 1, 2),
    Field("DIS_DOWNLOAD_ICACHE", 42, 1, 2),
    Field("DIS_USB_SERIAL_JTAG", 43, 1, 2),
    Field("SPI_DOWNLOAD_MSPI_DIS", 45, 1, 17),
    Field("JTAG_SEL_ENABLE", 47, 1, 2),
    Field("VDD_SPI_AS_GPIO", 58, 1, 30),
    Field("SEC_DPA_LEVEL", 112, 2, 14),
    Field("CRYPT_DPA_ENABLE", 114, 1, 1),
    Field("FORCE_SEND_RESUME", 141, 1, 18),
    Field("SECURE_VERSION", 142, 16, 18),
    Field("SECURE_BOOT_DISABLE_FAST_WAKE", 158, 1, 19),
    Field("DISABLE_WAFER_VERSION_MAJOR", 160, 1, 19),
    Field("DISABLE_BLK_VERSION_MAJOR", 161, 1, 19),
)

_H2 = (  # revision v1.2 and later
    Field("DIS_USB_JTAG", 41, 1, 2),
    Field("POWERGLITCH_EN", 42, 1, 2),
    Field("SPI_DOWNLOAD_MSPI_DIS", 45, 1, 2),
    Field("JTAG_SEL_ENABLE", 47, 1, 2),
    Field("VDD_SPI_AS_GPIO", 58, 1, 30),
    Field("ECDSA_CURVE_MODE", 59, 2, 17),
    Field("ECC_FORCE_CONST_TIME", 61, 1, 17),
    Field("XTS_DPA_PSEUDO_LEVEL", 62, 2, 14),
    Field("SEC_DPA_LEVEL", 112, 2, 14),
    Field("CRYPT_DPA_ENABLE", 115, 1, 14),
    Field("POWERGLITCH_EN1", 118, 5, 2),
    Field("FORCE_SEND_RESUME", 136, 1, 18),
    Field("SECURE_VERSION", 137, 16, 18),
    Field("SECURE_BOOT_DISABLE_FAST_WAKE", 153, 1, 18),
    Field("HYS_EN_PAD0", 154, 6, 19),
    Field("HYS_EN_PAD1", 160, 22, 19),
)

_MAC = Preset(1, 0, 48, 0)
_MAC_EXT = Preset(1, 48, 16, 0xFFFE)  # the middle of an EUI-64 made of an EUI-48


def _layout(base: int, fields: tuple[Field, ...], fail_bit: int = 3) -> EfuseLayout:
    return EfuseLayout(
        base=base,
        size=0x200,
        blocks=_BLOCKS,
        fields=_COMMON + fields,
        conf=0x1CC,
        command=0x1D4,
        reed_solomon=True,
        errors=(0x1C0, 0x1C4),
        fail_bit=fail_bit,
    )


ESP32S2 = Chip(
    name="esp32s2",
    title="ESP32-S2",
    efuse=_layout(0x3F41A000, _S2),
    spi=SpiRegisters(0x3F402000),
    mac=_MAC,
    uart_clock_divider=0x3F400014,
    security_info=12,  # without chip id and version
    image_chip_id=2,
    presets=(Preset(1, 114, 2, 1),),  # revision v1.0
    registers={0x40001000: 0x000007C6},  # a word of the mask ROM by which tools know the chip
)

ESP32S3 = Chip(
    name="esp32s3",
    title="ESP32-S3",
    efuse=_layout(0x60007000, _S3 + _LATER),
    spi=SpiRegisters(0x60002000),
    mac=_MAC,
    uart_clock_divider=0x60000014,
    security_info=20,
    image_chip_id=9,
    presets=(Preset(1, 114, 3, 2),),  # revision v0.2
    stub_hook=0x3FCEF688,  # with secure boot on, this ROM starts no code from MEM_END; tools go through here
)

ESP32C3 = Chip(
    name="esp32c3",
    title="ESP32-C3",
    # The FAIL bit of a block stands among the four bits of the next one (ESP-IDF esp32c3/efuse_reg.h).
    efuse=_layout(0x60008800, _C3 + _LATER, fail_bit=7),
    spi=SpiRegisters(0x60002000),
    mac=_MAC,
    uart_clock_divider=0x60000014,
    security_info=20,
    image_chip_id=5,
    presets=(Preset(1, 114, 3, 4),),  # revision v0.4
)

ESP32C6 = Chip(
    name="esp32c6",
    title="ESP32-C6",
    efuse=_layout(0x600B0800, _C6 + _LATER),
    spi=SpiRegisters(0x60003000),
    mac=_MAC,
    uart_clock_divider=0x60000014,
    security_info=20,
    image_chip_id=13,
    presets=(_MAC_EXT, Preset(1, 114, 4, 1)),  # revision v0.1
)

ESP32H2 = Chip(
    name="esp32h2",
    title="ESP32-H2",
    efuse=_layout(0x600B0800, _H2 + _LATER),
    spi=SpiRegisters(0x60003000),
    mac=_MAC,
    uart_clock_divider=0x60000014,
    security_info=20,
    image_chip_id=16,
    presets=(_MAC_EXT, Preset(1, 114, 3, 2), Preset(1, 117, 2, 1)),  # revision v1.2
)
