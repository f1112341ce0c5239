"""Keys with what is derived from them (Mesh Profile 1.0.1, 3.8.6), and a subnet with its key refresh (3.10.4).

Rules: a key's derived values are computed once; which of two keys counts in a phase is decided here alone.
"""

from fieldline_wire.mesh.crypto import cmac, k1, k2, k3, k4, s1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.ports import Block

# Phases of the Key Refresh procedure: 4.2.14
PHASE_NORMAL = 0
PHASE_DISTRIBUTE = 1  # both are heard, the old one is sent
PHASE_SWITCH = 2  # both are heard, the new one is sent


class NetworkKey:
    """A NetKey and its NID, EncryptionKey, PrivacyKey, Network ID, BeaconKey and IdentityKey."""

    __slots__ = ("beacon", "encryption", "identity", "key", "network_id", "nid", "privacy")

    def __init__(self, aes: "Aes", key: bytes) -> None:
        self.key = key
        self.nid, encryption, privacy = k2(aes, key, b"\x00")
        self.encryption: Block = aes(encryption)
        self.privacy: Block = aes(privacy)
        self.network_id = k3(aes, key)
        self.beacon: Block = aes(k1(aes, key, s1(aes, b"nkbk"), b"id128\x01"))
        self.identity: Block = aes(k1(aes, key, s1(aes, b"nkik"), b"id128\x01"))


class ApplicationKey:
    """An AppKey and its AID."""

    __slots__ = ("aid", "block", "key")

    def __init__(self, aes: "Aes", key: bytes) -> None:
        self.key = key
        self.aid = k4(aes, key)
        self.block: Block = aes(key)


class Subnet:
    """A NetKey index with its key, or with two of them while the key is refreshed."""

    __slots__ = ("index", "key", "new", "phase")

    def __init__(self, index: int, key: NetworkKey) -> None:
        self.index = index
        self.key = key
        self.new: NetworkKey | None = None
        self.phase = PHASE_NORMAL

    def sending(self) -> NetworkKey:
        """The key of what goes out."""
        return self.new if self.new is not None and self.phase == PHASE_SWITCH else self.key

    def hearing(self) -> "list[NetworkKey]":
        """The keys of what may come in."""
        return [self.key] if self.new is None else [self.key, self.new]

    def finish(self) -> None:
        """The old key is revoked (phase 3)."""
        if self.new is not None:
            self.key = self.new
        self.new = None
        self.phase = PHASE_NORMAL


class AppKey:
    """An AppKey index bound to a NetKey index, with one key or with two while it is refreshed."""

    __slots__ = ("index", "key", "net_index", "new")

    def __init__(self, index: int, net_index: int, key: ApplicationKey) -> None:
        self.index = index
        self.net_index = net_index
        self.key = key
        self.new: ApplicationKey | None = None

    def sending(self, subnet: Subnet) -> ApplicationKey:
        """The key of what goes out: it changes with the subnet's phase."""
        return self.new if self.new is not None and subnet.phase == PHASE_SWITCH else self.key

    def finish(self) -> None:
        """The subnet's key refresh has ended."""
        if self.new is not None:
            self.key = self.new
        self.new = None


def virtual_address(aes: "Aes", label: bytes) -> int:
    """The virtual address of a 16-byte Label UUID (3.4.2.3)."""
    digest = cmac(aes(s1(aes, b"vtad")), label)
    return 0x8000 | int.from_bytes(digest[14:], "big") & 0x3FFF
