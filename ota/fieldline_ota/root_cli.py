"""`fieldline ota rotate` and `revoke`: drafts of the repository's next root.

Rules: as in cli.py. A draft changes nothing before enough holders have signed it and it is published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldline_ota import desk
from fieldline_ota.errors import UsageError
from fieldline_ota.files import read
from fieldline_ota.files import replace as write_file
from fieldline_ota.keystore import PublicKey, read_public
from fieldline_ota.repository import Repository
from fieldline_ota.rootdraft import MAX_DRAFT, Draft, Plan, without
from fieldline_ota.words import add_command


def add_commands(parts: Any) -> None:
    """Both of them."""
    _add_rotate(parts)
    _add_revoke(parts)


def add_repository(part: argparse.ArgumentParser) -> None:
    """The word that says which repository."""
    part.add_argument("--repo", type=Path, required=True, metavar="FOLDER", help="the repository's folder")


def read_draft(path: Path) -> Draft:
    """A draft's file; OtaError where it is none."""
    return Draft.from_json(read(path, MAX_DRAFT))


def _add_rotate(parts: Any) -> None:
    rotate = add_command(
        parts, "rotate", _rotate, "draft the next root: the first one, other keys, another threshold, a new term",
        "repo --out root-2.draft --release keys/release-2",
    )  # fmt: skip
    rotate.add_argument("repo", type=Path, metavar="REPO", help="the repository's folder")
    rotate.add_argument("--vendor", help="of the first root")
    rotate.add_argument("--threshold", type=int, metavar="N", help="holders that must sign")
    rotate.add_argument(
        "--holder", type=Path, action="append", default=[], metavar="KEY", help="one more holder"
    )
    rotate.add_argument(
        "--release", type=Path, metavar="KEY", help="the pair that signs releases from now on"
    )
    rotate.add_argument("--targets", type=Path, action="append", default=[], metavar="KEY",
                        help="one more key of TUF's targets role beside the release key")  # fmt: skip
    rotate.add_argument("--targets-threshold", type=int, metavar="N", help="keys that must sign targets")
    rotate.add_argument("--online", type=Path, action="append", default=[], metavar="KEY",
                        help="one more key of snapshot and timestamp")  # fmt: skip
    rotate.add_argument("--online-threshold", type=int, metavar="N", help="keys that must sign these")
    _draft(rotate)


def _add_revoke(parts: Any) -> None:
    revoke = add_command(
        parts, "revoke", _revoke, "draft the next root without a key", "ben --repo repo --out root-2.draft"
    )
    revoke.add_argument(
        "names", nargs="+", metavar="NAME", help="keys by name, as `verify` and `rotate` show them"
    )
    revoke.add_argument(
        "--instead", type=Path, metavar="KEY", help="the new release key, where that is revoked"
    )
    revoke.add_argument("--threshold", type=int, metavar="N", help="holders that must sign from now on")
    add_repository(revoke)
    _draft(revoke)


def _draft(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the draft, for the holders to sign"
    )
    part.add_argument("--root-days", type=int, default=365, metavar="N", help="term of the root (365)")


def _rotate(words: argparse.Namespace) -> int:
    repo = Repository(words.repo, words.now)
    holders, online, also = (
        tuple(read_public(path) for path in paths) for paths in (words.holder, words.online, words.targets)
    )
    release = None if words.release is None else read_public(words.release)
    if repo.root() is None:
        if not (words.vendor and words.threshold and holders and online and release):
            raise UsageError("the first root needs --vendor, --threshold, --holder, --release and --online")
        plan = Plan(words.vendor, holders, words.threshold, release, online, also)
    else:
        if words.vendor:
            raise UsageError("the vendor stays what it is: a node takes no root of another one")
        old = desk.current_plan(repo)
        plan = replace(
            old,
            holders=old.holders + holders,
            online=old.online + online,
            also=old.also + also,
            release=release or old.release,
            threshold=words.threshold or old.threshold,
        )
    plan = replace(
        plan,
        targets_threshold=words.targets_threshold or plan.targets_threshold,
        online_threshold=words.online_threshold or plan.online_threshold,
    )
    return _write_draft(words, repo, plan)


def _revoke(words: argparse.Namespace) -> int:
    repo = Repository(words.repo, words.now)
    old = desk.current_plan(repo)
    known = {key.name for key in (*old.holders, *old.online, *old.also, old.release)}
    for name in words.names:
        if name not in known:
            raise UsageError(f"there is no key '{name}' in the root; it has {', '.join(sorted(known))}")
    release = old.release
    if release.name in words.names:
        if words.instead is None:
            raise UsageError(f"{release.name} signs releases: give the new pair with --instead KEY")
        release = read_public(words.instead)
    plan = replace(
        old,
        holders=without(old.holders, words.names),
        online=without(old.online, words.names),
        also=without(old.also, words.names),
        release=release,
        threshold=words.threshold or old.threshold,
    )
    return _write_draft(words, repo, plan)


def _write_draft(words: argparse.Namespace, repo: Repository, plan: Plan) -> int:
    draft = desk.draft_root(repo, plan, words.now, words.root_days)
    write_file(words.out, draft.to_json())
    print(f"{words.out}: TUF root {draft.tuf.signed.version}, until {draft.tuf.signed.expires:%Y-%m-%d}")
    print("node root " + ("stays as it is" if draft.node is None else str(draft.node.version)))
    print(f"holders:   {plan.threshold} of {_names(plan.holders)}")
    print(f"releases:  {plan.release.name}")
    print(f"targets:   {plan.targets_threshold} of {_names((plan.release, *plan.also))}")
    print(f"online:    {plan.online_threshold} of {_names(plan.online)}")
    print("\n".join(f"missing: {line}" for line in desk.missing(repo, draft)))
    return 0


def _names(keys: Sequence[PublicKey]) -> str:
    return ", ".join(key.name for key in keys)
