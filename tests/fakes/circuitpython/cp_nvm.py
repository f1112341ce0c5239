"""microcontroller.nvm as the RP2 port has it: a sector of flash (ports/raspberrypi/common-hal/nvm/ByteArray.c).

Rules: blank bytes are programmed where they lie; a write to any other erases all of it first.
`on_operation(new, erased)` is called before each operation on flash, with what it leaves.
"""

SIZE = 4096


class ByteArray:
    """nvm.ByteArray; the sole instance is microcontroller.nvm."""

    def __init__(self, size=SIZE):
        self.data = bytearray(b"\xff" * size)
        self.erases = 0
        self.on_operation = None
        self.refuses = False

    def __len__(self):
        return len(self.data)

    def __bool__(self):
        return True

    def __getitem__(self, index):
        if isinstance(index, slice):
            return bytearray(self.data[index])
        return self.data[index]

    def __setitem__(self, index, value):
        if not isinstance(index, slice):
            index, value = slice(index, index + 1), bytes((value,))
        start, stop = index.start or 0, len(self.data) if index.stop is None else index.stop
        if stop - start != len(value):
            raise ValueError("Slice and value different lengths.")
        if self.refuses:
            raise RuntimeError("Unable to write to nvm.")
        erased = self.data[start:stop] != b"\xff" * len(value)
        new = bytearray(self.data)
        new[start:stop] = value
        if self.on_operation is not None:
            self.on_operation(new, erased)
        self.erases += erased
        self.data = new
