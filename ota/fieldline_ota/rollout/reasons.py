"""The reasons of update.md 10 in words.

Rules: the words of the document; a test compares them.
"""

from __future__ import annotations

REASONS = {
    0: "none",
    1: "busy: an update waits for its start or its trial",
    2: "the offer is malformed",
    3: "the token's tag is wrong",
    4: "the token is another node's",
    5: "the token's nonce is not the current one",
    6: "the token's counter was used",
    7: "too large: envelope, image, payload or root file",
    8: "the envelope is malformed",
    9: "the manifest is malformed",
    10: "the manifest is not the token's",
    11: "the Ed25519 signature is missing or wrong",
    12: "the LMS signature is missing or wrong",
    13: "manifest format",
    14: "vendor",
    15: "class",
    16: "component",
    17: "ABI",
    18: "sequence: not above the floor",
    19: "expired",
    20: "expiry can't be judged: no clock",
    21: "no payload fits this node",
    22: "the payload's digest is wrong",
    23: "the delta is malformed",
    24: "the image's digest is wrong",
    25: "the image is no ROMFS within bounds",
    26: "flash did not take it",
    27: "aborted by a gateway",
    28: "too little memory for it on this node",
    29: "it takes no updates: a frozen build, or no /trust.bin",
    30: "the root file is malformed",
    31: "the root's version is not the next",
    32: "too few holders signed the root",
    33: "the root is another vendor's",
    40: "the slot changed between verification and boot",
    41: "three starts without confirmation",
    42: "the active slot is rotten, the other one runs",
    43: "no slot is sound, the file system runs",
    44: "self-test: a sensor is silent",
    45: "self-test: no gateway acknowledged anything",
    46: "self-test: too little heap",
    50: "confirmed",
    51: "a new root is in force",
}


def words(reason: int) -> str:
    """What a reason means."""
    return REASONS.get(reason, f"reason {reason}")
