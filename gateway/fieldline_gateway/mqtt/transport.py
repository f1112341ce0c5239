"""From an Address to a transport with a protocol on it: TCP, TLS, WebSocket, an HTTP proxy before them.

Rules: the only place that connects. Errors of the operating system become ConnectionLost here, each with what
to do next. The caller bounds the time.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl

from fieldline_gateway.mqtt.address import Address, Proxy
from fieldline_gateway.mqtt.errors import ConnectionLost
from fieldline_host.asking import ShortPath

MAX_PROXY_ANSWER = 8 * 1024
"""Bytes of a proxy's answer to CONNECT: headers and nothing else."""


async def connect(address: Address, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Connect `protocol` to the server; ConnectionLost says why not.

    The result is what to abort. Over WebSocket the protocol's connection_made comes later, after the upgrade.
    """
    layered = protocol if address.path is None else _websocket(protocol, address)
    loop = asyncio.get_running_loop()
    try:
        if address.unix:
            with ShortPath(address.unix) as short:
                return (await loop.create_unix_connection(lambda: layered, short))[0]
        if address.proxy is None:
            made = await loop.create_connection(lambda: layered, address.host, address.port, ssl=address.tls)
            return made[0]
        way = await _through(address.proxy, address)
        try:
            name = address.host if address.tls else None
            made = await loop.create_connection(
                lambda: layered, sock=way, ssl=address.tls, server_hostname=name
            )
            return made[0]
        except BaseException:
            way.close()
            raise
    except OSError as error:
        raise ConnectionLost(_explain(address, error)) from error


def _websocket(protocol: asyncio.Protocol, address: Address) -> asyncio.Protocol:
    from fieldline_gateway.mqtt.websocket import ClientLayer  # few sites need it

    return ClientLayer(protocol, address)


async def _through(proxy: Proxy, address: Address) -> socket.socket:
    """A socket to the server by way of a proxy."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ConnectionLost(
            f"the proxy's name {proxy.host!r} cannot be resolved; check its spelling"
        ) from error
    family, kind, number, _, where = found[0]
    way = socket.socket(family, kind, number)
    try:
        way.setblocking(False)
        try:
            await loop.sock_connect(way, where)
        except OSError as error:
            text = f"no connection to the proxy {proxy}: {error.strerror or error}; check its host and port"
            raise ConnectionLost(text) from error
        lines = [f"CONNECT {address.authority} HTTP/1.1", f"Host: {address.authority}"]
        if proxy.username is not None:
            secret = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {secret}")
        await loop.sock_sendall(way, "\r\n".join((*lines, "", "")).encode())
        answer = bytearray()
        while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows belongs to the server
            byte = await loop.sock_recv(way, 1)
            if not byte or len(answer) > MAX_PROXY_ANSWER:
                raise ConnectionLost(f"the proxy {proxy} gave no answer; is it an HTTP proxy?")
            answer += byte
        _check(proxy, address, bytes(answer))
        return way
    except BaseException:
        way.close()
        raise


def _check(proxy: Proxy, address: Address, answer: bytes) -> None:
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    words = status.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2:
        raise ConnectionLost(f"the proxy {proxy} does not speak HTTP; check its port")
    if words[1] == "407":
        raise ConnectionLost(f"the proxy {proxy} asks for a user name and password; give or correct them")
    if not (len(words[1]) == 3 and words[1].startswith("2")):
        why = " ".join(words[1:])[:80]
        raise ConnectionLost(
            f"the proxy {proxy} does not lead to {address.authority} ({why}); ask who runs it"
        )


def _explain(address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name {address.host!r} cannot be resolved; check its spelling and the DNS of this machine"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        return f"the certificate of {address} is not trusted ({why}); give the broker's CA as tls_ca"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {address} ({error.reason}); check its port, tls_cert and tls_key"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {address}; start the broker, or correct its url"
    return f"no connection to {address}: {error.strerror or error}; check the network"
