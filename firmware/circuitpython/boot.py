"""Runs before code.py and before USB: gives the file system to the node and its data port to the host.

Rules: prints nothing, ever: CircuitPython writes boot_out.txt anew where the output differs from the last, and a
power cut in that may cost the directory.
"""

import storage
import usb_cdc
import usb_hid
import usb_midi
from fieldline_board import (  # pyright: ignore[reportMissingImports] - made by the build
    DEVELOPMENT,
    USB_DRIVE,
)

if not (DEVELOPMENT and USB_DRIVE):
    storage.disable_usb_drive()
storage.remount("/", readonly=False)
usb_cdc.enable(console=DEVELOPMENT, data=True)
usb_hid.disable()
usb_midi.disable()
