"""A hunt for pages that extraction cannot bear, by hand and for as long as one likes:

    python tests/fuzz_extraction.py CORPUS [-max_total_time=600] [other options of libFuzzer]

CORPUS is a directory that keeps what was found to be new; the pages of ``evaluation/pages`` are
put into it first. An input that breaks a promise, or takes longer than ``-timeout`` seconds, is
written to the working directory as ``crash-*`` or ``timeout-*``; name it in place of CORPUS to see
it again.
``processing/test_fuzz.py`` keeps the same promises in the suite. Needs atheris, so Linux.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

TESTS = Path(__file__).resolve().parent
PAGES = TESTS / "evaluation" / "pages"
sys.path.insert(0, str(TESTS.parent))

FETCHED = datetime(2026, 11, 30, tzinfo=UTC)
URL = "https://www.courier.example/city/2026/11/20/tram-line-opens"
CONTENT_TYPES = (
    "text/html",
    "text/html; charset=utf-8",
    "text/html; charset=windows-1252",
    "text/html; charset=shift_jis",
    "text/html; charset=gb18030",
    "text/html; charset=utf-16",
    "text/html; charset=iso-2022-jp",
)
_MARKUP = """
    <p> </p> <div> </div> <table><tr><td> </table> <br><br> <a/href=/x> <font/size=5> <h1> <li>
    <blockquote> <figure><figcaption> <svg> <template> <!-- --> <![CDATA[ ]]> <script> </script>
    <?xml/encoding='x'?> <base/href=//[> <html/lang=ja> <meta/charset=utf-16>
    <link/rel=canonical/href=//[> &#0; &#xD800; &#x110000; &amp;amp; 0001-01-01 31.02.2026 20261120
    9999-12-31T23:59:59-23:59 "@graph":[ "@type":"NewsArticle" "datePublished":"2026-13-40T99:99"
    "datePublished":99999999999 "author":{ "author":[null,1,{},[]] "headline":["a",null]
    "articleBody":1 "image":{"url":[]} "keywords":{"name":1} "license":{"@id":[]} 1e999 [[[[
"""
PIECES = (
    *_MARKUP.split(),
    *("\0", "\x1b$B", "\ufeff", "(AP) — ", "By ", "Von "),
)
"""Markup and statements that pages break on; for any fuzzer to splice in."""


def verify(body: bytes, content_type: str, url: str = URL) -> None:
    """Raise AssertionError when extraction breaks a promise on this page."""
    from processing.extraction import extract
    from processing.records import EARLIEST, Article, Page, State

    page = Page(url, body, FETCHED, {"content-type": content_type})
    outcome = extract(page)
    assert outcome == extract(page), "the same page gave another outcome"
    if not isinstance(outcome, Article):
        assert outcome.state != State.FAILED_EXTRACTION, outcome.detail
        assert outcome.detail
        return
    for text in _strings(asdict(outcome)):
        text.encode()  # a lone surrogate can be stored nowhere
        assert "\0" not in text, "a NUL came through"
    assert outcome.text.strip() and outcome.title.strip(), "text or title is blank"
    assert all(name.strip() for name in outcome.authors), "a blank author"
    for moment in (outcome.published_at, outcome.modified_at):
        assert moment is None or moment.utcoffset() == FETCHED.utcoffset(), "a moment not in UTC"
    published = outcome.published_at
    assert published is None or published.date() >= EARLIEST, "published before the web"
    assert published is None or (published - FETCHED).days <= 1, "published in the future"


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _hunt(arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["processing", "trafilatura", "htmldate", "courlan"]):
        import processing.extraction  # noqa: F401

    def try_one(data: bytes) -> None:
        verify(data[1:], CONTENT_TYPES[data[0] % len(CONTENT_TYPES)] if data else "")

    for corpus in map(Path, arguments[1:]):
        if corpus.is_dir():
            for path in PAGES.glob("*.html"):
                (corpus / path.name).write_bytes(b"\0" + path.read_bytes())
    with TemporaryDirectory() as folder:
        dictionary = Path(folder) / "pieces.dict"
        dictionary.write_text("".join(f"{_quoted(piece)}\n" for piece in PIECES))
        common = [f"-dict={dictionary}", "-max_len=20000", "-timeout=20", "-rss_limit_mb=3000"]
        atheris.Setup([arguments[0], *common, *arguments[1:]], try_one)
        atheris.Fuzz()


def _quoted(piece: str) -> str:
    """A piece as libFuzzer's dictionaries write it."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in piece.encode())
    return f'"{"".join(plain)}"'


if __name__ == "__main__":
    _hunt(sys.argv)
