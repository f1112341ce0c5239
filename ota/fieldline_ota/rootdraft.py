"""Root documents on their way to force: the next TUF root, and the next node root where that changes (update.md 6).

Rules: a draft is a file that goes from holder to holder; each signs both documents at once. It is in force when the
thresholds of the old and of the new root have signed, judged by python-tuf and by the node's own code. Who is in a
root is said by public keys; names are for people.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tuf.api.metadata import Metadata
from tuf.api.metadata import Root as TufRoot
from tuf.api.serialization import DeserializationError

from fieldline_ota.errors import OtaError, UsageError
from fieldline_ota.keystore import PublicKey
from fieldline_ota.release import KeyPair
from fieldline_ota.tufkeys import TufSigner, bytes_of, name_of, tuf_key
from fieldline_wire.errors import PeerError, Refused
from fieldline_wire.errors import UsageError as WireUsageError
from fieldline_wire.update import ed25519, lms
from fieldline_wire.update.envelope import ED25519, LMS, content, to_be_signed
from fieldline_wire.update.root import Root, kid, seal_root
from fieldline_wire.update.root_file import verify_steps

MAX_DRAFT = 256 * 1024
"""Bytes: ten holders' signatures take 60 kB as hexadecimal."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is to be trusted with what."""

    vendor: str
    holders: tuple[PublicKey, ...]
    """Pairs: of the node root and of TUF's root role."""
    threshold: int
    release: PublicKey
    """A pair: signs manifests; its Ed25519 key is one of TUF's targets role."""
    online: tuple[PublicKey, ...]
    """TUF's snapshot and timestamp roles; Ed25519 is enough."""
    also: tuple[PublicKey, ...] = ()
    """More keys of the targets role."""
    targets_threshold: int = 1
    online_threshold: int = 1


