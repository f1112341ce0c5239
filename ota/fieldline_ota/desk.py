"""What the commands of `fieldline ota` do to a repository: one function a step, above files and keys.

Rules: no words of the command line and no printing here; what was done is given back as lines for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata
from tuf.api.metadata import Root as TufRoot

from fieldline_ota.errors import OtaError, UsageError
from fieldline_ota.judged import check_payloads, check_signatures
from fieldline_ota.release import KeyPair, Release, Signer
from fieldline_ota.repository import (
    ROOT_TARGET,
    Repository,
    key_id,
)
from fieldline_ota.rootdraft import (
    Draft,
    Plan,
    check_draft,
    make_draft,
    node_file,
    node_root_in,
    plan_of,
    sign_draft,
)
from fieldline_wire.update.root import Root


def node_root(repository: Repository) -> Root:
    """The node root in force; UsageError where there is none yet."""
    data = repository.node_root()
    if data is None:
        raise UsageError(
            f"{repository.folder} has no node root yet; `fieldline ota rotate --help` begins one"
        )
    return node_root_in(data)


def current_plan(repository: Repository) -> Plan:
    """Who is trusted with what now; UsageError where nobody is."""
    return plan_of(repository.need_root().signed, node_root(repository))


def draft_root(repository: Repository, plan: Plan, now: datetime, days: int) -> Draft:
    """The unsigned next root."""
    data = repository.node_root()
    old_node = None if data is None else node_root_in(data)
    expires = now.astimezone(UTC).replace(microsecond=0) + timedelta(days=days)
    return make_draft(plan, repository.root(), old_node, expires)


def sign_root_draft(repository: Repository, draft: Draft, holder: KeyPair) -> tuple[list[str], list[str]]:
    """(what was signed, what is missing still)."""
    old, old_node = _old(repository, draft)
    done = sign_draft(draft, holder, old, old_node)
    return done, check_draft(draft, old, old_node)


def missing(repository: Repository, draft: Draft) -> list[str]:
    """What is missing until the draft may be published."""
    return check_draft(draft, *_old(repository, draft))


def publish_root(repository: Repository, draft: Draft, signers: Sequence[Signer]) -> list[str]:
    """Puts a root into force that enough holders signed. Releases under other keys than its own go."""
    with repository.writing():
        old, old_node = _old(repository, draft)
        lacks = check_draft(draft, old, old_node)
        if lacks:
            raise UsageError("too few signatures: " + "; ".join(lacks))
        told = [f"TUF root {draft.tuf.signed.version} is in force until {draft.tuf.signed.expires:%Y-%m-%d}"]
        add: dict[str, tuple[bytes, dict[str, Any]]] = {}
        drop: list[str] = []
        if draft.node is not None:
            add[ROOT_TARGET.format(draft.node.version)] = (node_file(draft), {})
            told.append(f"node root {draft.node.version} is published")
            for each in repository.releases():
                if each.key != key_id((draft.node.ed25519, draft.node.lms)):
                    drop += repository.paths_of(each)
                    told.append(
                        f"release {each.sequence} of {each.board} is withdrawn: another release key signed it"
                    )
        repository.publish(signers, add, drop, draft.tuf)
        return told


def publish_release(
    repository: Repository, release: Release, bases: Sequence[Release], signers: Sequence[Signer]
) -> list[str]:
    """Judges a release as a node would, and publishes it; nothing where it is there already."""
    with repository.writing():
        root = node_root(repository)
        check_signatures(release, root)
        known = [*bases, *(repository.release(each) for each in repository.releases())]
        told = check_payloads(release, known)
        name = f"release {release.manifest.sequence} of {release.manifest.board}"
        if not repository.add_release(release, (root.ed25519, root.lms), signers):
            return [f"{name} is published already"]
        return [*told, f"{name} is published; a token names it {release.digest.hex()}"]


def refresh(repository: Repository, signers: Sequence[Signer], *, targets: bool) -> list[str]:
    """A new term for snapshot and timestamp, and with `targets` for these, too."""
    with repository.writing():
        repository.publish(signers, targets_anew=targets)
    return ["new terms are published"]


def verify_repository(repository: Repository, now: datetime) -> list[str]:
    """Walks through all of it, as a client that knows root 1 would, and judges each release; OtaError."""
    root = repository.need_root()
    for version in range(1, root.signed.version + 1):
        each = repository.root(version + 1)
        if each is None or each.signed.version != version:
            raise OtaError(f"{repository.folder}: root {version} is missing; no client gets to the newest")
        before = each if version == 1 else repository.root(version)
        _delegates(before, each, "root")
        _delegates(each, each, "root")
    told = [f"root: {root.signed.version} versions, each signed by the one before it"]
    chain = repository.chain()
    for metadata in (root, *chain):
        if metadata.signed.is_expired(now.astimezone(UTC)):
            raise OtaError(
                f"{metadata.signed.type}.json expired on {metadata.signed.expires:%Y-%m-%d %H:%M} UTC"
            )
    for metadata in chain:
        _delegates(root, metadata, metadata.signed.type)
        signed = metadata.signed
        told.append(f"{signed.type} {signed.version}: until {signed.expires:%Y-%m-%d %H:%M} UTC")
    trusted = node_root(repository)
    told.append(f"node root {trusted.version}: {trusted.threshold} of {len(trusted.holders)} holders")
    releases = [(each, repository.release(each)) for each in repository.releases()]
    for published, release in releases:
        check_signatures(release, trusted)
        check_payloads(release, [other for _, other in releases])
        told.append(
            f"release {published.sequence} of {published.board}, firmware {published.firmware}: right"
        )
    return told


def _delegates(root: Metadata[TufRoot] | None, metadata: Metadata[Any], role: str) -> None:
    assert root is not None
    try:
        root.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except RepositoryError as error:
        raise OtaError(f"{role}.json does not verify under root {root.signed.version}: {error}") from None


def _old(repository: Repository, draft: Draft) -> tuple[Metadata[TufRoot] | None, Root | None]:
    """What the draft follows. A publication that was killed may have left the draft's own root in force."""
    newest = repository.root()
    if newest is not None and newest.signed == draft.tuf.signed:
        newest = repository.root(newest.signed.version)
    data = repository.node_root()
    return newest, None if data is None else node_root_in(data)
