"""From a crawl's raw pages to staged articles and coverage: one source of one run.

All attempts of the run count: per URL the last page that was fetched wins, a page beats any
failure, and a later failure an earlier one. Extraction runs in processes of its own; a page
that hangs or crashes one costs itself alone.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from processing import tables
from processing.archive import Damage, read_listed_page, read_member, read_pages
from processing.extraction import Reading
from processing.pool import ExtractionPool, Outcome
from processing.records import (
    FETCHED,
    KNOWN,
    Article,
    Hints,
    Page,
    Visit,
    WarcPointer,
    run_day,
)
from processing.site_templates import (
    SAMPLE,
    PageLines,
    Templates,
    host_of,
    pin_templates,
    pinned_templates,
)
from processing.storage import Store
from processing.urls import url_key

_LOOSE_ROWS = 256
_ATTEMPT = re.compile(r"crawl-(\d+)\.jsonl\.gz$")
_RAW = re.compile(r"-(\d+)-(\d+)\.warc\.gz$")


@dataclass(frozen=True, slots=True)
class StageResult:
    """What staging made of a source: URLs per state, records unreadable."""

    counts: Mapping[str, int]
    damaged_records: int = 0


@dataclass(slots=True)
class _Raw:
    """The run's raw files on local disk, by key, and where each URL's last page lies.

    ``rights`` is what a page's site said, where it said anything: the files alone know it.
    """

    files: dict[str, Path] = field(default_factory=dict)
    visits: dict[str, Visit] = field(default_factory=dict)
    rights: dict[WarcPointer, Mapping[str, Any]] = field(default_factory=dict)
    damage: Damage = field(default_factory=Damage)


def stage(store: Store, run_id: str, source: str, pool: ExtractionPool) -> StageResult:
    """Extract what a run fetched of a source and write its staged articles and coverage.

    Raises StoreError when the store does not answer.
    """
    staged = StagedSource(run_id, source)
    with TemporaryDirectory(prefix="newslake-stage-") as directory:
        raw = _download(store, run_id, source, Path(directory))
        visits = _merge(_ledgers(store, staged.folder), raw.visits)
        templates = Templates(store)
        for visit, reading in _readings(store, raw, staged, visits, pool, templates):
            staged.add(visit, reading.outcome if reading else None)
            if reading and isinstance(reading.outcome, Article):
                templates.meet(reading.outcome.url, PageLines.of(reading.found))
    staged.put(store)
    templates.put()
    return StageResult(dict(sorted(staged.counts.items())), raw.damage.records)


class StagedSource:
    """What one source of a run hands to publishing: its articles and its coverage.

    ``counts`` are the URLs added so far by their staged state; ``folder`` is where ``put``
    writes.
    """

    def __init__(self, run_id: str, source: str):
        self.run_id = run_id
        self.source = source
        self.folder = f"staged/run={run_id}/source={source}"
        self.counts: Counter[str] = Counter()
        self._coverage = _Rows(tables.STAGED_COVERAGE)
        self._articles = _Rows(tables.STAGED_ARTICLES)

    def add(self, visit: Visit, outcome: Outcome | None) -> None:
        """Take a visit and what its page became; None where no page was fetched."""
        state, detail, article_id = visit.outcome, visit.detail, None
        if isinstance(outcome, Article):
            state, article_id = tables.EXTRACTED, outcome.id
            self._articles.add(_row(outcome, visit, self.run_id, self.source))
        elif outcome:
            state, detail = outcome.state, outcome.detail
        self.counts[str(state)] += 1
        self._coverage.add(
            {
                "run_id": self.run_id,
                "source": self.source,
                "url": visit.url,
                "state": str(state),
                "detail": detail,
                "http_status": visit.http_status,
                "discovered_via": visit.discovered_via or None,
                "article_id": article_id,
                "at": visit.at,
                "date": run_day(self.run_id),
            }
        )

    def put(self, store: Store) -> None:
        """Write both files. Raises StoreError when the store does not answer."""
        store.put(f"{self.folder}/articles.parquet", self._articles.parquet())
        # Coverage last: where it lies, the source's staging is complete.
        store.put(f"{self.folder}/coverage.parquet", self._coverage.parquet())


class _Rows:
    """Rows as they come, held as Arrow: as dicts they would take several times the room."""

    def __init__(self, schema: pa.Schema):
        self._schema = schema
        self._loose: list[dict[str, Any]] = []
        self._packed: list[pa.Table] = [schema.empty_table()]

    def add(self, row: dict[str, Any]) -> None:
        self._loose.append(row)
        if len(self._loose) == _LOOSE_ROWS:
            self._pack()

    def parquet(self) -> bytes:
        self._pack()
        sink = io.BytesIO()
        pq.write_table(pa.concat_tables(self._packed), sink, compression="zstd")
        return sink.getvalue()

    def _pack(self) -> None:
        self._packed.append(tables.to_table(self._loose, self._schema))
        self._loose.clear()


def _row(article: Article, visit: Visit, run_id: str, source: str) -> dict[str, Any]:
    stored = replace(article, source=source, run_id=run_id)
    if visit.warc:
        stored = replace(
            stored,
            warc_key=visit.warc.key,
            warc_offset=visit.warc.offset,
            warc_length=visit.warc.length,
        )
    return {**stored.to_row(), "listed_url": visit.url}


def _readings(
    store: Store,
    raw: _Raw,
    staged: StagedSource,
    visits: list[Visit],
    pool: ExtractionPool,
    templates: Templates,
) -> Iterator[tuple[Visit, Reading | None]]:
    """Every visit in order, with what its page became; None where none was fetched."""
    fetched = [visit for visit in visits if visit.outcome == FETCHED]

    def pages(chosen: Iterable[Visit]) -> Iterator[Page | None]:
        return (_read(store, raw, visit, staged.source) for visit in chosen)

    pin = f"{staged.folder}/templates.json"
    chosen = pinned_templates(store, pin)
    if chosen is None:
        for reading in pool.readings(pages(_unknown(fetched, templates))):
            if isinstance(reading.outcome, Article):
                templates.meet(reading.outcome.url, PageLines.of(reading.found))
        templates.learn()
        chosen = {host_of(v.url): found for v in fetched if (found := templates.of(v.url))}
        pin_templates(store, pin, chosen)
    readings = pool.readings(pages(fetched), lambda url: chosen.get(host_of(url)))
    for visit in visits:
        yield visit, next(readings) if visit.outcome == FETCHED else None


def _unknown(fetched: list[Visit], templates: Templates) -> Iterator[Visit]:
    """The first pages of each host whose recurring lines are not known yet."""
    count: Counter[str] = Counter()
    for visit in fetched:
        host = host_of(visit.url)
        count[host] += 1
        if count[host] <= SAMPLE and templates.unknown(visit.url):
            yield visit


def _read(store: Store, raw: _Raw, visit: Visit, source: str) -> Page | None:
    if visit.warc is None:
        return None
    path = raw.files.get(visit.warc.key)
    if path is None:
        stored = read_listed_page(store, visit.warc, source=source)
        return replace(stored.page, hints=visit.hints) if stored else None
    with path.open("rb") as file:
        file.seek(visit.warc.offset)
        data = file.read(visit.warc.length)
    rights = raw.rights.get(visit.warc)
    return read_member(data, hints=visit.hints, rights=rights, source=source)


def _download(store: Store, run_id: str, source: str, directory: Path) -> _Raw:
    """The run's raw files, and a visit for the last page of each URL in them."""
    raw = _Raw()
    prefix = f"raw/date={run_day(run_id)}/source={source}/{run_id}-"
    keys = [stored.key for stored in store.objects(prefix) if _RAW.search(stored.key)]
    for key in sorted(keys, key=_raw_order):
        data = store.get(key).data
        path = directory / key.rpartition("/")[2]
        path.write_bytes(data)
        raw.files[key] = path
        for stored in read_pages(data, key, source=source, damage=raw.damage):
            if stored.pointer:
                if stored.page.rights:
                    raw.rights[stored.pointer] = stored.page.rights
                raw.visits[_key(stored.discovered_url)] = Visit(
                    url=stored.discovered_url,
                    outcome=FETCHED,
                    discovered_via=stored.discovered_via or "",
                    at=stored.page.fetched_at,
                    http_status=stored.page.status,
                    warc=stored.pointer,
                    hints=Hints.of(stored.page.hints),
                )
    return raw


