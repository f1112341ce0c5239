"""The listener's door for the gateway itself: a UNIX socket that asks nothing, beside a port that does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Events
from fieldline_gateway.mqtt.codec import reasons, v5
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import ConnectionLost, ConnectRefused, MqttError
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.mqtt.security import Passwords, Security, hash_password, server_tls
from tests.gateway.mqtt.certificates import make_pki

EVENTS = Events(on_pubacks=lambda ids: False, on_writable=lambda: None)


def security(folder: Path) -> Security:
    """Passwords and a certificate of every client."""
    pki = make_pki(folder)
    (folder / "passwords").write_text(f"node:{hash_password(b'right')}\n")
    return Security(server_tls(pki.cert, pki.key, pki.ca), Passwords.load(folder / "passwords"))


async def test_who_may_open_the_door_is_asked_nothing(tmp_path: Path) -> None:
    door = tmp_path / "door.sock"
    async with Listener(port=0, security=security(tmp_path), door=door) as listener:
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        connection = await Dialer().open(Address("localhost", 0, unix=door), v5.Connect("own"), EVENTS, 10)
        assert connection.server.level == 5
        assert listener.status()["connections"] == 1
        connection.disconnect()
        with pytest.raises(MqttError):
            await Dialer().open(Address("127.0.0.1", listener.port), v5.Connect("other"), EVENTS, 10)


async def test_a_door_deeper_than_a_sockets_address_is_long(tmp_path: Path) -> None:
    door = tmp_path / ("deep" * 20) / ("deeper" * 10) / "door.sock"
    door.parent.mkdir(parents=True)
    async with Listener(port=0, door=door):
        connection = await Dialer().open(Address("localhost", 0, unix=door), v5.Connect("own"), EVENTS, 10)
        connection.disconnect()
    with pytest.raises(ConnectionLost, match="unix:"):
        await Dialer().open(Address("localhost", 0, unix=door), v5.Connect("own"), EVENTS, 10)


async def test_passwords_are_still_asked_at_the_port(tmp_path: Path) -> None:
    asked = Security(passwords=security(tmp_path).passwords)
    async with Listener(port=0, security=asked, door=tmp_path / "door.sock") as listener:
        with pytest.raises(ConnectRefused) as refused:
            await Dialer().open(Address("127.0.0.1", listener.port), v5.Connect("other"), EVENTS, 10)
        assert refused.value.code == reasons.BAD_CREDENTIALS


async def test_a_door_left_by_a_kill_is_replaced_and_a_closed_one_says_so(tmp_path: Path) -> None:
    door = tmp_path / "door.sock"
    door.write_bytes(b"left behind")
    async with Listener(port=0, door=door):
        connection = await Dialer().open(Address("localhost", 0, unix=door), v5.Connect("own"), EVENTS, 10)
        connection.disconnect()
    with pytest.raises(ConnectionLost, match="unix:"):
        await Dialer().open(Address("localhost", 0, unix=door), v5.Connect("own"), EVENTS, 10)
