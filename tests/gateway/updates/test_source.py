"""The gateway's own look at a repository: what TUF verified and nothing else, and what it keeps over restarts."""

from __future__ import annotations

import builtins
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.updates.catalogue import UpdatesError
from fieldline_gateway.updates.source import TufSource
from fieldline_wire.update.codes import CHUNK, OBJECT_ENVELOPE, OBJECT_PAYLOAD
from tests.ota.host.tuf_site import at, served
from tests.ota.releases import Repo


def test_releases_and_roots_come_whole(repo: Repo, tmp_path: Path) -> None:
    first, second = repo.publish(1, "one"), repo.publish(2, "two")
    repo.publish(1, "other", board="pico2")
    with served(repo.folder) as url:
        held = TufSource(url, repo.root_file, tmp_path / "gw").refresh()
    assert {each.sequence for each in held.releases.values() if each.board == "pico_w"} == {1, 2}
    assert len(held.releases) == 3 and list(held.roots) == [1]
    release = held.releases[second]
    made = repo.made.release(next(each for each in repo.made.releases() if each.manifest.hex() == second))
    for object, content in [
        (OBJECT_ENVELOPE, made.envelope),
        *((OBJECT_PAYLOAD + i, p) for i, p in enumerate(made.payloads)),
    ]:
        count = -(-len(content) // CHUNK)
        assert b"".join(release.chunk(object, index) for index in range(count)) == content
        assert release.chunk(object, count) == b""
    assert release.chunk(OBJECT_PAYLOAD + 9, 0) == b"" and held.releases[first].firmware == "1.1"


def test_what_was_withdrawn_goes_from_the_disk(repo: Repo, tmp_path: Path) -> None:
    repo.publish(1, "one")
    source = TufSource("", repo.root_file, tmp_path / "gw")
    with served(repo.folder) as url:
        source = TufSource(url, repo.root_file, tmp_path / "gw")
        assert source.refresh().releases
        repo.root("ann", "ben", release="release2")
        held = source.refresh()
    assert not held.releases and sorted(held.roots) == [1, 2]
    assert not list((tmp_path / "gw/targets/releases").glob("*/*/*"))


def test_a_repository_that_goes_back_is_refused_over_a_restart_too(repo: Repo, tmp_path: Path) -> None:
    repo.publish(1, "one")
    shutil.copytree(repo.folder, tmp_path / "old")
    repo.publish(2, "two")
    with served(repo.folder) as url:
        TufSource(url, repo.root_file, tmp_path / "gw").refresh()
    with served(tmp_path / "old") as url, pytest.raises(UpdatesError, match="BadVersionNumberError"):
        TufSource(url, repo.root_file, tmp_path / "gw").refresh()


def test_a_frozen_repository_is_refused(repo: Repo, tmp_path: Path) -> None:
    repo.publish(1, "one")
    with served(repo.folder) as url:
        source = TufSource(url, repo.root_file, tmp_path / "gw")
        source.refresh()
        with at(repo.now + timedelta(days=8)), pytest.raises(UpdatesError, match="ExpiredMetadataError"):
            source.refresh()


def test_a_payload_that_was_changed_is_refused(repo: Repo, tmp_path: Path) -> None:
    repo.publish(1, "one")
    target = next((repo.folder / "targets/releases/pico_w/0/1").glob("*.payload-0"))
    data = bytearray(target.read_bytes())
    data[100] ^= 1
    target.write_bytes(data)
    with served(repo.folder) as url, pytest.raises(UpdatesError, match=r"DownloadError|LengthOrHash"):
        TufSource(url, repo.root_file, tmp_path / "gw").refresh()


def test_another_root_than_the_one_brought_by_hand_is_refused(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other", repo.now)
    other.root("ann", "ben", release="release2")
    repo.publish(1, "one")
    root = json.loads(repo.root_file.read_text())
    mine = tmp_path / "root.json"
    root["signed"]["roles"]["timestamp"]["keyids"] = root["signed"]["roles"]["root"]["keyids"][:1]
    mine.write_text(json.dumps(root))
    with served(repo.folder) as url:
        with pytest.raises(UpdatesError, match="UnsignedMetadataError"):
            TufSource(url, mine, tmp_path / "gw").refresh()
        with pytest.raises(UpdatesError, match=r"UnsignedMetadataError|LengthOrHash|BadVersion"):
            TufSource(url, other.root_file, tmp_path / "gw2").refresh()


def test_a_repository_that_is_away_is_said(repo: Repo, tmp_path: Path) -> None:
    with pytest.raises(UpdatesError, match=r"http://127\.0\.0\.1:9"):
        TufSource("http://127.0.0.1:9", repo.root_file, tmp_path / "gw").refresh()


def test_what_was_verified_is_held_while_the_repository_is_away(repo: Repo, tmp_path: Path) -> None:
    digest = repo.publish(1, "one")
    with served(repo.folder) as url:
        source = TufSource(url, repo.root_file, tmp_path / "gw")
        assert not source.held().releases, "nothing before it was verified"
        now = source.refresh()
    held = TufSource(url, repo.root_file, tmp_path / "gw").held()
    assert held == now and held.releases[digest].chunk(OBJECT_ENVELOPE, 0)
    payload = held.releases[digest].payloads[0]
    payload.write_bytes(payload.read_bytes()[:-1] + b"x")
    with pytest.raises(UpdatesError, match="LengthOrHashMismatchError"):
        source.held()
    payload.unlink()
    with pytest.raises(UpdatesError, match="payload-0"):
        source.held()


def test_without_the_extra_it_is_named(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *words: Any, **named: Any) -> Any:
        if name.startswith("tuf"):
            raise ModuleNotFoundError(name=name)
        return real(name, *words, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UpdatesError, match=r"pip install 'fieldline\[ota\]'"):
        TufSource("http://x", repo.root_file, tmp_path / "gw").refresh()