def _raw_order(key: str) -> tuple[int, int]:
    match = _RAW.search(key)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _ledgers(store: Store, folder: str) -> list[dict[str, Visit]]:
    """The ledger of each attempt, earliest first, by URL key."""
    attempts = {
        int(match[1]): stored.key
        for stored in store.objects(f"{folder}/crawl-")
        if (match := _ATTEMPT.search(stored.key))
    }
    return [_ledger(store.get(attempts[number]).data) for number in sorted(attempts)]


def _ledger(data: bytes) -> dict[str, Visit]:
    lines = gzip.decompress(data).decode().splitlines()
    visits = [Visit.from_json(json.loads(line)) for line in lines if line.strip()]
    return {_key(visit.url): visit for visit in visits}


def _merge(ledgers: list[dict[str, Visit]], archived: Mapping[str, Visit]) -> list[Visit]:
    """One visit per URL key, in key order."""
    merged: dict[str, Visit] = {}
    for ledger in ledgers:
        for key, visit in ledger.items():
            if key not in merged or _rank(visit) >= _rank(merged[key]):
                merged[key] = visit
    for key, visit in archived.items():
        said = merged.get(key)
        merged[key] = visit if said is None else _with_page(said, visit)
    return [merged[key] for key in sorted(merged)]


def _with_page(said: Visit, stored: Visit) -> Visit:
    """The ledger's visit with the page that the raw files really hold."""
    if said.outcome == FETCHED and said.warc == stored.warc:
        return said
    return replace(stored, url=said.url, discovered_via=said.discovered_via)


def _rank(visit: Visit) -> int:
    return {FETCHED: 2, KNOWN: 0}.get(visit.outcome, 1)


def _key(url: str) -> str:
    try:
        return url_key(url)
    except ValueError:
        return url
