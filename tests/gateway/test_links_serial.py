"""Serial links over real pty pairs: messages both ways, hot plug, noise, a reader that stopped reading."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldline_gateway.links.serial import MAX_WAITING, SerialLinks, SerialSettings
from fieldline_wire.fragments import split
from fieldline_wire.serial import KIND_FRAGMENT, KIND_SEALED, MAX_PAYLOAD, Reader, encode


class Cable:
    """A pty whose other end is found at `path`, as a board's port is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        self._slave = slave

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self._slave)
        os.close(self.master)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.cable = Cable(folder / "tty")
        self.arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        settings = SerialSettings((str(folder / "tty*"), str(folder / "tty")), scan_s=0.01)
        self.links = SerialLinks(settings, lambda link, data: self.arrived.put_nowait((link, data)))

    def state(self) -> dict[str, object]:
        return self.links.status()[0]

    async def until_open(self, times: int = 1) -> None:
        async with asyncio.timeout(60):
            while not (status := self.links.status()) or status[0].get("opened") != times:
                await asyncio.sleep(0.005)

    async def until_closed(self) -> None:
        async with asyncio.timeout(60):
            while self.state()["open"]:
                await asyncio.sleep(0.005)

    async def from_line(self, frames: int) -> list[tuple[int, bytes]]:
        """What the gateway wrote, as a node reads it."""
        reader, found = Reader(), list[tuple[int, bytes]]()
        async with asyncio.timeout(60):
            while len(found) < frames:
                found += reader.feed(await asyncio.to_thread(os.read, self.cable.master, 4096))
        return found


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    it = Bench(folder)
    it.cable.plug()
    running = asyncio.create_task(it.links.run())
    try:
        await it.until_open()
        yield it
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_messages_go_both_ways_whole_and_in_fragments(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as it:
            long = bytes(range(256)) * 6
            frames = [encode(KIND_SEALED, b"up")]
            frames += [encode(KIND_FRAGMENT, piece) for piece in split(long, MAX_PAYLOAD, 9)]
            os.write(it.cable.master, b"".join(frames))
            assert [(await it.arrived.get())[1] for _ in range(2)] == [b"up", long]

            assert it.links.send(str(it.cable.path), b"down")
            assert it.links.send(str(it.cable.path), long)
            frames_seen = await it.from_line(1 + 4)
            assert frames_seen[0] == (KIND_SEALED, b"down")
            assert {kind for kind, _ in frames_seen[1:]} == {KIND_FRAGMENT}
            assert not it.links.send("/dev/nowhere", b"x")

    asyncio.run(run())


def test_a_port_that_goes_away_is_opened_again_when_it_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as it:
            for plugged in range(1, 4):
                os.write(it.cable.master, encode(KIND_SEALED, b"n%d" % plugged))
                assert (await it.arrived.get())[1] == b"n%d" % plugged
                it.cable.unplug()
                await it.until_closed()
                assert not it.links.send(str(it.cable.path), b"x")
                it.cable.plug()
                await it.until_open(plugged + 1)

    asyncio.run(run())


def test_noise_and_bad_fragments_are_counted_and_the_next_message_arrives(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as it:
            good = encode(KIND_SEALED, b"good")
            broken = bytearray(encode(KIND_SEALED, b"bad"))
            broken[2] ^= 1
            # In pieces: a pty takes 4 KiB at a time.
            line = b"\x55" * 100_000 + b"\0" + bytes(broken) + encode(KIND_FRAGMENT, b"\1\2\2x") + good
            for at in range(0, len(line), 2048):
                await asyncio.to_thread(os.write, it.cable.master, line[at : at + 2048])
            assert (await it.arrived.get())[1] == b"good"
            state = it.state()
            assert state["noise_bytes"] == 100_000
            assert (state["overruns"], state["crc_errors"], state["fragments_refused"]) == (1, 1, 1)

    asyncio.run(run())


def test_a_line_that_nobody_reads_drops_and_counts_instead_of_growing(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as it:
            taken = sum(it.links.send(str(it.cable.path), bytes(MAX_PAYLOAD)) for _ in range(1000))
            assert taken * MAX_PAYLOAD < 3 * MAX_WAITING
            assert it.state()["dropped"] == 1000 - taken > 0

    asyncio.run(run())


def test_a_port_that_cannot_be_opened_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        (tmp_path / "tty").write_text("no terminal")
        links = SerialLinks(SerialSettings((str(tmp_path / "tty"),), scan_s=0.01), lambda *_: None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await links.run()
        assert [line.getMessage() for line in caplog.records].count("link-refused") == 1
        assert links.status()[0]["open"] is False
        assert "error" in links.status()[0]

    caplog.set_level("INFO")
    asyncio.run(run())
