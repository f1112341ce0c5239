"""Debian's bluetooth-meshd 5.66 as the other end, with no Bluetooth: one process on a message bus of its own.

Rules: what goes in and out are datagrams of AD type and payload; the application side is meshd's own D-Bus
interface (doc/mesh-api.txt). Nothing here knows our stack.
"""

import asyncio
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

MESHD = Path("/usr/libexec/bluetooth/bluetooth-meshd")
SHIM = Path(__file__).parent / "shim.c"
COMPANY = 0x05F1
APP, ELEMENT = "/app", "/app/ele00"
# --io unit passes nothing on that is shorter: PB-ADV acknowledgments are padded with zeros on their way in.
_SHORTEST = 11
WAIT_S = 60.0


def build_shim(folder: Path) -> Path:
    """The preload library; RuntimeError where the compiler or OpenSSL's headers are missing."""
    out = folder / "shim.so"
    done = subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", "-o", out, SHIM, "-lcrypto", "-ldl"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"gcc could not build {SHIM.name}: {done.stderr}")
    return out


class _Application(ServiceInterface):
    def __init__(self) -> None:
        super().__init__("org.bluez.mesh.Application1")
        self.token: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @dbus_method()
    def JoinComplete(self, token: "t"):  # type: ignore[name-defined] # noqa: F821
        self.token.set_result(token)

    @dbus_method()
    def JoinFailed(self, reason: "s"):  # type: ignore[name-defined] # noqa: F821
        self.token.set_exception(RuntimeError(reason))

    @dbus_property(access=PropertyAccess.READ)
    def CompanyID(self) -> "q":  # type: ignore[name-defined] # noqa: F821
        return COMPANY

    @dbus_property(access=PropertyAccess.READ)
    def ProductID(self) -> "q":  # type: ignore[name-defined] # noqa: F821
        return 1

    @dbus_property(access=PropertyAccess.READ)
    def VersionID(self) -> "q":  # type: ignore[name-defined] # noqa: F821
        return 1

    @dbus_property(access=PropertyAccess.READ)
    def CRPL(self) -> "q":  # type: ignore[name-defined] # noqa: F821
        return 0x7FFF


class _Provisioner(ServiceInterface):
    def __init__(self, news: asyncio.Queue[tuple[Any, ...]], address: int) -> None:
        super().__init__("org.bluez.mesh.Provisioner1")
        self._news = news
        self._address = address

    @dbus_method()
    def ScanResult(self, rssi: "n", data: "ay", options: "a{sv}"):  # type: ignore[name-defined] # noqa: F821, F722
        self._news.put_nowait(("scan", bytes(data)))

    @dbus_method()
    def RequestProvData(self, count: "y") -> "qq":  # type: ignore[name-defined] # noqa: F821
        return [0, self._address]

    @dbus_method()
    def AddNodeComplete(self, uuid: "ay", unicast: "q", count: "y"):  # type: ignore[name-defined] # noqa: F821
        self._news.put_nowait(("added", bytes(uuid), unicast, count))

    @dbus_method()
    def AddNodeFailed(self, uuid: "ay", reason: "s"):  # type: ignore[name-defined] # noqa: F821
        self._news.put_nowait(("failed", bytes(uuid), reason))


class _Agent(ServiceInterface):
    def __init__(self, static: bytes) -> None:
        super().__init__("org.bluez.mesh.ProvisionAgent1")
        self._static = static

    @dbus_property(access=PropertyAccess.READ)
    def Capabilities(self) -> "as":  # type: ignore # noqa: F722
        return ["static-oob"] if self._static else []

    @dbus_method()
    def PromptStatic(self, kind: "s") -> "ay":  # type: ignore[name-defined] # noqa: F821
        return self._static

    @dbus_method()
    def Cancel(self):  # type: ignore[no-untyped-def]
        pass


class _Element(ServiceInterface):
    def __init__(self, news: asyncio.Queue[tuple[Any, ...]]) -> None:
        super().__init__("org.bluez.mesh.Element1")
        self._news = news

    @dbus_property(access=PropertyAccess.READ)
    def Index(self) -> "y":  # type: ignore[name-defined] # noqa: F821
        return 0

    @dbus_property(access=PropertyAccess.READ)
    def Models(self) -> "a(qa{sv})":  # type: ignore # noqa: F722
        # Configuration Client, Sensor Client, Generic OnOff Server
        return [[0x0001, {}], [0x1102, {}], [0x1000, {}]]

    @dbus_property(access=PropertyAccess.READ)
    def VendorModels(self) -> "a(qqa{sv})":  # type: ignore # noqa: F722
        return []

    @dbus_property(access=PropertyAccess.READ)
    def Location(self) -> "q":  # type: ignore[name-defined] # noqa: F821
        return 0

    @dbus_method()
    def MessageReceived(self, source: "q", key_index: "q", destination: "v", data: "ay"):  # type: ignore[name-defined] # noqa: F821
        self._news.put_nowait(("app", source, bytes(data)))

    @dbus_method()
    def DevKeyMessageReceived(self, source: "q", remote: "b", net_index: "q", data: "ay"):  # type: ignore[name-defined] # noqa: F821
        self._news.put_nowait(("device", source, bytes(data)))

    @dbus_method()
    def UpdateModelConfiguration(self, model_id: "q", config: "a{sv}"):  # type: ignore[name-defined] # noqa: F821, F722
        pass