@dataclass(slots=True)
class Draft:
    """The next root. `node`: the node's document, None where the old one stays."""

    tuf: Metadata[TufRoot]
    node: Root | None
    node_signatures: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    """By a holder's kid: Ed25519, LMS."""

    def to_json(self) -> bytes:
        signatures = {
            name.hex(): [each.hex() for each in pair] for name, pair in self.node_signatures.items()
        }
        document = None if self.node is None else self.node.to_bytes().hex()
        values = {"format": 1, "tuf": self.tuf.to_dict(), "node": document, "signatures": signatures}
        return json.dumps(values, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Draft:
        """OtaError where it is none."""
        try:
            found = json.loads(data)
            if found["format"] != 1:
                raise ValueError("an unknown format")
            tuf: Metadata[TufRoot] = Metadata.from_dict(found["tuf"])
            node = None if found["node"] is None else Root.from_bytes(bytes.fromhex(found["node"]))
            signatures = {
                bytes.fromhex(name): (bytes.fromhex(first), bytes.fromhex(second))
                for name, (first, second) in found["signatures"].items()
            }
        except (ValueError, KeyError, TypeError, DeserializationError, PeerError) as error:
            raise OtaError(f"this is no draft of a root: {error}") from None
        return cls(tuf, node, signatures)


def make_draft(plan: Plan, old: Metadata[TufRoot] | None, old_node: Root | None, expires: datetime) -> Draft:
    """The root that follows `old`, as `plan` has it, unsigned; UsageError where the plan is none."""
    if old_node is not None and old_node.vendor != plan.vendor:
        raise UsageError(f"the root is {old_node.vendor}'s; a node takes no root of another vendor")
    tuf = TufRoot(
        version=1 if old is None else old.signed.version + 1, expires=expires, consistent_snapshot=True
    )
    targets = (plan.release, *plan.also)
    for role, keys, threshold in (
        ("root", plan.holders, plan.threshold),
        ("targets", targets, plan.targets_threshold),
        ("snapshot", plan.online, plan.online_threshold),
        ("timestamp", plan.online, plan.online_threshold),
    ):
        if not 1 <= threshold <= len({key.ed25519 for key in keys}):
            raise UsageError(f"{role}: a threshold of {threshold} with {len(keys)} keys")
        for key in keys:
            tuf.add_key(tuf_key(key), role)
        tuf.roles[role].threshold = threshold
    node = Root(
        1 if old_node is None else old_node.version,
        plan.vendor,
        plan.threshold,
        [key.pair for key in plan.holders],
        *plan.release.pair,
    )
    if old_node is not None and node == old_node:
        return Draft(Metadata(tuf), None)
    node.version = 1 if old_node is None else old_node.version + 1
    try:
        node.to_bytes()
    except WireUsageError as error:
        raise UsageError(f"no node root: {error}") from None
    return Draft(Metadata(tuf), node)


def sign_draft(
    draft: Draft, pair: KeyPair, old: Metadata[TufRoot] | None, old_node: Root | None
) -> list[str]:
    """Adds a holder's signatures, and gives what was signed; UsageError where it holds neither root."""
    done = []
    key = ed25519.compress(pair.ed25519.public)
    for root in (draft.tuf.signed, *(() if old is None else (old.signed,))):
        found = next((root.keys[i] for i in root.roles["root"].keyids if bytes_of(root.keys[i]) == key), None)
        if found is not None:
            draft.tuf.sign(TufSigner(pair.ed25519, found), append=True)
            done.append(f"TUF root {draft.tuf.signed.version}")
            break
    if draft.node is not None and pair.public in _holders(draft.node, old_node):
        document = draft.node.to_bytes()
        draft.node_signatures[kid(pair.public)] = (
            pair.ed25519.sign(to_be_signed(ED25519, document)),
            pair.lms.sign(to_be_signed(LMS, document)),
        )
        done.append(f"node root {draft.node.version}")
    if not done:
        raise UsageError("this key holds neither the old root nor the new one")
    return done


def check_draft(draft: Draft, old: Metadata[TufRoot] | None, old_node: Root | None) -> list[str]:
    """What is missing until it may be in force; nothing where it may. OtaError where it can't follow `old`."""
    version = 1 if old is None else old.signed.version + 1
    if draft.tuf.signed.version != version:
        raise OtaError(
            f"the draft is of root {draft.tuf.signed.version}, the next one is {version}: make it anew"
        )
    missing = []
    result = draft.tuf.signed.get_root_verification_result(
        None if old is None else old.signed, draft.tuf.signed_bytes, draft.tuf.signatures
    )
    for part, name in ((result.first, "old"), (result.second, "new")):
        if not part.verified and (old is not None or name == "new"):
            names = ", ".join(sorted(name_of(key) for key in part.unsigned.values()))
            missing.append(f"TUF root, {name} holders: {part.missing} more of {names}")
    if draft.node is not None:
        missing += _missing_of_node(draft, old_node)
    return missing


def node_file(draft: Draft) -> bytes:
    """The node's root file (update.md 6.2)."""
    assert draft.node is not None
    return seal_root(draft.node.to_bytes(), [(name, *pair) for name, pair in draft.node_signatures.items()])


def node_root_in(data: bytes) -> Root:
    """The document in a root file, whose signatures are not judged; OtaError where it is none."""
    try:
        return Root.from_bytes(content(data)[0])
    except PeerError as error:
        raise OtaError(f"no node root: {error}") from None


def plan_of(tuf: TufRoot, node: Root) -> Plan:
    """The plan that a root in force came of."""

    def keys(role: str) -> list[PublicKey]:
        return [
            PublicKey(
                name_of(tuf.keys[each]), bytes_of(tuf.keys[each]), lms_of.get(bytes_of(tuf.keys[each]), b"")
            )
            for each in tuf.roles[role].keyids
        ]

    lms_of = {ed25519.compress(first): second for first, second in [*node.holders, (node.ed25519, node.lms)]}
    release = ed25519.compress(node.ed25519)
    targets = keys("targets")
    return Plan(
        node.vendor,
        tuple(keys("root")),
        node.threshold,
        next(key for key in targets if key.ed25519 == release),
        tuple(keys("timestamp")),
        tuple(key for key in targets if key.ed25519 != release),
        tuf.roles["targets"].threshold,
        tuf.roles["timestamp"].threshold,
    )


def _holders(node: Root, old_node: Root | None) -> list[tuple[bytes, bytes]]:
    return [*node.holders, *([] if old_node is None else old_node.holders)]


def _missing_of_node(draft: Draft, old_node: Root | None) -> list[str]:
    """The node's own verdict, and how many signatures are missing."""
    new = draft.node
    assert new is not None
    missing = []
    for root, name in ((old_node, "old"), (new, "new")):
        if root is None:
            continue
        right = [each for each in root.holders if _is_signed(draft, new.to_bytes(), each)]
        if len(right) < root.threshold:
            missing.append(f"node root, {name} holders: {root.threshold - len(right)} more")
    if not missing and old_node is not None:
        data = node_file(draft)
        try:
            for _ in verify_steps(lambda at, count: data[at : at + count], len(data), old_node):
                pass
        except Refused as refused:
            raise OtaError(f"a node with root {old_node.version} refuses this one: {refused}") from None
    return missing


def _is_signed(draft: Draft, document: bytes, holder: tuple[bytes, bytes]) -> bool:
    first, second = draft.node_signatures.get(kid(holder), (b"", b""))
    return bool(first) and bool(
        ed25519.verify(holder[0], to_be_signed(ED25519, document), first)
        and lms.verify(holder[1], to_be_signed(LMS, document), second)
    )


def without(keys: Sequence[PublicKey], names: Sequence[str]) -> tuple[PublicKey, ...]:
    """Those that are not named."""
    return tuple(key for key in keys if key.name not in names)
