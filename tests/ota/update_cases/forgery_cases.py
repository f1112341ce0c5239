"""Attacks on updates: each ends in a refusal with its reason, and slot A runs on (runs on MicroPython too).

Rules: the table says attack and reason; what is signed and what is broken was made by tests/ota/attacks.py.
"""

from update_cases.site import NODE, NOW, Gateway, Material, Release, Site

from fieldline_wire.update import codes
from fieldline_wire.update.codes import WHAT_IMAGE, WHAT_ROOT
from fieldline_wire.update.messages import Offer
from fieldline_wire.update.standing import confirm, fail

# Releases that a gateway offers with a token that names them, and what becomes of it.
RELEASES = (
    ("only Ed25519", codes.LMS_WRONG),
    ("only LMS", codes.ED25519_WRONG),
    ("stolen Ed25519", codes.LMS_WRONG),
    ("stolen LMS", codes.ED25519_WRONG),
    ("attacker", codes.LMS_WRONG),
    ("swapped", codes.LMS_WRONG),
    ("mixed Ed25519", codes.ED25519_WRONG),
    ("mixed LMS", codes.LMS_WRONG),
    ("crossed", codes.LMS_WRONG),
    ("unprotected", codes.ENVELOPE_MALFORMED),
    ("behind", codes.ENVELOPE_MALFORMED),
    ("long manifest", codes.TOO_LARGE),
    ("extra key", codes.MANIFEST_MALFORMED),
    ("missing key", codes.MANIFEST_MALFORMED),
    ("not deterministic", codes.MANIFEST_MALFORMED),
    ("format", codes.FORMAT),
    ("vendor", codes.VENDOR),
    ("class", codes.CLASS),
    ("component", codes.COMPONENT),
    ("abi", codes.ABI),
    ("architecture", codes.ABI),
    ("older", codes.SEQUENCE),
    ("same", codes.SEQUENCE),
    ("expired", codes.EXPIRED),
    ("large", codes.TOO_LARGE),
    ("no room", codes.NO_PAYLOAD),
    ("no romfs", codes.IMAGE_MALFORMED),
    ("wrong image", codes.IMAGE_DIGEST),
    ("bad delta", codes.DELTA_MALFORMED),
)
ROOTS = (
    ("root: too few old", codes.ROOT_THRESHOLD),
    ("root: too few new", codes.ROOT_THRESHOLD),
    ("root: attacker's", codes.ROOT_THRESHOLD),
    ("root: one key of two", codes.ROOT_THRESHOLD),
    ("root: LMS of another", codes.ROOT_THRESHOLD),
    ("root: skips", codes.ROOT_VERSION),
    ("root: vendor", codes.ROOT_VENDOR),
    ("root: cut off", codes.ROOT_MALFORMED),
    ("root: named twice", codes.ROOT_MALFORMED),
)

material = None  # set by who runs this


def use(text):
    """Takes the JSON of tests/ota/material.py."""
    global material, _memory
    material = Material(text)
    _memory = None


_memory = None


def site():
    """A node that runs release "one" in slot A, and a gateway."""
    global _memory
    if _memory is None:
        first = Site(material.others["trust"])
        first.boot()
        first.install(material.releases["one"])
        _memory = bytes(first.flash.data)
    node = Site(material.others["trust"])
    node.flash.data[:] = _memory
    node.boot()
    return node, Gateway(node)


def still(node):
    """Slot A runs, nothing else can be booted, the floor is where it was."""
    node.boot()
    assert node.running == 0 and node.journal.record.active == 0
    assert node.journal.record.floor == 2
    content = material.others["one"]
    assert node.image(0, len(content)) == content


def same(got, wanted, what):
    """AssertionError where a reason is another one."""
    assert got == wanted, "%s: reason %r, not %r" % (what, got, wanted)


def case_releases_that_are_not_right():
    for name, reason in RELEASES:
        node, gateway = site()
        same(gateway.refused(material.releases[name]), reason, name)
        still(node)
        assert gateway.offer(material.releases["full"]), "no offer is taken after " + name


def case_what_is_right_is_taken():
    for name in ("full", "delta", "deflated"):
        node, gateway = site()
        gateway.update(material.releases[name])
        assert node.running == 1 and confirm(node.journal)
        node.boot()
        content = material.others[name]
        assert node.running == 1 and node.image(1, len(content)) == content
        assert node.journal.record.floor == 3


