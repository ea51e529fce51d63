"""How long the page takes over a million articles, cold and warm.

    python tests/bench/page.py [--articles 1000000]

A lake as compaction leaves it, in the embedded store of ``NEWSLAKE_HOME``: a year of articles of
the shipped catalogue's sources with short texts, and five weeks of hourly runs with their
coverage. Each view is asked for in this process, without login and network: once, then the median
of ten times; in brackets the process's own processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from crawlers import catalogue
from newslake import objectstore, stack
from newslake.configuration import home, sources_directory
from processing import dataset
from processing.records import TOPICS, UNCLASSIFIED
from processing.storage import Store
from processing.tables import SCHEMAS

DAYS, RUN_DAYS = 365, 36
SLUGS = (*TOPICS, UNCLASSIFIED)
STATES = {
    "published": 40,
    "updated": 6,
    "unchanged": 20,
    "duplicate-exact": 4,
    "duplicate-near": 8,
    "skipped-rule": 8,
    "skipped-old": 4,
    "skipped-robots": 2,
    "failed-http": 2,
    "failed-timeout": 1,
    "rejected-not-article": 4,
    "rejected-too-short": 1,
}
LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl", "ja")


def fill(store: Store, articles: int, today: date) -> None:
    """The lake: articles, coverage, manifests."""
    dataset.initialise(store)
    rng = np.random.default_rng(8)
    sources = sorted(catalogue.load(sources_directory({})).sources)
    tables = dataset.Tables(store)
    for first in range(0, DAYS, 30):
        days = [today - timedelta(days=DAYS - 1 - n) for n in range(first, min(DAYS, first + 30))]
        commit(tables, "articles", _articles(rng, days, articles // DAYS, sources), first)
    for n in range(RUN_DAYS):
        day = today - timedelta(days=RUN_DAYS - 1 - n)
        commit(tables, "coverage", _day_of_runs(rng, store, day, sources), n)


def commit(tables: dataset.Tables, name: str, columns: dict[str, Any], number: int) -> None:
    """Put rows into a table; columns that are not given are null."""
    schema, count = SCHEMAS[name], len(columns["source"])
    arrays = [
        pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(count, f.type)
        for f in schema
    ]
    tables.look(name)
    base = tables.delta(name).version()
    change = dataset.change_rows(tables, name, pa.table(arrays, schema), "bench")
    dataset.commit(tables, change, f"bench/{name}/{number}", base, datetime.now(UTC))


def _articles(
    rng: np.random.Generator, days: list[date], a_day: int, sources: list[str]
) -> dict[str, Any]:
    weights = np.array([n**-0.7 for n in range(1, len(SLUGS) + 1)])
    day_of = np.repeat(days, [int(a_day * (0.7 if d.weekday() > 4 else 1.12)) for d in days])
    count = len(day_of)
    who = np.minimum(rng.exponential(len(sources) / 4, count).astype(int), len(sources) - 1)
    shuffled = np.random.default_rng(3).permutation(len(sources))[who]
    ids = [f"{n:032x}" for n in rng.integers(0, 2**62, count)]
    at = [
        datetime(d.year, d.month, d.day, tzinfo=UTC) + timedelta(seconds=int(s))
        for d, s in zip(day_of, rng.integers(0, 86_400, count), strict=True)
    ]
    return {
        "id": ids,
        "url": [f"https://{sources[s]}.example/{i}" for s, i in zip(shuffled, ids, strict=True)],
        "source": [sources[s] for s in shuffled],
        "title": [f"Council votes on breakwater {i[-6:]}" for i in ids],
        "text": ["The harbour wall is to be raised by a metre, the council decided."] * count,
        "word_count": [13] * count,
        "language": [LANGUAGES[s % len(LANGUAGES)] for s in shuffled],
        "authors": [["Ada Quill"]] * count,
        "published_at": at,
        "first_seen_at": at,
        "fetched_at": at,
        "published_source": ["json-ld"] * count,
        "topic": rng.choice(SLUGS, count, p=weights / weights.sum()),
        "topic_method": ["model"] * count,
        "cluster_id": ids,
        "revision": [0] * count,
        "content_hash": ids,
        "extractor": ["bench"] * count,
        "run_id": ["bench"] * count,
        "date": day_of,
    }


def _day_of_runs(
    rng: np.random.Generator, store: Store, day: date, sources: list[str]
) -> dict[str, Any]:
    rows: dict[str, list[Any]] = {name: [] for name in SCHEMAS["coverage"].names}
    manifests = []
    names, chances = list(STATES), np.array(list(STATES.values())) / sum(STATES.values())
    for hour in range(24):
        run_id = f"{day:%Y%m%d}T{hour:02}0000Z-bench0"
        at = datetime(day.year, day.month, day.day, hour, 5, tzinfo=UTC)
        drawn = rng.multinomial(8, chances, len(sources))
        counts = {}
        for source, numbers in zip(sources, drawn, strict=True):
            counts[source] = {s: int(n) for s, n in zip(names, numbers, strict=True) if n}
            for state, number in counts[source].items():
                for n in range(number):
                    url = f"https://{source}.example/{run_id}/{state}/{n}"
                    listing = f"https://{source}.example/rss"
                    status = 404 if state == "failed-http" else None
                    row = (run_id, source, url, state, None, status, listing, None, at, day)
                    for column, value in zip(rows.values(), row, strict=True):
                        column.append(value)
        manifests.append(_manifest(run_id, at, counts))
    with ThreadPoolExecutor(8) as putting:
        list(putting.map(lambda m: store.put(f"runs/{m['run_id']}.json", _json(m)), manifests))
    return rows


def _manifest(run_id: str, at: datetime, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "dag_id": "news_hourly",
        "started_at": at.isoformat(),
        "finished_at": (at + timedelta(minutes=20)).isoformat(),
        "counts": counts,
        "known": dict.fromkeys(counts, 30),
        "discovered": {source: 30 + sum(own.values()) for source, own in counts.items()},
        "failures": {},
        "schedules": dict.fromkeys(counts, "hourly"),
        "flags": [],
        "completeness": [],
        "partitions": [],
        "tables": {},
    }


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def measure(environ: dict[str, str]) -> None:
    """Print how long each view takes in this process."""
    os.environ |= stack.airflow_environment(home(environ), environ, dags=home(environ))
    os.environ |= {name: value for name, value in environ.items() if name.startswith("NEWSLAKE")}
    from fastapi.testclient import TestClient

    from newslake.page import access
    from newslake.page.app import make_app

    app = make_app(environ)
    app.dependency_overrides[access.DEMANDED[0].dependency] = lambda: None
    client = TestClient(app)
    today = datetime.now(UTC).date()
    day, source = (
        today - timedelta(days=5),
        sorted(catalogue.load(sources_directory({})).sources)[0],
    )
    views = {
        "dataset": "/",
        "dataset, two months ago": f"/?until={today - timedelta(days=60)}",
        "a partition": f"/days/{day}/politics",
        "a date": f"/days/{day}",
        "sources": "/sources",
        "a source": f"/sources/{source}",
        "URLs of a state": f"/sources/{source}?state=failed-http",
    }
    for name, path in views.items():
        first, *more = (seconds(client, path) for _ in range(11))
        walls, works = zip(*more, strict=True)
        said = (
            f"{first[0]:6.2f} ({first[1]:5.2f}) s, then {median(walls):5.2f} ({median(works):5.2f})"
        )
        print(f"  {name:<26} {said} s", flush=True)
    began = time.perf_counter()
    while "being worked out" in client.get("/sources").text:
        time.sleep(0.5)
    print(f"  alarms after that          {time.perf_counter() - began:6.2f} s", flush=True)


def seconds(client: Any, path: str) -> tuple[float, float]:
    """How long a view takes, and how much of this process's processor time."""
    began, worked = time.perf_counter(), time.process_time()
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - began, time.process_time() - worked


def main() -> None:
    """Fill the lake where it is empty, and time the views."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--articles", type=int, default=1_000_000)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(dict(os.environ))
        return
    with objectstore.lake_environment(os.environ, home(os.environ)) as added:
        environ = {**os.environ, **added}
        store = Store.from_environment(environ)
        store.ensure_bucket()
        if not store.exists("lake.json"):
            began = time.perf_counter()
            fill(store, asked.articles, datetime.now(UTC).date())
            print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
        with TemporaryDirectory() as fresh:
            for what in ("a new process that remembers nothing", "a new process of that home"):
                print(f"{what}:", flush=True)
                own = {**environ, "NEWSLAKE_HOME": fresh}
                subprocess.run([sys.executable, __file__, "--measure"], env=own, check=True)


if __name__ == "__main__":
    main()
