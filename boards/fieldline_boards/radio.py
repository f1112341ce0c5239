"""What a board sends with: the table [radio] of its TOML.

Rules: the wires of a LoRa transceiver are the board's own, and no others may have them; on an RP2 they must be those
that its SPI blocks reach. Whatever cannot work is a ConfigError that names the line.
"""

from __future__ import annotations

from fieldline_boards.chips import RP2, Chip
from fieldline_boards.pins import BoardPins
from fieldline_boards.spec import Lora, Pin, Radio
from fieldline_host.tomlfile import Table

_KINDS = ("wifi", "ble")
_MESH = ("node", "bridge")
_BANDS = ("433", "470", "868", "915")  # MHz
_BUS = ("sck", "mosi", "miso", "cs", "reset")
# SX1262 datasheet 8.3, 8.5: BUSY before each command, DIO1 for interrupts. SX1276 datasheet table 18: DIO0 for
# TxDone and RxDone, DIO1 for RxTimeout.
_LINES = {"sx1262": (*_BUS, "busy", "dio1"), "sx1276": (*_BUS, "dio0")}
_MORE_LINES = {"sx1262": (), "sx1276": ("dio1", "dio2")}
_SPI_PLACE = {"miso": 0, "sck": 2, "mosi": 3}  # RP2040 datasheet 1.4.3: pin modulo 4


def read_radio(table: Table, chip: Chip, pins: BoardPins) -> Radio:
    """The table [radio], without one where it is not there."""
    kinds = table.strings("kinds")
    for kind in kinds:
        if kind not in _KINDS:
            raise table.error(
                "kinds", f"'{kind}' is not known; a radio is of {', '.join(_KINDS)}, or a [radio.lora]"
            )
    lora = _lora(table.table("lora"), chip, pins) if table.has("lora") else None
    if "ble" in kinds:
        mesh = table.choice("mesh", _MESH) if table.has("mesh") else _MESH[0]
        return Radio(kinds, lora, mesh, bool(table.get("friendship", bool)))
    for key in ("mesh", "friendship"):
        if table.has(key):
            raise table.error(key, "a mesh is for a radio of the kind ble")
    return Radio(kinds, lora)


def _lora(table: Table, chip: Chip, pins: BoardPins) -> Lora:
    transceiver = table.choice("chip", tuple(_LINES))
    bands = table.strings("bands")
    if not bands:
        raise table.error(
            "bands", f"'bands' must list what the board is made for, of {', '.join(_BANDS)} (MHz)"
        )
    for band in bands:
        if band not in _BANDS:
            raise table.error("bands", f"'{band}' is not known; bands are {', '.join(_BANDS)} (MHz)")
    spi = table.integer("spi", low=0 if chip.family == RP2 else 1, high=1 if chip.family == RP2 else 2)
    names = [*_LINES[transceiver], *(key for key in _MORE_LINES[transceiver] if table.has(key))]
    lines: dict[str, Pin] = {}
    for key in names:
        lines[key] = pins.radio(table, key)
        if chip.family == RP2:
            _check_spi(table, key, lines[key], spi)
    is_new = transceiver == "sx1262"
    return Lora(
        chip=transceiver,
        bands=bands,
        spi=spi,
        lines=lines,
        tcxo_mv=table.integer("tcxo_mv", low=1600, high=3300) if is_new and table.has("tcxo_mv") else None,
        dio2_switches=bool(table.get("dio2_switches", bool, False)) if is_new else False,
    )


def _check_spi(table: Table, key: str, pin: Pin, spi: int) -> None:
    place = _SPI_PLACE.get(key)
    if place is None or not isinstance(pin, int):
        return
    if pin % 4 != place or pin // 8 % 2 != spi:
        fit = ", ".join(str(each) for each in range(30) if each % 4 == place and each // 8 % 2 == spi)
        raise table.error(key, f"pin {pin} cannot be {key} of SPI {spi}; those that can are {fit}")
