"""Alarms: what is not as usual with a source, where to look, and the likely mend.

The figures come from the partitions of the days compared, by a few narrow columns of coverage and
articles; of texts, from a sample of the days judged. ``processing.health`` judges them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from newslake import fixture
from newslake.reader import Lake
from processing import health
from processing.completeness import due
from processing.exceptions import StoreError
from processing.health import Kind, Runs, Signal, Tally
from processing.manifests import list_manifests, read_manifests
from processing.records import run_day
from processing.storage import Store

Row = dict[str, Any]

_OTHER_NEWS = "news_backfill"
"""The DAG whose crawls bring another time's articles."""

_MEND_EXTRACTION = (
    "save the page by 'newslake sources fixture {url} --output DIR', mend extraction, then"
    " 'newslake dataset reprocess'"
)
_MENDS: Mapping[Kind, str] = {
    Kind.GONE_DARK: (
        "open the listing in a browser; 'newslake sources check {source}' shows what it gives"
        " today, and 'newslake sources add' finds the listings of a site that has moved them"
    ),
    Kind.VOLUME_COLLAPSE: (
        "compare the listing with the site's front page; 'newslake sources check {source}' shows"
        " what became of each URL"
    ),
    Kind.VOLUME_BURST: (
        "see whether its listings now name old pages or another site's; keep them out with allow,"
        " deny or max_age_days in {source}.yaml"
    ),
    Kind.STALE_LISTING: (
        "open the listing in a browser; when the site has given it up, put the one that took its"
        " place into {source}.yaml"
    ),
    Kind.BLOCKED: (
        "ask more slowly (a longer delay in {source}.yaml), or ask the publisher to let newslake in"
    ),
    Kind.FAILING: (
        "open the page in a browser; where several sources fail at once, look at this machine's"
        " network first"
    ),
    Kind.LOW_YIELD: (
        "look at the page: what never is an article is kept out with deny in {source}.yaml; else"
        f" {_MEND_EXTRACTION}"
    ),
    Kind.MISSING_DATES: f"the site was probably redesigned: {_MEND_EXTRACTION}",
    Kind.MISSING_AUTHORS: f"the site was probably redesigned: {_MEND_EXTRACTION}",
    Kind.REPEATED_TEXT: f"the page's furniture has got into the text: {_MEND_EXTRACTION}",
    Kind.ROBOTS_CHANGED: (
        "read the site's robots.txt: what it closes is not fetched; ask the publisher, or set"
        " enabled: false in {source}.yaml"
    ),
    Kind.RIGHTS_CHANGED: (
        "read what the publisher says (rights.evidence of the article); honour in {source}.yaml"
        " decides whether such pages are kept"
    ),
}

_LEDGER = """
SELECT date, source, listing, state, refused, count(*) AS urls
FROM (
    SELECT date, source, url,
        max_by(state, run_id) AS state,
        max_by(discovered_via, run_id) AS listing,
        max_by(coalesce(http_status IN {refusing}, false), run_id) AS refused
    FROM coverage
    WHERE date BETWEEN DATE '{first}' AND DATE '{last}'
        AND source IN {sources} AND state IN {states} AND run_id NOT IN {others}
        AND discovered_via IS NOT NULL
    GROUP BY ALL)
GROUP BY ALL
"""
"""Each URL once a day, in the last state that counts. What no listing led to was imported."""

_PARTS: Mapping[str, ds.Expression] = {
    "undated": ds.field("published_at").is_null(),
    "unsigned": pc.list_value_length(ds.field("authors")) == 0,
    "told": ~ds.field("rights", "ai").is_null(),
    "reserved": (
        ds.field("rights", "tdm").isin(["denied"]) | ds.field("rights", "ai").isin(["denied"])
    ),
}
"""The parts of a tally that articles tell."""

_POINTER = ("warc_key", "warc_offset", "warc_length")
_FILES_AHEAD = 16  # a month has hundreds of small files, and each costs the store a round trip

_TEXTS = """
SELECT source, min_by(
    {{
        url: url, text: text,
        warc_key: warc_key, warc_offset: warc_offset, warc_length: warc_length
    }}, id, {sample}
) AS sample
FROM articles
WHERE date = DATE '{day}' AND source IN {sources}
GROUP BY source
"""
"""The lowest ids, which are hashes, so as good as drawn by lot."""

