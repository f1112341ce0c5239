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
CONNECT_S = 20.0
MAX_WAITING = 512
"""Values that wait to be written, of 20 to 65 bytes: more is dropped, for a proxy that is so slow is no help."""


class Proxy:
    """A connection that is open. `gone` is set when the other end went."""

    def __init__(self, client: Any, gone: asyncio.Event, data_in: str) -> None:
        self._client = client
        self._data_in = data_in
        self._gone = gone
        self._values: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self.dropped = 0

    @property
    def mtu(self) -> int:
        """ATT_MTU in bytes, 23 at least."""
        return max(23, int(self._client.mtu_size))

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
                    await self._client.write_gatt_char(self._data_in, value.result(), response=False)
                except (BleakError, OSError, EOFError) as error:
                    raise ProxyError(f"a write failed: {error}") from error
        finally:
            ended.cancel()


@asynccontextmanager
async def connected(
    address: str, heard: Callable[[bytes], None], backend: Any = None, service: Service = PROXY
) -> AsyncIterator[Proxy]:
    """Connects to the proxy at `address` (on macOS its UUID); `heard` takes the values of Data Out.

    `backend`: bleak's, chosen by the system where it is None. ProxyError where it cannot be reached or has no
    such service.
    """
    try:
        from bleak import BleakClient
        from bleak.exc import BleakError
    except ImportError:
        raise ProxyError("bleak is not installed: pip install 'fieldline[ble]'") from None
    gone = asyncio.Event()
    client = BleakClient(address, lambda _: gone.set(), [service.uuid], timeout=CONNECT_S, backend=backend)
    try:
        await client.connect()
    except (BleakError, OSError, EOFError, TimeoutError) as error:
        raise ProxyError(f"no connection: {error or type(error).__name__}") from error
    try:
        try:
            await client.start_notify(service.data_out, lambda _, value: heard(bytes(value)))
        except (BleakError, OSError, EOFError) as error:
            raise ProxyError(f"it offers no {service.name}: {error}") from error
        yield Proxy(client, gone, service.data_in)
    finally:
        with suppress(BleakError, OSError, EOFError, TimeoutError):  # it may be gone already
            await client.disconnect()
