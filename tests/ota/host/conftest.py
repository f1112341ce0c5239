"""A release manager's desk: keys made once a run, and `fieldline ota` called as a person would."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fieldline_cli.ota import main
from fieldline_ota import keystore, sealed, signer
from tests.once import once
from tests.ota.material import keys

PASSPHRASE = "correct horse"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def made_keys(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Pairs ann, ben, cay (holders), release, release-2; online keys for TUF alone.

    A cheap scrypt, and the LMS trees that other tests make, too: each takes a second.
    """

    def make(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sealed, "LOG2_N", 4)
            for name in ("ann", "ben", "cay", "release", "release-2", "online", "online-2"):
                patch.setattr(signer, "make_key", lambda *_, name=name: keys(name.replace("-", "")).lms._key)
                keystore.make(folder / name, lambda what: PASSPHRASE.encode(), pair="online" not in name)
        return folder

    return once(tmp_path_factory, pytestconfig, "keys", make)


class Desk:
    """A folder with keys and a repository; `run` is the command line. `now` goes on as the test says."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        self.now = NOW
        self._capsys = capsys

    def run(self, *words: object, status: int = 0) -> str:
        """Runs `fieldline ota WORDS`, which must end with `status`; all that it said."""
        self._capsys.readouterr()
        found = main([str(word) for word in words], now=self.now)
        said = self._capsys.readouterr()
        assert found == status, said.out + said.err
        return said.out + said.err

    def key(self, name: str) -> Path:
        return self.folder / "keys" / name

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def first_root(self, *, threshold: int = 2) -> None:
        """Root 1 of ann, ben and cay in force."""
        draft = self.folder / "root-1.draft"
        self.run(
            "rotate", self.repo, "--out", draft, "--vendor", "acme", "--threshold", threshold,
            *(word for name in ("ann", "ben", "cay") for word in ("--holder", self.key(name))),
            "--release", self.key("release"), "--online", self.key("online"),
        )  # fmt: skip
        self.sign_root(draft, "ann", "ben")

    def sign_root(self, draft: Path, *holders: str, release: str = "release", online: str = "online") -> str:
        for name in holders:
            self.run("sign", draft, "--repo", self.repo, "--key", self.key(name))
        return self.publish(draft, release=release, online=online)

    def publish(
        self, *what: object, release: str = "release", online: str = "online", status: int = 0
    ) -> str:
        keys = ("--key", self.key(release), "--key", self.key(online))
        return self.run("publish", *what, "--repo", self.repo, *keys, status=status)

    def tree(self, name: str, text: str = "one", files: int = 8) -> Path:
        """A built app."""
        folder = self.folder / name
        for number in range(files):
            path = folder / "app" / f"part{number}.mpy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"M\x06\x00\x1f" + bytes((7 * number + i * i) % 251 for i in range(600)))
        (folder / "app" / "name.txt").write_text(text)
        (folder / "boot.py").write_text("never travels")
        return folder

    def release(
        self, sequence: int, text: str = "", *, bases: tuple[Path, ...] = (), key: str = "release"
    ) -> Path:
        """A signed release."""
        folder = self.folder / f"release-{sequence}"
        tree = self.tree(f"tree-{sequence}", text or f"app {sequence}")
        base = [word for each in bases for word in ("--base", each)]
        self.run(
            "build", tree, "--out", folder, "--vendor", "acme", "--board", "pico_w", "--sequence", sequence,
            "--firmware", f"1.{sequence}", "--expires", "2027-11-30", *base,
        )  # fmt: skip
        self.run("sign", folder, "--key", self.key(key))
        return folder


@pytest.fixture
def desk(
    tmp_path: Path,
    made_keys: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    """Keys, and nothing published yet."""
    shutil.copytree(made_keys, tmp_path / "keys")
    monkeypatch.setenv("FIELDLINE_OTA_PASSPHRASE", PASSPHRASE)
    return Desk(tmp_path, capsys)
