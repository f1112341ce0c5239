"""Updates of nodes of a simulated mesh, while all report: the node's and the gateway's own rules on a SIMULATED air.

Rules: node side fieldline_node.updates with the wire's updater, gateway side updates.serving with its shares and
turns; what a boot is, and how long verification takes (a second or two on a chip), is left out. Time is the site's.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from fieldline_gateway.ingest.came import Came, Moment
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.registry import Node
from fieldline_gateway.updates.catalogue import Catalogue
from fieldline_gateway.updates.catalogue import Release as Held
from fieldline_gateway.updates.pace import MESH_BYTES_PER_S, Medium
from fieldline_gateway.updates.serving import Serving
from fieldline_harness.mesh_site import Reporter, Site
from fieldline_node.updates import Updates
from fieldline_ota.release import Release
from fieldline_ota.romfs import build_image
from fieldline_wire.codes import LIVE
from fieldline_wire.session import OPEN
from fieldline_wire.update import codes
from fieldline_wire.update.messages import BY_TYPE
from fieldline_wire.update.root import Roots
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import blank
from fieldline_wire.update.token import Token
from fieldline_wire.update.updater import Updater
from tests.fakes.flash import FakeFlash
from tests.fakes.inflate import Inflater
from tests.ota import material

STEP_MS = 1000
SECTORS = 68
PATIENCE_MS = 120_000


class UpdatingNode:
    """What a reporter has beside its readings. `base`: release and image that it runs."""

    def __init__(self, site: Site, reporter: Reporter, base: tuple[Release, bytes]) -> None:
        self.site = site
        self.reporter = reporter
        self.wants = 0
        self.who = SimpleNamespace(
            node=reporter.id, token_key=material.TOKEN_KEY, board=material.BOARD, component=0, abi=0x1106
        )
        region = FakeFlash(4)
        self.journal = SlotJournal(region)
        self.journal.mount()
        release, image = base
        self.journal.write(blank(bytes(8), 1))
        self.slots = [(FakeFlash(1), FakeFlash(SECTORS - 1)) for _ in range(2)]
        self.slots[0][0].data[: len(release.envelope)] = release.envelope
        self.slots[0][1].data[: len(image)] = image
        sequence = release.manifest.sequence
        self.journal.put(slots=(0, sequence, material.keys("release").lms.public))
        self.journal.put(state=codes.CONFIRMED, active=0, floor=sequence, sequence=sequence, good=1)
        self.roots = Roots(region, 2)
        self.roots.load(material.root().to_bytes())
        self.port: Any = SimpleNamespace(
            journal=self.journal, slots=self.slots, who=self.who, switch=None, updater=self._updater
        )
        self.port.status = lambda: self._updater(None, None).status()
        reporter.others = self._heard
        self._draws = 0
        self._start()

    @property
    def state(self) -> int:
        """Of the slot journal."""
        return int(self.journal.record.state)

    def _start(self) -> None:
        """A boot: the port of the app is this."""
        node = self

        class Uplink:
            patience = PATIENCE_MS
            acknowledged = True

            def is_open(self) -> bool:
                return node.reporter.session.state == OPEN

            def is_quiet(self) -> bool:
                return self.is_open() and not node.reporter.session.unsent(LIVE)

            def send(self, message: Any) -> None:
                node.wants += type(message).__name__ == "Want"
                node.reporter.say(node.site.world.now // 1000, message.to_bytes())

        app: Any = SimpleNamespace(
            uplink=Uplink(),
            log=SimpleNamespace(add=lambda *line: None),
            hardware=SimpleNamespace(heap_free=lambda: 1 << 17, random=self._random),
            sampler=SimpleNamespace(states=lambda: []),
            clock=SimpleNamespace(is_set=lambda: True, stamp=lambda ms: (1_900_000_000, 0, 1)),
            restart=self._restart,
        )
        app.hardware.now_ms = lambda: self.site.world.now // 1000
        journal = SimpleNamespace(put=lambda *record: None, get=lambda key: None)
        self.updates = Updates(self.port, app, journal)

    def _restart(self, into_trial: bool = False) -> None:
        self.journal.change("boot", tries=1)
        self._start()

    def _updater(self, unix: Any, random: Any) -> Updater:
        return Updater(
            self.who, self.journal, self.roots, self.slots, self._random, lambda: 1_900_000_000, Inflater
        )

    def _random(self, count: int) -> bytes:
        self._draws += 1
        return (self.reporter.address << 32 | self._draws).to_bytes(count, "big")

    def _heard(self, now: int, payload: bytes) -> None:
        if payload[0] in BY_TYPE:
            self.updates.handle(now, BY_TYPE[payload[0]].from_bytes(payload))
            self.step(now)

    def step(self, now: int) -> None:
        """What is due now, to its end."""
        while self.updates.step(now) == 0:
            pass


class AirUpdate:
    """A release for some nodes of a site. `share`: of the mesh, that it may take; `confirmed`: ms, by address."""

    def __init__(
        self,
        site: Site,
        folder: Path,
        addresses: list[int],
        base: tuple[Release, bytes],
        release: Release,
        share: float,
    ) -> None:
        self.site = site
        self.release = release
        self.nodes = {
            site.reporters[each].id: UpdatingNode(site, site.reporters[each], base) for each in addresses
        }
        self.states = {
            id: NodeState(Node(id, f"{node.reporter.address:04x}", 0, bytes(16), 1, None))
            for id, node in self.nodes.items()
        }
        medium = Medium("mesh", share * MESH_BYTES_PER_S, burst=1, shared=True, part=share)
        model = site.gateway.model
        self.serving = Serving(
            self._say, lambda link: medium, self.states, lambda link: not model.waiting(int(link[5:], 16))
        )
        paths = []
        for number, payload in enumerate(release.payloads):
            paths.append(folder / f"payload-{number}")
            paths[-1].write_bytes(payload)
        held = Held(
            material.BOARD,
            0,
            release.manifest.sequence,
            "",
            release.digest.hex(),
            release.envelope,
            tuple(paths),
        )
        self.serving.catalogue = Catalogue({held.digest: held}, {})
        self.began = 0
        self.confirmed: dict[int, int] = {}
        self.most_on_air = 0
        site.gateway.others = self._came

    def offer(self, now: int) -> None:
        """The token service has a token for each; from now on."""
        self.began = now
        for id, node in self.nodes.items():
            state = self.states[id]
            state.link, state.heard_ms = f"mesh:{node.reporter.address:04x}", now
            status = node._updater(None, None).status()
            self._take(now, id, status.to_bytes())
            token = Token(id, status.counter + 1, status.nonce, self.release.digest)
            self.serving.offer(id, self.release.digest.hex(), token.to_bytes(material.TOKEN_KEY))
        for id in self.nodes:
            self.serving.tell(Moment(now, now), id)
        self._tick(now)

    @property
    def done(self) -> bool:
        """Whether all run it for good."""
        return len(self.confirmed) == len(self.nodes)

    def _tick(self, now: int) -> None:
        for node in self.nodes.values():
            node.step(now)
            sequence = node.journal.record.floor
            if sequence == self.release.manifest.sequence:
                self.confirmed.setdefault(node.reporter.address, now)
        on_air = sum(node.state in (codes.OFFERED, codes.RECEIVING) for node in self.nodes.values())
        self.most_on_air = max(self.most_on_air, on_air)
        wait = self.serving.pump(Moment(now, now))
        dirty, self.serving.dirty = self.serving.dirty, set()
        self.serving.saved(dirty)
        if not self.done:
            self.site.world.at(now + min(STEP_MS, max(10, int(1000 * (wait or 1)))), self._tick)

    def _say(self, state: NodeState, message: Any) -> None:
        node = self.nodes[state.node.id]
        self.site.gateway.say(self.site.world.now // 1000, node.reporter, message.to_bytes())

    def _came(self, now: int, reporter: Reporter, payload: bytes) -> None:
        if reporter.id in self.nodes:
            self._take(now, reporter.id, payload)

    def _take(self, now: int, id: bytes, payload: bytes) -> None:
        state = self.states[id]
        assert state.link is not None
        state.heard_ms = now
        came: Any = Came(Moment(now, now), state.link, SimpleNamespace(node=id), state, payload)  # type: ignore[arg-type]
        assert self.serving.take(came)


def releases(size: int, *, whole: bool) -> tuple[tuple[Release, bytes], Release]:
    """((what a node runs, its image), what follows). `whole`: an image that has nothing of it, else a delta.

    What travels has `size` bytes and some 60 more: they are random, and no deflate makes them fewer.
    """
    same, new = Random(1).randbytes(14_000), Random(2).randbytes(size)
    base = build_image({"app/part.mpy": same})
    image = build_image({"app/part.mpy": new} if whole else {"app/part.mpy": same, "app/some.mpy": new})
    return (material.release(base, 1), base), material.release(image, 2, (base,), deflated=True)