_EXAMPLE = """
SELECT run_id, url
FROM coverage
WHERE date BETWEEN DATE '{first}' AND DATE '{last}'
    AND source IN {sources} AND state IN {states} AND discovered_via IS NOT NULL
    AND coalesce(http_status IN {refusing}, false) = (state = 'failed-http' AND {refused})
ORDER BY http_status = 200 DESC NULLS LAST, run_id DESC, url
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is not as usual with one source on one UTC day.

    ``alarm`` is a ``processing.health.Kind``; ``figure`` and ``usual`` are numbers of pages, or
    shares from 0 to 1 (``usual`` None: no history); ``days`` is 7 where a source is too small to
    be judged by the day. ``url`` is a page, or the listing, to look at, and ``warc_*`` where that
    page is stored, all None where there is none.
    """

    date: date
    source: str
    alarm: str
    figure: float
    usual: float | None
    days: int
    detail: str
    url: str | None
    warc_key: str | None
    warc_offset: int | None
    warc_length: int | None
    mend: str


def alarms(
    lake: Lake, first: date, last: date, now: datetime, only: Collection[str] = ()
) -> list[Alarm]:
    """What is not as usual with the sources crawled on these days, both included.

    ``only`` names sources, none of them all; ``now`` is aware. Of a day that is not over at
    ``now`` neither missing pages nor repeated paragraphs are told. Of a new source nothing is
    told for a week, of a small one for four, but that every crawl of a day failed. Reads narrow
    columns of the days judged and of HISTORY before them. Raises StoreError when the store does
    not answer.
    """
    crawls, others = _crawls(lake.store, first, last, only)
    sources = sorted({source for _, source in crawls})
    if not sources:
        return []
    figures = _figures(lake, first - health.HISTORY, last, sources, others)
    today = now.astimezone(UTC).date()
    found = []
    for (day, source), runs in sorted(crawls.items()):
        known = {d: tally for d, tally in figures.get(source, {}).items() if d <= day}
        for signal in health.judge(known, day, runs, over=day < today):
            found.append(_alarm(source, day, signal, _example(lake, source, day, signal)))
    for day in sorted({day for day, _ in crawls if day < today}):
        found += _repeated(lake, day, [source for on, source in crawls if on == day])
    return sorted(found, key=lambda alarm: (alarm.date, alarm.source, alarm.alarm, alarm.url or ""))


def alarms_of_run(lake: Lake, manifest: Mapping[str, Any]) -> list[Alarm]:
    """What was not as usual with a run's sources when it had finished.

    On its own day so far, and on the day before where the run closed that.
    """
    day = run_day(manifest["run_id"])
    before = day - timedelta(days=1)
    closed = {
        row["source"]
        for row in manifest.get("completeness", ())
        if row["closed"] and row["date"] == before.isoformat()
    }
    crawled = manifest.get("schedules", {}).keys()
    if not crawled:
        return []
    finished = datetime.fromisoformat(manifest["finished_at"])
    found = alarms(lake, before if closed else day, day, finished, crawled)
    return [alarm for alarm in found if alarm.date == day or alarm.source in closed]


