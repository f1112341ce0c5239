"""Unpack the modules of a source distribution that pip cannot install, pinned by its digest.

    .venv/bin/python scripts/fetch_sdist.py requirements/umqtt.txt build/umqtt

Such a package has neither setup.py nor pyproject.toml: it is for MicroPython's old installer. Where to find it is
pip's to say (its settings, its index, its proxies); what is taken must have the pinned digest, and only .py files
below the package's folder are written. Nothing of it is carried out.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path, PurePosixPath

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\\n\s+--hash=sha256:([0-9a-f]{64})$", re.MULTILINE)
MAX_BYTES = 1024 * 1024  # of the archive and of each file; those meant have some kilobytes


def main(words: list[str]) -> int:
    """0 where the folder holds the modules."""
    if len(words) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    lock, folder = map(Path, words)
    found = PIN.search(lock.read_text())
    if found is None:
        print(f"{lock}: no line NAME==VERSION \\ with a --hash=sha256: below it", file=sys.stderr)
        return 2
    name, version, digest = found.groups()
    data = _archive(name, version)
    if hashlib.sha256(data).hexdigest() != digest:
        print(f"{name} {version} is not what {lock} pins; nothing was unpacked", file=sys.stderr)
        return 1
    _unpack(data, folder)
    return 0


def _archive(name: str, version: str) -> bytes:
    """The bytes of the source distribution, from where pip would take it."""
    from pip._internal.commands import create_command  # pip has no other way to give a file as it is
    from pip._vendor.packaging.specifiers import SpecifierSet

    command = create_command("download")
    options, _ = command.parse_args(["--no-binary", ":all:", "--quiet", "--quiet", "--quiet", name])
    with command.main_context():
        session = command.get_default_session(options)  # type: ignore[attr-defined]
        finder = command._build_package_finder(options, session)  # type: ignore[attr-defined]
        best = finder.find_best_candidate(name, SpecifierSet(f"=={version}")).best_candidate
        if best is None:
            raise SystemExit(f"{name} {version} is in none of pip's indexes")
        if best.link.is_file:
            return Path(best.link.file_path).read_bytes()
        answer = session.get(best.link.url_without_fragment)
        answer.raise_for_status()
        return bytes(answer.content[: MAX_BYTES + 1])


def _unpack(data: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive:
            _, *parts = PurePosixPath(member.name).parts
            wanted = (
                member.isfile() and member.size <= MAX_BYTES and len(parts) > 1 and parts[-1].endswith(".py")
            )
            if not wanted or ".." in parts:
                continue
            content = archive.extractfile(member)
            assert content
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
