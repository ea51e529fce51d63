"""Articles from files on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from warc_files import packed, response

from processing.pool import ExtractionPool
from processing.records import Article, Rejection
from processing.saved import extract_saved, read_saved

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
TEXT = "The first tram of the new harbour line left the depot at five in the morning on Friday. "


def html(head: str = "") -> bytes:
    return (
        f"<html lang=en><head><title>Tram opens</title>{head}</head><body><article>"
        f"<h1>Tram opens</h1><p>{TEXT * 2}</p><p>{TEXT * 2}</p></article></body></html>"
    ).encode()


def test_pages_and_warc_files(tmp_path: Path) -> None:
    named = "https://courier.example/tram"
    (tmp_path / "named.html").write_bytes(html(f'<link rel="canonical" href="{named}">'))
    (tmp_path / "bare.html").write_bytes(html())
    archived = "https://courier.example/archived"
    (tmp_path / "some.warc.gz").write_bytes(packed(response(archived, html(), AT)))
    (tmp_path / "empty.html").write_bytes(b"")
    paths = [tmp_path / n for n in ("named.html", "bare.html", "some.warc.gz", "empty.html")]
    with ExtractionPool(workers=1) as pool:
        outcomes = list(extract_saved(paths, pool))
    bare = (tmp_path / "bare.html").as_uri()
    assert [url for url, _ in outcomes] == [named, bare, archived, paths[3].as_uri()]
    assert all(isinstance(outcome, Article) for _, outcome in outcomes[:3])
    assert isinstance(outcomes[3][1], Rejection)
    assert next(read_saved([paths[2]])).fetched_at == AT
