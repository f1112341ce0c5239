"""The repository before python-tuf's client, over HTTP: what is published arrives, and each attack is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata
from tuf.ngclient import UpdaterConfig

from fieldline_ota import bundle, repository
from tests.ota.host.conftest import Desk
from tests.ota.host.tuf_site import Client, served

ENVELOPE = "releases/pico_w/0/{}/envelope.cose"


@pytest.fixture
def site(desk: Desk) -> Desk:
    """Root 1 and release 1 are published."""
    desk.first_root()
    desk.publish(desk.release(1))
    return desk


@pytest.fixture
def client(site: Desk, tmp_path: Path) -> Client:
    return Client(tmp_path / "client", (site.repo / "metadata" / "1.root.json").read_bytes())


def test_python_tufs_client_gets_every_byte(site: Desk, client: Client) -> None:
    release = bundle.load(site.folder / "release-1")
    with served(site.repo) as url:
        assert client.get(url, site.now, ENVELOPE.format(1)) == release.envelope
        for number, data in enumerate(release.payloads):
            assert client.get(url, site.now, f"releases/pico_w/0/1/payload-{number}") == data
        assert client.refresh(url, site.now).get_targetinfo("releases/pico_w/0/2/envelope.cose") is None
        site.publish(site.release(2, bases=(site.folder / "release-1",)))
        assert (
            client.get(url, site.now, ENVELOPE.format(2)) == bundle.load(site.folder / "release-2").envelope
        )
        assert client.get(url, site.now, "roots/1.cose")[:2] == b"\xd8\x62"


def test_freeze_an_expired_timestamp_is_refused_and_a_refresh_heals_it(site: Desk, client: Client) -> None:
    with served(site.repo) as url:
        client.refresh(url, site.now)
        site.later(days=8)
        with pytest.raises(ExpiredMetadataError, match=r"timestamp"):
            client.refresh(url, site.now)
        assert "expired" in site.run("verify", site.repo, status=1)
        site.run("publish", "--refresh", "--repo", site.repo, "--key", site.key("online"))
        client.refresh(url, site.now)
        assert "timestamp 3" in site.run("verify", site.repo)
        site.later(days=170)
        said = site.run("publish", "--refresh", "--repo", site.repo, "--key", site.key("online"), status=2)
        assert "targets.json expires" in said
        site.publish("--refresh")
        client.refresh(url, site.now)


def test_rollback_an_older_snapshot_is_refused(site: Desk, client: Client, tmp_path: Path) -> None:
    shutil.copytree(site.repo, tmp_path / "old")
    site.publish(site.release(2))
    with served(site.repo) as url:
        client.refresh(url, site.now)
    with served(tmp_path / "old") as url, pytest.raises(BadVersionNumberError):
        client.refresh(url, site.now)


def test_rollback_a_timestamp_made_anew_for_an_older_snapshot_is_refused(
    site: Desk, client: Client, tmp_path: Path
) -> None:
    """Who has the online keys alone can't take clients back."""
    shutil.copytree(site.repo, tmp_path / "old")
    site.publish(site.release(2))
    with served(site.repo) as url:
        client.refresh(url, site.now)
    old, repo = site.repo, tmp_path / "old"
    site.repo = repo
    for _ in range(3):  # the timestamp's version goes above what the client knows, targets stay old
        site.run("publish", "--refresh", "--repo", repo, "--key", site.key("online"))
    site.repo = old
    with served(repo) as url, pytest.raises(BadVersionNumberError, match="targets"):
        client.refresh(url, site.now)


def test_mix_and_match_metadata_of_two_times_is_refused(site: Desk, client: Client) -> None:
    metadata = site.repo / "metadata"
    before = json.loads((metadata / "timestamp.json").read_text())["signed"]["meta"]["snapshot.json"][
        "version"
    ]
    site.publish(site.release(2))
    after = json.loads((metadata / "timestamp.json").read_text())["signed"]["meta"]["snapshot.json"][
        "version"
    ]
    shutil.copyfile(metadata / f"{before}.snapshot.json", metadata / f"{after}.snapshot.json")
    with served(site.repo) as url, pytest.raises(LengthOrHashMismatchError):
        client.refresh(url, site.now)