def case_tokens():
    release = material.releases["full"]
    node, gateway = site()
    same(gateway.refused(release, key=bytes(32)), codes.TOKEN_TAG, "a gateway that makes its own token")
    same(gateway.refused(release, node=b"\x02" + NODE[1:]), codes.TOKEN_NODE, "another node's token")
    nonce = node.updater.status().nonce
    same(
        gateway.refused(release, counter=node.updater.status().counter), codes.TOKEN_COUNTER, "an old counter"
    )
    token = gateway.token(release.digest)
    for at in range(69):
        bad = bytearray(token)
        bad[at] ^= 0x10
        assert not node.updater.offer(Offer(WHAT_IMAGE, len(release.envelope), bytes(bad))), at
    still(node)
    assert node.updater.offer(Offer(WHAT_IMAGE, len(release.envelope), token))
    gateway.serve(release)
    node.boot()
    confirm(node.journal)
    node.updater.offer(Offer(WHAT_IMAGE, len(release.envelope), token))
    same(node.reason, codes.TOKEN_COUNTER, "a replayed token")
    same(gateway.refused(material.releases["delta"], nonce=nonce), codes.TOKEN_NONCE, "a frozen repository")
    same(gateway.refused(material.releases["delta"], nonce=bytes(8)), codes.TOKEN_NONCE, "no nonce")


def case_another_manifest_than_the_tokens():
    node, gateway = site()
    release = material.releases["full"]
    other = material.releases["delta"]
    mixed = Release(other.envelope, release.digest, other.payloads, 3)
    same(gateway.refused(mixed), codes.MANIFEST_NOT_NAMED, "mix and match")
    still(node)


def case_without_a_clock_nothing_that_expires_is_taken():
    node, gateway = site()
    node.unix = None
    same(gateway.refused(material.releases["full"]), codes.NO_CLOCK, "no clock")
    node.unix = NOW
    assert gateway.offer(material.releases["full"])


def case_an_image_that_is_cut_short_or_changed():
    full = material.releases["full"]
    for name, content in (
        ("truncated", full.payloads[0][:-300] + b"\xff" * 300),
        ("changed", full.payloads[0][:500] + b"\x55" + full.payloads[0][501:]),
        ("another image", (material.releases["one"].payloads[0] * 2)[: len(full.payloads[0])]),
    ):
        node, gateway = site()
        same(gateway.refused(Release(full.envelope, full.digest, [content], 3)), codes.PAYLOAD_DIGEST, name)
        still(node)


def case_changed_between_verification_and_boot():
    full = material.releases["full"]
    size = len(material.others["full"])
    one = material.releases["one"]
    swaps = (
        ("a bit of the image", lambda head, image: flip(image, 700)),
        ("a bit of the last byte", lambda head, image: flip(image, size - 1)),
        ("a bit of the manifest", lambda head, image: flip(head, 40)),
        ("the attacker's envelope", lambda head, image: put(head, material.releases["attacker"].envelope)),
        ("an older release", lambda head, image: (put(head, one.envelope), put(image, one.payloads[0]))),
        ("nothing", lambda head, image: (head.erase(0), image.erase(0))),
    )
    for name, change in swaps:
        node, gateway = site()
        assert gateway.offer(full)
        gateway.serve(full)
        assert node.state == codes.PENDING
        change(*node.slot(1))
        node.boot()
        assert node.running == 0, name
        same(node.journal.record.reason, codes.BOOT_CHANGED, name)
        still(node)


def case_changed_during_the_trial():
    node, gateway = site()
    gateway.update(material.releases["full"])
    flip(node.slot(1)[1], 900)
    node.boot()
    assert node.running == 0 and node.journal.record.state == codes.REVERTED
    same(node.journal.record.reason, codes.BOOT_CHANGED, "changed during the trial")


def case_three_boots_without_confirmation():
    node, gateway = site()
    gateway.update(material.releases["full"])
    for tries in (2, 3):
        node.boot()
        assert node.running == 1 and node.journal.record.tries == tries
    node.boot()
    assert node.running == 0
    same(node.journal.record.reason, codes.TRIES_USED, "tries")
    still(node)
    assert gateway.offer(material.releases["full"]), "a release that was given up may be offered again"


def case_why_a_self_test_failed_reaches_the_host():
    node, gateway = site()
    gateway.update(material.releases["full"])
    fail(node.journal, codes.TEST_SENSOR)
    for _ in range(3):
        node.boot()
    assert node.state == codes.REVERTED
    same(node.updater.status().reason, codes.TEST_SENSOR, "self-test")


def case_no_offer_during_a_trial():
    node, gateway = site()
    gateway.update(material.releases["full"])
    same(gateway.refused(material.releases["delta"]), codes.BUSY, "busy")
    assert not node.updater.abort()
    assert node.state == codes.TRIAL


def case_the_active_slot_rots():
    node, gateway = site()
    gateway.update(material.releases["full"])
    confirm(node.journal)
    node.boot()
    flip(node.slot(1)[1], 50)
    node.boot()
    assert node.running == 0
    same(node.journal.record.reason, codes.ACTIVE_ROTTEN, "the other slot runs")
    assert node.journal.record.floor == 3, "the floor stays"
    flip(node.slot(0)[1], 50)
    node.boot()
    assert node.running == codes.SLOT_FILES
    same(node.journal.record.reason, codes.NONE_SOUND, "the files run")
    same(gateway.refused(material.releases["delta"]), codes.SEQUENCE, "back to an older one by rot")


