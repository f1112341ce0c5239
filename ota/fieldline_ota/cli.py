"""`fieldline ota`: what a release manager does, from the first key to the last node (docs/update.md 11 on).

Rules: words in, one step of desk.py, lines out; no logic. Secrets never come as words.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldline_host.command import run_command
from fieldline_ota import bundle, desk, keystore, rollout_cli, root_cli, tokens
from fieldline_ota.errors import ImageError, OtaError, UsageError
from fieldline_ota.espimage import check_image as check_native
from fieldline_ota.files import read
from fieldline_ota.files import replace as write_file
from fieldline_ota.judged import check_payloads, check_signatures
from fieldline_ota.release import Signer
from fieldline_ota.repository import METADATA, Lifetimes, Repository
from fieldline_ota.romfs import build_image
from fieldline_ota.room import RoomOf, check_size
from fieldline_ota.root_cli import add_repository, read_draft
from fieldline_ota.secrets import PASSPHRASE, Secrets
from fieldline_ota.tree import DEFAULT_ABI, check_abi, read_tree
from fieldline_ota.words import add_command, add_secrets
from fieldline_wire.update.manifest import COMPONENT_APP, COMPONENT_NATIVE

EPILOG = f"""examples, from nothing to a published release:
  fieldline ota keygen keys/ann                        a root holder's pair (LMS and Ed25519)
  fieldline ota keygen keys/release
  fieldline ota keygen keys/online --ed25519-only      signs snapshot and timestamp
  fieldline ota rotate repo --out root-1.draft --vendor acme --threshold 2 \\
      --holder keys/ann --holder keys/ben --holder keys/cay --release keys/release --online keys/online
  fieldline ota sign root-1.draft --repo repo --key keys/ann
  fieldline ota publish root-1.draft --repo repo --key keys/release --key keys/online
  fieldline ota build build/pico_w --out release-7 --vendor acme --board pico_w --sequence 7 \\
      --firmware 1.4.0 --expires 2027-11-30 --base release-6
  fieldline ota build --native micropython.bin --out native-3 --vendor acme --board esp32s3_devkitc --sequence 3 \\
      --firmware 1.4.0 --expires 2027-11-30              a whole firmware, for ota_0 and ota_1
  fieldline ota verify release-7 --repo repo
  fieldline ota rollout start pico_w 7 --back 8 -c ota.toml && fieldline ota rollout run 1 -c ota.toml

