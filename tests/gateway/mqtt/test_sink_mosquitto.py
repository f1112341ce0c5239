"""The MQTT sink against a real mosquitto that is killed, hung, or asks for a password or a certificate.

The judge is paho-mqtt.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_harness.mosquitto import Mosquitto, find_program
from tests.gateway.mqtt.conftest import Said
from tests.gateway.mqtt.support import FakeReader, Subscriber, report, run, until, without_repeats

# mosquitto drops what it queues for a subscriber beyond its bounds: none here, the judge is to see all.
SETTINGS = "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0"
NODES = (bytes(8), bytes(7) + b"\x01")


def records(count: int) -> list[Any]:
    """For two nodes and three classes `count` readings each, three a report."""
    return [
        report(first, 3, cls=cls, node=node)
        for first in range(1, count + 1, 3)
        for cls in range(3)
        for node in NODES
    ]


def make(address: Address, sleep: Any = None, **settings: Any) -> MqttSink:
    config = MqttConfig(address, "sink", **settings)
    return MqttSink(config, JsonPayload("gw"), sleep=sleep or (lambda _: asyncio.sleep(0.02)))


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_kill_and_restart_in_mid_stream(tmp_path: Path) -> None:
    """SIGKILL, three times: nothing lost, order kept, repeats bounded by the window."""
    count, window, kills = 3_000, 200, 3
    with Mosquitto(tmp_path, SETTINGS) as broker, Subscriber(broker.port, qos=0) as judge:

        async def main() -> MqttSink:
            # A broker that was killed knows no subscriptions: who publishes to it then publishes to nobody.
            judge_is_back = asyncio.Event()

            async def sleep(_: float) -> None:
                await judge_is_back.wait()

            reader = FakeReader(records(count))
            sink = make(Address("127.0.0.1", broker.port), sleep, window=window)
            task = asyncio.create_task(sink.run(reader))
            for kill in range(1, kills + 1):
                await until(lambda kill=kill: sum(reader.committed.values()) > kill * count / (kills + 1) * 2)
                assert not reader.done
                judge_is_back.clear()
                broker.kill()
                await until(lambda: not judge.subscribed.is_set())
                broker.start()
                await until(judge.subscribed.is_set)
                judge_is_back.set()
            await until(lambda: reader.done)
            await stop(task)
            return sink

        sink = run(main())
        numbers = judge.numbers()
        expected = {(node.hex(), cls) for node in NODES for cls in ("alarm", "live", "bulk")}
        run(until(lambda: all(len(set(judge.numbers().get(key, ()))) == count for key in expected)))
        numbers = judge.numbers()
        assert set(numbers) == expected
        for key, found in numbers.items():
            assert without_repeats(found) == list(range(1, count + 1)), key
        repeats = sum(len(found) - count for found in numbers.values())
        assert repeats <= kills * window
        assert sink.status()["connects"] == kills + 1


def test_hung_broker_is_dropped_and_taken_up_again(tmp_path: Path) -> None:
    """SIGSTOP: the socket stays open and nobody answers."""
    count = 2_001
    with Mosquitto(tmp_path, SETTINGS) as broker, Subscriber(broker.port) as judge:

        async def main() -> None:
            reader = FakeReader(records(count))
            address = Address("127.0.0.1", broker.port)
            sink = make(address, progress_timeout_s=0.2, connect_timeout_s=0.2, window=100)
            task = asyncio.create_task(sink.run(reader))
            await until(lambda: sum(reader.committed.values()) > 1000)
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                assert not reader.done
                await until(lambda: "no answer" in str(sink.status()["last_error"]))
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            await until(lambda: reader.done)
            await stop(task)

        run(main())
        run(until(lambda: sum(len(set(found)) for found in judge.numbers().values()) == 6 * count))
        for found in judge.numbers().values():
            assert without_repeats(found) == list(range(1, count + 1))


def test_password_is_asked_for(tmp_path: Path, said: Said) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run([find_program("mosquitto_passwd"), "-b", passwords, "u", "right"], check=True)
    with Mosquitto(tmp_path / "m", f"allow_anonymous false\npassword_file {passwords}") as broker:

        async def main() -> None:
            address = Address("127.0.0.1", broker.port)
            wrong, right = FakeReader([report(1)]), FakeReader([report(1)])
            task = asyncio.create_task(make(address, username="u", password=b"wrong").run(wrong))
            await until(lambda: "this client is not allowed" in said.text)
            await stop(task)
            task = asyncio.create_task(make(address, username="u", password=b"right").run(right))
            await until(lambda: right.done)
            await stop(task)
            assert not wrong.done

        run(main())


def authority(folder: Path) -> Path:
    """A CA and a certificate of it for 127.0.0.1 in `folder`: ca.pem, cert.pem, key.pem."""
    now = datetime.datetime.now(datetime.UTC)

    def sign(name: str, key: Any, issuer: str, by: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(by, hashes.SHA256())

    folder.mkdir()
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = sign("ca", ca_key, "ca", ca_key, x509.BasicConstraints(ca=True, path_length=None))
    local = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    cert = sign("localhost", key, "ca", ca_key, local)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    raw = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(raw)
    return folder


def test_tls_with_a_client_certificate(tmp_path: Path, said: Said) -> None:
    good, other = authority(tmp_path / "good"), authority(tmp_path / "other")
    settings = f"""allow_anonymous true
cafile {good}/ca.pem
certfile {good}/cert.pem
keyfile {good}/key.pem
require_certificate true"""

    async def deliver(address: Address) -> bool:
        reader = FakeReader([report(1)])
        said.records.clear()
        task = asyncio.create_task(make(address).run(reader))
        await until(lambda: reader.done or "sink-lost" in said.text)
        await stop(task)
        return reader.done

    with Mosquitto(tmp_path / "m", settings) as broker:
        trusting = ssl.create_default_context(cafile=str(good / "ca.pem"))
        assert not run(deliver(Address("localhost", broker.port, trusting)))  # without its own certificate
        trusting.load_cert_chain(good / "cert.pem", good / "key.pem")
        assert run(deliver(Address("localhost", broker.port, trusting)))
        strict = ssl.create_default_context(cafile=str(other / "ca.pem"))
        strict.load_cert_chain(good / "cert.pem", good / "key.pem")
        assert not run(deliver(Address("localhost", broker.port, strict)))
        assert "is not trusted" in said.text
        assert "tls_ca" in said.text
        assert not run(deliver(Address("127.0.0.1", broker.port, trusting)))  # the name is checked too


def test_window_of_any_size_delivers(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, SETTINGS) as broker, Subscriber(broker.port) as judge:
        for window in (1, 2, 20, 1000):

            async def main(window: int = window) -> None:
                reader = FakeReader([report(1 + 3 * n, 3) for n in range(100)])
                task = asyncio.create_task(make(Address("127.0.0.1", broker.port), window=window).run(reader))
                await until(lambda: reader.done)
                await stop(task)

            judge.payloads.clear()
            run(main())
            run(until(lambda: len(judge.payloads) == 300))
            assert [json.loads(payload)["number"] for payload in judge.payloads] == list(range(1, 301))
