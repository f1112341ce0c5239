"""Which emulated boards there are for a kind of board. All are simulated, and each says what it leaves out.

Rules: one table; the command, the page and the tests ask here.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom.chips import CHIPS as ROM_CHIPS
from fieldline_boards.emulated.images import IMAGES
from fieldline_boards.spec import BoardSpec, HostSpec

VM = "MicroPython VM"
RP2040 = "RP2040 instructions"
ESP_ROM = "ESP ROM loader"


def emulated_kinds(spec: BoardSpec | HostSpec) -> tuple[str, ...]:
    """What runs in place of `spec`: VM the firmware, RP2040 a real image, ESP_ROM the loader; none for a host."""
    if isinstance(spec, HostSpec):
        return ()
    kinds = [VM]
    if spec.name in IMAGES:
        kinds.append(RP2040)
    if spec.chip.name in ROM_CHIPS:
        kinds.append(ESP_ROM)
    return tuple(kinds)
