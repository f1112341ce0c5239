"""A release manager's repository for tests, by its own steps; keys are those of material.py, known to everyone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fieldline_ota import bundle, desk
from fieldline_ota.keystore import PublicKey
from fieldline_ota.release import Ed25519Signer, KeyPair
from fieldline_ota.repository import Repository
from fieldline_ota.rootdraft import Plan
from fieldline_ota.tokens import TokenKeys
from fieldline_wire.update import ed25519
from tests.ota.material import image, keys

TOKENS = TokenKeys(bytes(range(32)))
ONLINE = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def public(name: str) -> PublicKey:
    pair = keys(name).public
    return PublicKey(name, ed25519.compress(pair[0]), pair[1])


@dataclass
class Repo:
    """A release manager's repository and keys."""

    folder: Path
    now: datetime

    @property
    def made(self) -> Repository:
        return Repository(self.folder, self.now)

    @property
    def root_file(self) -> Path:
        return self.folder / "metadata" / "1.root.json"

    def trust(self, node: bytes) -> bytes:
        return TOKENS.trust(node, desk.node_root(self.made).to_bytes())

    def root(self, *holders: str, release: str = "release") -> None:
        """The next root in force; ann and ben sign."""
        online = PublicKey("online", ed25519.compress(ONLINE.public), b"")
        plan = Plan("acme", tuple(public(name) for name in holders), 2, public(release), (online,))
        draft = desk.draft_root(self.made, plan, self.now, 365)
        for name in ("ann", "ben"):
            desk.sign_root_draft(self.made, draft, keys(name))
        desk.publish_root(self.made, draft, [keys(release).ed25519, ONLINE])

    def publish(self, sequence: int, text: str, *, board: str = "pico_w", size: int = 6) -> str:
        """A release of an app that says `text`; the digest that a token names."""
        return self.publish_image(sequence, image(text, size), f"1.{sequence}", board)

    def publish_image(self, sequence: int, content: bytes, firmware: str, board: str = "pico_w") -> str:
        """A release of this image."""
        expires = int(self.now.timestamp()) + 10_000_000
        facts = bundle.Facts(sequence, "acme", board, 0x306, expires, firmware)
        bases = [self.made.release(each) for each in self.made.releases() if each.board == board]
        pair = KeyPair(keys("release").ed25519, keys("release").lms)
        release = bundle.signed(bundle.make_release(content, facts, bases[-3:]), pair)
        desk.publish_release(self.made, release, [], [keys("release").ed25519, ONLINE])
        return hashlib.sha256(release.manifest.to_bytes()).hexdigest()