def crawled(lake: Lake, first: date, last: date, only: Collection[str] = ()) -> bool:
    """Whether any source, or one of ``only``, was crawled on these days, so could be judged."""
    return bool(_crawls(lake.store, first, last, only)[0])


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Alarms, each as a row of its fields, as a person reads them."""
    for row in rows:
        yield f"{row['date']} {row['source']} {row['alarm']}: {row['detail']}"
        if row["url"]:
            yield f"    {row['url']}"
        if row["warc_key"]:
            at = "" if row["warc_offset"] is None else f" at {row['warc_offset']}"
            yield f"    {row['warc_key']}{at}"
        yield f"    {row['mend']}"


# --- figures --------------------------------------------------------------------------------


def _crawls(
    store: Store, first: date, last: date, only: Collection[str]
) -> tuple[dict[tuple[date, str], Runs], list[str]]:
    """How the crawls of each day and source went, and the runs that tell nothing of their day."""
    run_ids = list(list_manifests(store, first, last))
    ends: dict[tuple[date, str], list[str | None]] = defaultdict(list)
    schedules: dict[tuple[date, str], str] = {}
    others = []
    for manifest in read_manifests(store, run_ids):
        if manifest["dag_id"] == _OTHER_NEWS:
            others.append(manifest["run_id"])
            continue
        day = run_day(manifest["run_id"])
        for source, schedule in manifest.get("schedules", {}).items():
            if not only or source in only:
                ends[day, source].append(manifest["failures"].get(source))
                if schedule:
                    schedules[day, source] = schedule
    crawls = {}
    for key, failures in ends.items():
        expected = len(due(schedules[key], key[0])) if key in schedules else 0
        crawls[key] = Runs(failures.count(None), expected, tuple(filter(None, failures)))
    return crawls, others


def _figures(
    lake: Lake, first: date, last: date, sources: Collection[str], others: Collection[str]
) -> dict[str, dict[date, Tally]]:
    ledger = _LEDGER.format(
        first=first,
        last=last,
        sources=_listed(sources),
        states=_listed(health.STATES["wanted"]),
        others=_listed(others),
        refusing=health.REFUSING,
    )
    return health.tallies(
        lake.sql(ledger).to_pylist(), _articles(lake, first, last, sources).to_pylist()
    )


def _articles(lake: Lake, first: date, last: date, sources: Collection[str]) -> pa.Table:
    """The counts of articles by date and source that a Tally names."""
    keys = ["date", "source"]
    columns = {**{name: ds.field(name) for name in keys}, **_PARTS}
    rows = _read(lake, first, last, ds.field("source").isin(sources), columns)
    counts = rows.group_by(keys).aggregate([([], "count_all"), *((part, "sum") for part in _PARTS)])
    return counts.rename_columns([*keys, "articles", *_PARTS])


def _read(
    lake: Lake,
    first: date,
    last: date,
    where: ds.Expression,
    columns: list[str] | dict[str, ds.Expression],
) -> pa.Table:
    held = lake.dataset("articles", (first, last))
    try:
        return held.to_table(columns=columns, filter=where, fragment_readahead=_FILES_AHEAD)
    except OSError as error:
        raise StoreError(
            f"cannot read {lake.url}/articles: {str(error).splitlines()[0]}; check the store with"
            " 'newslake doctor'"
        ) from error


def _repeated(lake: Lake, day: date, sources: Collection[str]) -> Iterator[Alarm]:
    """Sources of whose texts more is the same than on the same weekday before."""
    texts = _texts(lake, day, sources)
    shares = {source: _shares(sample) for source, sample in texts.items()}
    suspect = [source for source in texts if health.may_be_repeated(shares[source])]
    if not suspect:
        return
    before = [_texts(lake, day - timedelta(days=apart), suspect) for apart in (7, 14, 21)]
    for source in suspect:
        usual = [_shares(sample.get(source, [])) for sample in before]
        signal = health.judge_repeated(shares[source], usual)
        if signal:
            worst = max(range(len(shares[source])), key=shares[source].__getitem__)
            yield _alarm(source, day, signal, texts[source][worst])


def _texts(lake: Lake, day: date, sources: Collection[str]) -> dict[str, list[Row]]:
    asked = _TEXTS.format(day=day, sources=_listed(sources), sample=health.SAMPLE)
    return {row["source"]: row["sample"] for row in lake.sql(asked).to_pylist()}


def _shares(sample: Iterable[Row]) -> list[float]:
    return health.repeated_shares([row["text"] for row in sample])


# --- what can be looked at ------------------------------------------------------------------


def _example(lake: Lake, source: str, day: date, signal: Signal) -> Row:
    """An address that shows what a signal tells, and where its page is stored, as columns."""
    first = day - timedelta(days=signal.days - 1)
    if signal.part and signal.part in _PARTS:
        where = (ds.field("source") == source) & _PARTS[signal.part]
        rows = _read(lake, first, day, where, ["url", "fetched_at", *_POINTER]).to_pylist()
        return max(rows, key=lambda row: (row["fetched_at"], row["url"]), default={})
    if signal.part:
        asked = _EXAMPLE.format(
            first=first,
            last=day,
            sources=_listed([source]),
            states=_listed(health.STATES[signal.part]),
            refusing=health.REFUSING,
            refused=signal.part == "blocked",
        )
        for row in lake.sql(asked).to_pylist():
            stored = fixture.find(lake.store, row["run_id"], source, row["url"])
            place = astuple(stored.pointer) if stored else (None, None, None)
            return {"url": row["url"], **dict(zip(_POINTER, place, strict=True))}
    return {"url": signal.listing}


def _alarm(source: str, day: date, signal: Signal, example: Row) -> Alarm:
    return Alarm(
        date=day,
        source=source,
        alarm=signal.kind,
        figure=round(signal.figure, 4),
        usual=None if signal.usual is None else round(signal.usual, 4),
        days=signal.days,
        detail=signal.detail,
        url=example.get("url"),
        **{name: example.get(name) for name in _POINTER},
        mend=_MENDS[signal.kind].format(source=source, url=example.get("url") or "URL"),
    )


def _listed(values: Iterable[str]) -> str:
    """The values as SQL's list of strings, which must not be empty."""
    quoted = [value.replace("'", "''") for value in values] or [""]
    return "('" + "', '".join(quoted) + "')"
