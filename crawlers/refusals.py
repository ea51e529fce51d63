"""Why a request brought no page: every failure of a download as a coverage state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)

from processing.records import State

RETRY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
"""Statuses that speak of the server's moment, not of the page; the next run asks again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The state a URL ends in without a page.

    ``final`` tells whether the next run has no reason to ask again.
    """

    state: State
    detail: str
    http_status: int | None = None
    final: bool = False


class Refused(IgnoreRequest):
    """A request that one of our middlewares does not let through, or ends.

    Raised in the downloader middlewares, and turned back into its refusal by ``refusal_of``.
    """

    def __init__(self, refusal: Refusal):
        super().__init__(refusal.detail)
        self.refusal = refusal


def refusal_of(error: Exception) -> Refusal:
    """The refusal that an exception of a download stands for."""
    if isinstance(error, Refused):
        return error.refusal
    if isinstance(error, DownloadTimeoutError):
        return Refusal(State.FAILED_TIMEOUT, "no whole answer in time")
    if isinstance(error, DownloadCancelledError):
        # Scrapy cancels a download for its size alone; our own stop cancels the whole task.
        return Refusal(State.FAILED_TOO_LARGE, "larger than the limit", final=True)
    names: dict[type[Exception], str] = {
        CannotResolveHostError: "the host name does not resolve",
        DownloadConnectionRefusedError: "the connection was refused",
        ResponseDataLossError: "the answer broke off",
    }
    return Refusal(State.FAILED_NETWORK, names.get(type(error)) or _told(error))


def refusal_of_status(status: int) -> Refusal:
    """The refusal that an HTTP status other than 200 stands for."""
    if 300 <= status < 400:
        detail = f"answered {status} without an address to follow"
        return Refusal(State.FAILED_REDIRECT, detail, status, final=True)
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    final = status not in RETRY_STATUSES
    return Refusal(State.FAILED_HTTP, f"answered {status}{phrase}", status, final)


_TLS = re.compile(r"'SSL routines', '[^']*', '([^']+)'")


def _told(error: Exception) -> str:
    """One line that says what happened; Twisted hides it in a list of failures of the cause."""
    reasons = getattr(error.__cause__, "reasons", None)
    inner = reasons[0].value if reasons else error
    tls = _TLS.search(str(inner))
    if tls:
        return f"TLS: {tls[1]}"
    line = (str(inner).strip().splitlines() or ["no message"])[0][:200]
    return f"{type(inner).__name__}: {line}"
