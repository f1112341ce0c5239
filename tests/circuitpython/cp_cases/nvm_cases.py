"""The epoch's twin in nvm: no epoch comes back, whatever is lost."""

from cp_cases.rig import ON_CPYTHON, blank_flash, reopened
from cp_nvm import ByteArray
from cp_world import Holder, PowerCut
from fakes.flash import FakeFlash

from fieldline_node.drivers.circuitpython.nvm import TwinJournal
from fieldline_node.epoch import next_epoch
from fieldline_node.journal import Journal
from fieldline_node.keys import KEY_EPOCH_TWIN

BOOTS = 80  # more than twice round nvm's area
SMALL = (5, 3)  # slots, sectors


def _journal(region, nvm):
    journal = TwinJournal(region, nvm)
    journal.mount()
    return journal


def case_epochs_count_up_and_nvm_is_erased_seldom():
    region, nvm = FakeFlash(2), ByteArray()
    assert [next_epoch(_journal(region, nvm)) for _ in range(BOOTS)] == list(range(1, BOOTS + 1))
    assert nvm.erases == (BOOTS - 1) // 32
    assert Journal(region).get(KEY_EPOCH_TWIN) is None


def case_a_lost_file_system_brings_no_epoch_back():
    nvm = ByteArray()
    for boot in range(1, BOOTS):
        assert next_epoch(_journal(FakeFlash(2), nvm)) == boot


def case_a_lost_nvm_brings_no_epoch_back():
    region = FakeFlash(2)
    for boot in range(1, 10):
        assert next_epoch(_journal(region, ByteArray())) == boot


def case_nvm_of_any_content_and_size_is_no_epoch():
    for nvm in (ByteArray(), ByteArray(256), ByteArray(8), ByteArray(4), ByteArray(0), None):
        assert next_epoch(_journal(FakeFlash(2), nvm)) == 1
    for byte in (0, 0xFF, 0x5A):
        nvm = ByteArray()
        nvm.data = bytearray(bytes((byte,)) * 4096)
        region = FakeFlash(2)
        assert [next_epoch(_journal(region, nvm)) for _ in range(3)] == [1, 2, 3]


def case_without_nvm_the_twin_is_in_the_journal():
    for nvm in (None, ByteArray(4)):
        region = FakeFlash(2)
        for boot in range(1, 4):
            journal = _journal(region, nvm)
            assert next_epoch(journal) == boot
            plain = Journal(region)
            plain.mount()
            assert plain.get(KEY_EPOCH_TWIN) == journal.get(KEY_EPOCH_TWIN) == boot.to_bytes(4, "big")


def case_nvm_that_refuses_leaves_the_twin_to_the_journal():
    region, nvm = FakeFlash(2), ByteArray()
    for boot in range(1, 4):
        assert next_epoch(_journal(region, nvm)) == boot
    nvm.refuses = True
    for boot in range(4, 8):
        assert next_epoch(_journal(region, nvm)) == boot
        assert _journal(region, nvm).get(KEY_EPOCH_TWIN) == boot.to_bytes(4, "big")
    nvm.refuses = False
    assert next_epoch(_journal(region, nvm)) == 8


def case_a_cut_in_nvm_brings_no_epoch_back():
    # With the journal durable before nvm is touched, and with it still waiting in memory.
    for waits in (False, True):
        for boots in (0, 1, 31, 32, 33, 64) if ON_CPYTHON else (0, 32):
            for left in ("nothing", "half", "old"):
                _cut_in_nvm(waits, boots, left)


def _cut_in_nvm(waits, boots, left):
    flash = blank_flash(*SMALL)
    nvm = Holder.world.nvm
    for _ in range(boots):
        next_epoch(_journal(flash.region(0, 2), nvm))
        flash.sync()
        flash = reopened(*SMALL)

    def cut(new, erased):
        if not waits:
            flash.sync()
        if left != "old":
            nvm.data = bytearray(new) if left == "half" else bytearray(nvm.data)
            for i in range(len(new)) if erased else range(0):
                nvm.data[i] = 0xFF if left == "nothing" or i % 2 else new[i]
        raise PowerCut

    nvm.on_operation = cut
    try:
        next_epoch(_journal(flash.region(0, 2), nvm))
    except PowerCut:
        pass
    nvm.on_operation = None
    after = next_epoch(_journal(reopened(*SMALL).region(0, 2), nvm))
    assert after > boots, (waits, boots, left, after)  # what was sent under: only what came to its end
