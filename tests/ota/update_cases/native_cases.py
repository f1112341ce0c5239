"""Native images of the ESP32 family: what is taken, what is refused, and what the chip's loader does meanwhile
(runs on MicroPython too).

Rules: as forgery_cases.py; the loader and esp32.Partition are those of the emulated board (SIMULATED).
"""

from update_cases import native
from update_cases.native import ABORTED, NEW, PENDING_VERIFY, VALID, NativeSite, seq_crc
from update_cases.site import Gateway, Material

from fieldline_node.drivers.micropython.native import decide
from fieldline_node.flash import SECTOR
from fieldline_wire.update import codes
from fieldline_wire.update.standing import fail
from fieldline_wire.update.states import RESTING, next_state

# Releases that a gateway offers with a token that names them, and what becomes of it.
RELEASES = (
    ("class", codes.CLASS),
    ("component", codes.COMPONENT),
    ("vendor", codes.VENDOR),
    ("abi", codes.ABI),
    ("older", codes.SEQUENCE),
    ("expired", codes.EXPIRED),
    ("large", codes.TOO_LARGE),
    ("wrong image", codes.IMAGE_DIGEST),
    ("attacker", codes.LMS_WRONG),
)

material = None  # set by who runs this
_memory = None


def use(text):
    """Takes the JSON of tests/ota/attacks.py, native_text()."""
    global material, _memory
    material = Material(text)
    _memory = None


def site(site_class=NativeSite):
    """A node that runs release "one" from ota_1, and a gateway."""
    global _memory
    if _memory is None:
        first = NativeSite(material.others["trust"])
        first.begin(material)
        first.install(material.releases["one"])
        _memory = bytes(first.flash.data)
    node = site_class(material.others["trust"])
    node.flash.data[:] = _memory
    node.boot()
    return node, Gateway(node)


def states(node):
    """Those of both entries of otadata."""
    return [each.state for each in node.chip.entries()]


def still(node):
    """ota_1 runs, and so it does after a reset; the floor is where it was."""
    node.boot()
    assert node.running == 1 and node.journal.record.active == 1, node.running
    assert node.journal.record.floor == 2
    content = material.others["one"]
    assert node.image(1, len(content)) == content


def case_a_new_chip_runs_ota_0_and_takes_the_first_release_into_ota_1():
    node = NativeSite(material.others["trust"])
    node.begin(material)
    assert node.running == 0 and node.updater.status().running == 0
    assert states(node) == [VALID, 0xFFFFFFFF]  # the loader says what it found
    Gateway(node).update(material.releases["one"])
    assert node.running == 1 and node.state == codes.TRIAL
    assert states(node) == [VALID, PENDING_VERIFY]
    node.confirm()
    assert states(node) == [VALID, VALID]
    still(node)


def case_what_is_right_is_taken():
    for name in ("full", "delta", "deflated"):
        node, gateway = site()
        gateway.update(material.releases[name])
        assert node.running == 0
        node.confirm()
        node.boot()
        content = material.others[name]
        assert node.running == 0 and node.image(0, len(content)) == content
        assert node.journal.record.floor == 3 and node.state == codes.CONFIRMED


def case_what_is_not_right_is_refused():
    for name, reason in RELEASES:
        node, gateway = site()
        assert gateway.refused(material.releases[name]) == reason, (name, node.reason)
        still(node)
        assert gateway.offer(material.releases["full"]), "no offer is taken after " + name


def case_a_signed_file_that_is_no_image_is_not_started():
    for name in ("no image", "no magic"):
        node, gateway = site()
        assert gateway.offer(material.releases[name])
        gateway.serve(material.releases[name])
        node.boot()
        assert (node.state, node.reason) == (codes.REVERTED, codes.IMAGE_MALFORMED), (name, node.reason)
        still(node)


def case_an_image_that_changes_after_it_was_verified_is_not_started():
    node, gateway = site()
    release = material.releases["full"]
    assert gateway.offer(release)
    gateway.serve(release)
    assert node.state == codes.PENDING
    at = node.chip.find(native.APP, native.OTA_0)[0][2]
    other = material.others["zero"]  # an image that the loader would take
    node.flash.data[at : at + len(other)] = other
    node.boot()
    assert (node.state, node.reason) == (codes.REVERTED, codes.BOOT_CHANGED)
    still(node)


def case_an_unconfirmed_image_is_started_three_times_and_given_up():
    node, gateway = site()
    gateway.update(material.releases["full"])
    for tries in (1, 2, 3):
        assert (node.state, node.running, node.journal.record.tries) == (codes.TRIAL, 0, tries)
        assert node.journal.record.floor == 2 and PENDING_VERIFY in states(node)
        if tries == 2:
            assert fail(node.journal, codes.TEST_GATEWAY)
        node.boot()
    assert (node.state, node.reason) == (codes.REVERTED, codes.TEST_GATEWAY)
    assert ABORTED in states(node)
    still(node)


def case_a_release_that_was_given_up_may_be_followed_by_another():
    node, gateway = site()
    gateway.update(material.releases["full"])
    while node.state == codes.TRIAL:
        node.boot()
    gateway.update(material.releases["delta"])
    node.confirm()
    node.boot()
    assert node.running == 0 and node.journal.record.floor == 3


def case_the_loader_falls_back_from_an_image_that_rots():
    node, _ = site()
    at = node.chip.find(native.APP, native.OTA_0 + 1)[0][2]
    node.flash.data[at + 100] ^= 1
    node.boot()
    assert node.running == 0 and (node.state, node.reason) == (codes.IDLE, codes.ACTIVE_ROTTEN)
    assert node.esp32.Partition(0).info() == node.esp32.Partition(1).info(), "and is told to stay there"
    node.boot()
    assert node.running == 0