def test_mix_and_match_the_target_of_another_release_is_refused(site: Desk, client: Client) -> None:
    site.publish(site.release(2))
    first, second = (
        next((site.repo / "targets/releases/pico_w/0" / n).glob("*.envelope.cose")) for n in "12"
    )
    shutil.copyfile(first, second)
    with served(site.repo) as url, pytest.raises(RepositoryError):
        client.get(url, site.now, ENVELOPE.format(2))
    assert "pico_w/0/2" in site.run("verify", site.repo, status=1)


def test_oversize_metadata_and_targets_are_cut_off(site: Desk, client: Client) -> None:
    target = next((site.repo / "targets/releases/pico_w/0/1").glob("*.payload-0"))
    whole = target.read_bytes()
    timestamp = site.repo / "metadata" / "timestamp.json"
    small = timestamp.read_bytes()
    with served(site.repo) as url:
        target.write_bytes(whole + bytes(10_000_000))
        with pytest.raises(DownloadLengthMismatchError):
            client.get(url, site.now, "releases/pico_w/0/1/payload-0")
        target.write_bytes(whole)
        timestamp.write_bytes(small + b" " * UpdaterConfig().timestamp_max_length)
        with pytest.raises(DownloadLengthMismatchError):
            client.refresh(url, site.now)
        timestamp.write_bytes(small)
        client.get(url, site.now, "releases/pico_w/0/1/payload-0")


def test_metadata_signed_by_a_key_that_is_not_in_the_root_is_refused(site: Desk, client: Client) -> None:
    timestamp = site.repo / "metadata" / "timestamp.json"
    made = Metadata.from_file(str(timestamp))
    made.signed.version += 1
    timestamp.write_bytes(made.to_bytes())  # its signature is that of the one before
    with served(site.repo) as url, pytest.raises(UnsignedMetadataError):
        client.refresh(url, site.now)
    said = site.publish(site.release(2), online="online-2", status=2)
    assert "snapshot needs 1 of the keys online" in said


def test_a_release_that_a_node_would_refuse_is_not_published(site: Desk) -> None:
    assert "LMS signature is wrong" in site.publish(site.release(2, key="release-2"), status=1)
    unsigned = site.folder / "release-2" / "envelope.cose"
    unsigned.unlink()
    assert "is not signed" in site.publish(site.folder / "release-2", status=2)
    site.run("sign", site.folder / "release-2", "--key", site.key("release"))
    site.publish(site.folder / "release-2")
    assert "is published already" in site.publish(site.folder / "release-2")
    shutil.rmtree(site.folder / "release-1")
    assert "2 is published, and sequences only rise" in site.publish(site.release(1, "late"), status=2)


def test_one_process_publishes_at_a_time(site: Desk) -> None:
    made = repository.Repository(site.repo, site.now)
    with made.writing():
        assert "another process is publishing" in site.publish("--refresh", status=1)


KILLED = """
import os, signal, sys
from datetime import datetime
from fieldline_ota import files, repository
from fieldline_cli.ota import main
left = int(sys.argv[1])
def replace(path, data, mode=0o644):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    files.replace(path, data, mode)
repository.replace = replace
sys.exit(main(sys.argv[3:], now=datetime.fromisoformat(sys.argv[2])))
"""


def test_a_publication_killed_at_each_write_is_not_seen_or_is_whole(
    site: Desk, client: Client, tmp_path: Path
) -> None:
    folder = site.release(2)
    clean = tmp_path / "clean"
    shutil.copytree(site.repo, clean)
    writes = 0
    while True:
        shutil.rmtree(site.repo)
        shutil.copytree(clean, site.repo)
        words = [
            "publish",
            folder,
            "--repo",
            site.repo,
            "--key",
            site.key("release"),
            "--key",
            site.key("online"),
        ]
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(writes), site.now.isoformat(), *map(str, words)],
            capture_output=True,
        )
        with served(site.repo) as url:
            found = client.refresh(url, site.now).get_targetinfo(ENVELOPE.format(2))
        if done.returncode == 0:
            assert found is not None
            break
        assert done.returncode == -9, done.stderr
        assert found is None, "timestamp.json is written last"
        site.publish(folder)
        assert "release 2 of pico_w" in site.run("verify", site.repo)
        writes += 1
        client = Client(tmp_path / f"client-{writes}", (site.repo / "metadata/1.root.json").read_bytes())
    assert writes >= 5, "payloads, envelope, targets, snapshot, timestamp"
