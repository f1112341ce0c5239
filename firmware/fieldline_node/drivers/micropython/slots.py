"""The flash of the slots on this board, and a slot mounted as a file system (docs/update.md 2.5, 8).

Rules: opening reads, and writes nothing.
"""

import sys

from fieldline_node.drivers.micropython.flash import find_region

PLACE = "/app"


def open_slots(board) -> list:
    """[(head, image) of A, of B]. OSError where they are not reserved."""
    slots = []
    for place in board.FLASH_SLOTS:
        region = find_region(board.CHIP, *place)
        slots.append((region.part(0, 1), region.part(1, region.sectors - 1)))
    return slots


def mount(image) -> None:
    """Makes the image in a region the first place that modules come from. PeerError where it is none."""
    import vfs  # pyright: ignore[reportMissingImports]

    from fieldline_node.drivers.micropython.mounted import Mount, folders  # none of it in an update's memory
    from fieldline_wire.update.regions import reader
    from fieldline_wire.update.romfs import image_size, index

    read = reader(image, 0)
    root = folders(index(read, image_size(read)))
    vfs.mount(Mount(root, *image.source()), PLACE, readonly=True)
    sys.path.insert(0, PLACE)
