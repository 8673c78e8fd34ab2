"""The web page at `/`: one HTML file with its styles and scripts, all from this package.

Does not know models: the page asks the REST API like any other client.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

# Every file that is served under /page/; a path is looked up here and never joined to a folder.
FILES = (
    "announcer.js",
    "canvas.js",
    "clip.js",
    "composer.js",
    "controls.css",
    "conversation.js",
    "element.js",
    "event_stream.js",
    "example_clip.js",
    "example_motion.js",
    "example_scene.js",
    "example_sound.js",
    "examples.js",
    "figures.js",
    "icon.svg",
    "image.js",
    "layout.css",
    "main.js",
    "media.css",
    "media.js",
    "motion.js",
    "motion_file.js",
    "npy.js",
    "pcm_tap.js",
    "record_camera.js",
    "record_motion.js",
    "record_sound.js",
    "recorder.js",
    "service.js",
    "sound.js",
    "theme.css",
    "theme.js",
    "thread.css",
    "thread.js",
    "tools.js",
    "traces.js",
    "tray.js",
    "wav.js",
)

_HEADERS = {
    # Checked again at every visit: a new version of the service is a new page at once.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file of the page, as it is sent."""

    content: bytes
    content_type: str
    etag: str


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page."""
    return _send(_read("index.html"), request)


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def page_file(name: str, request: Request) -> Response:
    """One of its styles, scripts or pictures."""
    if name not in FILES:
        raise HTTPException(404, f"the page has no file {name!r}")
    return _send(_read(name), request)


@cache
def _read(name: str) -> _File:
    content = resources.files("server").joinpath("page", name).read_bytes()
    return _File(
        content=content,
        content_type=_CONTENT_TYPES[name.rpartition(".")[2]],
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


def _send(file: _File, request: Request) -> Response:
    """The file, or word that the browser has it already."""
    headers = {**_HEADERS, "etag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.content_type, headers=headers)
