"""What is lost when everything fails again and again: the gateway, its disk, its clock, the broker, the way to it.

Rules: simulated nodes, everything else is the real process (soak.py). A figure of losses counts what breaks the
promise (ledger.py): numbers that neither came nor were explained, one number with two contents, disorder. The tails
are tried on the store's own start, in this process, on this disk.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from fieldline_gateway import logs
from fieldline_gateway.records import KIND_REPORT, LIVE, TIME_NODE, Record
from fieldline_gateway.store.files import DiskFiles
from fieldline_gateway.store.reading import Place, read_records
from fieldline_gateway.store.segment import Group, SegmentWriter, open_segments
from fieldline_harness.figures import Figure
from fieldline_harness.progress import progress
from fieldline_harness.soak import Misfortune, Site, tail

KILLS, QUICK_KILLS = 1000, 3
TAILS, QUICK_TAILS = 10_000, 200
SEED = 20_261_122
NODES = 4
MISFORTUNE = 0.2
"""Of the kills so many have another misfortune beside them."""
QUIET_S = 120.0
"""Time for everything to arrive at the end."""
PAUSE_S = 0.4
FLOWING = 0.8
"""Of the kills so many come while readings arrive, the others while the gateway is still at its start."""
_SEGMENT_BYTES = 64 * 1024


def run(quick: bool = False, kills: int = 0, tails: int = 0, seed: int = SEED) -> list[Figure]:
    """The figures of the soak; its faults, if any, are told on standard error."""
    kills = kills or (QUICK_KILLS if quick else KILLS)
    tails = tails or (QUICK_TAILS if quick else TAILS)
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        figures = asyncio.run(_site(Path(name) / "site", kills, seed))
        lost = _tails(Path(name) / "tails", tails, Random(seed))
    how = f"records of {tails} stores with a torn or garbage tail behind what was on disk; seed {seed}"
    return [
        *figures,
        Figure("soak.tails", tails, "starts", how),
        Figure("soak.tails_lost", lost, "records", how),
    ]


async def _site(folder: Path, kills: int, seed: int) -> list[Figure]:
    """Kills, with other misfortunes among them."""
    began = time.monotonic()
    befell: collections.Counter[str] = collections.Counter()
    async with Site(folder, nodes=NODES, seed=seed) as site:
        deck: list[Misfortune] = []
        with progress("kills") as show:
            for kill in range(1, kills + 1):
                if site.random.random() < FLOWING:
                    await site.until_more(1, QUIET_S)
                await asyncio.sleep(site.random.uniform(0, PAUSE_S))
                if site.random.random() < MISFORTUNE:
                    if not deck:  # so that each kind is in it as often as the others
                        deck = site.random.sample(site.misfortunes, len(site.misfortunes))
                    misfortune = deck.pop()
                    befell[misfortune.__name__] += 1
                    await asyncio.gather(misfortune(), site.killed())
                else:
                    await site.killed()
                show(kill, kills)
        await site.until_more(1, QUIET_S)
        faults = await site.faults(QUIET_S)
        readings, repeats, in_gaps = site.subscriber.ledger.count()
    for fault in faults:
        print(fault, file=sys.stderr)
    how = f"{readings} readings of {NODES} simulated nodes in {time.monotonic() - began:.0f} s, seed {seed}"
    return [
        Figure(
            "soak.kills",
            site.gateway.kills - 1,
            "SIGKILLs",
            f"each a power cut for what was not synced; {how}",
        ),
        Figure(
            "soak.misfortunes",
            befell.total(),
            "beside a kill",
            "of each kind: " + ", ".join(f"{kind} {count}" for kind, count in sorted(befell.items())),
        ),
        Figure("soak.lost", len(faults), "broken promises", f"silent losses, disorder, conflicts; {how}"),
        Figure("soak.gaps", in_gaps, "readings", f"reported as lost; {how}"),
        Figure("soak.repeats", repeats, "readings", how),
        Figure(
            "soak.longest_gap_s", site.longest_gap_s, "s", f"in which no new reading reached the judge; {how}"
        ),
    ]


def _tails(folder: Path, count: int, random: Random) -> int:
    """How many promised records were not there after a start, or not as they were."""
    folder.mkdir()
    logs.setup(level="error")  # each torn tail is a warning
    lost = 0
    with progress("tails") as show:
        for number in range(count):
            lost += _one_tail(DiskFiles(folder / str(number)), folder / str(number), random)
            if number % 50 == 0:
                show(number, count)
    return lost


def _one_tail(files: DiskFiles, folder: Path, random: Random) -> int:
    """A store of a few groups, soiled behind its end, opened again; the promised records that are lost."""
    files.make()
    writer = SegmentWriter(files, LIVE, _SEGMENT_BYTES, lambda: random.getrandbits(32))
    numbers = itertools.count(1)
    promised: list[Record] = []
    group, end, name = Group(1), 0, ""
    for _ in range(random.randint(1, 4)):
        group = Group(len(promised) + 1)
        for _ in range(random.randint(1, 40)):
            group.add(_record(next(numbers), random))
        promised += group.records
        written = writer.write(group)
        name = str(written.opened.name) if written.opened else name
        end = written.end
    with (folder / name).open("r+b") as file:  # as a killed process leaves it: reserved, not sealed
        data = file.read(end)
        file.seek(end)
        file.write(tail(data, random))
    segments, next_seq = open_segments(files, LIVE, 1)
    found: list[Record] = []
    for segment, following in itertools.zip_longest(segments, segments[1:]):
        first = segment.name.first_seq
        last = following.name.first_seq - 1 if following else next_seq - 1
        place = Place(segment.name, 0, first)
        while place.seq <= last:
            batch = read_records(files, place, first, last, 1000, 0)
            found += [stored.record for stored in batch.records]
            place = batch.place
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    wrong = sum(one != other for one, other in zip(promised, found, strict=False))
    return wrong + max(len(promised) - len(found), 0) + (next_seq != len(promised) + 1)


def _record(number: int, random: Random) -> Record:
    payload = random.randbytes(random.choice((10, 60, 122, 500)))
    return Record(
        LIVE, KIND_REPORT, b"simnode1", 7, number, number, 1, number, 1_790_000_000_000, TIME_NODE, 0, payload
    )
