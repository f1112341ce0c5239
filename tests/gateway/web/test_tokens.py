"""Tokens and sessions: what is on disk, who gets in, and that comparing them tells nothing."""

from __future__ import annotations

import hmac
import json
import stat
import threading
from pathlib import Path

import pytest

from fieldline_gateway.errors import UsageError
from fieldline_gateway.operations import Role
from fieldline_gateway.web import tokens as module
from fieldline_gateway.web.tokens import (
    MAX_SESSIONS,
    MAX_TOKENS,
    SESSION_S,
    Holder,
    Tokens,
    TokensError,
    digest,
    new_secret,
)


class Site:
    def __init__(self, folder: Path) -> None:
        self.now_ms = 1_790_000_000_000
        self.path = folder / "page-tokens.json"
        self.tokens = Tokens(self.path, lambda: self.now_ms)

    def add(self, name: str, role: str = "reader") -> str:
        secret = new_secret()
        self.tokens.add(name, role, digest(secret))
        return secret


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_file_is_its_owners_and_has_digests_only(site: Site) -> None:
    secret = site.add("kim", "operator")
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o600
    assert secret not in site.path.read_text() and digest(secret) in site.path.read_text()
    assert site.tokens.holder(secret) == Holder("kim", Role.OPERATOR)
    assert site.tokens.holder(secret[:-1]) is None and site.tokens.holder("") is None
    assert "digest" not in str(site.tokens.listed())


def test_a_session_ends_by_time_logout_and_revocation(site: Site) -> None:
    for role in ("reader", "operator"):
        secret = site.add(f"a-{role}", role)
        found = site.tokens.log_in(secret)
        assert found is not None
        session, holder, seconds = found
        assert seconds == SESSION_S[holder.role]
        assert site.tokens.session_holder(session) == holder and site.tokens.holder(session) is None
        site.now_ms += seconds * 1000 - 1
        assert site.tokens.session_holder(session) == holder
        site.now_ms += 1
        assert site.tokens.session_holder(session) is None
    first, second = (site.tokens.log_in(secret) for _ in range(2))
    assert first and second
    site.tokens.log_out(first[0])
    assert site.tokens.session_holder(first[0]) is None and site.tokens.session_holder(second[0])
    site.tokens.revoke("a-operator")
    assert site.tokens.session_holder(second[0]) is None and site.tokens.holder(secret) is None


def test_sessions_outlive_a_restart_and_another_process_is_heard(site: Site) -> None:
    secret = site.add("kim")
    found = site.tokens.log_in(secret)
    assert found
    other = Tokens(site.path, lambda: site.now_ms)
    assert other.session_holder(found[0]) == Holder("kim", Role.READER)
    other.revoke("kim")
    assert site.tokens.holder(secret) is None


def test_all_digests_are_compared_each_in_constant_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [site.add(f"t{at}") for at in range(5)]
    compared: list[str] = []
    real = hmac.compare_digest

    def compare(a: str, b: str) -> bool:
        compared.append(a)
        return real(a, b)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    for secret in (secrets[0], secrets[4], "wrong"):
        compared.clear()
        site.tokens.holder(secret)
        assert compared == [digest(each) for each in secrets]


def test_names_roles_digests_and_bounds_are_checked(site: Site) -> None:
    good = digest("x")
    for name, role, value in (
        ("", "reader", good),
        ("a b", "reader", good),
        ("x" * 65, "reader", good),
        ("kim", "root", good),
        ("kim", "reader", "x"),
        ("kim", "reader", "A" * 64),
    ):
        with pytest.raises(UsageError):
            site.tokens.add(name, role, value)
    for at in range(MAX_TOKENS):
        site.add(f"t{at}")
    for name in ("t1", "one-more"):
        with pytest.raises(UsageError, match="revoke"):
            site.add(name)
    with pytest.raises(UsageError, match="there is no token 'nobody'"):
        site.tokens.revoke("nobody")


def test_sessions_are_bounded_and_the_newest_stays(site: Site) -> None:
    secret = site.add("kim")
    sessions = []
    for _ in range(MAX_SESSIONS + 5):
        site.now_ms += 1
        sessions.append(site.tokens.log_in(secret))
    assert len(json.loads(site.path.read_text())["sessions"]) == MAX_SESSIONS
    newest, oldest = sessions[-1], sessions[0]
    assert newest and oldest
    assert site.tokens.session_holder(newest[0]) and not site.tokens.session_holder(oldest[0])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"tokens": 7}', '{"tokens": [{}], "sessions": []}', "[" * 99_999]
)
def test_a_damaged_file_lets_nobody_in_and_says_what_to_do(site: Site, text: str) -> None:
    site.path.write_text(text)
    site.path.chmod(0o600)
    with pytest.raises(TokensError, match="token add"):
        site.tokens.holder("x")


def test_a_file_that_others_may_read_is_refused(site: Site) -> None:
    secret = site.add("kim")
    site.path.chmod(0o640)
    with pytest.raises(TokensError, match="chmod 600"):
        Tokens(site.path, lambda: 1).holder(secret)


def test_tokens_added_at_once_are_all_kept(site: Site) -> None:
    def work(at: int) -> None:
        Tokens(site.path, lambda: 1).add(f"t{at}", "reader", digest(str(at)))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each["name"] for each in site.tokens.listed()} == {f"t{at}" for at in range(8)}
