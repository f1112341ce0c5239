"""`fieldline_board.py`: a board's TOML as constants for the node.

Rules: tuples and numbers only, so that it needs no code on the node and equal boards give equal bytes.
"""

from __future__ import annotations

from fieldline_boards.spec import BoardSpec, FlashRegion, HostSpec, SensorSpec

STATE_SECTORS = 2  # of 4 KiB; two take turns
OUTBOX_SECTORS = 256
"""1 MiB."""


def host_module(spec: HostSpec, firmware: str) -> str:
    """Source of `fieldline_board.py` for a computer: the node runs as a program, its flash is a file."""
    storage = f"""PIN_NAMES = {spec.pin_names!r}
# a file of 4 KiB sectors
STATE_SECTORS = {STATE_SECTORS}
OUTBOX_SECTORS = {OUTBOX_SECTORS}
"""
    return board_module(spec, firmware, development=False, storage=storage)


def board_module(
    spec: BoardSpec | HostSpec,
    firmware: str,
    *,
    development: bool,
    storage: str | None = None,
    native: bool = False,
) -> str:
    """Source of `fieldline_board.py` for `spec`.

    `firmware` is the version that Hello tells (wire.md 5.6); a development build stops for a REPL (wire.md 2.5).
    `storage`: the lines that stand in place of those on raw flash. `native`: for an image that has the node in it
    and takes others of its kind (update.md 8.10).
    """
    if storage is None:
        assert isinstance(spec, BoardSpec)
        storage = _raw_flash(spec, int(native))
    sensors = "".join(f"    {_sensor(each)!r},\n" for each in spec.sensors)
    return f'''"""{spec.title}: made from {spec.name}.toml by `fieldline node build`."""

NAME = {spec.name!r}
CHIP = {spec.chip.family!r}
CONSOLE = {spec.console!r}
FIRMWARE = {firmware!r}
DEVELOPMENT = {development!r}
LED = {spec.led!r}
REFLEX = {spec.reflex!r}
OUTPUTS = {spec.outputs!r}
# (number, name, kind, pin or place, ((wire key, default), ...))
SENSORS = (
{sensors})
{storage}'''


def _raw_flash(spec: BoardSpec, component: int) -> str:
    return f"""# (partition label, start, length)
FLASH_STATE = {_region(spec.state)}
FLASH_OUTBOX = {_region(spec.outbox)}
{_updates(spec, component)}"""


def _updates(spec: BoardSpec, component: int) -> str:
    if spec.update is None:
        return "FLASH_UPDATE = None\n"
    slots = ", ".join(_region(slot) for slot in spec.slots)
    return (
        f"FLASH_UPDATE = {_region(spec.update)}\nFLASH_SLOTS = ({slots})\n"
        f"COMPONENT = {component}  # of releases: update.md 3.1\n"
    )


def _sensor(sensor: SensorSpec) -> tuple[object, ...]:
    place = sensor.pin if sensor.place is None else sensor.place
    return sensor.number, sensor.name, sensor.kind, place, tuple(sorted(sensor.settings.items()))


def _region(region: FlashRegion) -> str:
    return f"({region.label!r}, 0x{region.start:X}, 0x{region.length:X})"
