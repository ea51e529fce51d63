"""Articles from files on disk: saved HTML pages and WARC files, without a lake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import trafilatura

from processing.archive import read_pages
from processing.charset import decode
from processing.metadata import read_metadata
from processing.pool import ExtractionPool, Outcome
from processing.records import Page


def read_saved(paths: Iterable[Path]) -> Iterator[Page]:
    """The pages in saved files; a saved HTML page is dated by its file.

    Its URL is what it names as its own (canonical link, og:url), else the file's. Raises
    OSError on a file that cannot be read.
    """
    for path in paths:
        data = path.read_bytes()
        if _is_warc(path):
            for stored in read_pages(data, str(path)):
                yield stored.page
        else:
            moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            yield Page(_own_url(path, data), data, moment)


def extract_saved(paths: Iterable[Path], pool: ExtractionPool) -> Iterator[tuple[str, Outcome]]:
    """URL and outcome of every page in saved files, in their order."""
    urls: list[str] = []

    def pages() -> Iterator[Page]:
        for page in read_saved(paths):
            urls.append(page.url)
            yield page

    for number, outcome in enumerate(pool.outcomes(pages())):
        yield urls[number], outcome


def _is_warc(path: Path) -> bool:
    return ".warc" in path.name.lower()


def _own_url(path: Path, data: bytes) -> str:
    address = path.resolve().as_uri()
    try:
        tree = trafilatura.load_html(decode(data))
    except (TypeError, ValueError):
        return address
    said = read_metadata(tree, address).canonical if tree is not None else None
    return said or address
