"""The file that stands for raw flash: what is written when, what wears, what a fault does; cuts are in cutting.py."""

from cp_cases.rig import OUTBOX_SECTORS, SLOTS, STATE_SECTORS, STORE, blank_flash, reopened
from cp_fat import ERASE, FatVolume
from cp_world import Holder, PowerCut, new_world

from fieldline_node.drivers.circuitpython import flash as driver
from fieldline_node.errors import FlashError

SECTORS = STATE_SECTORS + OUTBOX_SECTORS


def _read(flash, sector, offset, count):
    buffer = bytearray(count)
    flash.readinto(sector, offset, memoryview(buffer))
    return bytes(buffer)


def _raises(error, function, *arguments):
    try:
        function(*arguments)
    except error as raised:
        return str(raised)
    raise AssertionError("no error")


def case_a_new_file_reads_blank():
    flash = blank_flash()
    for sector in range(SECTORS):
        assert _read(flash, sector, 0, driver.SECTOR_SIZE) == b"\xff" * driver.SECTOR_SIZE
    assert flash.writes == 0


def case_one_changed_sector_waits_and_another_ends_that():
    flash = blank_flash()
    flash.program(3, 0, b"three")
    flash.program(3, 5, b", more")
    assert flash.waiting and flash.writes == 0
    assert _read(flash, 3, 0, 11) == b"three, more"
    assert _read(reopened(), 3, 0, 5) == b"\xff" * 5
    flash = blank_flash()
    flash.program(3, 0, b"three")
    flash.program(4, 0, b"four")
    assert flash.writes == 1 and flash.waiting
    after = reopened()
    assert _read(after, 3, 0, 5) == b"three" and _read(after, 4, 0, 4) == b"\xff" * 4


def case_reading_another_sector_ends_no_waiting():
    flash = blank_flash()
    flash.program(4, 0, b"four")
    flash.sync()
    flash.program(3, 0, b"three")
    assert _read(flash, 4, 0, 4) == b"four"
    assert flash.waiting and flash.writes == 1


def case_an_erase_waits_as_a_program_does():
    flash = blank_flash()
    flash.program(3, 9, b"old")
    flash.sync()
    flash.erase(3)
    assert _read(flash, 3, 9, 3) == b"\xff" * 3
    assert _read(reopened(), 3, 9, 3) == b"old"
    flash = blank_flash()
    flash.program(3, 9, b"old")
    flash.sync()
    flash.erase(3)
    flash.program(3, 0, b"new")
    flash.sync()
    after = reopened()
    assert _read(after, 3, 0, 3) == b"new" and _read(after, 3, 9, 3) == b"\xff" * 3


def case_sync_makes_durable_where_reading_writes_nothing_out():
    flash = blank_flash()
    Holder.world.volume.reads_flush = False
    for i in range(20):
        flash.program(i % 3, i, b"x")
        flash.sync()
        assert _read(reopened(), i % 3, i, 1) == b"x"


def case_sync_twice_writes_once():
    flash = blank_flash()
    flash.program(0, 0, b"x")
    flash.sync()
    flash.sync()
    assert flash.writes == 1 and not flash.waiting


def case_the_directory_is_not_written_after_the_start():
    flash = blank_flash()
    volume = Holder.world.volume
    before = volume.directory_writes
    for i in range(40):
        flash.program(i % SECTORS, i, b"x")
        flash.sync()
    assert volume.directory_writes == before
    reopened()
    assert volume.directory_writes == before


def case_writes_go_round_all_slots():
    flash = blank_flash()
    volume = Holder.world.volume
    volume.erases = {}
    rounds = 20
    for i in range(rounds * SLOTS):
        flash.program(0, i % driver.SECTOR_SIZE, b"\x00")
        flash.sync()
    first, size = volume.files[STORE]
    worn = [count for address, count in volume.erases.items() if first <= address < first + size - ERASE]
    assert len(worn) >= SLOTS and max(worn) <= rounds + 2, sorted(worn)
    flash = reopened()
    volume.erases = {}
    for sector in range(SECTORS):  # each keeps a slot: the others share the wear
        flash.program(sector, 100, b"\x00")
    flash.sync()
    for i in range(rounds * 2):
        flash.program(0, 200 + i, b"\x00")
        flash.sync()
    assert max(volume.erases.values()) <= rounds * 2 // (SLOTS - SECTORS) + 4, volume.erases


def case_a_write_spoils_nothing_beside_its_slot_wherever_the_file_begins():
    for block in range(8):
        flash = blank_flash()
        volume = Holder.world.volume
        first, size = volume.files[STORE]
        at = ERASE + block * driver.BLOCK
        volume.data[at : at + size] = volume.data[first : first + size]
        volume.files[STORE] = (at, size)
        flash = reopened()
        touched = []
        volume.on_operation = lambda address, new, touched=touched: touched.append(address)
        for i in range(SLOTS):
            touched.clear()
            flash.program(0, i, b"\x00")
            flash.sync()
            slot = at + driver.GAP + flash._slot_of[0] * driver.STRIDE
            for address in set(touched):
                assert at <= address and address + ERASE <= at + size
                for other in range(SLOTS):
                    begin = at + driver.GAP + other * driver.STRIDE
                    mine = begin == slot
                    assert mine or begin + driver.SLOT <= address or address + ERASE <= begin, (block, other)


