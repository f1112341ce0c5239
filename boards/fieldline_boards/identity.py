"""/identity.bin: who a node is, as the node reads it.

Rules: 29 bytes: node id (8) | key number (1) | device key (16) | CRC-32 (4, big-endian) of what stands before it.
It holds the node's key: files with it are their owner's alone.
"""

from __future__ import annotations

import os
from binascii import crc32
from pathlib import Path

from fieldline_boards.errors import BoardError

NODE_BYTES = 8  # wire.md 3.2
KEY_BYTES = 16  # AES-128, wire.md 3.1
IDENTITY_BYTES = NODE_BYTES + 1 + KEY_BYTES + 4


def make_identity(node_id: bytes, key_number: int, key: bytes) -> bytes:
    """The file's bytes; BoardError where a part has the wrong size."""
    if len(node_id) != NODE_BYTES or len(key) != KEY_BYTES or not 0 <= key_number <= 0xFF:
        raise BoardError(
            f"an identity is a node id of {NODE_BYTES} bytes, a key number of 0 to 255 and a key of "
            f"{KEY_BYTES} bytes, not {len(node_id)} bytes, {key_number} and {len(key)} bytes"
        )
    content = node_id + bytes([key_number]) + key
    return content + crc32(content).to_bytes(4, "big")


def read_identity(path: Path) -> bytes:
    """The file's bytes, checked; BoardError where it is no identity."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}") from None
    if len(content) != IDENTITY_BYTES or crc32(content[:-4]) != int.from_bytes(content[-4:], "big"):
        raise BoardError(f"{path} is no identity file; make one with: fieldline node identity")
    return content


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads; BoardError where it cannot be written."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}") from None
