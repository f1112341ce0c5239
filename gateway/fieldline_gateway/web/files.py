"""The page's own files, read once at the start and served from memory.

Rules: what can be asked for is what was found, so no path leads out. Each file has its digest as entity tag, so that
a browser asks again after an upgrade and gets a short answer else.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
START = "index.html"
VENDORED = {"vendor/preact.js", "vendor/uplot.js", "vendor/uplot.css"}


@dataclass(frozen=True, slots=True)
class _Page:
    kind: str
    body: bytes
    packed: bytes
    tag: str


class PageFiles:
    """All files below static/, by their path."""

    def __init__(self) -> None:
        self._pages = dict(_read(files("fieldline_gateway.web") / "static", ""))

    @property
    def whole(self) -> bool:
        """Whether what comes from npm when the package is built is there."""
        return self._pages.keys() >= VENDORED

    def answer(self, path: str, request: Request) -> Response:
        """The file at `path`, or 404."""
        page = self._pages.get(path)
        if page is None:
            return Response("there is no such page\n", 404, media_type="text/plain")
        headers = {"ETag": page.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == page.tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(page.packed, headers=headers, media_type=page.kind)
        return Response(page.body, headers=headers, media_type=page.kind)


def _read(folder: Traversable, above: str) -> list[tuple[str, _Page]]:
    found = []
    for each in folder.iterdir():
        path = above + each.name
        if each.is_dir():
            found += _read(each, path + "/")
        elif kind := TYPES.get(each.name.rpartition(".")[2]):
            body = each.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found.append((path, _Page(kind, body, gzip.compress(body, mtime=0), tag)))
    return found
