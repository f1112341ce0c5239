"""What the gateway says to nodes that take updates: the node's own updater at the other end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fieldline_gateway.ingest.came import Came, Moment
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.updates.pace import (
    LOOK_MS,
    MOST_PAUSE_MS,
    OVERHEAD,
    TURN_MS,
    WINDOW,
    Bucket,
    Flights,
    Medium,
    Turns,
)
from fieldline_gateway.updates.serving import Serving, takes_none
from fieldline_gateway.updates.source import TufSource
from fieldline_gateway.updates.state import Row, UpdateState
from fieldline_wire.codes import HELLO_NO_UPDATES
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Abort, Ask, Chunk, Offer
from tests.gateway.updates.updating_node import UpdatingNode
from tests.ota.host.tuf_site import served
from tests.ota.releases import TOKENS, Repo


class Bench:
    """Nodes on one link and the rules; messages go unsealed. `drop`: says which of them are lost.

    `shared`: they are nodes of one mesh, each on a link of its own. `room`: whether a link takes a chunk.
    """

    def __init__(
        self, repo: Repo, folder: Path, count: int = 1, rate: float = 1e9, shared: bool = False
    ) -> None:
        self.shared = shared
        self.room: Callable[[str], bool] = lambda link: True
        self.repo = repo
        self.folder = folder
        self.rate = rate
        self.now_ms = 1_000_000
        unix = int(repo.now.timestamp())
        self.nodes = {}
        for number in range(1, count + 1):
            id = bytes(7) + bytes([number])
            self.nodes[id] = UpdatingNode(number, repo.trust(id), unix=unix)
            self.nodes[id].seal = lambda message: message  # type: ignore[method-assign]
        self.states = {id: NodeState(node.enrolled()) for id, node in self.nodes.items()}
        self.drop: Callable[[Any], bool] = lambda message: False
        self.said: list[tuple[bytes, Any]] = []
        self.sent: list[tuple[float, Any]] = []
        self.new_gateway([])

    def new_gateway(self, rows: list[Row]) -> None:
        """As after a start; what is on disk is `rows`."""
        self.said = []
        for state in self.states.values():
            state.link = None  # until it is heard
        self.serving = Serving(
            lambda state, message: self.said.append((state.node.id, message)),
            self.medium,
            self.states,
            self._has_room,
        )
        self.serving.load(rows)
        self.look()

    def look(self) -> None:
        with served(self.repo.folder) as url:
            source = TufSource(url, self.repo.root_file, self.folder / "gw")
            self.serving.holds(source.refresh(), self.moment)

    def _has_room(self, link: str) -> bool:
        return self.room(link)

    def medium(self, link: str) -> Medium:
        if self.shared:
            return Medium("mesh", self.rate, burst=1, shared=True)
        return Medium(link, self.rate)

    @property
    def moment(self) -> Moment:
        return Moment(self.now_ms, self.now_ms)

    def came(self, id: bytes, payload: bytes) -> Came:
        link = f"mesh:{id[-1]:04x}" if self.shared else "line"
        self.states[id].link = link
        self.states[id].heard_ms = self.now_ms
        return Came(self.moment, link, SimpleNamespace(node=id), self.states[id], payload)  # type: ignore[arg-type]

    def hello(self) -> None:
        for id, node in self.nodes.items():
            self.serving.hello(self.came(id, node.say_hello()))

    def offer(self, id: bytes, digest: str, **fields: Any) -> None:
        status = self.nodes[id].status()
        counter, nonce = fields.get("counter", status.counter + 1), fields.get("nonce", status.nonce)
        token = TOKENS.token(fields.get("node", id), counter, nonce, bytes.fromhex(digest))
        self.serving.offer(id, digest, token)
        self.serving.tell(self.moment, id)

    def turn(self) -> bool:
        """Carries all that waits one way and back; False where nothing did."""
        self.serving.pump(self.moment)
        dirty, self.serving.dirty = self.serving.dirty, set()
        self.serving.saved(dirty)
        going, self.said = self.said, []
        for id, message in going:
            self.sent.append((self.now_ms / 1000, message))
            if self.drop(message):
                continue
            for answer in self.nodes[id].hear(message.to_bytes()):
                assert self.serving.take(self.came(id, answer))
        return bool(going)

    def run(self, turns: int = 2000, ms: int = 10) -> None:
        idle = 0
        for _ in range(turns):
            self.now_ms += ms
            idle = 0 if self.turn() else idle + 1
            if idle == 40:
                return

    def rows(self) -> list[Row]:
        return [node.row for node in self.serving.nodes.values()]


@pytest.fixture
def releases(repo: Repo) -> list[str]:
    return [repo.publish(1, "one"), repo.publish(2, "two")]


def test_a_node_takes_a_release_whole_and_then_the_next_as_a_delta(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.run()
    assert not any(isinstance(message, Offer) for _, message in bench.sent), "a gateway chooses nothing"
    bench.offer(id, releases[0])
    bench.run()
    assert (node.status().state, node.status().running) == (codes.CONFIRMED, 1)
    whole = node.chunks
    bench.offer(id, releases[1])
    bench.run()
    assert node.status().running == 2 and node.chunks - whole < 14, "an envelope and a delta"
    assert node.status().unasked == 0


def test_each_status_is_acknowledged_once_it_is_on_disk(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    bench.serving.take(bench.came(id, node.status().to_bytes()))
    assert not bench.said and bench.serving.dirty == {id}
    bench.serving.saved([id])
    assert [(type(message), message.number) for _, message in bench.said] == [(Ask, node.status().number)]


@pytest.mark.parametrize("seed", range(4))
def test_any_message_may_be_lost(repo: Repo, releases: list[str], tmp_path: Path, seed: int) -> None:
    bench = Bench(repo, tmp_path, count=2)
    chance = random.Random(seed)
    bench.drop = lambda message: chance.random() < 0.3
    bench.hello()
    for id in bench.nodes:
        bench.offer(id, releases[1])
    for _ in range(60):
        bench.run(turns=60)
        bench.now_ms += 16_000  # a node asks again, and tells how it stands: update.md 9.2, 9.6
        for id, node in bench.nodes.items():
            for payload in [node.status().to_bytes(), *node.ask_again()]:
                bench.serving.take(bench.came(id, payload))
            status = node.status()
            if status.running != 2 and status.state in (codes.IDLE, codes.REFUSED):
                bench.offer(id, releases[1])  # as the rollout does where the nonce is another
    assert {node.status().running for node in bench.nodes.values()} == {2}


@pytest.mark.parametrize("seed", range(6))
def test_a_gateway_that_is_killed_goes_on_from_its_disk(
    repo: Repo, releases: list[str], tmp_path: Path, seed: int
) -> None:
    """What was said since the last write to disk is gone; the offer was on disk before the node had it."""
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    chance = random.Random(seed)
    state = UpdateState(tmp_path / "updates.db")
    state.open()
    bench.hello()
    bench.run()
    bench.offer(id, releases[0])
    kills = 0
    for _ in range(400):
        state.save(bench.rows())
        bench.now_ms += 10
        for _ in range(chance.randrange(1, 4)):
            bench.turn()
        if node.status().running:
            break
        if chance.random() < 0.3:
            kills += 1
            state.close()
            state.open()
            bench.new_gateway(state.rows())
            for payload in [node.status().to_bytes(), *node.ask_again()]:
                bench.serving.take(bench.came(id, payload))
    state.close()
    assert node.status().running == 1 and kills
    assert node.status().unasked == 0 and node.chunks <= 60, "what was received is not received again"


def test_a_kill_right_after_the_first_offer_serves_what_was_offered(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.run()
    bench.offer(id, releases[0])
    bench.run()
    status = node.status()
    token = TOKENS.token(id, status.counter + 1, status.nonce, bytes.fromhex(releases[1]))
    bench.serving.offer(id, releases[1], token)
    rows = [replace(row) for row in bench.rows()]  # on disk before the node is told; what comes then is not
    bench.serving.tell(bench.moment, id)
    for _, offer in bench.said:
        node.hear(offer.to_bytes())
    assert node.status().state == codes.OFFERED and rows[0].serving == releases[0]
    bench.new_gateway(rows)
    for payload in [node.status().to_bytes(), *node.ask_again()]:
        bench.serving.take(bench.came(id, payload))
    bench.run()
    assert (node.status().state, node.status().running) == (codes.CONFIRMED, 2)


def test_a_node_that_slept_is_told_to_give_up_when_it_is_heard(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path, rate=2000)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.offer(id, releases[0])
    while node.status().state != codes.RECEIVING:
        bench.now_ms += 10
        bench.turn()
    bench.drop = lambda message: True  # it sleeps
    bench.serving.withdraw(id)
    bench.run()
    bench.drop = lambda message: False
    bench.new_gateway([replace(row) for row in bench.rows()])
    for payload in node.ask_again():
        bench.serving.take(bench.came(id, payload))
    bench.run()
    assert (node.status().state, node.status().reason) == (codes.REFUSED, codes.ABORTED)


def test_an_abort_ends_what_is_received(repo: Repo, releases: list[str], tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path, rate=2000)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.offer(id, releases[0])
    while node.status().state != codes.RECEIVING:
        bench.now_ms += 10
        bench.turn()
    bench.serving.withdraw(id)
    assert isinstance(bench.said[-1][1], Abort)
    bench.run()
    assert (node.status().state, node.status().reason) == (codes.REFUSED, codes.ABORTED)
    bench.run()
    assert not node.status().running, "what was withdrawn is not offered again"


def test_a_release_that_crashes_is_given_up_and_reported(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    node.crashes = {1}
    bench.offer(id, releases[0])
    bench.hello()
    bench.run()
    status = bench.serving.nodes[id].status
    assert status is not None
    assert (status.state, status.reason, status.running) == (codes.REVERTED, codes.TRIES_USED, 0)  # type: ignore[attr-defined]


def test_a_token_of_another_node_is_refused_and_told_apart_from_silence(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.run()
    status = node.status()
    token = bytearray(TOKENS.token(id, status.counter + 1, status.nonce, bytes.fromhex(releases[0])))
    token[60] ^= 1  # in the tag
    bench.serving.offer(id, releases[0], bytes(token))
    bench.serving.tell(bench.moment, id)
    bench.run()
    row = bench.serving.nodes[id].row
    assert (row.refused, row.reason) == (status.counter + 1, codes.TOKEN_TAG)
    before = sum(isinstance(message, Offer) for _, message in bench.sent)
    bench.now_ms += 60_000
    bench.serving.take(bench.came(id, node.status().to_bytes()))
    bench.run()
    assert sum(isinstance(message, Offer) for _, message in bench.sent) == before, (
        "a refused token is not told again"
    )
    bench.offer(id, releases[0])
    bench.run()
    assert node.status().running == 1


def test_a_new_root_reaches_the_node_before_the_image(repo: Repo, tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.run()
    repo.root("ann", "ben")  # cay is revoked
    repo.root("ann", "ben", "dan")
    digest = repo.publish(1, "one")
    bench.look()
    bench.run()
    assert node.roots.root is not None and node.roots.root.version == 3
    bench.offer(id, digest)
    bench.run()
    assert node.status().running == 1


def test_a_revoked_release_key_ends_at_the_node(repo: Repo, releases: list[str], tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    held = bench.serving.catalogue
    bench.hello()
    bench.run()
    repo.root("ann", "ben", "cay", release="release2")
    bench.look()
    bench.run()
    assert node.roots.root is not None and node.roots.root.version == 2
    bench.serving.catalogue = held  # as a gateway that keeps what was withdrawn
    bench.offer(id, releases[0])
    bench.run()
    assert (node.status().state, node.status().reason) == (codes.REFUSED, codes.LMS_WRONG)


def test_what_a_node_may_not_send_or_is_malformed_is_no_message(repo: Repo, tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path)
    id = next(iter(bench.nodes))
    for payload in (
        Abort().to_bytes(),
        Chunk(0, 0, b"x").to_bytes(),
        b"\x20",
        b"\x22\x00",
        Ask(1).to_bytes(),
    ):
        assert not bench.serving.take(bench.came(id, payload))
    assert bench.serving.take(
        bench.came(id, b"\x22\x10\xff\xff\xff\xff\xff\xff")
    )  # a Want of nothing there is
    assert bench.serving.pump(bench.moment) is None and not bench.said


def test_chunks_take_no_more_than_their_share_and_nodes_take_turns(repo: Repo, tmp_path: Path) -> None:
    digest = repo.publish(1, "one", size=20)
    share = 2880.0  # a quarter of 115,200 baud
    bench = Bench(repo, tmp_path, count=3, rate=share)
    bench.hello()
    for id in bench.nodes:
        bench.offer(id, digest)
    bench.run(turns=20_000, ms=5)
    assert {node.status().running for node in bench.nodes.values()} == {1}
    chunks = [(at, len(message.data) + OVERHEAD) for at, message in bench.sent if isinstance(message, Chunk)]
    burst = WINDOW * (256 + OVERHEAD)
    for i, (begin, _) in enumerate(chunks[::25]):
        total = 0
        for at, size in chunks[25 * i :]:
            total += size
            assert total <= burst + share * (at - begin) + size, "over the share"
    assert all(node.chunks > 40 for node in bench.nodes.values())
    assert len(chunks) > 150, "long enough to show it"


def test_a_bucket_gives_its_rate_and_no_more() -> None:
    bucket = Bucket(Medium("line", 1000))
    given = 0
    now = 100.0
    for _ in range(10_000):
        now += 0.001
        if bucket.take(now, 300):
            given += 300
        else:
            assert 0 < bucket.wait(300) <= 0.3
    assert 10_000 - 300 <= given <= 10_000 + WINDOW * (256 + OVERHEAD)


def test_status_of_an_older_gateway_that_cannot_be_read_is_forgotten(repo: Repo, tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path)
    id = next(iter(bench.nodes))
    bench.new_gateway([Row(id, status=b"\x20nonsense")])
    assert bench.serving.nodes[id].status is None


def on_air(bench: Bench) -> list[bytes]:
    """Nodes that ask for chunks now."""
    return [id for id, node in bench.nodes.items() if node.status().state in (codes.OFFERED, codes.RECEIVING)]


def test_nodes_of_a_mesh_are_updated_one_after_the_other_at_the_share_of_one(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    rate = 83.0  # a quarter of a mesh
    bench = Bench(repo, tmp_path, count=4, rate=rate, shared=True)
    bench.hello()
    bench.run()
    begin = bench.now_ms / 1000
    for id in bench.nodes:
        bench.offer(id, releases[0])
    order: list[bytes] = []
    while {node.status().running for node in bench.nodes.values()} != {1}:
        bench.now_ms += 50
        bench.turn()
        assert len(on_air(bench)) <= 1, "a second node was told before the first had all"
        order += [id for id in on_air(bench) if id not in order]
        assert bench.now_ms < 10_000_000, order
    assert len(order) == 4
    chunks = [(at, len(message.data) + OVERHEAD) for at, message in bench.sent if isinstance(message, Chunk)]
    for i in range(1, len(chunks)):
        assert chunks[i][0] > chunks[i - 1][0], "two chunks at once"
    assert sum(size for _, size in chunks) <= 304 + rate * (chunks[-1][0] - begin)
    assert all(node.status().unasked == 0 for node in bench.nodes.values())


def test_a_node_of_a_mesh_that_falls_silent_gives_its_turn_to_the_next(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path, count=3, rate=83.0, shared=True)
    bench.hello()
    bench.run()
    for id in bench.nodes:
        bench.offer(id, releases[0])
    while not on_air(bench):
        bench.now_ms += 50
        bench.turn()
    (silent,) = on_air(bench)
    hear = bench.nodes[silent].hear
    bench.nodes[silent].hear = lambda payload: []  # type: ignore[method-assign]
    others = [node for id, node in bench.nodes.items() if id != silent]
    sent = len(bench.sent)
    while {node.status().running for node in others} != {1}:
        bench.now_ms += 50
        bench.turn()
        assert bench.now_ms < 10_000_000
    to_nobody = [m for _, m in bench.sent[sent:] if isinstance(m, Chunk)]
    assert len(to_nobody) <= WINDOW + sum(node.chunks for node in others), "it is not sent to for ever"
    bench.nodes[silent].hear = hear  # type: ignore[method-assign]
    for payload in bench.nodes[silent].ask_again():
        bench.serving.take(bench.came(silent, payload))
    bench.run(turns=20_000, ms=50)
    while bench.nodes[silent].status().running != 1:
        bench.now_ms += 50
        bench.turn()
        assert bench.now_ms < 20_000_000
    assert bench.serving.pump(bench.moment) is None, "no turn is held"


def test_a_busy_link_gets_no_chunk_until_it_has_room(repo: Repo, releases: list[str], tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path, shared=True)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.room = lambda link: False
    bench.offer(id, releases[0])
    bench.run()
    assert node.status().state == codes.OFFERED and not node.chunks
    bench.room = lambda link: link == "mesh:0001"
    for payload in node.ask_again():
        bench.serving.take(bench.came(id, payload))
    bench.run()
    assert node.status().running == 1


def test_who_says_it_takes_no_updates_is_not_asked(repo: Repo, tmp_path: Path) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    hello = Hello(node.stream, flags=HELLO_NO_UPDATES).to_bytes()
    assert takes_none(hello) and not takes_none(node.say_hello())
    bench.serving.hello(bench.came(id, hello))
    assert not bench.said
    bench.serving.hello(bench.came(id, node.say_hello()))
    assert bench.said


def test_an_offer_that_was_lost_is_told_again_at_the_next_hello(
    repo: Repo, releases: list[str], tmp_path: Path
) -> None:
    bench = Bench(repo, tmp_path)
    ((id, node),) = bench.nodes.items()
    bench.hello()
    bench.run()
    bench.drop = lambda message: True
    bench.offer(id, releases[0])
    bench.run()
    assert not node.status().running
    bench.drop = lambda message: False
    bench.now_ms += 20_000
    bench.hello()
    bench.run()
    assert node.status().running == 1


def test_a_turn_is_one_nodes_until_it_ends_or_is_not_heard() -> None:
    turns = Turns()
    assert turns.take("mesh", b"a", 0) and turns.take("mesh", b"a", 1) and not turns.take("mesh", b"b", 2)
    assert turns.take("other", b"b", 2)
    assert not turns.take("mesh", b"b", 50) and turns.take("mesh", b"a", 100)
    assert turns.over(TURN_MS + 99) == ["other"] and turns.wait_ms(TURN_MS) == 2 and turns.end("other", b"b")
    assert turns.over(TURN_MS + 100) == ["mesh"]
    assert turns.take("mesh", b"b", TURN_MS + 100) and not turns.end("mesh", b"a") and turns.end("mesh", b"b")
    assert turns.wait_ms(0) is None and turns.holder("mesh") is None


def test_the_pause_behind_a_chunk_is_as_long_as_its_part_of_the_time_says() -> None:
    busy = {"mesh:0100"}
    flights = Flights(lambda link: link not in busy)
    medium = Medium("mesh", 1e9, burst=1, shared=True, part=0.25)
    assert flights.wait_ms(medium, 1000) == 0
    flights.begin(medium, "mesh:0100", 1000)
    assert flights.wait_ms(medium, 2000) == LOOK_MS
    busy.clear()
    assert flights.wait_ms(medium, 3000) == 6000, "two seconds of eight"
    assert flights.wait_ms(medium, 8999) == 1 and flights.wait_ms(medium, 9000) == 0
    flights.begin(medium, "mesh:0101", 10_000)
    assert flights.wait_ms(medium, 70_000) == MOST_PAUSE_MS, (
        "it was given up; others wait no longer than that"
    )