class Meshd:
    """`async with Meshd(folder, shim)`. News: ("app" or "device", source, payload), ("scan", ...), ("added", ...)."""

    def __init__(self, folder: Path, shim: Path, static: bytes = b"", gives: int = 0x0200) -> None:
        self._folder = folder
        self._shim = shim
        self._static = static
        self._gives = gives  # the address that it gives to whom it provisions
        self._unit = folder / "unit"
        self._peer = folder / "peer"
        self.node = ""
        self.token = 0
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()  # AD type and payload of what it sent

    async def __aenter__(self) -> "Meshd":
        (self._folder / "state").mkdir(parents=True)
        self._bus_daemon = await asyncio.create_subprocess_exec(
            *("dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._bus_daemon.stdout is not None
        address = (await self._bus_daemon.stdout.readline()).decode().strip()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._peer))
        self._socket.setblocking(False)
        self._log = (self._folder / "meshd.log").open("w")
        self._process = await asyncio.create_subprocess_exec(
            *(
                MESHD,
                "--nodetach",
                "--debug",
                "--io",
                f"unit:{self._unit}",
                "--storage",
                self._folder / "state",
            ),
            env={
                **os.environ,
                "DBUS_SESSION_BUS_ADDRESS": address,
                "LD_PRELOAD": str(self._shim),
                "MESHD_PEER": str(self._peer),
            },
            stdout=self._log,
            stderr=self._log,
        )
        self.bus = await MessageBus(bus_address=address).connect()
        self.news: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._application = _Application()
        self.bus.export(f"{APP}/application", self._application)
        self.bus.export(f"{APP}/application", _Provisioner(self.news, self._gives))
        self.bus.export(f"{APP}/agent", _Agent(self._static))
        self.bus.export(ELEMENT, _Element(self.news))
        await self._until_on_bus()
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self.bus.disconnect()
        for process in (self._process, self._bus_daemon):
            if process.returncode is None:
                process.terminate()
            await process.wait()
        self._socket.close()
        self._log.close()

    def inject(self, kind: int, payload: bytes) -> None:
        """An advert reaches it."""
        data = bytes((len(payload) + 1, kind)) + payload
        self._socket.sendto(data.ljust(_SHORTEST, b"\0"), str(self._unit))

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """A method of org.bluez.mesh; RuntimeError where it says no."""
        message = Message(
            "org.bluez.mesh",
            path,
            f"org.bluez.mesh.{interface}",
            member,
            signature=signature,
            body=list(body),
        )
        answer = await asyncio.wait_for(self.bus.call(message), WAIT_S)
        assert answer is not None
        if answer.message_type == MessageType.ERROR:
            raise RuntimeError(f"{member}: {answer.error_name} {answer.body}")
        return list(answer.body)

    async def manage(self, member: str, signature: str, *body: Any) -> list[Any]:
        """Management1 of its node."""
        return await self.call(self.node, "Management1", member, signature, *body)

    async def import_node(
        self, uuid: bytes, device_key: bytes, net_key: bytes, iv_index: int, address: int
    ) -> None:
        """Makes it a node of a network that exists."""
        flags = {"IvUpdate": Variant("b", False), "KeyRefresh": Variant("b", False)}
        await self.call(
            *("/org/bluez/mesh", "Network1", "Import", "oayayayqa{sv}uq", APP, uuid, device_key, net_key, 0),
            *(flags, iv_index, address),
        )
        await self._attach()

    async def create_network(self, uuid: bytes) -> None:
        """Makes it the provisioner of a network of its own."""
        await self.call("/org/bluez/mesh", "Network1", "CreateNetwork", "oay", APP, uuid)
        await self._attach()

    async def join(self, uuid: bytes) -> None:
        """Makes it a device that waits to be provisioned; joined() when it was."""
        await self.call("/org/bluez/mesh", "Network1", "Join", "oay", APP, uuid)

    async def joined(self) -> None:
        """It was provisioned."""
        await self._attach()

    async def _attach(self) -> None:
        self.token = await asyncio.wait_for(self._application.token, WAIT_S)
        self.node, *_ = await self.call("/org/bluez/mesh", "Network1", "Attach", "ot", APP, self.token)

    async def send(self, destination: int, payload: bytes) -> None:
        """An access message under AppKey 0."""
        await self.call(self.node, "Node1", "Send", "oqqa{sv}ay", ELEMENT, destination, 0, {}, payload)

    async def ask(self, destination: int, payload: bytes) -> None:
        """A configuration message under the remote node's device key."""
        await self.call(
            self.node, "Node1", "DevKeySend", "oqbqa{sv}ay", ELEMENT, destination, True, 0, {}, payload
        )

    async def answer(self, kind: str) -> bytes:
        """The payload of the next news of a kind; for "added" and the like the whole is asserted elsewhere."""
        while True:
            news = await asyncio.wait_for(self.news.get(), WAIT_S)
            if news[0] == kind:
                return bytes(news[-1]) if isinstance(news[-1], bytes) else b""

    def _read(self) -> None:
        self.heard.put_nowait(self._socket.recv(64))

    async def _until_on_bus(self) -> None:
        message = Message(
            *("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner"),
            signature="s",
            body=["org.bluez.mesh"],
        )
        async with asyncio.timeout(WAIT_S):
            while True:
                answer = await self.bus.call(message)
                if answer is not None and answer.body[0] and self._unit.exists():
                    return
                await asyncio.sleep(0.02)