def case_a_rotten_image_on_trial_is_not_kept_by_marking_the_one_that_runs():
    node, gateway = site()
    gateway.update(material.releases["full"])
    at = node.chip.find(native.APP, native.OTA_0)[0][2]
    node.flash.data[at + 100] ^= 1
    node.boot()
    assert (node.state, node.reason) == (codes.REVERTED, codes.BOOT_CHANGED)
    assert node.esp32.Partition(0).info() == node.esp32.Partition(1).info()
    still(node)


def case_a_download_goes_on_after_a_reset():
    node, gateway = site()
    release = material.releases["full"]
    assert gateway.offer(release)
    updater = node.updater
    while True:
        if updater.work():
            continue
        want = updater.want(8)
        if want.object != codes.OBJECT_ENVELOPE and updater.status().progress[1] >= 8:
            break
        content = gateway.content(release, want.object)
        for index in want.chunks():
            updater.chunk(want.object, index, content[index * 256 : (index + 1) * 256])
    node.boot()
    assert node.running == 1 and node.updater.status().progress[1] >= 8, "nothing is fetched again"
    gateway.serve(release)
    node.boot()
    assert node.state == codes.TRIAL and node.running == 0


def case_the_state_table_is_that_of_the_document():
    busy = (codes.OFFERED, codes.RECEIVING, codes.VERIFYING)
    boot = (codes.PENDING, codes.TRIAL)
    table = {
        "offer": (RESTING + busy, codes.OFFERED),
        "envelope": ((codes.OFFERED,), codes.RECEIVING),
        "root": ((codes.OFFERED,), codes.IDLE),
        "payload": ((codes.RECEIVING,), codes.VERIFYING),
        "image": ((codes.VERIFYING,), codes.PENDING),
        "refuse": (busy, codes.REFUSED),
        "boot": (boot, codes.TRIAL),
        "again": (boot, codes.PENDING),
        "used up": (boot, codes.REVERTED),
        "rotten": (boot, codes.REVERTED),
        "failed": ((codes.TRIAL,), codes.TRIAL),
        "confirm": ((codes.TRIAL,), codes.CONFIRMED),
        "active rotten": (RESTING + busy, codes.IDLE),
    }
    for event in table:
        before, after = table[event]
        for state in range(9):
            assert next_state(state, event) == (after if state in before else None), (event, state)


# ---- esp32.Partition and otadata themselves


def refused(call, code):
    """AssertionError where `call` raises no OSError of that number."""
    try:
        call()
    except OSError as error:
        assert error.args[0] == code, error.args
    else:
        raise AssertionError("no OSError")


def case_otadata_is_what_espressifs_tools_write():
    node, _ = site()
    assert seq_crc(1) == 0x4743989A and seq_crc(2) == 0x55F63774  # esptool's and otatool's
    entry = node.chip.entries()[1].pack()
    assert entry == b"\x02\0\0\0" + b"\xff" * 20 + b"\x02\0\0\0" + b"\x74\x37\xf6\x55"


def case_set_boot_takes_images_alone_and_numbers_go_on():
    node, _ = site()
    partition = node.esp32.Partition
    here = partition(partition.RUNNING)
    there = here.get_next_update()
    assert (here.info()[4], there.info()[4]) == ("ota_1", "ota_0")
    assert there.get_next_update().info() == here.info()
    there.set_boot()  # zero
    assert [each.seq for each in node.chip.entries()] == [3, 2] and states(node)[0] == NEW
    here.set_boot()
    assert [each.seq for each in node.chip.entries()] == [3, 4]
    there.ioctl(6, 0)
    refused(there.set_boot, -0x1503)
    refused(partition("otadata").set_boot, -0x1503)
    assert [each.seq for each in node.chip.entries()] == [3, 4]


def case_reads_and_writes_end_where_the_partition_does():
    node, _ = site()
    there = node.esp32.Partition("ota_0")
    sectors = there.ioctl(4, 0)
    assert there.ioctl(5, 0) == SECTOR and there.info()[3] == sectors * SECTOR
    page = bytearray(256)
    refused(lambda: there.readblocks(sectors, page), -0x104)
    refused(lambda: there.readblocks(sectors + 1, page), -0x102)
    refused(lambda: there.writeblocks(0, page), -0x104)  # without an offset it erases whole sectors
    refused(lambda: there.ioctl(6, sectors), -0x104)
    refused(lambda: node.esp32.Partition("none"), 2)
    assert node.esp32.Partition.find(node.esp32.Partition.TYPE_DATA, label="ota_0") == []


def case_the_highest_sequence_counts_and_a_torn_entry_does_not():
    node, _ = site()
    chip = node.chip
    at = chip.find(native.DATA, native.OTADATA)[0][2]
    node.flash.data[at + SECTOR + 28] ^= 1  # the CRC of what starts ota_1
    assert chip.boot()[4] == "ota_0", "the other entry is whole"
    node.flash.data[at + 28] ^= 1
    assert chip.boot()[4] == "ota_0" and chip.entries()[0].seq == 1, (
        "none is: the first image, and it is said"
    )


def case_nothing_is_done_in_a_boot_whose_flash_takes_nothing():
    node, gateway = site()
    release = material.releases["full"]
    assert gateway.offer(release)
    gateway.serve(release)
    assert node.state == codes.PENDING
    node.flash.stuck = {0, 1}  # the slot journal
    node.chip.boot()
    node.mount()
    assert not decide(node.journal, node.loader, [node.slot(0), node.slot(1)]), "it is not counted: no trial"
    assert node.chip.boot()[4] == "ota_1" and node.state == codes.PENDING
    node.flash.stuck = set()
    node.boot()
    assert node.state == codes.TRIAL and node.running == 0, "the trial comes when it can be counted"
