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
    pace                (patience in ms, window in reports) of its session, wire.md 6.3
    up                  whether it can carry messages
    room                whether it takes another message now
    poll(now)           the sealed messages that came
    send(sealed)        takes one message; OSError where it can't
    counters()          (frames in, frames out, CRC errors, noise bytes)
    close()             the node restarts on purpose
bearer under a mesh link (drivers/*/ble.py)
    listen(on)          whether it hears from the next poll() on; what came before is given still
    lost                adverts that came when there was no room
    poll(now)           ms until it is to be asked again; whether an event is over
    ready               whether it takes an advert
    send(now, type, data)   one advertising event of an AD structure
    take()              (AD type, data, dBm where the radio tells it) of an advert that came, None where there is none
stream under a serial link
    read()              the bytes that came, b"" where none
    write(data)         OSError
loader of updates (drivers/micropython/loader.py), where the board takes them
    slot                that runs
    state               of the slot journal when this boot began
    load()              their port; None where nobody is trusted with them; OSError, FlashError
    standby(app, journal)   what the app asks at each step and message (standby.py)
    unload()            what load() brought leaves memory, once nothing of it is used
port of updates (drivers/micropython/updates.py)
    journal             slot journal, mounted, with a record
    slots               (head, image) regions of A and B
    who                 node, board, component, abi
    status()            Status of wire/update/messages.py, with nothing loaded
    updater(unix, random)   all that an update needs, loaded now
    switch              None, or the chip's own loader: running, confirmed() (drivers/micropython/native.py)
flash region (flash.py)
"""
