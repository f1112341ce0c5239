"""A virtual machine with Debian's kernel and BlueZ, in which inside.py is run by pytest.

Rules: the disk is built once (root, debootstrap, a Debian mirror; minutes) and kept in ~/.cache/fieldline/bluez_vm
under the digest of all that is in it; a run writes nothing to it. The sources are this folder's, by 9p and read
only. QEMU emulates the processor (tcg), which works everywhere; FIELDLINE_QEMU_ACCEL=kvm is some ten times faster.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
CACHE = Path.home() / ".cache" / "fieldline" / "bluez_vm"
REQUIREMENTS = ROOT / "requirements" / "bluez-vm.txt"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = "linux-image-amd64,kmod,dbus,bluez,python3"
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86 (and seabios)",
    "debootstrap": "debootstrap",
    "mke2fs": "e2fsprogs",
}
SITE = "opt/site"
MEGABYTES = 1400
INIT = """#!/bin/sh
modprobe -a 9p 9pnet_virtio
mount -t 9p -o trans=virtio,ro sources /mnt
exec sh /mnt/tests/gateway/bluez_vm/guest.sh "$@"
"""
ENDED = "fieldline-guest-ended "
"""What the guest prints last, before pytest's exit code."""

Say = Callable[[str], None]


def missing() -> str:
    """What this machine lacks to build and run it, in words; empty where nothing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program, package in TOOLS.items():
        if shutil.which(program, path=path) is None:
            return f"needs {program}: apt-get install {package}"
    if os.uname().machine != "x86_64":
        return "is written for x86_64"
    return "needs root, to build the disk" if os.geteuid() else ""


def disk(release: str, say: Say) -> Path:
    """The folder with disk.img, vmlinuz and initrd.img, built where it is not there yet."""
    parts = (release, PACKAGES, INIT, str(MEGABYTES), REQUIREMENTS.read_text())
    folder = CACHE / f"{release}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
    if (folder / "disk.img").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = folder / "root"
    say(f"debootstrap {release}: {PACKAGES}")
    _run(folder, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, root)
    say("the Python packages of requirements/bluez-vm.txt")
    _run(folder, sys.executable, "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:",
         "--python-version", PYTHONS[release], "--target", root / SITE, "-r", REQUIREMENTS)  # fmt: skip
    init = root / "sbin" / "fieldline-guest"
    init.write_text(INIT)
    init.chmod(0o755)
    for useless in ("var/cache/apt", "var/lib/apt", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(root / useless)
    say("the disk")
    for kind in ("vmlinuz", "initrd.img"):
        shutil.copy(next((root / "boot").glob(f"{kind}-*")), folder / kind)
    _run(folder, "mke2fs", "-q", "-t", "ext4", "-d", root, folder / "new.img", f"{MEGABYTES}M")
    shutil.rmtree(root)
    (folder / "new.img").rename(folder / "disk.img")
    return folder


def run(folder: Path, words: str = "") -> Iterator[str]:
    """Starts the machine and yields the lines of its console until it is off; `words` go to pytest inside."""
    acceleration = os.environ.get("FIELDLINE_QEMU_ACCEL", "tcg")
    kernel = f"console=ttyS0 quiet root=/dev/vda rw init=/sbin/fieldline-guest panic=-1 -- {words}"
    command = [
        "qemu-system-x86_64", "-accel", acceleration, "-m", "1024", "-smp", "1", "-nographic", "-no-reboot",
        "-nodefaults", "-serial", "stdio", "-kernel", folder / "vmlinuz", "-initrd", folder / "initrd.img",
        "-append", kernel, "-drive", f"file={folder / 'disk.img'},format=raw,if=virtio,snapshot=on",
        "-virtfs", f"local,path={ROOT},mount_tag=sources,security_model=none,readonly=on",
    ]  # fmt: skip
    machine = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    assert machine.stdout is not None
    try:
        yield f"QEMU with {acceleration}"
        for line in machine.stdout:
            yield line.rstrip()
    finally:
        machine.kill()
        machine.wait()


def _run(folder: Path, *words: str | Path) -> None:
    environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    with (folder / "build.log").open("ab") as log:
        done = subprocess.run([str(word) for word in words], stdout=log, stderr=log, env=environment)
    if done.returncode:
        said = (folder / "build.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{words[0]} failed; {folder / 'build.log'} ends: {said}")


def main() -> int:
    """python tests/gateway/bluez_vm/machine.py [RELEASE] [WORDS FOR PYTEST]"""
    why = missing()
    if why:
        print(why, file=sys.stderr)
        return 1
    release = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    code = 1
    for line in run(disk(release, print), " ".join(sys.argv[2:])):
        print(line, flush=True)
        if line.startswith(ENDED):
            code = int(line.removeprefix(ENDED))
    return code


if __name__ == "__main__":
    sys.exit(main())
