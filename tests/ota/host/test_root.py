"""Roots: first, rotated, revoked; thresholds of old and new holders; TUF's client and the node both follow."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fieldline_ota import desk as steps
from fieldline_ota import files, keystore, repository, rootdraft
from fieldline_ota.repository import Repository
from fieldline_wire.errors import Refused
from fieldline_wire.update.codes import ROOT_THRESHOLD, ROOT_VERSION
from fieldline_wire.update.root import Root
from fieldline_wire.update.root_file import verify_steps
from tests.ota.host.conftest import Desk
from tests.ota.host.tuf_site import Client, served


def root_file(desk: Desk, version: int) -> bytes:
    return next((desk.repo / "targets/roots").glob(f"*.{version}.cose")).read_bytes()


def node_takes(old: Root, data: bytes) -> Root:
    """What a node makes of a root file: its own code; Refused."""
    document = b""
    for step in verify_steps(lambda at, count: data[at : at + count], len(data), old):
        document = step or document
    return Root.from_bytes(document)


def node_root(desk: Desk) -> Root:
    return steps.node_root(Repository(desk.repo, desk.now))


def test_a_root_needs_its_threshold_of_holders(desk: Desk) -> None:
    draft = desk.folder / "root-1.draft"
    said = desk.run(
        "rotate", desk.repo, "--out", draft, "--vendor", "acme", "--threshold", 2,
        "--holder", desk.key("ann"), "--holder", desk.key("ben"), "--holder", desk.key("cay"),
        "--release", desk.key("release"), "--online", desk.key("online"),
    )  # fmt: skip
    assert "holders:   2 of ann, ben, cay" in said
    assert "2 more" in desk.run("verify", draft, "--repo", desk.repo, status=1)
    assert "too few signatures" in desk.publish(draft, status=2)
    said = desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("ann"))
    assert "ann signed TUF root 1 and node root 1" in said and "1 more" in said
    desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("ann"))
    assert "too few signatures" in desk.publish(draft, status=2), "one holder twice is one holder"
    assert "neither the old root nor the new one" in desk.run(
        "sign", draft, "--repo", desk.repo, "--key", desk.key("release-2"), status=2
    )
    desk.sign_root(draft, "cay")
    assert "node root 1: 2 of 3 holders" in desk.run("verify", desk.repo)


def test_rotation_of_holders_and_threshold_reaches_client_and_node(desk: Desk, tmp_path: Path) -> None:
    desk.first_root()
    first = node_root(desk)
    client = Client(tmp_path / "client", (desk.repo / "metadata/1.root.json").read_bytes())
    with served(desk.repo) as url:
        client.refresh(url, desk.now)
        draft = desk.folder / "root-2.draft"
        said = desk.run("revoke", "ben", "--repo", desk.repo, "--out", draft)
        assert "holders:   2 of ann, cay" in said and "node root 2" in said
        desk.sign_root(draft, "ann", "cay")
        assert client.refresh(url, desk.now).get_targetinfo("roots/2.cose") is not None
        second = node_takes(first, root_file(desk, 2))
        assert second == node_root(desk) and second.version == 2 and len(second.holders) == 2
        with pytest.raises(Refused) as refused:
            node_takes(second, root_file(desk, 2))
        assert refused.value.reason == ROOT_VERSION
        draft = desk.folder / "root-3.draft"
        desk.run("rotate", desk.repo, "--out", draft, "--holder", desk.key("ben"), "--threshold", 3)
        desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("ann"))
        assert "new holders: 1 more" in desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("cay"))
        assert "too few signatures" in desk.publish(draft, status=2)
        desk.sign_root(draft, "ben")
        client.refresh(url, desk.now)
        assert node_takes(second, root_file(desk, 3)).threshold == 3


def test_the_new_holders_alone_cannot_take_over(desk: Desk) -> None:
    desk.first_root()
    made = Repository(desk.repo, desk.now)
    old = node_root(desk)
    plan = steps.current_plan(made)
    thief = keystore.read_public(desk.key("release-2"))
    draft = steps.draft_root(made, replace(plan, holders=(thief,), threshold=1), desk.now, 365)
    with keystore.open_pair(desk.key("release-2"), lambda what: b"correct horse") as pair:
        _, lacks = steps.sign_root_draft(made, draft, pair)
    assert any("old holders: 2 more" in line for line in lacks)
    with pytest.raises(Refused) as refused:
        node_takes(old, rootdraft.node_file(draft))
    assert refused.value.reason == ROOT_THRESHOLD


def test_a_revoked_release_key_takes_its_releases_along(desk: Desk, tmp_path: Path) -> None:
    desk.first_root()
    desk.publish(desk.release(1))
    client = Client(tmp_path / "client", (desk.repo / "metadata/1.root.json").read_bytes())
    draft = desk.folder / "root-2.draft"
    assert "--instead" in desk.run("revoke", "release", "--repo", desk.repo, "--out", draft, status=2)
    desk.run("revoke", "release", "--repo", desk.repo, "--out", draft, "--instead", desk.key("release-2"))
    said = desk.sign_root(draft, "ann", "ben", release="release-2")
    assert "release 1 of pico_w is withdrawn" in said
    with served(desk.repo) as url:
        found = client.refresh(url, desk.now)
        assert found.get_targetinfo("releases/pico_w/0/1/envelope.cose") is None
        assert "wrong" in desk.publish(desk.release(2), release="release-2", status=1), (
            "signed by the revoked key"
        )
        desk.publish(desk.release(3, key="release-2"), release="release-2")
        assert client.refresh(url, desk.now).get_targetinfo("releases/pico_w/0/3/envelope.cose") is not None


def test_online_keys_change_without_a_new_node_root(desk: Desk, tmp_path: Path) -> None:
    desk.first_root()
    client = Client(tmp_path / "client", (desk.repo / "metadata/1.root.json").read_bytes())
    draft = desk.folder / "root-2.draft"
    with served(desk.repo) as url:
        client.refresh(url, desk.now)
        assert "threshold of 1 with 0 keys" in desk.run(
            "revoke", "online", "--repo", desk.repo, "--out", draft, status=2
        )
        desk.run("rotate", desk.repo, "--out", draft, "--online", desk.key("online-2"))
        desk.sign_root(draft, "ann", "ben")
        draft = desk.folder / "root-3.draft"
        said = desk.run("revoke", "online", "--repo", desk.repo, "--out", draft)
        assert "node root stays as it is" in said
        desk.sign_root(draft, "ben", "cay", online="online-2")
        client.refresh(url, desk.now)
        assert node_root(desk).version == 1
        desk.publish("--refresh", online="online", status=2)


def test_a_root_about_to_expire_gets_a_new_term(desk: Desk, tmp_path: Path) -> None:
    desk.first_root()
    desk.later(days=360)
    draft = desk.folder / "root-2.draft"
    desk.run("rotate", desk.repo, "--out", draft)
    desk.sign_root(draft, "ann", "ben")
    desk.later(days=6)
    client = Client(tmp_path / "client", (desk.repo / "metadata/1.root.json").read_bytes())
    with served(desk.repo) as url:
        client.refresh(url, desk.now)


def test_a_draft_of_a_root_that_was_overtaken_is_refused(desk: Desk) -> None:
    desk.first_root()
    one, two = desk.folder / "a.draft", desk.folder / "b.draft"
    desk.run("revoke", "ben", "--repo", desk.repo, "--out", one)
    desk.run("revoke", "cay", "--repo", desk.repo, "--out", two)
    desk.sign_root(one, "ann", "cay")
    said = desk.run("sign", two, "--repo", desk.repo, "--key", desk.key("ann"), status=1)
    assert "make it anew" in said
    assert "there is no key 'dan'" in desk.run("revoke", "dan", "--repo", desk.repo, "--out", two, status=2)


def test_threshold_of_targets(desk: Desk) -> None:
    draft = desk.folder / "root.draft"
    desk.run(
        "rotate", desk.repo, "--out", draft, "--vendor", "acme", "--threshold", 1, "--holder", desk.key("ann"),
        "--release", desk.key("release"), "--targets", desk.key("ben"), "--targets-threshold", 2,
        "--online", desk.key("online"),
    )  # fmt: skip
    desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("ann"))
    assert "targets needs 2 of the keys ben, release" in desk.publish(draft, status=2)
    keys = [word for name in ("release", "ben", "online") for word in ("--key", desk.key(name))]
    desk.run("publish", draft, "--repo", desk.repo, *keys)
    desk.run("verify", desk.repo)


def test_the_first_root_says_what_it_needs_and_the_vendor_stays(desk: Desk) -> None:
    assert "the first root needs" in desk.run("rotate", desk.repo, "--out", desk.folder / "d", status=2)
    assert "is no repository yet" in desk.publish("--refresh", status=2)
    desk.first_root()
    said = desk.run("rotate", desk.repo, "--out", desk.folder / "d", "--vendor", "other", status=2)
    assert "the vendor stays" in said


def test_a_root_whose_publication_was_killed_at_any_write_is_published_by_the_same_words(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.first_root()
    draft = desk.folder / "root-2.draft"
    desk.run(
        "rotate",
        desk.repo,
        "--out",
        draft,
        "--release",
        desk.key("release-2"),
        "--online",
        desk.key("online-2"),
    )
    desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("ann"))
    desk.run("sign", draft, "--repo", desk.repo, "--key", desk.key("ben"))
    clean = tmp_path / "clean"
    shutil.copytree(desk.repo, clean)

    class Killed(BaseException):
        """As a kill: nothing behind it runs."""

    for writes in range(9):
        shutil.rmtree(desk.repo)
        shutil.copytree(clean, desk.repo)
        left = writes

        def replace_until(path: Path, data: bytes, mode: int = 0o644) -> None:
            nonlocal left
            if not left:
                raise Killed
            left -= 1
            files.replace(path, data, mode)

        with monkeypatch.context() as patch:
            patch.setattr(repository, "replace", replace_until)
            try:
                desk.publish(draft, release="release-2", online="online-2")
                break
            except Killed:
                pass
        desk.publish(draft, release="release-2", online="online-2")
        desk.run("verify", desk.repo)
        assert node_root(desk).version == 2
    assert writes == 5, "node root, targets, snapshot, root, timestamp"
