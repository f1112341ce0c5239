"""An update over the mesh, as the node paces it: nothing is asked for twice, readings go on, silence costs little."""

from node_cases.bench import spinning
from node_cases.mesh_bench import ADDRESS, MeshBench
from node_cases.update_cases import Loader

from fieldline_wire.codes import LIVE
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Ask, Chunk, Status, Want

CHUNK_MS = 1500  # a mesh on which nobody else speaks
COUNT = 12  # chunks of an envelope


class Receiving:
    """An updater that receives COUNT chunks, and judges nothing."""

    def __init__(self, port):
        self._port = port
        self.missing = list(range(COUNT))
        self.asked = []
        self.twice = 0

    def load(self):
        pass

    def wants(self):
        return bool(self.missing)

    def waiting(self):
        return bool(self.asked)

    def work(self):
        return False

    def want(self, most):
        self.asked = self.missing[:most]
        mask = 0
        for index in self.asked:
            mask |= 1 << 31 - index + self.missing[0]
        return Want(codes.OBJECT_ENVELOPE, self.missing[0], mask)

    def chunk(self, object, index, data):
        if index not in self.asked:
            self.twice += 1
            return False
        self.asked.remove(index)
        self.missing.remove(index)
        return True

    def status(self):
        return self._port.status()


class Site:
    """A node that receives, and a gateway that sends a chunk each CHUNK_MS."""

    def __init__(self):
        loader = Loader(state=codes.OFFERED)
        self.updater = Receiving(loader.port)
        loader.port.updater = lambda unix, random: self.updater
        self.bench = bench = MeshBench(updates=loader)
        self.asked = []
        self.wants = []
        self.serves = True
        self._due = 0
        bench.peer.also = self._take
        spinning(bench)

    def run(self, ms):
        bench = self.bench
        for _ in range(ms // 100):
            bench.run(100)
            if self.asked and bench.time >= self._due and not bench.peer.model.waiting(ADDRESS):
                self._due = bench.time + CHUNK_MS
                bench.peer.send(Chunk(codes.OBJECT_ENVELOPE, self.asked.pop(0), bytes(256)))

    def _take(self, message):
        if isinstance(message, Status):
            self.bench.peer.send(Ask(message.number))
        elif isinstance(message, Want):
            self.wants.append(self.bench.time)
            if self.serves:
                self.asked = list(message.chunks())


def case_each_chunk_is_asked_for_once_and_readings_go_on():
    site = Site()
    site.run(3000)
    site.run(COUNT * CHUNK_MS + 6000)
    assert not site.updater.missing and not site.updater.twice
    assert len(site.wants) == 2, site.wants
    assert site.bench.peer.next(LIVE) > 35 and not site.bench.peer.gaps[LIVE]
    assert site.bench.link.model.counts["given_up"] == 0


def case_a_gateway_that_sends_nothing_is_asked_again_after_a_while():
    site = Site()
    site.serves = False
    site.run(40000)
    assert len(site.wants) == 2 and site.wants[1] - site.wants[0] >= 30000, site.wants
