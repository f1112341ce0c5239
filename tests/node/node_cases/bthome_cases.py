"""BTHome adverts: examples of the published format, what does not fit, and when they are said."""

from node_cases.bench import Bench, spinning
from node_cases.mesh_bench import FakeBearer

from fieldline_node.bthome import AD_SERVICE_DATA, COPIES, MAX_DATA, Beacon, service_data
from fieldline_wire.codes import (
    QTY_ACCELERATION,
    QTY_COUNT,
    QTY_CURRENT,
    QTY_FREQUENCY,
    QTY_HUMIDITY,
    QTY_POWER,
    QTY_PRESSURE,
    QTY_SPEED,
    QTY_TEMPERATURE,
    QTY_VOLTAGE,
)

# Examples of bthome.io/format where it has one for the object; all were read by bthome-ble 3.25.0 as these values.
EXAMPLES = (
    (QTY_TEMPERATURE, 2506, "02ca09"),
    (QTY_HUMIDITY, 5055, "03bf13"),
    (QTY_PRESSURE, 100883, "04138a01"),
    (QTY_POWER, 69140, "0b021b00"),
    (QTY_VOLTAGE, 3074, "0c020c"),
    (QTY_CURRENT, 133900, "434e34"),
    (QTY_ACCELERATION, 22151, "518756"),
    (QTY_SPEED, 34980, "61aa0d"),
    (QTY_COUNT, 25000, "3ea8610000"),
)


def hexed(data):
    return "".join(["%02x" % byte for byte in data])


def case_the_published_examples():
    for quantity, value, coded in EXAMPLES:
        assert hexed(service_data([(1, quantity, value)], 9)) == "d2fc400009" + coded, coded
    both = service_data([(1, QTY_HUMIDITY, 5055), (2, QTY_TEMPERATURE, 2500)], 0)
    assert hexed(both) == "d2fc40000002c40903bf13"  # objects in the order of their ids


def case_what_has_no_object_or_no_room_is_left_out():
    rows = [
        (1, QTY_FREQUENCY, 5),
        (2, QTY_SPEED, 10 * 65536),
        (3, QTY_SPEED, -1000),
        (4, QTY_TEMPERATURE, -32769),
    ]
    assert hexed(service_data(rows, 255)) == "d2fc4000ff"
    assert hexed(service_data([(4, QTY_TEMPERATURE, -1)], 256)) == "d2fc40000002ffff"
    many = service_data([(number, QTY_SPEED, 10 * number) for number in range(20)], 1)
    assert len(many) <= MAX_DATA and hexed(many) == "d2fc400001" + "".join(["61%02x00" % n for n in range(8)])


def case_each_advert_is_said_three_times_at_its_interval():
    bearer = FakeBearer()
    beacon = Beacon(bearer, 5000)
    assert beacon.step(0) > 0 and bearer.out == []  # nothing was read yet
    beacon.keep(1, QTY_SPEED, 15000)
    for now in range(0, 12000, 20):
        beacon.step(now)
        if now == 4000:
            beacon.keep(1, QTY_SPEED, 16000)
    said = [(kind, hexed(data)) for kind, data in bearer.out]
    assert [kind for kind, _ in said] == [AD_SERVICE_DATA] * (3 * COPIES)
    assert [data for _, data in said[::COPIES]] == [
        "d2fc40000061dc05",
        "d2fc4000016140" + "06",
        "d2fc4000026140" + "06",
    ]


def case_the_node_shows_what_it_reads():
    bench = spinning(Bench())
    bearer = FakeBearer()
    bench.app.shown = Beacon(bearer, 1000)
    bench.run(4000)
    last = hexed(bearer.out[-1][1])
    assert last[10:12] == "02" and last.endswith("61dc05"), (
        last
    )  # the chip's temperature, the fan's 1,500 rpm
