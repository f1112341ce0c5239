"""A connection to a GATT proxy by bleak: the one file that knows it.

Rules: bleak's errors become ProxyError here and go no further. Values are written without response, one after the
other, as the Mesh Proxy Service wants it (Mesh Profile 1.0.1, 7.2.2); bleak is imported when a mesh is configured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fieldline_gateway.mesh.errors import ProxyError

_BASE = "0000%04x-0000-1000-8000-00805f9b34fb"
SERVICE, DATA_IN, DATA_OUT = _BASE % 0x1828, _BASE % 0x2ADD, _BASE % 0x2ADE


@dataclass(frozen=True, slots=True)
class Service:
    """A GATT service whose two characteristics carry proxy PDUs (Mesh Profile 1.0.1, 7)."""

    name: str
    uuid: str
    data_in: str
    data_out: str


PROXY = Service("Mesh Proxy Service", SERVICE, DATA_IN, DATA_OUT)
PROVISIONING = Service("Mesh Provisioning Service", *(_BASE % one for one in (0x1827, 0x2ADB, 0x2ADC)))
FIND_S = 10.0
"""A proxy advertises every second or oftener; while one is looked for the others wait."""
CONNECT_S = 20.0
ANSWER_S = 15.0
"""For all else: bleak sets a call to bluetoothd no limit, and one that hangs must not hold the other end for ever."""
MAX_WAITING = 512
"""Values that wait to be written, of 20 to 65 bytes: more is dropped, for a proxy that is so slow is no help."""


class Proxy:
    """A connection that is open. `gone` is set when the other end went."""

    def __init__(self, client: Any, data_in: Any, gone: asyncio.Event) -> None:
        self._client = client
        self._data_in = data_in
        self._gone = gone
        self._values: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self.dropped = 0

    @property
    def mtu(self) -> int:
        """ATT_MTU in bytes, 23 at least. Bleak's own `mtu_size` is 23 on Linux, whatever was agreed."""
        return max(23, int(self._data_in.max_write_without_response_size) + 3)

    def write(self, values: list[bytes]) -> None:
        """Queues the values of one proxy PDU: all of them or none."""
        if self._values.qsize() + len(values) > MAX_WAITING:
            self.dropped += 1
            return
        for value in values:
            self._values.put_nowait(value)

    async def carry(self) -> None:
        """Writes what is queued, until the connection ends: ProxyError says how."""
        from bleak.exc import BleakError

        ended = asyncio.create_task(self._gone.wait())
        try:
            while True:
                value = asyncio.create_task(self._values.get())
                await asyncio.wait((value, ended), return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    value.cancel()
                    raise ProxyError("it closed the connection")
                try:
                    async with asyncio.timeout(ANSWER_S):
                        await self._client.write_gatt_char(self._data_in, value.result(), response=False)
                except (BleakError, OSError, EOFError) as error:
                    raise ProxyError(f"a write failed: {_words(error)}") from error
        finally:
            ended.cancel()


@dataclass(frozen=True)
class Backends:
    """Bleak's, where they are not the system's own: tests have theirs."""

    client: Any = None
    scanner: Any = None
    adapter: Any = None


class Bluetooth:
    """This machine's Bluetooth. One looks for its proxy at a time: BlueZ refuses a process a second scan
    (org.bluez.Error.InProgress), so a proxy that is switched off would keep the others out."""

    def __init__(self, backends: Backends | None = None) -> None:
        self._backends = backends or Backends()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def connected(
        self, address: str, heard: Callable[[bytes], None], service: Service = PROXY
    ) -> AsyncIterator[Proxy]:
        """Connects to the proxy at `address` (on macOS its UUID); `heard` takes the values of Data Out.

        ProxyError where it cannot be reached or has no such service.
        """
        try:
            from bleak import BleakClient
            from bleak.exc import BleakError
        except ImportError:
            raise ProxyError("bleak is not installed: pip install 'fieldline[ble]'") from None
        gone = asyncio.Event()
        try:
            device = await self._find(address, service)
            client = BleakClient(
                device, lambda _: gone.set(), [service.uuid], timeout=CONNECT_S, backend=self._backends.client
            )
            await client.connect()
        except (BleakError, OSError, EOFError) as error:
            raise ProxyError(f"no connection: {_words(error)}") from error
        try:
            try:
                data_in = client.services.get_characteristic(service.data_in)
                if data_in is None:
                    raise ProxyError(f"it offers no {service.name}")
                async with asyncio.timeout(ANSWER_S):
                    await client.start_notify(service.data_out, lambda _, value: heard(bytes(value)))
            except (BleakError, OSError, EOFError) as error:
                raise ProxyError(f"its {service.name} does not notify: {_words(error)}") from error
            yield Proxy(client, data_in, gone)
        finally:
            with suppress(BleakError, OSError, EOFError):  # it may be gone already
                async with asyncio.timeout(ANSWER_S):
                    await client.disconnect()

    async def _find(self, address: str, service: Service) -> Any:
        """The proxy as bleak's device: it advertises, or else this machine is connected to it already.

        The latter is what a gateway that was killed leaves behind: such a proxy advertises no more. It comes second,
        as bleak takes a device for connected that was so when bluetoothd was killed.
        """
        from bleak import BleakAdapter, BleakScanner
        from bleak.exc import BleakDeviceNotFoundError

        async with self._turn, asyncio.timeout(FIND_S + ANSWER_S):
            found = await BleakScanner.find_device_by_address(address, FIND_S, backend=self._backends.scanner)
            if found is not None:
                return found
            with suppress(NotImplementedError):  # not every system can tell
                adapter = await BleakAdapter.get(backend=self._backends.adapter)
                for device in await adapter.get_connected_devices([service.uuid]):
                    if device.address.lower() == address.lower():
                        return device
        raise BleakDeviceNotFoundError(address, f"not found within {FIND_S:g} s: is it on, and near?")


def _words(error: BaseException) -> str:
    """Some of bleak's errors are a sentence and a code; a TimeoutError says nothing of itself."""
    said = error.args[0] if error.args else ""
    return said if isinstance(said, str) and said else str(error) or type(error).__name__