def case_a_slot_that_takes_nothing_is_passed_over():
    flash = blank_flash()
    volume = Holder.world.volume
    first = volume.files[STORE][0]
    slot = first + driver.GAP + 1 * driver.STRIDE
    volume.stuck = [(slot + 100, slot + 101)]
    for i in range(3 * SLOTS):
        flash.program(2, i, b"\x00")
        flash.sync()
        assert _read(reopened(), 2, 0, i + 1) == b"\x00" * (i + 1)
    assert flash.writes == 3 * SLOTS + 1


def case_where_no_slot_takes_a_sector_it_waits_on():
    flash = blank_flash()
    volume = Holder.world.volume
    flash.program(1, 0, b"before")
    flash.sync()
    volume.stuck = [(0, len(volume.data))]
    flash.program(2, 0, b"waits")
    assert "sector 2" in _raises(FlashError, flash.sync)
    assert flash.waiting
    assert "sector 2" in _raises(FlashError, flash.program, 1, 10, b"no")
    assert _read(flash, 2, 0, 5) == b"waits"
    volume.stuck = []
    flash.sync()
    after = reopened()
    assert _read(after, 2, 0, 5) == b"waits" and _read(after, 1, 0, 6) == b"before"
    assert _read(after, 1, 10, 2) == b"\xff\xff"


def case_a_file_system_that_fails_is_a_flash_error():
    flash = blank_flash()
    flash.program(1, 0, b"before")
    flash.sync()
    Holder.world.volume.broken = True
    flash.program(2, 0, b"x") if flash._sector == 2 else None
    _raises(FlashError, _read, flash, 1, 0, 1) if flash._sector != 1 else None
    flash.erase(2)
    _raises(FlashError, flash.sync)
    _raises(FlashError, flash.mount)
    Holder.world.volume.broken = False
    flash.sync()


def case_a_rotten_slot_is_not_believed():
    flash = blank_flash()
    flash.program(1, 0, b"kept")
    flash.sync()
    volume = Holder.world.volume
    at = volume.files[STORE][0] + driver.GAP + flash._slot_of[1] * driver.STRIDE
    for offset in (0, 3, 4, 11, 12, 16, 17, 4095):
        old = volume.data[at + offset]
        volume.data[at + offset] ^= 0x10
        assert _read(reopened(), 1, 0, 4) == b"\xff" * 4, offset
        volume.data[at + offset] = old
    assert _read(reopened(), 1, 0, 4) == b"kept"


def case_the_newest_slot_counts_after_many_rounds():
    flash = blank_flash()
    for i in range(200):
        flash.erase(i % 3)
        flash.program(i % 3, 0, bytes((i,)))
        if i % 7 == 0:
            flash.sync()
            flash = reopened()
    flash.sync()
    flash = reopened()
    assert [_read(flash, sector, 0, 1)[0] for sector in range(3)] == [198, 199, 197]


def case_the_file_is_made_whole_or_not_at_all():
    fed = []
    for operation in range(1, 400, 23):
        world = new_world()
        world.volume.python_writes = True
        _cut_at(world.volume, operation)
        try:
            driver.open_flash(STORE, SLOTS, SECTORS, lambda: fed.append(1))
        except PowerCut:
            pass
        world.volume.on_operation = None
        flash = reopened()
        size = SLOTS * driver.STRIDE + driver.GAP
        assert world.volume.stat(STORE)[6] == size
        assert _read(flash, 0, 0, 8) == b"\xff" * 8
        first = world.volume.files[STORE][0]
        assert world.volume.data[first : first + size] == b"\xff" * size
    assert len(fed) > 400


def case_an_old_file_of_another_size_makes_room():
    blank_flash(slots=9, sectors=5)
    flash = reopened()
    flash.program(9, 0, b"last")
    flash.sync()
    assert _read(reopened(), 9, 0, 4) == b"last"
    assert len(Holder.world.volume.files) == 1


def case_a_file_system_without_room_is_said_and_keeps_no_half_file():
    world = new_world()
    world.volume = FatVolume(64 * 1024)
    world.volume.python_writes = True
    assert "no room" in _raises(OSError, driver.open_flash, STORE, SLOTS, SECTORS, lambda: None)
    assert world.volume.files == {}


def case_a_file_system_that_is_the_hosts_is_an_oserror():
    blank_flash()
    Holder.world.volume.power_on()
    _raises(OSError, driver.open_flash, STORE, SLOTS, SECTORS, lambda: None)


def case_more_sectors_than_slots_are_refused():
    for slots, sectors in ((10, 9), (256, 4)):
        _raises(ValueError, driver.FileFlash, None, slots, sectors, None)
    driver.FileFlash(None, 10, 8, None)


def _cut_at(volume, operation):
    count = []

    def cut(address, new):
        count.append(1)
        if len(count) == operation:
            raise PowerCut

    volume.on_operation = cut
