"""A lake whose articles an older extractor made, out of pages written as a crawl writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random

from older_code import older

from crawlers.warc import WarcFiles, WireResponse
from processing.pool import ExtractionPool
from processing.publishing import RunFacts, publish
from processing.records import Hints
from processing.staging import stage
from processing.storage import Store

FIRST, SECOND = "20261110T120000Z-abcdef", "20261111T120000Z-abcdef"
MOMENTS = {
    FIRST: datetime(2026, 11, 10, 12, tzinfo=UTC),
    SECOND: datetime(2026, 11, 11, 12, tzinfo=UTC),
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
_SENTENCE = (
    "people in the town said on Monday and the next of these reports explains how that came about"
    " and who was there to see it happen"
)
STUB = b"<html lang=en><head><title>Archive</title></head><body><p>No story.</p></body></html>"


def story(title: str, section: str = "News", day: str = "2026-11-10") -> bytes:
    """A page with an article of about 200 words, different for each title."""
    # The words in another order in each sentence: no story is an edited copy of another.
    draw, words = Random(title), _SENTENCE.split()
    said = [f"{title}, {' '.join(draw.sample(words, len(words)))} in {n}." for n in range(8)]
    paragraphs = "".join(f"<p>{line}</p>" for line in said)
    return (
        f"<html lang=en><head><title>{title}</title>"
        f'<meta property="article:published_time" content="{day}T07:30:00Z">'
        f'<meta property="article:section" content="{section}"></head>'
        f"<body><article><h1>{title}</h1>{paragraphs}</article></body></html>"
    ).encode()


def crawl(
    store: Store,
    run_id: str,
    folder: Path,
    pages: dict[str, bytes],
    *,
    extractor=older,
    rights=None,
) -> None:
    """Store pages by URL (``https://<source>.example/...``), and publish what is made of them."""
    sources = sorted({_source(url) for url in pages})
    moment = MOMENTS[run_id]
    for source in sources:
        own = folder / run_id / source
        own.mkdir(parents=True)
        raw = WarcFiles(own, f"raw/date={moment.date()}/source={source}/{run_id}-1", {})
        for url, body in pages.items():
            if _source(url) == source:
                hints = Hints(title="As listed", tags=("town",)).to_json()
                said = {"url": url, "discovered_via": f"https://{source}.example/feed"}
                said |= {"rights": rights} if rights else {}
                raw.write(url, moment, WireResponse(HEAD, body), {**said, "hints": hints})
        for key, file in raw.files.items():
            store.put_file(key, file)
    with ExtractionPool(workers=1, extractor=extractor) as pool:
        for source in sources:
            stage(store, run_id, source, pool)
    publish(store, RunFacts(run_id, tuple(sources), moment, {}, {}, {}))


def _source(url: str) -> str:
    return url.removeprefix("https://").partition(".")[0]
