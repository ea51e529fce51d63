"""Strangers' markup made fit for parsers: one charset, no junk before it, no odd entities."""

from __future__ import annotations

import codecs
import re
from html import unescape
from html.entities import html5

from charset_normalizer import from_bytes
from w3lib.encoding import html_to_unicode

ROOT = re.compile(
    rb"<!--.*?(?:-->|\Z)"  # a comment may well name a root
    rb"|<(?:[\w.-]+:)?(urlset|sitemapindex|rss|rdf|feed|channel|html|head|body"
    rb"|url|sitemap|item|entry)(?=[\s>/])",
    re.IGNORECASE | re.DOTALL,
)
"""The elements that tell what a document is: roots, or what they hold where a root is lost."""

_HEAD = 65_536  # junk before the root that is looked through
_SAMPLE = 65_536
_STEP = 1 << 20
_MOST_DECODED = 16 * _STEP  # text takes up to four times the bytes


def as_utf8(body: bytes, content_type: str | None) -> bytes:
    """The body in UTF-8 without a byte order mark, whatever it is declared to be.

    Of a body in another charset at most 16 MB are taken.
    """
    if not _is_utf8(body):
        _, text = html_to_unicode(content_type, body[:_MOST_DECODED], auto_detect_fun=_guess)
        body = text.encode(errors="replace")
    return body.removeprefix(codecs.BOM_UTF8)


def _guess(body: bytes) -> str:
    """A charset for markup that declares none."""
    best = from_bytes(body[:_SAMPLE]).best()
    return best.encoding if best else "cp1252"


def _is_utf8(body: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), _STEP):
            decoder.decode(body[start : start + _STEP])
    except UnicodeDecodeError:
        return False
    return True


def find_root(body: bytes) -> tuple[str, int] | None:
    """The name, without prefix and in lower case, and the place of a document's root."""
    for found in ROOT.finditer(body[:_HEAD]):
        if found[1]:
            return found[1].decode().lower(), found.start()
    return None


_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r") + b"\x7f"
_ODD_ENTITY = re.compile(
    rb"&(?:#(?:x0?[\da-fA-F]|x[189][\da-fA-F]|[0-2]?\d|3[01]|12[7-9]|1[345]\d);"
    rb"|(?!(?:lt|gt|amp|quot|apos|#\d{2,7}|#x[\da-fA-F]{2,6});)(?:[A-Za-z]\w{1,31};)?)"
)
_MOST_MENDED = 100_000  # of one stretch of text; each takes far more memory than bytes


def mended(xml: bytes) -> bytes:
    """XML in UTF-8 without control characters, HTML's entities or bare ampersands."""
    xml = xml.translate(None, _CONTROLS)
    if not _ODD_ENTITY.search(xml):
        return xml
    parts = [part.partition(b"<![CDATA[") for part in xml.split(b"]]>")]
    return b"]]>".join(
        _ODD_ENTITY.sub(_even, text, _MOST_MENDED) + mark + raw for text, mark, raw in parts
    )


def _even(entity: re.Match[bytes]) -> bytes:
    said = entity[0].decode()
    if said.startswith("&#") or said[1:] in html5:
        character = unescape(said)
        return {"&": b"&amp;", "<": b"&lt;"}.get(character, character.encode(errors="ignore"))
    return b"&amp;" + entity[0][1:]
