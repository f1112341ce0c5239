"""What the node asks of its ports (firmware/fieldline_node/ports.py), as cases that any driver must pass.

Rules: runs on MicroPython and CircuitPython too. A case gets a rig, made for it alone:
    flash   region(): a blank region of 4 sectors or more; restart(): the same region after a reset
    clock   hardware; wait(ms)
    edges   source(): an edge source; pulse(count, hz): that many falling edges; wait(ms)
    stream  stream; say(data): the other end sends; heard(): all it got; unplug(); plug()
    bearer  bearer; hear(data, rssi): somebody near says it; wait(ms): the bearer is asked as often as it wants, what
            came is in `came`, (AD type, data), and the dBm of the last in `rssi`; `air`: the adverts that it said,
            one an event; `bound`: how many may wait unseen; refuse(on): the radio refuses all that it is told
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


def bearer_gives_what_it_hears_in_order(rig):
    rig.wait(100)
    rig.hear(_ad(0x2A, b"message"))
    rig.hear(_ad(0x2B, b"beacon and more") + b"\x02\x01\x06")
    rig.hear(_ad(0x29, bytes(29)))
    rig.wait(200)
    assert rig.came == [(0x2A, b"message"), (0x2B, b"beacon and more"), (0x29, bytes(29))], rig.came
    rig.wait(500)
    assert len(rig.came) == 3 and rig.bearer.lost == 0


def bearer_hears_a_repeated_advert_each_time_and_the_weak_ones(rig):
    rig.wait(100)
    for turn in range(60):
        rig.hear(_ad(0x2A, b"again"), -60 - turn % 40)
        rig.wait(7)
    rig.wait(200)
    assert rig.came == [(0x2A, b"again")] * 60
    assert rig.bearer.lost == 0
    assert rig.rssi == -79


def bearer_tells_the_signal_strength(rig):
    rig.wait(100)
    for dbm in (-20, -127):
        rig.hear(_ad(0x2A, b"near or far"), dbm)
        rig.wait(300)
        assert rig.rssi == dbm, rig.rssi


def bearer_takes_no_advert_that_is_none_of_a_mesh(rig):
    rig.wait(100)
    empty = (b"", b"\x01", b"\x01\x2a", b"\x01\x2a\x00", b"\x00\x2a\x00", b"\x00\x2a\x05\x01\x02\x03")
    for data in empty + (_ad(0xFF, b"other"), b"\x1e\x2a\x00", b"\x03\x2a\x00", bytes(31)):
        rig.hear(data)
        rig.wait(20)
    rig.wait(200)
    assert rig.came == [] and rig.bearer.lost == 0


def bearer_keeps_as_many_as_it_may_under_a_flood(rig):
    rig.wait(100)
    for turn in range(3):
        del rig.came[:]
        lost = rig.bearer.lost
        for number in range(3 * rig.bound):
            rig.hear(_ad(0x2A, bytes((turn, number)) + bytes(27)))
        rig.wait(200)
        assert rig.bound - 1 <= len(rig.came) <= rig.bound
        assert [data[1] for _, data in rig.came] == list(range(len(rig.came))), "the oldest stay"
        assert rig.bearer.lost > lost
    del rig.came[:]
    rig.hear(_ad(0x2A, b"after"))
    rig.wait(200)
    assert rig.came == [(0x2A, b"after")]


def bearer_says_an_advert_in_one_event(rig):
    rig.wait(100)
    for number in range(20):
        assert rig.bearer.ready
        rig.bearer.send(rig.now(), 0x2A, bytes((number,)) + b"mine")
        assert not rig.bearer.ready
        rig.wait(5)
        assert not rig.bearer.ready
        rig.wait(10)
        assert rig.bearer.ready and rig.air == [
            _ad(0x2A, bytes((each,)) + b"mine") for each in range(number + 1)
        ]
    rig.wait(500)
    assert len(rig.air) == 20, "and then no more"


def bearer_hears_while_it_says(rig):
    rig.wait(100)
    for number in range(100):
        if rig.bearer.ready:
            rig.bearer.send(rig.now(), 0x2A, b"mine")
        rig.hear(_ad(0x2A, bytes((number,))))
        rig.wait(8)
    rig.wait(200)
    assert rig.came == [(0x2A, bytes((number,))) for number in range(100)]
    assert len(rig.air) > 40 and rig.bearer.lost == 0


def bearer_rests_while_it_is_not_to_listen(rig):
    rig.wait(100)
    rig.hear(_ad(0x2A, b"just before"))
    rig.bearer.listen(rig.now(), False)
    for _ in range(20):
        rig.wait(30)
        rig.hear(_ad(0x2A, b"unheard"))
        rig.bearer.listen(rig.now(), False)
    rig.bearer.send(rig.now(), 0x2A, b"mine")
    rig.wait(20)
    assert rig.air == [_ad(0x2A, b"mine")]
    for _ in range(2):
        rig.bearer.listen(rig.now(), True)
    rig.wait(1100)  # a bearer that does not listen wants to be asked once a second
    rig.hear(_ad(0x2A, b"heard again"))
    rig.wait(200)
    assert rig.came == [(0x2A, b"just before"), (0x2A, b"heard again")], rig.came


def bearer_outlives_a_radio_that_refuses(rig):
    rig.wait(100)
    rig.refuse(True)
    for _ in range(100):
        if rig.bearer.ready:
            rig.bearer.send(rig.now(), 0x2A, b"refused")
        rig.wait(50)
    assert rig.air == []
    rig.refuse(False)
    rig.wait(32000)  # what fell silent is begun anew
    rig.hear(_ad(0x2A, b"back"))
    assert rig.bearer.ready
    rig.bearer.send(rig.now(), 0x2A, b"mine")
    rig.wait(200)
    assert rig.came == [(0x2A, b"back")] and rig.air == [_ad(0x2A, b"mine")]


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
    for port in ("flash", "clock", "edges", "stream", "bearer", "chip")
}


def _ad(kind, data):
    """An AD structure."""
    return bytes((len(data) + 1, kind)) + data


def _drain(stream):
    """All that came."""
    found = b""
    while True:
        data = bytes(stream.read())
        if not data:
            return found
        found += data
