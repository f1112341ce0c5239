"""A repository as `fieldline ota publish` leaves it, behind an HTTP server that is a process of its own, on a line
that breaks: what a gateway takes is whole and verified, and what it lacks comes with the next look."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fieldline_gateway.updates.catalogue import UpdatesError
from fieldline_gateway.updates.source import TufSource
from fieldline_wire.update.codes import CHUNK, OBJECT_ENVELOPE
from tests.ota.releases import Repo

STARTS_S = 60.0


@contextmanager
def http_server(folder: Path, port: int = 0) -> Iterator[int]:
    """The port of a `python -m http.server` process that serves `folder`."""
    words = ["-u", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split(" port ")[1].split()[0])
        finally:
            process.kill()


class Line:
    """A line to that server: `cut` bytes of what it answers come through in all, then it breaks, until it is None."""

    def __init__(self, port: int, cut: int | None = None, *, reset: bool = False) -> None:
        self.cut = cut
        self.sent = 0
        self._reset = reset
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as server:
            asks = threading.Thread(target=self._ask, args=(client, server), daemon=True)
            asks.start()
            while data := server.recv(700):
                if self.cut is not None:
                    data = data[: max(0, self.cut - self.sent)]
                self.sent += len(data)
                client.sendall(data)
                if self.cut is not None and self.sent >= self.cut:
                    break
            if self._reset and self.cut is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                client.shutdown(socket.SHUT_RD)
            else:
                client.shutdown(socket.SHUT_RDWR)
            asks.join()  # while it reads, the connection is not closed

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(4096):
                server.sendall(data)


def whole(source: TufSource, repo: Repo) -> None:
    """All that is published is held, byte for byte."""
    held = source.refresh()
    assert held == source.held()
    assert {each.digest for each in held.releases.values()} == {
        each.manifest.hex() for each in repo.made.releases()
    }
    for each in repo.made.releases():
        made, release = repo.made.release(each), held.releases[each.manifest.hex()]
        count = -(-len(made.envelope) // CHUNK)
        got = b"".join(release.chunk(OBJECT_ENVELOPE, i) for i in range(count))
        assert got == made.envelope
        assert tuple(path.read_bytes() for path in release.payloads) == made.payloads


def test_what_is_published_comes_from_a_server_of_its_own(repo: Repo, tmp_path: Path) -> None:
    repo.publish(1, "one")
    repo.publish(2, "two", size=20)
    with http_server(repo.folder) as port:
        source = TufSource(f"http://127.0.0.1:{port}/", repo.root_file, tmp_path / "gw")
        whole(source, repo)
        repo.publish(3, "three")
        repo.root("ann", "ben", "cay")
        whole(source, repo)


def test_a_server_that_goes_away_and_comes_back(repo: Repo, tmp_path: Path) -> None:
    repo.publish(1, "one")
    with http_server(repo.folder) as port:
        source = TufSource(f"http://127.0.0.1:{port}", repo.root_file, tmp_path / "gw")
        whole(source, repo)
    before = source.held()
    repo.publish(2, "two")
    with pytest.raises(UpdatesError, match="Connection refused"):
        source.refresh()
    assert source.held() == before, "what was verified stays"
    with http_server(repo.folder, port):
        whole(source, repo)


@pytest.mark.parametrize("reset", [False, True], ids=["ends", "is reset"])
def test_a_transfer_that_breaks_anywhere_is_no_release_and_comes_again(
    repo: Repo, tmp_path: Path, reset: bool
) -> None:
    repo.publish(1, "one")
    with http_server(repo.folder) as port:
        line = Line(port)
        whole(TufSource(line.url, repo.root_file, tmp_path / "all"), repo)
        total = line.sent
        line.close()
        broken = 0
        for cut in range(1, total, total // 24):
            line = Line(port, cut, reset=reset)
            source = TufSource(line.url, repo.root_file, tmp_path / str(cut))
            try:
                source.refresh()
            except UpdatesError as error:
                broken += 1
                assert line.url in str(error)
            with suppress(UpdatesError):  # half a look: what is held is none, or what is whole
                assert len(source.held().releases) in (0, 1)
            line.cut = None
            whole(source, repo)
            line.close()
        print(f"{broken} looks were broken off in {total} bytes")
        assert broken >= 20


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="half a file"),
        pytest.param(lambda data: data + b"\0", id="a byte too many"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"<html>sign in to the hotel's network</html>", id="a portal's page"),
        pytest.param(None, id="missing"),
    ],
)
@pytest.mark.parametrize("name", ["payload-0", "envelope.cose", "snapshot.json", "targets.json"])
def test_a_server_that_gives_something_else_is_refused(
    repo: Repo, tmp_path: Path, name: str, damage: Callable[[bytes], bytes] | None
) -> None:
    repo.publish(1, "one")
    with http_server(repo.folder) as port:
        source = TufSource(f"http://127.0.0.1:{port}", repo.root_file, tmp_path / "gw")
        whole(source, repo)
        known = set(repo.folder.rglob(f"*{name}"))
        repo.publish(2, "two")
        (path,) = set(repo.folder.rglob(f"*{name}")) - known
        content = path.read_bytes()
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage(content))
        with pytest.raises(UpdatesError):
            source.refresh()
        path.write_bytes(content)
        whole(source, repo)
