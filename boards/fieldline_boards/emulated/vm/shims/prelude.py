# Run in the VM before anything of the board's: gives `time` the board's clock, `asyncio` its `run`, and what else this
# port lacks beside one of a chip. Leaves no name behind.
# SIMULATION DETAIL: this VM can collect garbage only when no Python is running, so an app started by main.py
# must not block: there `asyncio.run` returns at once and the app goes on as tasks of the host's event loop.
# In the REPL and in scripts it blocks, as on a chip.
def _clock(_hw):
    import time

    def sleep_us(us):
        # A float, as this VM hands an int to JavaScript as 32 bits: 36 minutes. Gives undefined, which is not None.
        _hw.sleep_us(float(us))

    time.ticks_us = _hw.ticks_us
    time.ticks_ms = _hw.ticks_ms
    time.ticks_cpu = _hw.ticks_us
    time.sleep_us = sleep_us
    time.sleep_ms = lambda ms: sleep_us(ms * 1000)
    time.sleep = lambda seconds: sleep_us(int(seconds * 1000000))


def _system(_hw):
    import os
    from uctypes import addressof

    listed = os.ilistdir  # of this VM's file system: without sizes, which littlefs gives

    def ilistdir(path="."):
        for name, kind, inode in listed(path):
            yield name, kind, inode, os.stat(path + "/" + name)[6]

    def urandom(count):
        data = bytearray(count)
        if count:
            _hw.random(addressof(data), count)
        return bytes(data)

    # As on a board whose file system ends where its raw flash begins.
    blocks = _hw.flash_begins() // 4096

    def statvfs(path):
        return 4096, 4096, blocks, blocks // 2, blocks // 2, 0, 0, 0, 0, 255

    os.statvfs = statvfs
    os.ilistdir = ilistdir
    os.urandom = urandom


def _tasks(_hw):
    import asyncio
    import sys
    import time
    from asyncio import core

    ticks_diff = time.ticks_diff

    async def app(coro):
        try:
            await coro
        except SystemExit:
            _hw.halt("soft")
        except BaseException as error:
            sys.print_exception(error)
        _hw.app_ended()

    def run(coro):
        if _hw.app_started():
            asyncio.new_event_loop()
            asyncio.create_task(app(coro))
            return None
        asyncio.new_event_loop()
        task = asyncio.create_task(coro)
        try:
            while not task.done():
                core._run_iter()
                head = core._task_queue.peek()
                if not task.done():
                    wait = ticks_diff(head.ph_key, core.ticks()) if head else 50
                    time.sleep_ms(max(0, wait))
            if isinstance(task.data, StopIteration):
                return task.data.value
            raise task.data
        finally:
            asyncio.new_event_loop()

    asyncio.run = run
    _hw.drop_tasks = lambda: asyncio.new_event_loop() and None


def _memory(_hw):
    import gc
    import sys

    # This VM's heap has no end, and holds what a chip has in ROM (`base`): what is free is counted from the chip's.
    class Gc:
        pass

    chip_gc = Gc()
    for name in ("collect", "disable", "enable", "isenabled", "threshold"):
        setattr(chip_gc, name, getattr(gc, name))
    chip_gc.mem_alloc = lambda: gc.mem_alloc() - _hw.base
    chip_gc.mem_free = lambda: max(0, _hw.heap - chip_gc.mem_alloc())
    sys.modules["gc"] = chip_gc
    _hw.collect = gc.collect
    _hw.heap_all = gc.mem_alloc


def _prelude():
    import _hw
    import micropython

    for part in (_clock, _system, _tasks, _memory):
        part(_hw)
    _hw.kbd_intr = micropython.kbd_intr
    for name in ("machine", "cryptolib", "rp2" if _hw.chip == "rp2" else "esp32"):
        __import__(name)


_prelude()
del _prelude, _clock, _system, _tasks, _memory
