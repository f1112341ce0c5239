"""The repository: releases and node roots as targets of TUF (theupdateframework.io, specification 1.0.33).

Rules: python-tuf makes and checks all metadata. Snapshots are consistent: a file that was published never changes,
and timestamp.json, which names all else, is replaced last, so that a reader at any moment, and after a kill at any
moment, sees the repository as it was before or as it is after. One process at a time writes (flock).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from fieldline_ota.errors import OtaError, UsageError
from fieldline_ota.files import read, replace
from fieldline_ota.release import Release, Signer
from fieldline_ota.tufkeys import sign, signers_for
from fieldline_wire.errors import PeerError
from fieldline_wire.update.envelope import open_envelope
from fieldline_wire.update.manifest import Manifest

METADATA, TARGETS = "metadata", "targets"
ROOT_TARGET = "roots/{}.cose"
RELEASE_TARGET = "releases/{}/{}/{}/{}"
ENVELOPE = "envelope.cose"
MAX_METADATA = 5_000_000
"""Bytes: python-tuf's client takes no larger targets.json (UpdaterConfig)."""
MAX_TARGET = 1 << 21

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Days until each role's metadata expires. What a frozen repository costs is the timestamp's."""

    root: int = 365
    targets: int = 180
    snapshot: int = 30
    timestamp: int = 7


@dataclass(frozen=True, slots=True)
class Published:
    """A release in the repository."""

    board: str
    component: int
    sequence: int
    firmware: str
    manifest: bytes
    """Its digest: what a token names."""
    key: bytes
    """First 8 bytes of SHA-256 of the release keys that signed it."""


class Repository:
    """The repository in `folder`. `now`: with time zone; metadata is made out from it."""

    def __init__(self, folder: Path, now: datetime, lifetimes: Lifetimes | None = None) -> None:
        self.folder = folder
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._lifetimes = lifetimes or Lifetimes()

    # --- reading

    def root(self, below: int = 1 << 31) -> Metadata[Root] | None:
        """The newest root, of a version below `below`; None where there is none."""
        versions = [version for version in self._versions("root") if version < below]
        return self._load(f"{max(versions)}.root.json") if versions else None

    def need_root(self) -> Metadata[Root]:
        found = self.root()
        if found is None:
            raise UsageError(
                f"{self.folder} is no repository yet: `fieldline ota rotate --help` shows how to begin one"
            )
        return found

    def targets(self) -> Metadata[Targets] | None:
        """What is published now; None before anything is."""
        return next(iter(self.chain()), None)

    def chain(self) -> list[Metadata[Any]]:
        """Targets, snapshot and timestamp in force, none of them judged; empty before anything is published."""
        timestamp = self._timestamp()
        if timestamp is None:
            return []
        snapshot: Metadata[Snapshot] = self._load(f"{timestamp.signed.snapshot_meta.version}.snapshot.json")
        return [
            self._load(f"{snapshot.signed.meta['targets.json'].version}.targets.json"),
            snapshot,
            timestamp,
        ]

    def releases(self) -> list[Published]:
        """By board, component and sequence."""
        metadata = self.targets()
        found = []
        for path, target in ({} if metadata is None else metadata.signed.targets).items():
            if not path.endswith("/" + ENVELOPE):
                continue
            _, board, component, sequence, _ = path.split("/")
            said = target.custom or {}
            found.append(
                Published(
                    board, int(component), int(sequence), str(said.get("firmware", "")),
                    bytes.fromhex(said["manifest"]), bytes.fromhex(said["key"]),
                )
            )  # fmt: skip
        return sorted(found, key=lambda each: (each.board, each.component, each.sequence))

    def release(self, published: Published) -> Release:
        """A release as it was published; OtaError where the repository is damaged."""
        metadata = self.targets()
        found = {} if metadata is None else metadata.signed.targets
        where = (published.board, published.component, published.sequence)
        try:
            envelope = self.read_target(found[RELEASE_TARGET.format(*where, ENVELOPE)])
            manifest = Manifest.from_bytes(open_envelope(envelope)[0])
            payloads = [
                self.read_target(found[RELEASE_TARGET.format(*where, f"payload-{number}")])
                for number in range(len(manifest.payloads))
            ]
        except KeyError as error:
            raise OtaError(f"{self.folder}: {error.args[0]} is not among the targets") from None
        except PeerError as error:
            raise OtaError(f"{self.folder}: {RELEASE_TARGET.format(*where, ENVELOPE)}: {error}") from None
        return Release(manifest, envelope, tuple(payloads))

    def paths_of(self, published: Published) -> list[str]:
        """The targets of a release."""
        metadata = self.targets()
        folder = RELEASE_TARGET.format(published.board, published.component, published.sequence, "")
        return (
            [] if metadata is None else [path for path in metadata.signed.targets if path.startswith(folder)]
        )

    def node_root(self) -> bytes | None:
        """The newest node root file."""
        metadata = self.targets()
        if metadata is None:
            return None
        names = [name for name in metadata.signed.targets if name.startswith("roots/")]
        newest = max(names, key=lambda name: int(Path(name).stem))
        return self.read_target(metadata.signed.targets[newest])

    def read_target(self, target: TargetFile) -> bytes:
        """A target's bytes, checked; OtaError."""
        path = self.folder / TARGETS / _stored(target)
        data = read(path, MAX_TARGET)
        try:
            target.verify_length_and_hashes(data)
        except RepositoryError as error:
            raise OtaError(f"{path}: {error}") from None
        return data

    def can_sign(self, role: str, signers: Sequence[Signer]) -> bool:
        """Whether these reach the role's threshold."""
        try:
            signers_for(self.need_root().signed, role, signers)
        except UsageError:
            return False
        return True

    # --- writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One process at a time; OtaError where another has it."""
        self._metadata.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OtaError(
                    f"another process is publishing to {self.folder}; wait until it is done"
                ) from None
            yield
        finally:
            os.close(fd)

    def publish(
        self,
        signers: Sequence[Signer],
        add: Mapping[str, tuple[bytes, dict[str, Any]]] | None = None,
        drop: Iterable[str] = (),
        root: Metadata[Root] | None = None,
        *,
        targets_anew: bool = False,
    ) -> None:
        """Adds and drops targets, puts a new root into force, and signs what follows from that.

        Without any of these, snapshot and timestamp get a new term, and with `targets_anew` targets, too. UsageError
        where `signers` are too few.
        """
        new_root = (root or self.need_root()).signed
        old = self.targets()
        changed = bool(add or drop or root or targets_anew or old is None)
        who = {role: signers_for(new_root, role, signers) for role in ("snapshot", "timestamp")}
        if changed:
            who["targets"] = signers_for(new_root, "targets", signers)
        targets = Metadata(Targets(expires=self._after(self._lifetimes.targets))) if old is None else old
        if changed:
            self._change(targets.signed, add or {}, drop)
            sign(targets, who["targets"])
        elif self._soon(targets.signed.expires, self._lifetimes.targets):
            raise UsageError(
                f"targets.json expires on {targets.signed.expires:%Y-%m-%d}: it is to be signed anew, too: "
                "fieldline ota publish --refresh with the keys of targets"
            )
        snapshot, timestamp = self._next(targets)
        sign(snapshot, who["snapshot"])
        data = snapshot.to_bytes()
        timestamp.signed.snapshot_meta = MetaFile.from_data(snapshot.signed.version, data, ["sha256"])
        sign(timestamp, who["timestamp"])
        self._prove(new_root, targets, snapshot, timestamp)
        for path, (content, _) in (add or {}).items():
            replace(self.folder / TARGETS / _stored(targets.signed.targets[path]), content)
        replace(self._metadata / f"{targets.signed.version}.targets.json", targets.to_bytes())
        replace(self._metadata / f"{snapshot.signed.version}.snapshot.json", data)
        if root is not None:
            replace(self._metadata / f"{root.signed.version}.root.json", root.to_bytes())
        replace(self._metadata / "timestamp.json", timestamp.to_bytes())

    def add_release(self, release: Release, keys: tuple[bytes, bytes], signers: Sequence[Signer]) -> bool:
        """Publishes a release that was judged; False where it is there already. UsageError for an old sequence."""
        manifest = release.manifest
        kind = (manifest.board, manifest.component)
        line = [each for each in self.releases() if (each.board, each.component) == kind]
        if any((each.sequence, each.manifest) == (manifest.sequence, release.digest) for each in line):
            return False
        highest = max((each.sequence for each in line), default=0)
        if manifest.sequence <= highest:
            raise UsageError(
                f"sequence {manifest.sequence} of {manifest.board}: {highest} is published, and sequences only rise"
            )
        self.publish(signers, add=release_targets(release, keys))
        return True

    # --- inside

    @property
    def _metadata(self) -> Path:
        return self.folder / METADATA

    def _after(self, days: int) -> datetime:
        return self._now + timedelta(days=days)

    def _soon(self, expires: datetime, days: int) -> bool:
        """Whether less than a tenth of the term is left."""
        return expires - self._now < timedelta(days=days) / 10

    def _timestamp(self) -> Metadata[Timestamp] | None:
        return self._load("timestamp.json") if (self._metadata / "timestamp.json").exists() else None

    def _load(self, name: str) -> Metadata[Any]:
        data = read(self._metadata / name, MAX_METADATA)
        try:
            return Metadata.from_bytes(data)
        except DeserializationError as error:
            raise OtaError(f"{self._metadata / name} is no TUF metadata: {error}") from None

    def _change(
        self, targets: Targets, add: Mapping[str, tuple[bytes, dict[str, Any]]], drop: Iterable[str]
    ) -> None:
        for path in drop:
            targets.targets.pop(path, None)
        for path, (content, custom) in add.items():
            made = TargetFile.from_data(path, content, ["sha256"])
            if custom:
                made.unrecognized_fields["custom"] = custom
            targets.targets[path] = made
        targets.version = self._free("targets")
        targets.expires = self._after(self._lifetimes.targets)

    def _next(self, targets: Metadata[Targets]) -> tuple[Metadata[Snapshot], Metadata[Timestamp]]:
        """Unsigned snapshot and timestamp that follow."""
        old = self._timestamp()
        snapshot = Metadata(
            Snapshot(version=self._free("snapshot"), expires=self._after(self._lifetimes.snapshot))
        )
        snapshot.signed.meta["targets.json"] = MetaFile.from_data(
            targets.signed.version, targets.to_bytes(), ["sha256"]
        )
        timestamp = Metadata(
            Timestamp(
                version=1 if old is None else old.signed.version + 1,
                expires=self._after(self._lifetimes.timestamp),
            )
        )
        return snapshot, timestamp

    def _free(self, role: str) -> int:
        """The next version: above what is there, so that what a killed run left is not written over."""
        return max(self._versions(role), default=0) + 1

    def _versions(self, role: str) -> list[int]:
        return [int(path.name.split(".")[0]) for path in self._metadata.glob(f"[0-9]*.{role}.json")]

    def _prove(self, root: Root, *metadata: Metadata[Any]) -> None:
        """All of it under the root that is to be in force; OtaError: then nothing is written."""
        for each in metadata:
            try:
                root.verify_delegate(each.signed.type, each.signed_bytes, each.signatures)
            except (RepositoryError, DownloadError) as error:
                raise OtaError(f"{each.signed.type}.json does not verify: {error}") from None


def release_targets(release: Release, keys: tuple[bytes, bytes]) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """A release's targets: path to (content, custom). `keys`: the release keys that signed it."""
    manifest = release.manifest
    custom = {"manifest": release.digest.hex(), "firmware": manifest.firmware, "key": key_id(keys).hex()}
    found: dict[str, tuple[bytes, dict[str, Any]]] = {_path(manifest, ENVELOPE): (release.envelope, custom)}
    for number, data in enumerate(release.payloads):
        found[_path(manifest, f"payload-{number}")] = (data, {})
    return found


def key_id(keys: tuple[bytes, bytes]) -> bytes:
    """Names the release keys of a root document."""
    return hashlib.sha256(keys[0] + keys[1]).digest()[:8]


def _path(manifest: Manifest, name: str) -> str:
    return RELEASE_TARGET.format(manifest.board, manifest.component, manifest.sequence, name)


def _stored(target: TargetFile) -> str:
    """Where a target lies: its hash before its name (consistent snapshots, 6.2)."""
    folder, _, name = target.path.rpartition("/")
    return f"{folder}/{target.hashes['sha256']}.{name}"