def case_a_storm_of_chunks():
    node, gateway = site()
    before = node.flash.operations
    for object in (0, 1, 16, 17, 255):
        for index in (0, 1, 7, 8160, 65535):
            assert not node.updater.chunk(object, index, bytes(256))
    assert gateway.offer(material.releases["full"])
    want = node.updater.want(8)
    operations = node.flash.operations
    for index in range(0, 3000, 7):
        if index not in want.chunks():
            assert not node.updater.chunk(want.object, index, bytes(256))
        assert not node.updater.chunk(want.object + 16, index, bytes(256))
        assert not node.updater.chunk(want.object, want.first, bytes(255)), "a chunk of a wrong size"
    assert node.flash.operations == operations and operations - before < 4, "flash wears for nothing"
    assert node.updater.status().unasked > 1000
    gateway.serve(material.releases["full"])
    assert node.state == codes.PENDING


def case_a_chunk_counts_once():
    node, gateway = site()
    assert gateway.offer(material.releases["full"])
    want = node.updater.want(1)
    data = material.releases["full"].envelope[:256]
    assert node.updater.chunk(want.object, 0, data)
    assert not node.updater.chunk(want.object, 0, bytes(256)), "a chunk that is here is not asked for"


def case_oversize():
    node, gateway = site()
    token = gateway.token(material.releases["full"].digest)
    for length in (0, 3073, 0xFFFFFFFF):
        assert not node.updater.offer(Offer(WHAT_IMAGE, length, token))
        same(node.reason, codes.TOO_LARGE, "an envelope of %d bytes" % length)
    for length in (0, 28673, 0xFFFFFFFF):
        assert not node.updater.offer(Offer(WHAT_ROOT, length, bytes(32)))
        same(node.reason, codes.TOO_LARGE, "a root file of %d bytes" % length)
    assert not node.updater.offer(Offer(9, 100, bytes(32)))
    same(node.reason, codes.OFFER_MALFORMED, "an offer of kind 9")
    still(node)


def case_an_offer_again_and_another_one():
    node, gateway = site()
    release = material.releases["full"]
    token = gateway.token(release.digest)
    assert node.updater.offer(Offer(WHAT_IMAGE, len(release.envelope), token))
    number = node.journal.record.number
    assert not node.updater.offer(Offer(WHAT_IMAGE, len(release.envelope), token))
    assert node.journal.record.number == number and node.reason == codes.NONE
    gateway.update(material.releases["delta"])
    assert node.journal.record.sequence == 3 and node.running == 1


def case_abort():
    node, gateway = site()
    assert gateway.offer(material.releases["full"])
    assert node.updater.abort()
    same(node.reason, codes.ABORTED, "abort")
    assert node.updater.want(8) is None
    still(node)


def case_roots_that_are_not_right():
    for name, reason in ROOTS:
        node, gateway = site()
        root(gateway, name)
        same(node.reason, reason, name)
        assert node.updater.status().root == 1
        still(node)


def case_a_root_file_that_is_not_the_one_offered():
    node, gateway = site()
    gateway.root(material.others["root"], bytes(32))
    same(node.reason, codes.PAYLOAD_DIGEST, "another root file")


def case_a_new_root():
    node, gateway = site()
    root(gateway, "root")
    same(node.reason, codes.OK_ROOT, "root")
    still(node)
    assert node.updater.status().root == 2
    same(gateway.refused(material.releases["full"]), codes.LMS_WRONG, "a revoked release key")
    root(gateway, "root: same")
    same(node.reason, codes.ROOT_VERSION, "the old root again")
    gateway.update(material.releases["release2"])
    confirm(node.journal)
    node.boot()
    assert node.running == 1
    flip(node.slot(1)[1], 9)
    node.boot()
    assert node.running == 0, "a slot whose key was revoked later still boots"


def root(gateway, name):
    """Offers a root file under its own digest."""
    import hashlib

    data = material.others[name]
    gateway.root(data, hashlib.sha256(data).digest())


def flip(region, at):
    """Clears or sets one bit, as rot does."""
    sector = at - at % 4096
    data = bytearray(4096)
    region.readinto(sector, data)
    data[at - sector] ^= 0x04
    region.erase(sector // 4096)
    region.program(sector, data)


def put(region, content):
    """Writes over what is there."""
    for at in range(0, len(content), 4096):
        region.erase(at // 4096)
        region.program(at, content[at : at + 4096])


def case_too_little_memory():
    def full(read, size, bits):
        raise MemoryError

    node, gateway = site()
    node.updater._inflate = full
    same(gateway.refused(material.releases["delta"]), codes.MEMORY, "no memory for the inflater")
    still(node)
    assert gateway.offer(material.releases["full"])
