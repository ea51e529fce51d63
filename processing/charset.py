"""From a page's bytes to its characters.

The order is that of the HTML standard's encoding sniffing (BOM, header, meta), with two
departures that real pages ask for: bytes that are UTF-8 (but for a few) are so whatever is
declared, and a declaration that the bytes contradict is not believed.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes
from w3lib.encoding import (
    html_body_declared_encoding,
    http_content_type_encoding,
    read_bom,
    resolve_encoding,
)

# What browsers assume of an undeclared page by its language
# (https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding).
_BY_LANGUAGE = {
    "ar": "cp1256",
    "be": "cp1251",
    "bg": "cp1251",
    "bs": "cp1250",
    "cs": "cp1250",
    "el": "cp1253",
    "et": "cp1257",
    "fa": "cp1256",
    "he": "cp1255",
    "hr": "cp1250",
    "hu": "cp1250",
    "ja": "cp932",
    "ko": "cp949",
    "ky": "cp1251",
    "lt": "cp1257",
    "lv": "cp1257",
    "mk": "cp1251",
    "pl": "cp1250",
    "ru": "cp1251",
    "sk": "cp1250",
    "sl": "cp1250",
    "sr": "cp1251",
    "th": "cp874",
    "tr": "cp1254",
    "uk": "cp1251",
    "vi": "cp1258",
    "zh": "gb18030",
}
_LANGUAGE = re.compile(rb"<html[^>]{0,500}?\slang\s*=\s*[\"']?([a-zA-Z]{2})", re.IGNORECASE)
_WESTERN_SHARE = (
    0.2  # accented letters were at most 14 % of a labelled Latin text; markup dilutes them
)
_SAMPLE = 20_000
_DAMAGE = 0.005  # a page cut or spliced in a few places is still what it says
_UTF_8_DAMAGE = 0.25  # of its characters above ASCII; other charsets are hardly ever valid UTF-8
_MARKUP = b"<a href=\"\\x\" id='+ACE-~'>"  # what any charset of web pages leaves as it is
_ESCAPE = b"\x1b"  # begins the shifts of ISO-2022, whose bytes are all ASCII


def decode(body: bytes, content_type: str | None = None) -> str:
    """The page's text. Never fails: what no charset explains becomes U+FFFD.

    ``content_type`` is the HTTP header as received.
    """
    bom, marked = read_bom(body)
    if bom and marked:
        return body.removeprefix(marked).decode(bom, "replace")
    declared = [http_content_type_encoding(content_type), html_body_declared_encoding(body)]
    if not (_ESCAPE in body and body.isascii()):
        declared.insert(0, "utf-8")
    for charset in declared:
        text = _read_as(body, charset)
        if text is not None:
            return text
    return _undeclared(body)


def _read_as(body: bytes, charset: str | None) -> str | None:
    """The text if this is a charset of web pages and the bytes do not contradict it."""
    resolved = resolve_encoding(charset) if charset else None
    if not resolved:
        return None
    try:
        if _MARKUP.decode(resolved) != _MARKUP.decode("ascii"):
            return None
        text = body.decode(resolved, "replace")
    except (LookupError, UnicodeError):
        return None
    damaged = text.count("\ufffd")
    if damaged and resolved == "utf-8":
        foreign = len(text) - len(text.encode("ascii", "ignore"))
        return text if damaged <= _UTF_8_DAMAGE * foreign else None
    return text if damaged <= _DAMAGE * len(text) else None


def _undeclared(body: bytes) -> str:
    spoken = _LANGUAGE.search(body, 0, 4096)
    likely = _BY_LANGUAGE.get(spoken[1].decode().lower(), "cp1252") if spoken else _guess(body)
    for charset in (likely, "cp1252"):
        text = _read_as(body, charset)
        if text is not None:
            return text
    return body.decode("utf-8", "replace")


def _guess(body: bytes) -> str:
    """A charset for a page that says nothing at all, from the bytes above ASCII."""
    first = next((i for i, byte in enumerate(body) if byte > 0x7F), 0)
    sample = body[max(0, first - _SAMPLE // 4) : first + _SAMPLE]
    high = sum(byte > 0x7F for byte in sample)
    letters = sum(chr(byte).isalpha() for byte in sample if byte < 0x80)
    if high <= _WESTERN_SHARE * (high + letters):
        return "cp1252"
    best = from_bytes(sample).best()
    return codecs.lookup(best.encoding).name if best else "cp1252"
