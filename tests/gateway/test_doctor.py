"""The doctor finds each fault that is put in, names it, and says what to do; beside a real broker and gateway."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fieldline_gateway import doctor
from fieldline_gateway.config import load
from fieldline_gateway.doctor import Check, examine
from fieldline_harness.mosquitto import Mosquitto
from tests.fakes.gateway_site import Gateway, linked, site

NOW_MS = 1_796_000_000_000


def checks(tmp_path: Path, text: str, now_ms: int = NOW_MS) -> dict[str, Check]:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return {check.name: check for check in examine(load(path), now_ms)}


def plain(tmp_path: Path) -> str:
    return f'[gateway]\ndata = "data"\n[serial]\nports = ["{tmp_path}/tty*"]\n[store]\nmax_mib = 128\n'


def test_a_first_look_before_anything_runs(tmp_path: Path) -> None:
    found = checks(tmp_path, plain(tmp_path))
    assert found["gateway"].state == "warning" and "fieldline gateway run" in found["gateway"].todo
    assert found["port"].state == "warning" and "nothing there" in found["port"].seen
    assert found["clock"].state == "ok"
    assert found["disk speed"].seen.startswith("a durable write takes ")
    assert found["secrets"].state == "ok"
    assert not (tmp_path / "data").exists() and list(tmp_path.iterdir()) == [tmp_path / "gateway.toml"]


def test_a_clock_that_was_never_set(tmp_path: Path) -> None:
    assert checks(tmp_path, plain(tmp_path), 86_400_000)["clock"].state == "failed"


@pytest.mark.parametrize(
    ("free", "state"), [(10 * 1024**2, "failed"), (100 * 1024**2, "warning"), (1 << 40, "ok")]
)
def test_room_for_what_the_store_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    usage = doctor.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=free))
    found = checks(tmp_path, plain(tmp_path))["disk room"]
    assert found.state == state and bool(found.todo) == (state != "ok")


def test_a_data_folder_in_memory(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or not os.access(shared, os.W_OK):
        pytest.skip("no file system in memory here")
    text = plain(tmp_path).replace('"data"', f'"{shared}/fieldline-test-doctor"')
    found = checks(tmp_path, text)["data folder"]
    assert found.state == "failed" and "in memory (tmpfs)" in found.seen


def test_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SLOW_SYNC_S", 0.0)
    assert checks(tmp_path, plain(tmp_path))["disk speed"].state == "warning"


def test_a_password_that_everybody_may_read(tmp_path: Path) -> None:
    secret = tmp_path / "mqtt.password"
    secret.write_text("x\n")
    sink = '[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:9"\nusername = "a"\n'
    text = f'{plain(tmp_path)}{sink}password_file = "mqtt.password"\n'
    secret.chmod(0o640)
    assert checks(tmp_path, text)["secrets"].state == "ok"
    secret.chmod(0o644)
    found = checks(tmp_path, text)["secrets"]
    assert found.state == "failed" and "mqtt.password (0644)" in found.seen
    inline = f'{plain(tmp_path)}{sink}password = "x"\n'
    (tmp_path / "gateway.toml").chmod(0o644)
    assert "gateway.toml (0644)" in checks(tmp_path, inline)["secrets"].seen


def test_a_broker_that_is_there_and_one_that_is_not(tmp_path: Path) -> None:
    async def scenario() -> dict[str, Check]:
        (tmp_path / "broker").mkdir()
        with Mosquitto(tmp_path / "broker") as broker:
            urls = f'["mqtt://127.0.0.1:{broker.port}", "mqtt://127.0.0.1:9"]'
            path = tmp_path / "gateway.toml"
            path.write_text(f'{plain(tmp_path)}[[sink]]\nkind = "json"\nurls = {urls}\n')
            found = await asyncio.to_thread(lambda: list(examine(load(path), NOW_MS)))
            return {check.seen.split(" ")[0].rstrip(":"): check for check in found if "broker" in check.name}

    here, gone = asyncio.run(scenario()).values()
    assert here.state == "ok" and "takes us, MQTT 5.0" in here.seen
    assert gone.state == "failed" and "nothing listens" in gone.seen


def certificate(path: Path, days: float) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    end = datetime.datetime.fromtimestamp(NOW_MS / 1000, datetime.UTC) + datetime.timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - datetime.timedelta(days=400))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))


@pytest.mark.parametrize(("days", "state"), [(-2, "failed"), (10, "warning"), (100, "ok")])
def test_a_certificate_that_ends(tmp_path: Path, days: float, state: str) -> None:
    certificate(tmp_path / "ca.pem", days)
    text = f'{plain(tmp_path)}[[sink]]\nkind = "json"\nurl = "mqtts://127.0.0.1:9"\ntls_ca = "ca.pem"\n'
    assert checks(tmp_path, text)["certificate"].state == state


def test_beside_a_gateway_that_runs(tmp_path: Path) -> None:
    async def scenario() -> list[dict[str, str]]:
        async with site(tmp_path) as (gateway, _, __):
            await gateway.start()
            await linked(gateway)
            code, said = await gateway.command("doctor", "--json")
            assert code == 0, said
            return [json.loads(line) for line in said.splitlines()]

    found = {check["name"]: check for check in asyncio.run(scenario())}
    assert found["gateway"]["seen"] == "it runs and knows no node"
    assert found["port"]["state"] in ("ok", "warning") and "ttyNODE" in found["port"]["seen"]


def test_the_exit_status_says_whether_something_failed(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str]:
        gateway = Gateway(tmp_path, tmp_path / "ttyNONE")
        with gateway.config.open("a") as file:
            file.write('[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:9"\n')
        return await gateway.command("doctor")

    code, said = asyncio.run(scenario())
    assert code == 1
    assert "failed   broker of json: mqtt://127.0.0.1:9: nothing listens" in said and "         -> " in said


def test_a_bridge_that_is_not_there_is_silent_or_answers(tmp_path: Path) -> None:
    text = plain(tmp_path) + f'[mesh]\nbridges = ["{tmp_path}/bridge"]\n'
    assert "nothing there" in checks(tmp_path, text)["bridge"].seen
    config = load(tmp_path / "gateway.toml")
    master, slave = os.openpty()
    try:
        (tmp_path / "bridge").symlink_to(os.ttyname(slave))
        link = {"link": f"bridge {tmp_path}/bridge", "open": True, "adverts_in": 7}
        states = []
        for said in ({}, {"open": False, "error": "busy"}, link, link | {"board": "pico_w"}):
            told = {"links": [{**link, **said}] if said else []}
            found = [check for check in doctor._links(config, told) if check.name == "bridge"]
            states.append((found[0].state, found[0].seen.split("bridge", 1)[1]))
        assert [state for state, _ in states] == ["ok", "failed", "failed", "ok"]
        assert "no bridge answers" in states[2][1] and "pico_w, 7 adverts" in states[3][1]
    finally:
        os.close(master)
        os.close(slave)
