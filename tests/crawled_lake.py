"""Runs as a crawl leaves them, taken through the real extraction and publisher."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from crawlers.warc import WarcFiles, WireResponse
from processing.pool import ExtractionPool
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, Hints, State, Visit, run_day
from processing.staging import stage
from processing.storage import Store

WALL = (
    b"<html><head><title>Just a moment...</title></head><body><h1>Checking your browser</h1>"
    b"<p>Verify you are human by completing the action below.</p></body></html>"
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def report(words: str) -> bytes:
    """A page with an article, by an author, that begins with these words."""
    text = (
        f"<p>{words} was all that the spokeswoman of the harbour would say on Friday morning, after"
        " a night in which the tide had risen higher than at any time since the great flood.</p>"
    )
    title = f"{words} in the harbour"
    return (
        f"<html lang=en><head><title>{title}</title><meta name=author content='Ada Quill'></head>"
        f"<body><article><h1>{title}</h1>{text * 3}</article></body></html>"
    ).encode()


def fetch(
    store: Store, run_id: str, source: str, pages: Mapping[str, bytes], attempt: int = 1
) -> list[Visit]:
    """Store pages, by their URLs, in the raw zone; the lines of the ledger that say so."""
    at, day = moment(run_id), run_day(run_id)
    prefix = f"raw/date={day}/source={source}/{run_id}-{attempt}"
    visits = []
    with TemporaryDirectory() as folder:
        files = WarcFiles(Path(folder), prefix, {"software": "newslake"})
        for url, body in pages.items():
            visit = Visit(url, FETCHED, feed(source), at, None, 200, hints=Hints(section="City"))
            said = {
                "url": url,
                "discovered_via": visit.discovered_via,
                "at": at.isoformat(),
                "hints": visit.hints.to_json(),
            }
            pointer = files.write(url, at, WireResponse(_HEAD, body), said)
            visits.append(replace(visit, warc=pointer))
        for key, path in files.files.items():
            store.put_file(key, path)
    return visits


def crawl(
    store: Store,
    run_id: str,
    source: str,
    pages: Mapping[str, bytes],
    refused: Mapping[str, State] | None = None,
) -> None:
    """Stage what a crawl got of one source: pages by URL, and URLs that brought none."""
    visits = fetch(store, run_id, source, pages)
    at = moment(run_id)
    visits += [Visit(url, state, feed(source), at) for url, state in (refused or {}).items()]
    stage_visits(store, run_id, source, visits)


def stage_visits(store: Store, run_id: str, source: str, visits: Iterable[Visit]) -> None:
    """Write a ledger of these lines, and stage what it names."""
    ledger = "".join(json.dumps(visit.to_json()) + "\n" for visit in visits)
    key = f"staged/run={run_id}/source={source}/crawl-1.jsonl.gz"
    store.put(key, gzip.compress(ledger.encode()))
    with ExtractionPool(workers=1) as pool:
        stage(store, run_id, source, pool)


def finish(
    store: Store,
    run_id: str,
    sources: Iterable[str],
    failures: Mapping[str, str] | None = None,
    dag_id: str = "news_daily",
) -> None:
    """Publish what was staged of a run by its daily schedule."""
    ids = tuple(sorted(sources))
    facts = RunFacts(
        run_id,
        ids,
        moment(run_id),
        {},
        failures or {},
        {},
        dag_id=dag_id,
        schedules=dict.fromkeys(ids, "daily"),
    )
    publish(store, facts, clock=lambda: moment(run_id))


def feed(source: str) -> str:
    """The listing of a source."""
    return f"https://{source}.example/feed.xml"


def moment(run_id: str) -> datetime:
    """When a run was due."""
    return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
