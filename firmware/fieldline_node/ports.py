"""What the node asks of the machine it runs on. drivers/<interpreter>/ and tests/fakes/ give it.

Rules: the app knows these and nothing below; no method waits, but for the flash and a link's write.

hardware (drivers/micropython/hardware.py)
    now_ms()            ms since the start; counts on, never wraps
    feed()              tells the watchdog that the app lives
    restart()           resets the chip; does not return on one
    reset_cause()       RESET_* of wire.md 5.6, as the chip knows it
    heap_free()         bytes
    random(count)       random bytes, fit for a stream number and jitter
    output(pin)         an object with set(level), off at first
    edges(pin)          an edge source: reject(us); read() -> (count, last, now): how many falling edges were
                        taken, when the last was (or was counted), the time; all modulo EDGE_MASK + 1, in us
    temperature()       of the chip in 0.01 degree C; OSError
    i2c(bus)            bus: (number, clock pin, data pin, Hz). read(address, register, into) fills a buffer,
                        write(address, register, data); OSError
    one_wire(pin)       reset(); write(data); read(into) fills a buffer; OSError
    analog(pin, mv)     an input with read() -> (uV, whether at the end of its range); mv: its full scale, where
                        the chip does not know it
link (links/)
    up                  whether it can carry messages
    poll(now)           the sealed messages that came
    send(sealed)        takes one message; OSError where it can't
    counters()          (frames in, frames out, CRC errors, noise bytes)
stream under a serial link
    read()              the bytes that came, b"" where none
    write(data)         OSError
flash region (flash.py)
"""
