"""The journal, on both interpreters."""

from fakes.flash import MODES, FakeFlash, Lcg

from fieldline_node.epoch import next_epoch
from fieldline_node.errors import StorageError
from fieldline_node.journal import MAX_VALUE, Journal


def mounted(flash):
    journal = Journal(flash)
    journal.mount()
    return journal


def case_values_survive_a_restart():
    flash = FakeFlash(2)
    journal = mounted(flash)
    assert journal.get(1) is None
    journal.put(1, b"one")
    journal.put(2, b"")
    journal.put(1, b"another")
    for each in (journal, mounted(flash)):
        assert each.get(1) == b"another"
        assert each.get(2) == b""
        assert each.get(3) is None


def case_the_same_value_costs_no_flash():
    flash = FakeFlash(2)
    journal = mounted(flash)
    journal.put(1, b"one")
    before = flash.operations
    journal.put(1, b"one")
    mounted(flash).put(1, b"one")
    assert flash.operations == before


def case_values_move_on_with_every_sector():
    flash = FakeFlash(3, 256)
    journal = mounted(flash)
    journal.put(7, b"stays")
    for number in range(200):
        journal.put(1, b"%d" % number)
        journal.put(2, b"x" * (number % 40))
    for each in (journal, mounted(flash)):
        assert each.get(7) == b"stays"
        assert each.get(1) == b"199"
        assert each.get(2) == b"x" * 39
    assert max(flash.erases) - min(flash.erases) <= 1, flash.erases


def case_the_longest_value_fits():
    flash = FakeFlash(2)
    journal = mounted(flash)
    for number in range(40):
        journal.put(1, bytes([number]) * MAX_VALUE)
    assert mounted(flash).get(1) == b"\x27" * MAX_VALUE


def case_what_cannot_be_kept_is_refused():
    journal = mounted(FakeFlash(2))
    for key, value in ((255, b""), (-1, b""), (1, b"x" * (MAX_VALUE + 1))):
        try:
            journal.put(key, value)
        except ValueError:
            continue
        raise AssertionError(f"key {key} with {len(value)} bytes was taken")


def case_too_many_values_are_refused_and_the_old_ones_stay():
    flash = FakeFlash(2, 256)
    journal = mounted(flash)
    for key in range(3):
        journal.put(key, b"x" * 60)
    try:
        journal.put(3, b"x" * 60)
    except StorageError:
        pass
    else:
        raise AssertionError("four values of 66 bytes in 240")
    for each in (journal, mounted(flash)):
        assert [each.get(key) for key in range(4)] == [b"x" * 60] * 3 + [None]


def case_a_rotten_record_is_stepped_over():
    flash = FakeFlash(2)
    journal = mounted(flash)
    for key in range(6):
        journal.put(key, b"value %d" % key * 3)
    for address in range(16, 16 + 6 * 32, 7):
        rotten = FakeFlash(2, data=flash.data)
        rotten.data[address] ^= 0x10
        again = mounted(rotten)
        lost = [key for key in range(6) if again.get(key) is None]
        padding = (address - 16) % 32 >= 28
        assert lost == ([] if padding else [(address - 16) // 32]), (address, lost)
        again.put(lost[0] if lost else 0, b"new")
        assert mounted(rotten).get(lost[0] if lost else 0) == b"new"


def case_a_value_that_rots_while_running_is_none():
    flash = FakeFlash(2)
    journal = mounted(flash)
    journal.put(1, b"value")
    flash.data[20] ^= 1
    assert journal.get(1) is None
    journal.put(1, b"value")
    assert journal.get(1) == b"value" == mounted(flash).get(1)


def case_a_sector_that_takes_nothing_is_left():
    flash = FakeFlash(3)
    journal = mounted(flash)
    journal.put(1, b"one")
    flash.stuck = {0}
    journal.put(1, b"two")
    journal.put(2, b"more")
    assert mounted(flash).get(1) == b"two"
    flash.stuck = {0, 2}  # the sector in use takes data yet, and is not erased for that
    try:
        for number in range(300):
            journal.put(3, b"%d" % number)
    except StorageError:
        assert mounted(flash).get(1) == b"two"
    else:
        raise AssertionError("300 values in one sector")
    flash.stuck = {0, 1, 2}
    try:
        journal.put(1, b"three")
    except StorageError:
        assert mounted(flash).get(1) == b"two"
        return
    raise AssertionError("a dead flash took a value")


def case_a_cut_leaves_the_old_value_or_the_new():
    """Every operation of 60 puts, in five ways; afterwards the journal takes more."""
    flash = FakeFlash(2, 256)
    state = {"old": None, "new": None, "cases": 0}
    random = Lcg(3)

    def cut(address, data):
        for mode in MODES:
            copy = FakeFlash(2, 256, flash.torn(mode, random, address, data))
            journal = mounted(copy)
            assert journal.get(1) in (state["old"], state["new"]), mode
            assert journal.get(9) in (b"fixed", None if state["old"] is None else b"fixed")
            journal.put(1, b"after")
            journal.put(2, b"more")
            assert mounted(copy).get(1) == b"after"
            state["cases"] += 1

    flash.on_operation = cut
    journal = mounted(flash)
    journal.put(9, b"fixed")
    for number in range(60):
        state["new"] = b"%d" % number * (number % 7 + 1)
        journal.put(1, state["new"])
        state["old"] = state["new"]
    assert state["cases"] > 300


def case_no_epoch_comes_twice():
    """Not even where any one record of the journal is rotten."""
    flash = FakeFlash(2)
    for boot in range(1, 6):
        assert next_epoch(mounted(flash)) == boot
    for address in range(16, 16 + 10 * 16):
        rotten = FakeFlash(2, data=flash.data)
        rotten.data[address] ^= 0x40
        assert next_epoch(mounted(rotten)) == 6, address