Passphrases are asked for, or come from --passphrase-file or the variable {PASSPHRASE}. docs/update.md says more.
"""


def main(argv: list[str], *, room_of: RoomOf, now: datetime | None = None) -> int:
    """Run `fieldline ota`; 0 done, 1 failed, 2 wrong words. `room_of`: what boards hold; `now`: for tests."""
    words = {"now": now or datetime.now(UTC), "room_of": room_of}
    return run_command(_parser(), argv, OtaError, UsageError, **words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fieldline ota",
        description="Releases of nodes: keys, images, signatures, the repository.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="COMMAND", required=True)

    _add_keygen(parts)
    _add_build(parts)
    _add_sign(parts)
    _add_verify(parts)
    _add_publish(parts)
    root_cli.add_commands(parts)
    rollout_cli.add_commands(parts)
    return parser


def _add_keygen(parts: Any) -> None:
    keygen = add_command(parts, "keygen", _keygen, "make a key: an LMS and Ed25519 pair", "keys/ann")
    keygen.add_argument(
        "path", type=Path, metavar="KEY", help="where: KEY.pub, KEY.ed25519, KEY.lms are made"
    )
    keygen.add_argument("--ed25519-only", action="store_true", help="no LMS key: for snapshot and timestamp")
    keygen.add_argument("--tokens", action="store_true", help="the fleet's token key instead: KEY.tokens")
    keygen.add_argument("--pkcs11", metavar="LIBRARY", help="make the Ed25519 key in a token of this library")
    keygen.add_argument("--token", metavar="LABEL", help="which token of it")
    add_secrets(keygen)


def _add_build(parts: Any) -> None:
    build = add_command(
        parts, "build", _build, "make an unsigned release of a folder of built files",
        "build/pico_w --out release-7 --vendor acme --board pico_w --sequence 7 --firmware 1.4.0"
        " --expires 2027-11-30 --base release-6",
    )  # fmt: skip
    build.add_argument("tree", type=Path, nargs="?", metavar="TREE", help="what `fieldline node build` made")
    build.add_argument("--native", type=Path, metavar="IMAGE",
                       help="in place of TREE: an ESP32's whole firmware, for ota_0 and ota_1")  # fmt: skip
    build.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the release's folder")
    build.add_argument("--vendor", required=True, help="as in the root")
    build.add_argument("--board", required=True, help="the class: the board's name in the catalog")
    build.add_argument("--sequence", type=int, required=True, metavar="N", help="rises with each release")
    build.add_argument("--firmware", required=True, metavar="VERSION", help="what a node tells of itself")
    build.add_argument("--expires", type=_day, required=True, metavar="DATE",
                       help="not installed from this day on (UTC)")  # fmt: skip
    build.add_argument("--abi", type=lambda text: int(text, 0), default=DEFAULT_ABI, metavar="N",
                       help=f"the nodes' sys.implementation._mpy ({DEFAULT_ABI:#06x}: since 1.23)")  # fmt: skip
    build.add_argument("--boards", type=Path, metavar="FOLDER",
                       help="boards of your own, as everywhere: what fits the board is in its file")  # fmt: skip
    build.add_argument("--base", type=Path, action="append", default=[], metavar="RELEASE",
                       help="make a delta from this release, too; may be repeated")  # fmt: skip


def _add_sign(parts: Any) -> None:
    sign = add_command(
        parts,
        "sign",
        _sign,
        "sign a release, or as a holder the draft of a root",
        "release-7 --key keys/release",
    )
    sign.add_argument("what", type=Path, metavar="WHAT", help="a release's folder or a draft")
    sign.add_argument("--key", type=Path, required=True, metavar="KEY", help="the pair that signs")
    sign.add_argument("--repo", type=Path, metavar="FOLDER", help="the repository; needed for a draft")
    add_secrets(sign)


def _add_verify(parts: Any) -> None:
    verify = add_command(
        parts,
        "verify",
        _verify,
        "judge a release as a node would, or a whole repository",
        "release-7 --repo repo",
    )
    verify.add_argument("what", type=Path, metavar="WHAT", help="a release's folder, a draft or a repository")
    verify.add_argument("--repo", type=Path, metavar="FOLDER", help="the repository whose root counts")
    verify.add_argument("--base", type=Path, action="append", default=[], metavar="RELEASE",
                        help="a release that a delta is from, where it is not published")  # fmt: skip


def _add_publish(parts: Any) -> None:
    publish = add_command(
        parts, "publish", _publish, "put a release or a signed root into the repository, or renew its terms",
        "release-7 --repo repo --key keys/release --key keys/online",
    )  # fmt: skip
    publish.add_argument("what", type=Path, nargs="*", metavar="WHAT", help="releases' folders, or a draft")
    publish.add_argument(
        "--refresh",
        action="store_true",
        help="new terms of snapshot and timestamp, and of targets if their keys are given",
    )
    add_repository(publish)
    publish.add_argument("--key", type=Path, action="append", required=True, metavar="KEY",
                         help="a key of targets, snapshot or timestamp; may be repeated")  # fmt: skip
    for role, days in (("targets", 180), ("snapshot", 30), ("timestamp", 7)):
        publish.add_argument(
            f"--{role}-days", type=int, default=days, metavar="N", help=f"term of {role} ({days})"
        )
    add_secrets(publish)


def _keygen(words: argparse.Namespace) -> int:
    if bool(words.pkcs11) != bool(words.token):
        raise UsageError("--pkcs11 LIBRARY and --token LABEL go together")
    if words.tokens:
        print(tokens.make(words.path, Secrets(words.passphrase_file)))
        return 0
    if not words.ed25519_only:
        print("making 1,024 LMS leaves, some seconds ...", file=sys.stderr)
    made = keystore.make(
        words.path,
        Secrets(words.passphrase_file, words.pin_file),
        pair=not words.ed25519_only,
        token=(words.pkcs11, words.token) if words.pkcs11 else None,
    )
    print(f"{words.path}.pub: Ed25519 {made.ed25519.hex()}")
    if made.lms:
        print(
            "never copy the .lms and .lms.used files back from a backup: a leaf that signs twice gives the key away"
        )
    return 0


def _build(words: argparse.Namespace) -> int:
    if (words.tree is None) == (words.native is None):
        raise UsageError("give what is released: TREE, or --native IMAGE for an ESP32's whole firmware")
    room = words.room_of(words.board, words.boards)
    abi = words.abi
    if words.native is None:
        component = COMPONENT_APP
        files = read_tree(words.tree)
        abi = check_abi(files, abi)
        image = build_image(files)
    else:
        component = COMPONENT_NATIVE
        image = read(words.native, bundle.MAX_IMAGE)
        try:
            check_native(image, room.chip_id)
        except ImageError as error:
            raise ImageError(f"{words.native}: {error}") from None
    check_size(room, len(image), native=component == COMPONENT_NATIVE)
    facts = bundle.Facts(
        words.sequence, words.vendor, room.board, abi, words.expires, words.firmware, component
    )
    bases = [bundle.load(folder, signatures=False) for folder in words.base]
    release = bundle.make_release(image, facts, bases)
    bundle.write(words.out, release)
    for line in check_payloads(release, bases):
        print(line)
    print(f"{words.out}: sequence {words.sequence}, manifest {release.digest.hex()}")
    return 0


def _sign(words: argparse.Namespace) -> int:
    secrets = Secrets(words.passphrase_file, words.pin_file)
    if words.what.is_dir():
        release = bundle.load(words.what, signatures=False)
        if release.envelope:
            raise UsageError(
                f"{words.what} is signed already; remove {bundle.ENVELOPE} to sign it with another key"
            )
        with keystore.open_pair(words.key, secrets) as pair:
            bundle.write_envelope(words.what, bundle.signed(release, pair))
        print(f"{words.what}: signed by {words.key.name}, which has {keystore.leaves_left(words.key)} left")
        return 0
    if words.repo is None:
        raise UsageError("a draft is signed against its repository: give --repo FOLDER")
    draft = read_draft(words.what)
    with keystore.open_pair(words.key, secrets) as pair:
        done, lacks = desk.sign_root_draft(Repository(words.repo, words.now), draft, pair)
    write_file(words.what, draft.to_json())
    print(f"{words.key.name} signed {' and '.join(done)}")
    print("\n".join(f"missing: {line}" for line in lacks) or "enough holders have signed: publish it")
    return 0


def _verify(words: argparse.Namespace) -> int:
    repo = None if words.repo is None else Repository(words.repo, words.now)
    if (words.what / METADATA).is_dir():
        told = desk.verify_repository(Repository(words.what, words.now), words.now)
    elif words.what.is_dir():
        if repo is None:
            raise UsageError("a release is judged under a root: give --repo FOLDER")
        release = bundle.load(words.what)
        check_signatures(release, desk.node_root(repo))
        bases = [bundle.load(folder, signatures=False) for folder in words.base]
        told = check_payloads(release, [*bases, *(repo.release(each) for each in repo.releases())])
        told.append(f"both signatures: right under node root {desk.node_root(repo).version}")
    else:
        if repo is None:
            raise UsageError("a draft is judged against its repository: give --repo FOLDER")
        lacks = desk.missing(repo, read_draft(words.what))
        print("\n".join(f"missing: {line}" for line in lacks) or "enough holders have signed")
        return 1 if lacks else 0
    print("\n".join(told))
    return 0


def _publish(words: argparse.Namespace) -> int:
    if bool(words.what) == words.refresh:
        raise UsageError("give what to publish, or --refresh")
    terms = Lifetimes(
        targets=words.targets_days, snapshot=words.snapshot_days, timestamp=words.timestamp_days
    )
    repo = Repository(words.repo, words.now, terms)
    with _signers(words) as signers:
        if words.refresh:
            targets = repo.can_sign("targets", signers)
            print("\n".join(desk.refresh(repo, signers, targets=targets)))
        for path in words.what:
            if path.is_dir():
                print("\n".join(desk.publish_release(repo, bundle.load(path), [], signers)))
            else:
                print("\n".join(desk.publish_root(repo, read_draft(path), signers)))
    return 0


@contextmanager
def _signers(words: argparse.Namespace) -> Iterator[list[Signer]]:
    secrets = Secrets(words.passphrase_file, words.pin_file)
    with ExitStack() as stack:
        yield [stack.enter_context(keystore.open_ed25519(path, secrets)) for path in words.key]


def _day(text: str) -> int:
    """Unix seconds of a day's beginning, UTC."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write for example 2027-11-30") from None
