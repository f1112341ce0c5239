"""The flash of a board: the table [flash] of its TOML as regions for the node and as a map of the whole.

Rules: addresses in bytes. On RP2 `start` counts from MicroPython's storage area, which is the end of the flash, as
rp2.Flash counts; on the ESP32 family from the start of the flash, and all but the loader is a partition
(ESP-IDF, "Partition Tables"). A region that overlaps another, ends behind the flash or does not fit its sectors is
a ConfigError that names the line.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldline_boards.chips import ESP32, Chip
from fieldline_boards.spec import FlashArea, FlashMap, FlashRegion
from fieldline_host.tomlfile import Table

SECTOR = 4096  # bytes; erase unit of W25Q-type flash
APP_ALIGNMENT = 0x10000  # ESP-IDF "Partition Tables": app partitions begin and end at multiples of 64 KiB
LARGEST_FLASH = 16 * 1024 * 1024
MOST_LABEL = 16  # characters; ESP-IDF "Partition Tables", Name field

TABLE_START, TABLE_LENGTH = 0x8000, 0x1000  # of the partition table: its default offset; ESP-IDF
APP_START = 0x10000
FILES_LABEL = "vfs"  # MicroPython's flashbdev.py looks for it
# What MicroPython's own tables begin with (ports/esp32/partitions-*.csv).
_HEAD = (
    ("nvs", "settings of Wi-Fi and the like", 0x9000, 0x6000),
    ("phy_init", "radio calibration", 0xF000, 0x1000),
)
# As in MicroPython's table with two native images (ports/esp32/partitions-4MiB-ota.csv).
_OTA_HEAD = (
    ("nvs", "settings of Wi-Fi and the like", 0x9000, 0x4000),
    ("otadata", "which of the two native images the boot loader starts", 0xD000, 0x2000),
    ("phy_init", "radio calibration", 0xF000, 0x1000),
)
NATIVE = ("ota_0", "ota_1")
_RESERVED = (FILES_LABEL, "factory", *NATIVE, *(name for name, *_ in _OTA_HEAD))
_LEAST_SECTORS = {"state": 2, "outbox": 4, "update": 4, "slot_a": 2, "slot_b": 2}
_WHAT = {
    "update": "the slot journal and root documents of updates",
    "slot_a": "an app that an update brought",
    "slot_b": "an app that an update brought",
    "state": "the node's journal",
    "outbox": "readings that wait for a gateway",
}
_UPDATES = ("update", "slot_a", "slot_b")


@dataclass(frozen=True, slots=True)
class Flash:
    """What [flash] says."""

    files_bytes: int
    state: FlashRegion
    outbox: FlashRegion
    update: FlashRegion | None
    slots: tuple[FlashRegion, ...]
    """A and B, or none where the board takes no updates."""
    map: FlashMap


def read_flash(table: Table, chip: Chip) -> Flash:
    """The table [flash] of a board with `chip`."""
    size = _multiple(table, "size", 0x10000, high=LARGEST_FLASH)
    if chip.family == ESP32:
        key = "ota" if table.has("ota") else "app"
        if key == "ota" and table.has("app"):
            raise table.error("app", "give 'app' for one native image or 'ota' for two, not both")
        app = _multiple(table, key, APP_ALIGNMENT, high=LARGEST_FLASH)
        head = _esp32_head(chip, app, two=key == "ota")
        base, files_start, limit = 0, head[-1].end, size
        if files_start > size:
            raise table.error(key, f"the app ends at 0x{files_start:X}, behind the flash's 0x{size:X}")
    else:
        limit = _multiple(table, "storage", SECTOR, high=LARGEST_FLASH)
        if limit > size:
            raise table.error(
                "storage", f"a storage area of 0x{limit:X} bytes does not fit the flash's 0x{size:X}"
            )
        base, files_start = size - limit, 0
        head = (FlashArea("firmware", "MicroPython", 0, base),) if base else ()
    files = _multiple(table, "files", SECTOR, high=LARGEST_FLASH)
    if files_start + files > limit:
        raise table.error("files", f"the file system ends at 0x{files_start + files:X}, behind 0x{limit:X}")
    placed = [FlashArea("files", "file system", files_start, files)]
    regions: dict[str, FlashRegion] = {}
    updates = _UPDATES if any(table.has(name) for name in _UPDATES) else ()
    for name in (*updates, "state", "outbox"):
        part = table.table(name)
        region = regions[name] = _region(part, name, chip, [each.label for each in regions.values()])
        area = FlashArea(name, _WHAT[name], region.start, region.length)
        _check_place(part, area, placed, head if chip.family == ESP32 else (), limit)
        placed.append(area)
    if updates and regions["slot_a"].length != regions["slot_b"].length:
        raise table.table("slot_b").error("length", "both slots have the same length")
    areas = [*head, *(FlashArea(a.name, a.what, base + a.start, a.length) for a in placed)]
    areas.sort(key=lambda area: area.start)
    slots = tuple(regions[name] for name in updates[1:])
    return Flash(
        files, regions["state"], regions["outbox"], regions.get("update"), slots, FlashMap(size, tuple(areas))
    )


def _esp32_head(chip: Chip, app: int, *, two: bool) -> tuple[FlashArea, ...]:
    apps = (
        tuple(
            FlashArea(name, "MicroPython, or a native image", APP_START + i * app, app)
            for i, name in enumerate(NATIVE)
        )
        if two
        else (FlashArea("factory", "MicroPython", APP_START, app),)
    )
    return (
        FlashArea("boot loader", "from the MicroPython image", chip.loader, TABLE_START - chip.loader),
        FlashArea("partition table", "fieldline board partitions", TABLE_START, TABLE_LENGTH),
        *(
            FlashArea(name, what, start, length)
            for name, what, start, length in (_OTA_HEAD if two else _HEAD)
        ),
        *apps,
    )


def _region(table: Table, name: str, chip: Chip, labels: list[str | None]) -> FlashRegion:
    start = table.integer("start", low=0, high=LARGEST_FLASH)
    length = table.integer("length", low=_LEAST_SECTORS[name] * SECTOR, high=LARGEST_FLASH)
    for key, value in (("start", start), ("length", length)):
        if value % SECTOR:
            raise table.error(key, f"'{key}' must be a multiple of the sector, {SECTOR}, not {value}")
    label = _label(table, labels) if chip.family == ESP32 else None
    return FlashRegion(name=name, start=start, length=length, label=label)


def _label(table: Table, others: list[str | None]) -> str:
    label = table.need("label", str)
    if not (label.isascii() and label.replace("_", "").isalnum() and len(label) <= MOST_LABEL):
        raise table.error(
            "label",
            f"a partition's label has 1 to {MOST_LABEL} letters, digits and underscores, not '{label}'",
        )
    if label in (*_RESERVED, *others):
        raise table.error("label", f"there are two partitions called '{label}'")
    return label


def _check_place(
    table: Table, area: FlashArea, placed: list[FlashArea], head: tuple[FlashArea, ...], limit: int
) -> None:
    for other in (*head, *placed):
        if area.start < other.end and other.start < area.end:
            raise table.error("start", f"the regions '{other.name}' and '{area.name}' overlap")
    if area.end > limit:
        raise table.error("length", f"region '{area.name}' ends at 0x{area.end:X}, behind 0x{limit:X}")


def _multiple(table: Table, key: str, unit: int, *, high: int) -> int:
    value = table.integer(key, low=unit, high=high)
    if value % unit:
        raise table.error(key, f"'{key}' must be a multiple of {unit}, not {value}")
    return value
