"""`fieldline ota rollout|status|abort|trust`: a release's way through the fleet.

Rules: words in, one step of the runner, a table out; no logic.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fieldline_ota import desk
from fieldline_ota.errors import UsageError
from fieldline_ota.files import write_new
from fieldline_ota.repository import Repository
from fieldline_ota.rollout import model, runner, settings
from fieldline_ota.rollout.engine import Rollout
from fieldline_ota.rollout.model import Limits, Plan, Ref, Ring
from fieldline_ota.rollout.reasons import words as words_of
from fieldline_ota.rollout.store import RolloutStore
from fieldline_ota.secrets import Secrets
from fieldline_ota.tokens import TokenKeys
from fieldline_ota.words import add_command, add_secrets, share

DEFAULT_RINGS = ("canary=T@canary", "5%", "25%", "50%", "100%")
_DEFAULT = " ".join(DEFAULT_RINGS).replace("%", "%%")
EPILOG = """example:
  fieldline ota rollout start pico_w 7 --back 8 --ring canary='T@canary' --ring 25% --ring 100%
  fieldline ota rollout run 1

ota.toml, which -c names:
"""
_SHOWN = 200  # nodes of a table; --json has all


def add_commands(parts: Any) -> None:
    """Adds them to the parsers of `fieldline ota`."""
    rollout = parts.add_parser(
        "rollout",
        help="give a published release to the fleet, ring by ring",
        description="Gives a published release to the fleet, ring by ring; stops and goes back by itself.",
        epilog=EPILOG + settings.EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = rollout.add_subparsers(metavar="COMMAND", required=True)
    group = "rollout"

    start = add_command(
        commands, "start", _start, "plan a rollout over all nodes of a board; offers nothing yet",
        "pico_w 7 --back 8 --ring canary='T@canary' --ring 5% --ring 100%", group,
    )  # fmt: skip
    start.add_argument("board", metavar="BOARD")
    start.add_argument("sequence", type=int, metavar="SEQUENCE", help="of the published release")
    start.add_argument("--component", type=int, default=0, choices=(0, 1))
    back = start.add_mutually_exclusive_group(required=True)
    back.add_argument("--back", type=int, metavar="SEQUENCE",
                      help="the last good image, published under a higher sequence, to return to")  # fmt: skip
    back.add_argument("--no-back", action="store_true", help="stop where it fails, and return nowhere")
    start.add_argument(
        "--ring",
        action="append",
        metavar="RING",
        help=f"NAME=TARGET, or a share of the fleet as 25%%; in order (default: {_DEFAULT})",
    )
    start.add_argument("--success", type=share, default=Limits().success, metavar="SHARE",
                       help="of a ring that confirmed before the next one begins (95%%)")  # fmt: skip
    start.add_argument("--failure", type=share, default=Limits().failure, metavar="SHARE",
                       help="of a ring that may fail; one more stops it (5%%)")  # fmt: skip
    start.add_argument(
        "--soak", type=float, default=Limits().soak_s, metavar="S", help="wait after each ring (3600)"
    )
    start.add_argument("--silence", type=float, default=Limits().silence_s, metavar="S",
                       help="without progress a node has failed after (86400)")  # fmt: skip
    start.add_argument(
        "--tries", type=int, default=Limits().tries, metavar="N", help="offers to a node that refuses (2)"
    )

    run = add_command(
        commands, "run", _run, "carry it out until it has ended; may be killed and run again", "1", group
    )
    _id(run)
    run.add_argument(
        "--interval", type=float, default=10.0, metavar="S", help="between looks at the gateways (10)"
    )
    run.add_argument("--once", action="store_true", help="one step, for a timer")
    add_secrets(run)
    hold = add_command(commands, "hold", _hold, "no offers until it is resumed", "1 --why weekend", group)
    resume = add_command(commands, "resume", _resume, "go on", "1", group)
    for part in (hold, resume):
        _id(part)
    hold.add_argument("--why", default="", metavar="TEXT", help="for the log")

    status = add_command(parts, "status", _status, "rollouts, or one with its rings and nodes", "1")
    status.add_argument("id", type=int, nargs="?", metavar="ROLLOUT")
    status.add_argument("--json", action="store_true", help="JSON, for programs")
    abort = add_command(
        parts, "abort", _abort, "end a rollout; nodes that have the release return", "1 --why 'wrong pins'"
    )
    _id(abort)
    abort.add_argument("--why", required=True, metavar="TEXT", help="for the log")
    abort.add_argument(
        "--back", type=int, metavar="SEQUENCE", help="return to this release instead of the plan's"
    )
    trust = add_command(
        parts,
        "trust",
        _trust,
        "make a node's /trust.bin: its token key and the root",
        "0123456789abcdef --out trust.bin",
    )
    trust.add_argument("node", metavar="NODE", help="its id, 16 hexadecimal digits")
    trust.add_argument("--out", type=Path, required=True, metavar="FILE", help="as secret as the key in it")
    add_secrets(trust)
    for part in (start, run, hold, resume, status, abort, trust):
        part.add_argument("-c", "--config", type=Path, default=Path("ota.toml"), metavar="FILE",
                          help="the desk's file (ota.toml); `fieldline ota rollout --help` shows one")  # fmt: skip


def _id(part: argparse.ArgumentParser) -> None:
    part.add_argument("id", type=int, metavar="ROLLOUT", help="its number")


def _start(words: argparse.Namespace) -> int:
    config = settings.load(words.config)
    repo = Repository(config.repo, words.now)
    plan = Plan(
        words.board,
        words.component,
        _ref(repo, words.board, words.component, words.sequence),
        None if words.back is None else _ref(repo, words.board, words.component, words.back),
        tuple(_ring(text) for text in words.ring or DEFAULT_RINGS),
        Limits(words.success, words.failure, words.soak, words.silence, words.tries),
    )
    made = runner.start(
        _store(config), config.gateways, plan, getpass.getuser(), words.now.timestamp(), os.urandom(8).hex()
    )
    for number, ring in enumerate(plan.rings):
        print(f"{ring.name}: {made.counts(number).total()} nodes")
    print(f"rollout {made.id}: carry it out with: fieldline ota rollout run {made.id} -c {words.config}")
    return 0


def _run(words: argparse.Namespace) -> int:
    config = settings.load(words.config)
    keys = TokenKeys.open(config.tokens, Secrets(words.passphrase_file, words.pin_file))
    store = _store(config)
    console = Console(stderr=True)
    said: tuple[str, ...] = ()
    while True:
        done = runner.step(store, config.gateways, keys, words.id, time.time())
        if done.faults != said:
            for line in done.faults:
                print(line, file=sys.stderr)
            said = done.faults
        if console.is_terminal and not words.once:
            console.clear()
            console.print(_rings(done.rollout))
        if done.rollout.ended() or words.once:
            print(_sentence(done.rollout))
            return 0 if done.rollout.state == model.DONE or words.once else 1
        time.sleep(words.interval)


def _hold(words: argparse.Namespace) -> int:
    return _order(words, lambda rollout, who: rollout.hold(who, words.why))


def _resume(words: argparse.Namespace) -> int:
    return _order(words, lambda rollout, who: rollout.resume(who, words.now.timestamp()))


def _abort(words: argparse.Namespace) -> int:
    config = settings.load(words.config)

    def order(rollout: Rollout, who: str) -> Any:
        plan = rollout.plan
        back = None
        if words.back is not None:
            back = _ref(Repository(config.repo, words.now), plan.board, plan.component, words.back)
        return rollout.abort(who, words.why, words.now.timestamp(), back)

    _order(words, order)
    print("what was offered is taken back, and nodes return, while `fieldline ota rollout run` runs")
    return 0


def _order(words: argparse.Namespace, order: Any) -> int:
    store = _store(settings.load(words.config))
    with store.working():
        rollout = store.load(words.id)
        store.save(rollout, order(rollout, getpass.getuser()))
    print(_sentence(rollout))
    return 0


def _status(words: argparse.Namespace) -> int:
    store = _store(settings.load(words.config))
    with store.working():
        rollouts = store.all() if words.id is None else [store.load(words.id)]
    if words.json:
        print(json.dumps([_as_json(each) for each in rollouts]))
        return 0
    console = Console()
    if words.id is None:
        table = Table("rollout", "board", "sequence", "state", "ring", "confirmed", "failed", "nodes")
        for each in rollouts:
            counts = each.counts()
            bad = counts[model.FAILED] + counts[model.SILENT]
            name = each.plan.rings[each.ring].name
            confirmed = counts[model.CONFIRMED]
            table.add_row(*map(str, (each.id, each.plan.board, each.plan.release.sequence, each.state, name,
                                     confirmed, bad, counts.total())))  # fmt: skip
        console.print(table)
        return 0
    rollout = rollouts[0]
    print(_sentence(rollout))
    console.print(_rings(rollout))
    table = Table("node", "name", "gateway", "ring", "state", "progress", "runs", "reason", "since")
    nodes = sorted(rollout.nodes.values(), key=lambda node: (node.ring, node.name, node.id))
    for node in nodes[:_SHOWN]:
        since = time.strftime("%m-%d %H:%M:%S", time.gmtime(node.since))
        table.add_row(
            node.id, escape(node.name), escape(node.gateway), rollout.plan.rings[node.ring].name, node.state,
            _bar(node.percent, 100, 10), str(node.running), words_of(node.reason) if node.reason else "", since,
        )  # fmt: skip
    console.print(table)
    if len(nodes) > _SHOWN:
        print(f"and {len(nodes) - _SHOWN} more nodes: --json has all")
    return 0


def _trust(words: argparse.Namespace) -> int:
    config = settings.load(words.config)
    try:
        node = bytes.fromhex(words.node)
    except ValueError:
        node = b""
    if len(node) != 8:
        raise UsageError(f"{words.node!r}: a node id has 16 hexadecimal digits")
    keys = TokenKeys.open(config.tokens, Secrets(words.passphrase_file, words.pin_file))
    root = desk.node_root(Repository(config.repo, words.now))
    write_new(words.out, keys.trust(node, root.to_bytes()), mode=0o600)
    print(
        f"{words.out}: node root {root.version} of {root.vendor}; put it on the node as /trust.bin, then delete it"
    )
    return 0


def _store(config: settings.Settings) -> RolloutStore:
    return RolloutStore(config.state, lambda: time.time_ns() // 1_000_000)


def _ref(repo: Repository, board: str, component: int, sequence: int) -> Ref:
    for each in repo.releases():
        if (each.board, each.component, each.sequence) == (board, component, sequence):
            return Ref(sequence, each.manifest.hex(), len(repo.release(each).envelope))
    known = ", ".join(str(each.sequence) for each in repo.releases() if each.board == board) or "none"
    raise UsageError(f"release {sequence} of {board} is not published; there are {known}")


def _ring(text: str) -> Ring:
    name, equals, target = text.partition("=")
    if equals and name and target:
        return Ring(name, target=target)
    try:
        return Ring(text, share=share(text))
    except argparse.ArgumentTypeError:
        raise UsageError(f"--ring {text!r}: write NAME=TARGET, or a share such as 25%") from None


def _rings(rollout: Rollout) -> Table:
    table = Table("ring", "nodes", "progress", "confirmed", "under way", "failed", "silent", "back")
    for number, ring in enumerate(rollout.plan.rings):
        counts = rollout.counts(number)
        size = counts.total() - counts[model.SKIPPED]
        done = counts[model.CONFIRMED] + counts[model.BACK]
        mark = " (open)" if number == rollout.ring and rollout.state == model.RUNNING else ""
        table.add_row(
            ring.name + mark, str(size), _bar(done, size, 20), str(counts[model.CONFIRMED]),
            str(_sum(counts, (*model.UNDER_WAY, model.BACK_OFFERED, model.BACK_TRIAL))), str(counts[model.FAILED]),
            str(counts[model.SILENT]), str(counts[model.BACK]),
        )  # fmt: skip
    return table


def _bar(done: int, of: int, width: int) -> str:
    """A progress bar that needs no colour."""
    share = done / of if of else 0.0
    full = int(share * width)
    return f"{'█' * full}{'░' * (width - full)} {int(100 * share):3d} %"


def _sum(counts: Any, states: Sequence[str]) -> int:
    return sum(counts[state] for state in states)


def _sentence(rollout: Rollout) -> str:
    why = f": {rollout.why}" if rollout.why else ""
    plan = rollout.plan
    return f"rollout {rollout.id} of {plan.board} {plan.release.sequence} is {rollout.state}{why}"


def _as_json(rollout: Rollout) -> dict[str, Any]:
    return {
        "id": rollout.id,
        "state": rollout.state,
        "why": rollout.why,
        "ring": rollout.plan.rings[rollout.ring].name,
        "plan": rollout.plan.to_dict(),
        "counts": dict(rollout.counts()),
        "nodes": [
            {name: getattr(node, name) for name in model.Node.__slots__} for node in rollout.nodes.values()
        ],
    }
