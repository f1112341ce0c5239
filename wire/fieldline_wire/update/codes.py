"""The code numbers of updates: states, reasons, objects (update.md 8.6, 9.4, 10), sizes that all parts share.

Rules: numbers and nothing else, so that a build for a node, which writes them out, has no need of this file.
"""

from fieldline_wire.codes import const

PAGE = const(256)  # bytes: a chunk, a record, what flash programs at once
SECTOR = const(4096)
CHUNK = const(256)  # update.md 9.4: a page, and with seal and frame it fits wire.md 2.4

# What a record's `what` and an Offer's say: update.md 8.3, 9.3
WHAT_IMAGE = const(0)
WHAT_ROOT = const(1)

# Objects of Want and Chunk: update.md 9.4
OBJECT_ENVELOPE = const(0)
OBJECT_ROOT = const(1)
OBJECT_PAYLOAD = const(16)

# States: update.md 8.6
IDLE = const(0)
OFFERED = const(1)
RECEIVING = const(2)
VERIFYING = const(3)
PENDING = const(4)
TRIAL = const(5)
CONFIRMED = const(6)
REVERTED = const(7)
REFUSED = const(8)

SLOT_FILES = const(0xFF)  # the active "slot" is the file system
TRIES = const(3)  # boots of a trial

# Reasons: update.md 10
NONE = const(0)
BUSY = const(1)
OFFER_MALFORMED = const(2)
TOKEN_TAG = const(3)
TOKEN_NODE = const(4)
TOKEN_NONCE = const(5)
TOKEN_COUNTER = const(6)
TOO_LARGE = const(7)
ENVELOPE_MALFORMED = const(8)
MANIFEST_MALFORMED = const(9)
MANIFEST_NOT_NAMED = const(10)
ED25519_WRONG = const(11)
LMS_WRONG = const(12)
FORMAT = const(13)
VENDOR = const(14)
CLASS = const(15)
COMPONENT = const(16)
ABI = const(17)
SEQUENCE = const(18)
EXPIRED = const(19)
NO_CLOCK = const(20)
NO_PAYLOAD = const(21)
PAYLOAD_DIGEST = const(22)
DELTA_MALFORMED = const(23)
IMAGE_DIGEST = const(24)
IMAGE_MALFORMED = const(25)
FLASH = const(26)
ABORTED = const(27)
MEMORY = const(28)
NO_UPDATES = const(29)  # of a rollout: the node says so in its Hello, wire.md 5.6
ROOT_MALFORMED = const(30)
ROOT_VERSION = const(31)
ROOT_THRESHOLD = const(32)
ROOT_VENDOR = const(33)
BOOT_CHANGED = const(40)
TRIES_USED = const(41)
ACTIVE_ROTTEN = const(42)
NONE_SOUND = const(43)
TEST_SENSOR = const(44)
TEST_GATEWAY = const(45)
TEST_HEAP = const(46)
OK_CONFIRMED = const(50)
OK_ROOT = const(51)
