"""The web page at `/`: one HTML file with its styles and scripts, all from this package.

Does not know models: the page asks the REST API like any other client.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePath

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

# Only files with these suffixes are served.
_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"
HEADERS = {  # of every page of the service
    # Browsers check at every visit, so that a new version of the service shows its page at once.
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; media-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": (
        "camera=(self), microphone=(self), accelerometer=(self), gyroscope=(self), geolocation=()"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

router = APIRouter(include_in_schema=False)


def files_in(folder: Traversable) -> dict[str, Traversable]:
    """The files of a folder that may be served, by name."""
    return {
        file.name: file for file in folder.iterdir() if PurePath(file.name).suffix in _CONTENT_TYPES
    }


# A requested name is looked up here and never joined to a folder.
FILES = files_in(resources.files("server").joinpath("page"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file of the page, as it is sent."""

    content: bytes
    content_type: str
    etag: str


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page."""
    return _send(_read(_INDEX), request)


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def page_file(name: str, request: Request) -> Response:
    """One of its styles, scripts or pictures."""
    if name not in FILES or name == _INDEX:
        raise HTTPException(404, f"the page has no file {name!r}")
    return _send(_read(name), request)


@cache
def _read(name: str) -> _File:
    content = FILES[name].read_bytes()
    return _File(
        content=content,
        content_type=_CONTENT_TYPES[PurePath(name).suffix],
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


def _send(file: _File, request: Request) -> Response:
    """The file, or 304 if the browser has it already."""
    headers = {**HEADERS, "etag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.content_type, headers=headers)
