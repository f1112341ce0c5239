"""Cases that run on CPython and on a node's interpreter alike: how they are found, and run there.

Rules: a case is a function case_*() in a module *_cases of a package that lies on the paths of both.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_ON_A_NODE = """
import {package}.{module} as module
from {printer} import print_exception
{setup}
done = 0
for name in sorted(dir(module)):
    if name.startswith("case_"):
        try:
            getattr(module, name)({arguments})
        except Exception as error:
            print("FAIL", name)
            print_exception(error)
        else:
            done += 1
print("done", done)
"""

Case = Callable[..., None]


def modules(package: Path) -> list[str]:
    """The names of a package's modules of cases."""
    return sorted(path.stem for path in package.glob("*_cases.py"))


def cases(package: Path, module: str) -> list[tuple[str, Case]]:
    """(name, case) of each in a module."""
    found = importlib.import_module(f"{package.name}.{module}")
    return [(name, getattr(found, name)) for name in sorted(vars(found)) if name.startswith("case_")]


def each_case(package: Path) -> list[Any]:
    """What pytest.mark.parametrize takes for a test of each case."""
    return [
        pytest.param(case, id=f"{module}: {name}")
        for module in modules(package)
        for name, case in cases(package, module)
    ]


def script(package: Path, module: str, *, setup: str = "", arguments: str = "", printer: str = "sys") -> str:
    """Runs a module's cases on a node, each with `arguments`, after `setup`. `printer` has print_exception there."""
    return _ON_A_NODE.format(
        package=package.name, module=module, setup=setup, arguments=arguments, printer=printer
    )


def judge(output: str, package: Path, module: str) -> None:
    """AssertionError where what script() printed is not that all cases passed."""
    assert output.splitlines()[-1:] == [f"done {len(cases(package, module))}"], output
