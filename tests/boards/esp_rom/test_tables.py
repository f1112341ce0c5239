"""The chips' tables against those that espefuse ships, printed by a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

from fieldline_boards.emulated.esp_rom.chips import CHIPS
from fieldline_boards.emulated.esp_rom.chips.model import Block

PRINT_TABLES = """
import importlib, json, sys
tables = {}
for chip in sys.argv[1:]:
    module = importlib.import_module(f"espefuse.efuse.{chip}.mem_definition")
    registers = module.EfuseDefineRegisters
    groups = vars(module.EfuseDefineFields(None)).values()
    fields = [field for group in groups if isinstance(group, list) for field in group if field is not None]
    tables[chip] = {
        "base": registers.DR_REG_EFUSE_BASE,
        "conf": getattr(registers, "EFUSE_REG_CONF", None) or registers.EFUSE_CONF_REG,
        "command": getattr(registers, "EFUSE_REG_CMD", None) or registers.EFUSE_CMD_REG,
        "blocks": [(b[2], b[7], b[3], b[4], b[5], b[6]) for b in module.EfuseDefineBlocks.BLOCKS],
        "fields": [
            (f.name, 32 * f.word + f.pos, f.bit_len, f.write_disable_bit, f.read_disable_bit)
            for f in fields if f.block == 0 and f.word is not None
        ],
    }
print(json.dumps(tables))
"""


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    if importlib.util.find_spec("espefuse") is None:
        pytest.skip("espefuse is not installed; it is in the dev group (pip install 'esptool==5.6.*')")
    done = subprocess.run(
        [sys.executable, "-c", PRINT_TABLES, *CHIPS], capture_output=True, text=True, check=True, timeout=120
    )
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def read_disable(block: Block) -> int | list[int] | None:
    bits = [lock.bit for lock in block.read_disable]
    return bits[0] if len(bits) == 1 else bits or None


@pytest.mark.parametrize("name", CHIPS)
def test_efuse_tables_agree(tables: dict[str, Any], name: str) -> None:
    layout, theirs = CHIPS[name].efuse, tables[name]
    assert layout.base == theirs["base"]
    assert layout.base + layout.conf == theirs["conf"]
    assert layout.base + layout.command == theirs["command"]
    blocks = [
        [
            block.number,
            block.words,
            layout.base + block.read,
            layout.base + block.program,
            block.write_disable,
            read_disable(block),
        ]
        for block in layout.blocks
    ]
    assert blocks == theirs["blocks"]
    fields = [[f.name, f.bit, f.width, f.write_disable, f.read_disable] for f in layout.fields]
    assert sorted(fields) == sorted(theirs["fields"])
