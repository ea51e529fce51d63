"""A stored page as the view shows it, in a frame: whatever it holds, it runs and loads nothing.

The page may be anybody's, and hostile. Three walls stand between it and who looks at it:
``sanitising`` leaves nothing that runs or loads; the answer's own Content-Security-Policy
forbids whatever would be left; and the frame is one without rights. The page's styles go too:
without their files they hide or scatter what they were to arrange.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html import escape

from processing.charset import decode
from processing.records import Page

POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""The Content-Security-Policy under which ``document`` is to be sent."""

LARGEST = 8 << 20
"""Bytes of a page that is shown; the crawl takes none above."""

_SECONDS = 10.0  # a page of a megabyte takes a tenth of one
_BEGINNING = 10_000  # characters in which a page names its direction, if it does
_ROOT = re.compile(r"<html\b([^>]{0,2000})>", re.IGNORECASE)
_DIRECTION = re.compile(r"""\sdir\s*=\s*["']?(rtl|ltr)\b""", re.IGNORECASE)
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.55 Georgia, "Noto Serif", serif; }
body { margin: 0 auto; padding: 1rem; max-width: 46rem; overflow-wrap: anywhere; }
h1, h2, h3, h4, h5, h6 { line-height: 1.25; }
img { font-style: italic; opacity: .7; }
table { border-collapse: collapse; } td, th { border: 1px solid #8886; padding: .2rem .5rem; }
nav, header, footer, aside { font-size: .9em; }
"""


def document(page: Page, language: str | None) -> str | None:
    """A whole HTML document of what may be shown; None of a page too large or too tangled.

    ``language`` is a BCP 47 tag. A page can be made so that reading it as browsers do (HTML
    standard, 13.2.6) takes time by the square of its length: so that is done by a process of its
    own, which is ended in time.
    """
    if len(page.body) > LARGEST:
        return None
    html = decode(page.body, page.headers.get("content-type"))
    body = _sanitised(html)
    return None if body is None else _whole(body, language, _direction(html))


def notice(sentence: str) -> str:
    """A document that says, in a sentence, why there is no page to be seen."""
    return _whole(f"<p>{escape(sentence[:1].upper() + sentence[1:])}.</p>", "en", "ltr")


def _sanitised(html: str) -> str | None:
    """``sanitising.sanitised`` in a process of its own; None when that takes too long."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "newslake.page.sanitising"],
            input=html.encode("utf-8", "replace"),
            capture_output=True,
            check=True,
            timeout=_SECONDS,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    return done.stdout.decode()


def _whole(body: str, language: str | None, direction: str) -> str:
    spoken = f' lang="{escape(language)}"' if language else ""
    return (
        f'<!doctype html><html{spoken}><head><meta charset="utf-8"><title>Stored page</title>'
        f'<style>{_STYLE}</style></head><body dir="{direction}">{body}</body></html>'
    )


def _direction(html: str) -> str:
    root = _ROOT.search(html, 0, _BEGINNING)
    said = _DIRECTION.search(root[1]) if root else None
    return said[1].lower() if said else "auto"
