"""Templates, and the headers under which their pages are sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.templating import Jinja2Templates
from markupsafe import Markup
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HERE = Path(__file__).parent
STATIC = _HERE / "static"

_HEADERS = {
    # No inline script or style, nothing from elsewhere; framed by Airflow itself alone.
    b"content-security-policy": (
        b"default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self';"
        b" frame-ancestors 'self'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-cache, private",
}


@jinja2.pass_context
def _path(context: jinja2.runtime.Context, name: str, **params: Any) -> str:
    """The path of a route by its name, below wherever Airflow has put the page."""
    request: Request = context["request"]
    return f"{request.scope.get('root_path', '')}{request.app.url_path_for(name, **params)}"


def _sentence(said: str) -> str:
    """What an error or an alarm says, as a sentence by itself."""
    return f"{said[:1].upper()}{said[1:]}{'' if said.endswith(('.', '?', '!')) else '.'}"


def _number(value: int) -> str:
    return f"{value:,}"


def _short(value: int) -> str:
    """A number that fits into a cell."""
    if value < 1_000:
        return str(value)
    return f"{value / 1_000:.1f}k" if value < 10_000 else f"{value // 1_000}k"


def _size(value: float) -> str:
    units = iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1_000 and unit != "TB":
        value, unit = value / 1_000, next(units)
    return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"


def _moment(value: datetime) -> Markup:
    """A moment in UTC, for persons and programs."""
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{:%-d %b %Y, %H:%M} UTC</time>').format(at.isoformat(), at)


def _ago(value: datetime, now: datetime) -> str:
    """How long ago, in its greatest unit."""
    seconds = int((now - value).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := max(0, seconds) // length:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["path"] = _path
_environment.filters |= {
    "sentence": _sentence,
    "number": _number,
    "short": _short,
    "size": _size,
    "moment": _moment,
    "ago": _ago,
}
templates = Jinja2Templates(env=_environment)
"""Renders ``templates/``. In them ``path(name, **params)`` gives the path of a route."""


class Headers:
    """Middleware: the page's headers on every answer, but for those that it has set itself."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with the headers."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [pair for pair in _HEADERS.items() if pair[0] not in given]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, sending)
