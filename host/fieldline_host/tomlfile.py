"""TOML files whose errors name the line.

Rules: a getter gives the value in the type asked for, or raises ConfigError with file, line and what to do;
nobody reads the raw dict. `finish()` refuses keys that nobody asked for, so a misspelt one is never ignored.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", str, int, float, bool)

_TABLE = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_KEY = re.compile(r"^\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.-]+)\s*=")


class ConfigError(Exception):
    """A configuration file is wrong; the text names file and line and what to do."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{where}: {message}")
        self.path = path
        self.line = line


class Table:
    """One table of a TOML file. Path of keys is kept for the error's sake."""

    def __init__(self, file: TomlFile, name: str, values: dict[str, Any]) -> None:
        self._file = file
        self._values = values
        self._asked: set[str] = set()
        self.name = name

    def get(self, key: str, kind: type[T], default: T | None = None, *, required: bool = False) -> T | None:
        """Value of `key` as `kind`, `default` where absent. ConfigError where it is of another type."""
        self._asked.add(key)
        if key not in self._values:
            if required:
                where = f" in [{self.name.split('#')[0]}]" if self.name else ""
                raise self.error(key, f"'{key}' is missing{where}; add a line: {key} = {_sample(kind)}")
            return default
        value = self._values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(key, f"'{key}' must be {_words(kind)}, not {value!r}")
        return value

    def need(self, key: str, kind: type[T]) -> T:
        """Like get, and the key must be there."""
        value = self.get(key, kind, required=True)
        assert value is not None
        return value

    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        """An integer in low..high; required where `default` is None."""
        value = self.need(key, int) if default is None else self.get(key, int, default)
        assert value is not None
        if not low <= value <= high:
            raise self.error(key, f"'{key}' must be {low} to {high}, not {value}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """A string out of `choices`; required where `default` is None."""
        value = self.need(key, str) if default is None else self.get(key, str, default)
        assert value is not None
        if value not in choices:
            raise self.error(key, f"'{key}' must be one of {', '.join(choices)}, not {value!r}")
        return value

    def strings(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings."""
        self._asked.add(key)
        value = self._values.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"'{key}' must be a list of strings, not {value!r}")
        return tuple(value)

    def table(self, key: str) -> Table:
        """A sub-table, empty where absent."""
        self._asked.add(key)
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"[{self._child(key)}] must be a table, not {value!r}")
        return self._file.child(self._child(key), value)

    def tables(self, key: str) -> list[Table]:
        """An array of tables ([[key]]), empty where absent."""
        self._asked.add(key)
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"[[{self._child(key)}]] must be an array of tables")
        return [self._file.child(f"{self._child(key)}#{i}", item) for i, item in enumerate(value)]

    def has(self, key: str) -> bool:
        """Whether `key` stands in the file; does not count as asked for."""
        return key in self._values

    def text(self, key: str) -> str:
        """A string that stands under `key`, "" where none does; does not count as asked for."""
        value = self._values.get(key)
        return value if isinstance(value, str) else ""

    def keys(self) -> Iterator[str]:
        """The keys that stand in the file; each counts as asked for."""
        self._asked.update(self._values)
        return iter(self._values)

    def error(self, key: str | None, message: str) -> ConfigError:
        """A ConfigError that names the line of `key` in this table."""
        return ConfigError(self._file.path, self._file.line_of(self.name, key), message)

    def unknown(self) -> Iterator[str]:
        """Keys in the file that nobody asked for."""
        return (key for key in self._values if key not in self._asked)

    def nearest(self, key: str) -> str | None:
        """The key that somebody asked for and that looks most like `key`; None where none does."""
        return next(iter(difflib.get_close_matches(key, sorted(self._asked - {key}), n=1)), None)

    def _child(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


class TomlFile:
    """A parsed TOML file that remembers its lines."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")  # as TOML does; splitlines() knows more ends of lines
        try:
            values = tomllib.loads(text)
        except RecursionError:
            raise ConfigError(path, None, "not valid TOML: brackets are nested too deep") from None
        except ValueError as error:  # TOMLDecodeError, and an integer of thousands of digits
            line = _AT_LINE.search(str(error))
            raise ConfigError(path, int(line[1]) if line else None, f"not valid TOML: {error}") from None
        self._tables: list[Table] = []
        self.root = self.child("", values)

    @classmethod
    def load(cls, path: Path) -> TomlFile:
        """Read and parse; ConfigError where the file is missing, unreadable or not TOML."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(path, None, f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(path, None, "is not UTF-8 text") from None
        return cls(path, text)

    def child(self, name: str, values: dict[str, Any]) -> Table:
        table = Table(self, name, values)
        self._tables.append(table)
        return table

    def texts(self, keys: tuple[str, ...]) -> list[str]:
        """The strings that stand under these keys in any table that was asked for; asks for none itself."""
        return [
            table.text(key) for table in self._tables for key in keys if table.has(key) and table.text(key)
        ]

    def finish(self) -> None:
        """Refuse keys that nobody asked for."""
        for table in self._tables:
            for key in table.unknown():
                where = f" in [{table.name.split('#')[0]}]" if table.name else ""
                nearest = table.nearest(key)
                what = f"did you mean '{nearest}'?" if nearest else "remove it or correct its spelling"
                raise table.error(key, f"'{key}' is not known{where}; {what}")

    def line_of(self, table: str, key: str | None) -> int | None:
        """1-based line of `key` in `table` ('name#2': the third of an array), or of the table's header.

        An inline table has no header: there it is the line of the key that holds it.
        """
        current, seen, header = "", dict[str, int](), None
        for number, line in enumerate(self._lines, 1):
            if match := _TABLE.match(line):
                name = match[1]
                if line.lstrip().startswith("[["):
                    seen[name] = seen.get(name, -1) + 1
                    current = f"{name}#{seen[name]}"
                else:
                    current = name
                if current == table:
                    header = number
                if key is not None and current == (f"{table}.{key}" if table else key):
                    return number
            elif key is not None and (match := _KEY.match(line)):
                found = match[1].strip("\"'")
                if (current == table and found == key) or (
                    current and f"{current}.{found}" == f"{table}.{key}"
                ):
                    return number
        if header is None and table:
            parent, _, name = table.rpartition(".")
            return self.line_of(parent, name.split("#")[0])
        return header


def _sample(kind: type[object]) -> str:
    return {str: '"..."', int: "1", float: "1.0", bool: "true"}.get(kind, "...")


def _words(kind: type[object]) -> str:
    return {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}.get(
        kind, "a value"
    )
