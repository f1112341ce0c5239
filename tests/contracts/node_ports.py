"""What the node asks of its ports (firmware/fieldline_node/ports.py), as cases that any driver must pass.

Rules: runs on MicroPython and CircuitPython too. A case gets a rig, made for it alone:
    flash   region(): a blank region of 4 sectors or more; restart(): the same region after a reset
    clock   hardware; wait(ms)
    edges   source(): an edge source; pulse(count, hz): that many falling edges; wait(ms)
    stream  stream; say(data): the other end sends; heard(): all it got; unplug(); plug()
    chip    hardware; restart(): calls hardware.restart(), whether the chip was reset; warm(celsius or None)
`CASES` gives them by port.
"""

from node_cases.flash_contract import check, read

from fieldline_node.sensors.edges import EDGE_MASK


def flash_keeps_the_contract(rig):
    check(rig.region())


def flash_is_kept_over_a_restart(rig):
    region = rig.region()
    region.erase(2)
    region.program(2 * region.sector_size + 1, b"kept")
    region = rig.restart()
    assert read(region, 2 * region.sector_size + 1, 4) == b"kept"
    region.program(2 * region.sector_size + 5, b", and more")
    assert read(region, 2 * region.sector_size + 1, 14) == b"kept, and more"
    region = rig.restart()
    assert read(region, 2 * region.sector_size + 1, 14) == b"kept, and more"


def clock_starts_near_zero_and_counts_on(rig):
    before = rig.hardware.now_ms()
    assert 0 <= before < 1000
    rig.wait(50)
    now = rig.hardware.now_ms()
    assert now >= before + 50
    assert rig.hardware.now_ms() >= now


def edges_counts_each_once(rig):
    source = rig.source()
    source.reject(0)
    first = source.read()[0]
    rig.pulse(7, 100)
    assert (source.read()[0] - first) & EDGE_MASK == 7
    assert (source.read()[0] - first) & EDGE_MASK == 7
    rig.pulse(3, 100)
    assert (source.read()[0] - first) & EDGE_MASK == 10


def edges_tells_when_the_last_one_was(rig):
    source = rig.source()
    source.reject(0)
    rig.pulse(5, 50)
    rig.wait(300)
    _, last, now = source.read()
    age = (now - last) & EDGE_MASK
    assert 280000 <= age <= 330000, age
    _, again, later = source.read()
    assert again == last and (later - now) & EDGE_MASK < 100000


def edges_stays_in_its_range(rig):
    source = rig.source()
    rig.pulse(2, 100)
    assert all([0 <= each <= EDGE_MASK for each in source.read()])


def stream_brings_nothing_where_nothing_came(rig):
    assert not rig.stream.read()


def stream_carries_every_byte_both_ways(rig):
    data = bytes(range(256))
    rig.say(data)
    assert _drain(rig.stream) == data
    rig.stream.write(data)
    rig.stream.write(b"\x03\x04\r\x03")
    assert rig.heard() == data + b"\x03\x04\r\x03"


def stream_keeps_the_order_of_what_came_in_pieces(rig):
    sent = b""
    for i in range(40):
        piece = bytes([i]) * (i % 7 + 1)
        rig.say(piece)
        sent += piece
    assert _drain(rig.stream) == sent


def stream_that_nobody_takes_raises_oserror_and_comes_back(rig):
    rig.unplug()
    for _ in range(2):
        try:
            rig.stream.write(b"lost")
        except OSError:
            continue
        raise AssertionError("nobody took it, nobody was told")
    assert not rig.stream.read()
    rig.plug()
    rig.stream.write(b"back")
    assert rig.heard().endswith(b"back")


def chip_gives_random_bytes(rig):
    some = [rig.hardware.random(4) for _ in range(16)]
    assert all([len(each) == 4 for each in some])
    assert len(set(some)) > 8
    assert rig.hardware.random(0) == b""


def chip_tells_how_it_is(rig):
    assert rig.hardware.heap_free() > 0
    assert 0 <= rig.hardware.reset_cause() <= 7  # wire.md 5.6
    rig.hardware.feed()


def chip_restarts(rig):
    assert rig.restart()


def chip_measures_its_temperature_or_says_that_it_does_not(rig):
    rig.warm(-12.34)
    assert abs(rig.hardware.temperature() + 1234) <= 1
    rig.warm(None)
    try:
        rig.hardware.temperature()
    except OSError:
        return
    raise AssertionError("a temperature from nowhere")


CASES = {
    port: [value for name, value in sorted(globals().items()) if name.startswith(port + "_")]
    for port in ("flash", "clock", "edges", "stream", "chip")
}


def _drain(stream):
    """All that came."""
    found = b""
    while True:
        data = bytes(stream.read())
        if not data:
            return found
        found += data
