"""Replaces modules/_boot.py in a MicroPython build for the Pico W: the file system leaves the last 272 KiB
of the storage area to Fieldline (pico_w.toml, [flash]).

Build with it: copy it over ports/rp2/modules/_boot.py, then make -C ports/rp2 BOARD=RPI_PICO_W.
"""

import rp2
import vfs

FILES = 0x90000

_device = rp2.Flash(start=0, len=FILES)
try:
    _files = vfs.VfsLfs2(_device, progsize=256)
except OSError:
    vfs.VfsLfs2.mkfs(_device, progsize=256)
    _files = vfs.VfsLfs2(_device, progsize=256)
vfs.mount(_files, "/")
