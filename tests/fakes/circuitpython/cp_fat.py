"""CircuitPython's file system on an RP2: FAT in blocks of 512 bytes on flash that is erased in 4 KiB.

Rules, from CircuitPython's sources:
- A block is written into a cache of one 4 KiB sector. The sector is erased and programmed where another one is
  written, where anything is read, and by os.sync() (ports/raspberrypi/supervisor/internal_flash.c). Where the
  file system has a flash chip of its own, reading does not (supervisor/shared/external_flash): `reads_flush`.
- Clusters start anywhere in those sectors (f_mkfs is told an erase block of 1); here files lie in one piece.
- close() and flush() of a file that was written rewrite its directory entry, and so does what makes, renames or
  removes a file (f_sync). A power cut in that loses the directory.
- Less than a block passes through the window that FAT and directory share; the node never does that.
`on_operation(address, new)` is called before each erase and program of a sector, with its new content; for one of
the directory address is DIRECTORY.
"""

ERASE = 4096
BLOCK = 512
FIRST = 5  # blocks from a sector's start at which the first file begins: as on a Pico W, FAT12 of 508 KiB
DIRECTORY = -1
EROFS = 30
ENOENT = 2
EIO = 5
MODES = ("before", "erasing", "erased", "half", "almost", "after")


class FatVolume:
    """A volume. `files`: path to (first byte, size) in flash; `texts`: small files by path."""

    def __init__(self, size=256 * 1024):
        self.data = bytearray(b"\xa5" * size)  # what other files hold
        self.files = {}
        self.texts = {}
        self.operations = 0
        self.directory_writes = 0
        self.erases = {}
        self.on_operation = None
        self.stuck = []  # (first, end) of bytes that do not take what is written
        self.broken = False  # every access raises OSError
        self.lost = False  # the directory is gone
        self.reads_flush = True
        self.power_on()

    def power_on(self):
        """Starts after a reset: the cache is gone, the file system the host's to write."""
        self.cached = None
        self.cache = bytearray(ERASE)
        self.python_writes = False

    def copy(self, data):
        """Another volume with the same files, and `data` in its flash."""
        other = FatVolume(0)
        other.data = bytearray(data)
        other.files = dict(self.files)
        other.texts = dict(self.texts)
        other.python_writes = True
        other.reads_flush = self.reads_flush
        return other

    def torn(self, mode, random, address, new):
        """The flash as a cut in the operation (address, new) leaves it. `random` is a Lcg."""
        data = bytearray(self.data)
        old = data[address : address + ERASE]
        if mode == "before":
            new = old
        elif mode == "erasing":  # each bit is erased, or not yet
            new = bytes([old[i] | random.bits(8) for i in range(ERASE)])
        elif mode == "erased":
            new = b"\xff" * ERASE
        elif mode == "half":
            new = bytes(new[: ERASE // 2]) + b"\xff" * (ERASE // 2)
        elif mode == "almost":
            new = _one_bit_missing(new, random)
        data[address : address + ERASE] = new
        return data

    def open(self, path, mode):
        if self.lost:
            raise OSError(ENOENT)
        if mode not in ("r", "rb") and not self.python_writes:
            raise OSError(EROFS)
        if mode == "wb":
            return NewFile(self, path)
        if path in self.texts and mode != "wb":
            data = self.texts[path]
            return TextFile(data if mode == "rb" else data.decode())
        if path not in self.files:
            raise OSError(ENOENT)
        return OpenFile(self, *self.files[path])

    def stat(self, path):
        if path not in self.files and path not in self.texts:
            raise OSError(ENOENT)
        size = self.files[path][1] if path in self.files else len(self.texts[path])
        return (0x8000, 0, 0, 0, 0, 0, size, 0, 0, 0)

    def remove(self, path):
        if path not in self.files:
            raise OSError(ENOENT)
        self.write_directory()
        del self.files[path]

    def rename(self, old, new):
        if old not in self.files or new in self.files:
            raise OSError(ENOENT)
        self.write_directory()
        self.files[new] = self.files.pop(old)

    def sync(self):
        """os.sync()"""
        if self.cached is None:
            return
        address, self.cached = self.cached, None
        self.operations += 1
        if self.on_operation is not None:
            self.on_operation(address, self.cache)
        self.erases[address] = self.erases.get(address, 0) + 1
        for first, end in self.stuck:
            for i in range(max(first, address), min(end, address + ERASE)):
                self.cache[i - address] = 0
        self.data[address : address + ERASE] = self.cache

    def write_directory(self):
        """Rewrites the directory's sector."""
        self.sync()
        if self.on_operation is not None:
            self.on_operation(DIRECTORY, None)
        self.directory_writes += 1

    def read(self, at, buffer):
        if self.broken:
            raise OSError(EIO)
        if self.reads_flush:
            self.sync()
        buffer[:] = self.data[at : at + len(buffer)]
        if self.cached is not None:  # what the cache has is newer
            first, end = max(at, self.cached), min(at + len(buffer), self.cached + ERASE)
            if first < end:
                buffer[first - at : end - at] = self.cache[first - self.cached : end - self.cached]

    def write_block(self, at, data):
        if self.broken:
            raise OSError(EIO)
        address = at - at % ERASE
        if self.cached != address:
            self.sync()
            self.cached = address
            self.cache = bytearray(self.data[address : address + ERASE])
        self.cache[at - address : at - address + BLOCK] = data

    def end(self):
        """Where the next file begins."""
        ends = [first + size for first, size in self.files.values()]
        return max(ends) if ends else ERASE + FIRST * BLOCK


class OpenFile:
    """A file opened with "r+b" or "rb"."""

    def __init__(self, volume, first, size):
        self._volume = volume
        self._first = first
        self._size = size
        self._at = 0
        self._written = False

    def seek(self, offset):
        assert 0 <= offset <= self._size, "seek makes the file longer"
        self._at = offset
        return offset

    def readinto(self, buffer):
        count = min(len(buffer), self._size - self._at)
        self._volume.read(self._first + self._at, memoryview(buffer)[:count])
        self._at += count
        return count

    def write(self, data):
        assert self._at % BLOCK == 0 and len(data) % BLOCK == 0, (
            "passes through the window of FAT and directory"
        )
        assert self._at + len(data) <= self._size, "the file grows"
        self._written = True
        view = memoryview(data)
        for at in range(0, len(data), BLOCK):
            self._volume.write_block(self._first + self._at + at, view[at : at + BLOCK])
        self._at += len(data)
        return len(data)

    def flush(self):
        if self._written:
            self._volume.write_directory()

    def close(self):
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class NewFile:
    """A file opened with "wb": seek() makes it longer, as f_lseek does."""

    def __init__(self, volume, path):
        self._volume = volume
        self._path = path
        self._size = 0

    def seek(self, offset):
        room = len(self._volume.data) - self._volume.end() - ERASE
        self._size = max(0, min(offset, room))  # "clip file size in case of disk full"
        return self._size

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._volume.files.pop(self._path, None)
        first = self._volume.end()
        self._volume.write_directory()
        self._volume.files[self._path] = (first, self._size)


class TextFile:
    """A small file, to be read whole."""

    def __init__(self, data):
        self._data = data

    def read(self):
        return self._data

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def _one_bit_missing(new, random):
    """`new`, with one of its programmed bits as the erase left it."""
    programmed = [i for i in range(len(new)) if new[i] != 0xFF]
    new = bytearray(new)
    if programmed:
        i = programmed[random.bits(16) % len(programmed)]
        bits = [bit for bit in range(8) if not new[i] >> bit & 1]
        new[i] |= 1 << bits[random.bits(8) % len(bits)]
    return new
