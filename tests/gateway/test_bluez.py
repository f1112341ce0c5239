"""The gateway's way into a mesh over Debian's own kernel, bluetoothd and D-Bus, in a virtual machine (bluez_vm/).

Rules: needs root, QEMU and debootstrap, a Debian mirror the first time; the processor is emulated, so it takes
minutes. What was real and what was not: docs/mesh.md, 9.6.
By hand, with words for pytest: python tests/gateway/bluez_vm/machine.py bookworm -k killed.
"""

from __future__ import annotations

import pytest

from tests.gateway.bluez_vm import machine

MINUTES = 30
RELEASES = ("bookworm", "trixie")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60)]


@pytest.mark.parametrize("release", RELEASES)
def test_mesh_links_over_bluez(release: str, capsys: pytest.CaptureFixture[str]) -> None:
    why = machine.missing()
    if why:
        pytest.skip(why)
    ended: list[str] = []
    with capsys.disabled():  # progress: a line a step
        print()
        for line in machine.run(machine.disk(release, print)):
            print(f"  {line}", flush=True)
            if line.startswith(machine.ENDED):
                ended.append(line.removeprefix(machine.ENDED))
    assert ended == ["0"], "pytest inside says no; its words are above"
