"""What is delivered: a wheel carries the page whole, npm's part too; the configuration says where it is served."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fieldline_gateway.config import load
from fieldline_gateway.web.config import page
from fieldline_host.tomlfile import ConfigError, TomlFile
from tests.gateway.mqtt.certificates import make_pki

ROOT = Path(__file__).parents[3]
STATIC = "fieldline_gateway/web/static/"


def test_a_wheel_carries_the_page_and_what_it_plots_with(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    page_files = {
        path.relative_to(ROOT / "gateway").as_posix() for path in (ROOT / "gateway" / STATIC).rglob("*.*")
    }
    assert page_files <= names
    vendored = {
        f"{STATIC}vendor/{name}"
        for name in ("preact.js", "uplot.js", "uplot.css", "preact.LICENSE", "uplot.LICENSE")
    }
    assert vendored <= names and "fieldline_gateway/deploy/grafana-dashboard.json" in names


def test_the_page_is_there_only_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[serial]\nports = ["/dev/ttyX"]\n')
    assert load(path).page is None
    path.write_text('[serial]\nports = ["/dev/ttyX"]\n[page]\n')
    found = load(path).page
    assert found and (found.host, found.port, found.tls) == ("127.0.0.1", 8080, None)


@pytest.mark.parametrize("bind", ["0.0.0.0:8080", "192.0.2.7:80", "[::]:8080", "gateway.example:443"])
def test_beyond_loopback_it_wants_tls(tmp_path: Path, bind: str) -> None:
    file = TomlFile(tmp_path / "g.toml", f'[page]\nbind = "{bind}"\n')
    with pytest.raises(ConfigError, match=r"g\.toml:2: .*tls_cert"):
        page(file.root.table("page"), tmp_path)
    pki = make_pki(tmp_path)
    file = TomlFile(
        tmp_path / "g.toml",
        f'[page]\nbind = "{bind}"\ntls_cert = "{pki.cert}"\ntls_key = "{pki.key}"\n',
    )
    found = page(file.root.table("page"), tmp_path)
    assert found.tls is not None


@pytest.mark.parametrize(
    "line", ['bind = "8080"', 'bind = "127.0.0.1:99999"', 'tls_key = "x"', 'tls_cert = "none.pem"', "bnd = 1"]
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    file = TomlFile(tmp_path / "g.toml", f"[page]\n{line}\n")
    with pytest.raises(ConfigError, match=r"g\.toml:2"):
        page(file.root.table("page"), tmp_path)
        file.finish()
