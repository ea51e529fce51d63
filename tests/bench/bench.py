"""What newslake's care costs: each stage beside the plainest way to do the same work.

    python tests/bench/bench.py [--quick]

The two sides of a ratio run in turn (A B A B) over the same input in this one run; figures are
medians of the rounds. The plain side does less: it rejects no page, knows no duplicate, coverage,
transaction or WARC file. Absolute figures are this machine's, ratios travel better. Inputs come
from a seeded generator and the demo sites, and, where the development data lies beside the
checkout (../shared/data), from real pages.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import io
import json
import logging
import os
import platform
import random
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import feedparser  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import trafilatura
import yaml
from lxml import etree
from pyarrow import fs

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deduplication import NEW, look_ups
from demo import sites as demo_sites
from siteserver import Answer, Request, SiteServer

from crawlers.discovery import read_listing
from newslake import objectstore
from newslake.reader import Lake
from processing import dataset
from processing.extraction import extract
from processing.publishing import RunFacts, publish
from processing.records import TOPICS, Article, Page
from processing.signatures import VERSION, sign
from processing.storage import Store
from processing.tables import EXTRACTED, SCHEMAS, STAGED_ARTICLES, STAGED_COVERAGE, to_table
from processing.texts import content_hash, count_words
from processing.topics import classify
from processing.upkeep import Upkeep
from processing.urls import url_id, url_key

ROOT = Path(__file__).resolve().parents[2]
SEED = 20261101
REAL_PAGES = ROOT.parent / "shared" / "data" / "extraction" / "text_meta_news_fundus_dev.jsonl.gz"
REAL_FEEDS = ROOT.parent / "shared" / "data" / "feeds" / "feeds.jsonl.gz"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Size:
    """How much each part measures."""

    rounds: int
    real_pages: int
    rows: int
    small: int
    large: int
    pages: int
    urls: int


FULL = Size(3, real_pages=60, rows=2_000, small=10_000, large=1_000_000, pages=300, urls=50_000)
QUICK = Size(1, real_pages=5, rows=100, small=200, large=400, pages=20, urls=500)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table; ``ratio`` says what ours is to the plain one."""

    measured: str
    inputs: str
    unit: str
    ours: float
    plain: float

    @property
    def ratio(self) -> float:
        return self.ours / self.plain


def in_turn(
    rounds: int, ours: Callable[[int], float], plain: Callable[[int], float]
) -> tuple[float, float]:
    """The medians of both sides, run A B A B."""
    pairs = [(ours(number), plain(number)) for number in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


# --- extraction -----------------------------------------------------------------------------


def demo_pages() -> list[Page]:
    served = demo_sites.pages(1)
    stories = demo_sites.stories(1).values()
    bodies = {s.url: served[s.url] for s in stories if served[s.url].status == 200}
    return [Page(url, answer.body, NOW, answer.headers) for url, answer in bodies.items()]


def real_pages(count: int) -> list[Page]:
    with gzip.open(REAL_PAGES, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    chosen = random.Random(SEED).sample(records, min(count, len(records)))
    return [Page(r["url"], r["html"].encode(errors="replace"), NOW) for r in chosen]


def extraction(name: str, pages: Sequence[Page], rounds: int) -> Line:
    def per_page(read: Callable[[Page], object]) -> float:
        began = time.process_time()
        for page in pages:
            read(page)
        return 1000 * (time.process_time() - began) / len(pages)

    def plain(page: Page) -> object:
        return trafilatura.bare_extraction(
            page.body, url=page.url, include_comments=False, with_metadata=True
        )

    for read in (extract, plain):  # models are loaded and expressions compiled but once
        per_page(read)
    ours, theirs = in_turn(rounds, lambda _: per_page(extract), lambda _: per_page(plain))
    size = sum(len(page.body) for page in pages) / len(pages) / 1000
    inputs = f"{len(pages)} {name}, {size:.0f} kB each"
    return Line("extract / trafilatura with metadata", inputs, "CPU ms/page", ours, theirs)


def beside_extraction(name: str, pages: Sequence[Page], rounds: int) -> Iterator[Line]:
    """What else is done with each article, beside what it took to extract it."""
    articles = [(page, made) for page in pages if isinstance(made := extract(page), Article)]

    def per_page(do: Callable[[Page, Article], object]) -> float:
        began = time.process_time()
        for page, article in articles:
            do(page, article)
        return 1000 * (time.process_time() - began) / len(articles)

    def topic(page: Page, article: Article, *, fast: bool) -> object:
        return classify(
            article.title,
            article.text,
            url=article.url,
            section=article.section,
            tags=article.tags,
            language=article.language,
            fast=fast,
        )

    steps: dict[str, Callable[[Page, Article], object]] = {
        "sign / extract": lambda _, article: sign(article.text),
        "topic / extract": partial(topic, fast=False),
        "topic, fast / extract": partial(topic, fast=True),
    }
    for measured, step in steps.items():
        per_page(step)  # models are loaded but once
        ours, theirs = in_turn(
            rounds,
            lambda _, step=step: per_page(step),
            lambda _: per_page(lambda page, _: extract(page)),
        )
        yield Line(measured, f"{len(articles)} {name}", "CPU ms/page", ours, theirs)


# --- listings -------------------------------------------------------------------------------


def listings(size: Size) -> Iterator[Line]:
    def line(name: str, inputs: str, bodies: list[bytes], plain: Callable[[bytes], object]) -> Line:
        def per_listing(read: Callable[[bytes], object]) -> float:
            began = time.process_time()
            for body in bodies:
                read(body)
            return 1000 * (time.process_time() - began) / len(bodies)

        def ours(body: bytes) -> object:
            return read_listing(body, "https://paper.example/listing")

        for read in (ours, plain):
            read(bodies[0])
        both = in_turn(size.rounds, lambda _: per_listing(ours), lambda _: per_listing(plain))
        return Line(name, inputs, "CPU ms/listing", *both)

    def by_feedparser(body: bytes) -> object:
        return feedparser.parse(io.BytesIO(body))

    feed = a_feed(50)
    inputs = f"50 entries, {len(feed) / 1000:.0f} kB"
    yield line("read a feed / feedparser", inputs, [feed], by_feedparser)
    if REAL_FEEDS.exists():
        with gzip.open(REAL_FEEDS, "rt") as lines:
            feeds = [base64.b64decode(json.loads(one)["bytes_base64"]) for one in lines]
        chosen = feeds[: max(1, size.urls // 200)]
        yield line("read a feed / feedparser", f"{len(chosen)} real feeds", chosen, by_feedparser)
    sitemap = a_sitemap(size.urls)
    inputs = f"{size.urls:,} news addresses, {len(sitemap) / 1e6:.1f} MB"
    yield line("read a sitemap / lxml parse alone", inputs, [sitemap], etree.fromstring)


def a_feed(entries: int) -> bytes:
    rng = random.Random(SEED)
    items = "".join(
        f"<item><title>{text(rng, 8)}</title><link>https://paper.example/{n}</link>"
        f"<pubDate>Sat, 28 Nov 2026 {n % 24:02}:00:00 +0100</pubDate>"
        f"<description><![CDATA[<p>{text(rng, 100)}</p>]]></description></item>"
        for n in range(entries)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode()


def a_sitemap(urls: int) -> bytes:
    rows = "".join(
        f"<url><loc>https://paper.example/2026/11/28/{n}</loc><lastmod>2026-11-28</lastmod>"
        f"<news:news><news:publication><news:name>Paper</news:name></news:publication>"
        f"<news:publication_date>2026-11-28T{n % 24:02}:00:00+01:00</news:publication_date>"
        f"<news:title>The council votes on bridge {n}</news:title></news:news></url>"
        for n in range(urls)
    )
    spaces = (
        'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        ' xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
    )
    return f"<urlset {spaces}>{rows}</urlset>".encode()


# --- publishing -----------------------------------------------------------------------------


def text(rng: random.Random, words: int) -> str:
    """Prose of so many made-up words, in sentences and paragraphs."""
    said = rng.choices(lexicon(), k=words)
    sentences = [said[at : at + 14] for at in range(0, words, 14)]
    lines = [f"{' '.join(s).capitalize()}." for s in sentences]
    return "\n".join(" ".join(lines[at : at + 4]) for at in range(0, len(lines), 4))


@cache
def lexicon() -> list[str]:
    rng = random.Random(SEED)
    return [
        "".join(rng.choice("bdfgklmnprstv") + rng.choice("aeiou") for _ in range(rng.randint(1, 4)))
        for _ in range(4_000)
    ]


def articles(rng: random.Random, count: int, days: int, mark: str) -> Iterator[Article]:
    """New articles of four papers, spread over the last ``days`` and ten topics."""
    topics = sorted(TOPICS)[:10]
    for number in range(count):
        source = f"paper-{number % 4}"
        at = NOW - timedelta(seconds=rng.randrange(days * 86_400))
        prose = f"{mark} {number}. {text(rng, rng.randint(150, 900))}"
        opening = prose.split()[:30]
        url = f"https://{source}.example/{rng.choice(topics)}/{mark}-{number}"
        yield Article(
            id=url_id(url_key(url)),
            url=url,
            title=" ".join(opening[:8]),
            text=prose,
            source=source,
            authors=(" ".join(opening[2:4]).title(),),
            published_at=at,
            published_source="json-ld",
            published_precision="second",
            first_seen_at=NOW,
            fetched_at=NOW,
            language="en",
            summary=" ".join(opening),
            content_hash=content_hash(prose),
            word_count=count_words(prose),
            extractor="bench",
        )


def stage(store: Store, run_id: str, staged: Sequence[Article]) -> RunFacts:
    """Put what extraction would have staged of a run; the facts to publish it with."""
    sources = sorted({article.source for article in staged})
    day = NOW.date()
    for source in sources:
        own = [article for article in staged if article.source == source]
        rows = [{**article.to_row(), "listed_url": article.url} for article in own]
        said = {"run_id": run_id, "source": source, "state": EXTRACTED, "at": NOW, "date": day}
        coverage = [{**said, "url": article.url, "article_id": article.id} for article in own]
        for name, table in (
            ("articles", to_table(rows, STAGED_ARTICLES)),
            ("coverage", to_table(coverage, STAGED_COVERAGE)),
        ):
            sink = io.BytesIO()
            pq.write_table(table, sink, compression="zstd")
            store.put(f"staged/run={run_id}/source={source}/{name}.parquet", sink.getvalue())
    topics = {f"/{slug}/": slug for slug in TOPICS}
    return RunFacts(
        run_id=run_id,
        sources=tuple(sources),
        started_at=NOW,
        topic_maps=dict.fromkeys(sources, topics),
        failures={},
        software={},
    )


def run_id(number: int) -> str:
    return f"20261128T{number:06d}Z-bench0"


def lake(environ: dict[str, str]) -> Store:
    store = Store.from_environment({**environ, "NEWSLAKE_LAKE": f"s3://b-{secrets.token_hex(6)}"})
    dataset.initialise(store)
    return store


def fill(store: Store, count: int) -> None:
    """A lake as compaction leaves it: ``count`` articles, 10,000 a day up to NOW.

    Made column by column: a thousand texts in turn, ids all different.
    """
    rng = random.Random(SEED)
    texts = [article.text for article in articles(rng, 1_000, 1, "standing")]
    tables = dataset.Tables(store)
    done = 0
    while done < count:
        chunk = _standing(range(done, min(count, done + CHUNK)), texts)
        for name in ("articles", "keys", "fingerprints"):
            schema = SCHEMAS[name]
            rows = pa.table(
                {
                    f.name: chunk.get(f.name, pa.nulls(len(chunk["id"]), f.type)).cast(f.type)
                    for f in schema
                },
                schema,
            )
            change = dataset.change_rows(tables, name, rows, "bench")
            base = tables.delta(name).version()
            dataset.commit(tables, change, f"bench/{done}", base, NOW)
        done += CHUNK


CHUNK = 50_000
KEYS = 90  # of a text of 500 words


def _id(number: int) -> str:
    """An id as good as random, and never the same."""
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def _standing(numbers: range, texts: Sequence[str]) -> dict[str, pa.Array]:
    """The columns of articles, keys and fingerprints for some articles."""
    count = len(numbers)
    topics = sorted(TOPICS)
    days = [NOW - timedelta(days=n // 10_000) for n in numbers]
    ids = [_id(n) for n in numbers]
    keys = np.random.default_rng((SEED, numbers.start)).integers(-(2**31), 2**31, count * KEYS)
    ends = np.arange(0, count * KEYS + 1, KEYS)

    def same(value: object, kind: pa.DataType | None = None) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), count)

    return {
        "id": pa.array(ids),
        "key": pa.array(ids),
        "article_id": pa.array(ids),
        "cluster_id": pa.array(ids),
        "content_hash": pa.array(two + one for one, two in zip(ids, ids, strict=True)),
        "url": pa.array(f"https://paper-{n % 4}.example/standing-{n}" for n in numbers),
        "source": pa.array(f"paper-{n % 4}" for n in numbers),
        "title": pa.array(texts[n % len(texts)][:60] for n in numbers),
        "text": pa.array(texts[n % len(texts)] for n in numbers),
        "word_count": pa.array(texts[n % len(texts)].count(" ") for n in numbers),
        "published_at": pa.array(days, pa.timestamp("us", "UTC")),
        "first_seen_at": same(NOW, pa.timestamp("us", "UTC")),
        "fetched_at": same(NOW, pa.timestamp("us", "UTC")),
        "date": pa.array([day.date() for day in days]),
        "topic": pa.array(topics[n % len(topics)] for n in numbers),
        "published_source": same("json-ld"),
        "topic_method": same("section"),
        "extractor": same("bench"),
        "kind": same("article"),
        "run_id": same("20260101T000000Z-bench0"),
        "revision": same(0),
        "signature": same(VERSION, pa.int32()),
        "winnowed": pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), pa.array(keys, pa.int32())
        ),
    }


def publishing(environ: dict[str, str], size: Size, held: Store, standing: int) -> Line:
    rng = random.Random(SEED + standing)
    written: list[pa.Table] = []

    def ours(number: int) -> float:
        facts = stage(held, run_id(number + 1), list(articles(rng, size.rows, 7, f"new{number}")))
        began = time.perf_counter()
        publish(held, facts)
        seconds = time.perf_counter() - began
        mine = ds.field("run_id") == facts.run_id
        written.append(dataset.scan(held, "articles").to_table(filter=mine))
        assert len(written[-1]) == size.rows
        return size.rows / seconds

    def plain(number: int) -> float:
        began = time.perf_counter()
        write_plain(environ, f"{held.bucket}/plain-{number}", written[number])
        return size.rows / (time.perf_counter() - began)

    ours_rate, plain_rate = in_turn(size.rounds, ours, plain)
    partitions = len(written[0].group_by(["date", "topic"]).aggregate([]))
    inputs = f"{size.rows:,} new articles, {partitions} partitions, lake of {standing:,}"
    return Line("publish / write_dataset", inputs, "rows/s", ours_rate, plain_rate)


def write_plain(environ: dict[str, str], folder: str, rows: pa.Table) -> None:
    ds.write_dataset(
        rows,
        folder,
        filesystem=filesystem(environ),
        format="parquet",
        file_options=ds.ParquetFileFormat().make_write_options(compression="zstd"),
        partitioning=["date", "topic"],
        partitioning_flavor="hive",
        max_partitions=1024,
        create_dir=False,
        existing_data_behavior="overwrite_or_ignore",  # spares a listing
    )


def read_plain(environ: dict[str, str], folder: str) -> ds.Dataset:
    return ds.dataset(folder, filesystem=filesystem(environ), format="parquet", partitioning="hive")


def filesystem(environ: dict[str, str]) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key=environ["AWS_ACCESS_KEY_ID"],
        secret_key=environ["AWS_SECRET_ACCESS_KEY"],
        region=environ["AWS_REGION"],
        endpoint_override=environ["AWS_ENDPOINT_URL_S3"],
        allow_delayed_open=True,  # one put a small file, not three requests
    )


# --- reading and upkeep ---------------------------------------------------------------------


def reading(environ: dict[str, str], size: Size, held: Store, standing: int) -> Iterator[Line]:
    """A partition and a single article, beside a plain look into the same files."""
    lake = Lake(held)
    day, topic = NOW.date(), sorted(TOPICS)[0]
    folder = f"{held.bucket}/articles"
    partition = f"{folder}/date={day}/topic={topic}"

    def seconds(read: Callable[[], pa.Table | None]) -> float:
        began = time.perf_counter()
        assert read()
        return 1000 * (time.perf_counter() - began)

    lake.articles(date=day, topic=topic)  # opened once, as a reader who asks twice has it
    ours, plain = in_turn(
        size.rounds,
        lambda _: seconds(lambda: lake.articles(date=day, topic=topic)),
        lambda _: seconds(lambda: read_plain(environ, partition).to_table()),
    )
    rows = len(lake.articles(date=day, topic=topic))
    inputs = f"{rows:,} articles of a lake of {standing:,}"
    yield Line("date = X and topic = Y / the folder's Parquet", inputs, "ms", ours, plain)
    wanted = [_id(n) for n in random.Random(SEED).sample(range(standing), size.rounds)]
    ours, plain = in_turn(
        size.rounds,
        lambda n: seconds(lambda: lake.article(wanted[n])),
        lambda n: seconds(
            lambda: read_plain(environ, folder).to_table(filter=ds.field("id") == wanted[n])
        ),
    )
    yield Line("one id / filter over all files", f"a lake of {standing:,}", "ms", ours, plain)


def compaction(environ: dict[str, str], size: Size) -> Line:
    """Files of ten runs into one a partition; plain rewrites the articles alone."""

    def ours(number: int) -> float:
        store = lake(environ)
        rng = random.Random(SEED + number)
        for run in range(10):
            new = list(articles(rng, size.rows // 5, 2, f"run{run}"))
            publish(store, stage(store, run_id(run), new))
        stores.append(store)
        began = time.perf_counter()
        Upkeep(store).compact()
        return 2 * size.rows / (time.perf_counter() - began)

    def plain(number: int) -> float:
        folder = f"{stores[number].bucket}/articles"
        began = time.perf_counter()
        rows = read_plain(environ, folder).to_table()
        write_plain(environ, f"{stores[number].bucket}/plain", rows)
        return len(rows) / (time.perf_counter() - began)

    stores: list[Store] = []
    ours_rate, plain_rate = in_turn(size.rounds, ours, plain)
    inputs = f"{2 * size.rows:,} articles of ten runs, all five tables"
    return Line("compact / read and write_dataset", inputs, "rows/s", ours_rate, plain_rate)


# --- crawl ----------------------------------------------------------------------------------


def paper(count: int) -> Callable[[Request], Answer]:
    """A site of a feed and ``count`` article pages, all made once."""
    rng = random.Random(SEED)
    host = "http://bench-herald.example"
    links = [f"/2026/story-{number}" for number in range(count)]
    items = "".join(
        f"<item><title>{link}</title><link>{host}{link}</link></item>" for link in links
    )
    feed = f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'
    served = {"/feed.xml": Answer(200, {"Content-Type": "text/xml"}, feed.encode())}
    menu = "".join(f'<li><a href="/section/{n}">Section {n}</a></li>' for n in range(200))
    for link in links:
        prose = "".join(f"<p>{line}</p>" for line in text(rng, 600).split("\n"))
        body = (
            f"<!doctype html><html><head><title>{link}</title></head><body><ul>{menu}</ul>"
            f"<article><h1>{link}</h1>{prose}</article></body></html>"
        )
        served[link] = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, body.encode())
    return lambda request: served.get(request.path, Answer(404))


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def crawl(environ: dict[str, str], size: Size) -> Iterator[Line]:
    """The crawl beside a plain spider and a bare loop; and the same site once more, unchanged."""
    with TemporaryDirectory(prefix="newslake-bench-") as place:
        many = _crawl(environ, size.rounds, size.pages, Path(place) / "many")
        one = _crawl(environ, size.rounds, 1, Path(place) / "one")
    pages, unit = f"{size.pages} pages of one site", "CPU ms/page"
    whole = [1000 * seconds / size.pages for seconds in many[:3]]
    yield Line("crawl / plain spider, with start-up", pages, unit, whole[0], whole[1])
    yield Line("crawl / aiohttp loop, with start-up", pages, unit, whole[0], whole[2])
    yield Line("crawled again unchanged / first time", pages, "requests", many[3], many[4])
    if size.rounds == 1:
        return  # the start-up of one round is too uncertain to be taken away
    beyond = [1000 * (m - o) / (size.pages - 1) for m, o in zip(many[:3], one[:3], strict=True)]
    pages = f"{size.pages} pages less 1"
    yield Line("crawl / plain spider, beyond the first page", pages, unit, beyond[0], beyond[1])
    yield Line("crawl / aiohttp loop, beyond the first page", pages, unit, beyond[0], beyond[2])


def _crawl(environ: dict[str, str], rounds: int, pages: int, place: Path) -> list[float]:
    """Medians of rounds: CPU seconds of whole processes, ours, of a plain spider and of a bare
    loop; then the requests of our crawl repeated, and of our first.
    """
    sources = place / "sources"
    sources.mkdir(parents=True)
    feed = "http://bench-herald.example/feed.xml"
    declared = {
        "id": "bench-herald",
        "name": "Bench Herald",
        "homepage": "http://bench-herald.example/",
        "feeds": [feed],
        "delay": 0.0,
        "concurrency": 16,
    }
    (sources / "bench-herald.yaml").write_text(yaml.safe_dump(declared))
    result = place / "result.json"
    command = [sys.executable, "-m", "crawlers.crawl", "--source", "bench-herald"]
    command += ["--sources-dir", str(sources), "--result", str(result)]

    with SiteServer(paper(pages)) as site:
        through = {"http_proxy": site.proxy_url, "no_proxy": "127.0.0.1,localhost"}
        whole = {**os.environ, **environ, **through}

        def process(arguments: Sequence[str], own: dict[str, str]) -> float:
            began = cpu_of_children()
            subprocess.run(arguments, env=own, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
            return cpu_of_children() - began

        def asked() -> int:
            count = len(site.requests)
            site.forget_requests()
            return count

        def ours(number: int) -> list[float]:
            store = lake(environ)
            own = {**whole, "NEWSLAKE_LAKE": store.url}
            site.forget_requests()
            used = process([*command, "--run-id", run_id(2 * number)], own)
            (told,) = json.loads(result.read_text())
            assert told["fetched"] == pages
            first = asked()
            store.put(f"runs/{run_id(2 * number)}.json", b"{}")  # as publishing does last
            process([*command, "--run-id", run_id(2 * number + 1)], own)
            return [used, asked(), first]

        def plain(name: str, number: int) -> float:
            folder = place / f"{name}-{number}"
            folder.mkdir()
            script = str(Path(__file__).with_name(f"{name}.py"))
            used = process([sys.executable, script, feed, str(folder)], whole)
            assert len(list(folder.iterdir())) == pages
            return used

        rows = []
        for number in range(rounds):
            used, again, first = ours(number)
            others = [plain(name, number) for name in ("plain_spider", "plain_loop")]
            rows.append([used, *others, again, first])
        return [median(column) for column in zip(*rows, strict=True)]


# --- the table ------------------------------------------------------------------------------


def measure(size: Size) -> Iterator[Line]:
    yield extraction("demo pages", demo_pages(), size.rounds)
    if REAL_PAGES.exists():
        pages = real_pages(size.real_pages)
        yield extraction("real news pages", pages, size.rounds)
        yield from beside_extraction("real news pages", pages, size.rounds)
    yield from listings(size)
    with (
        TemporaryDirectory(prefix="newslake-bench-") as home,
        objectstore.serving(Path(home)) as environ,
    ):
        yield compaction(environ, size)
        for standing in (size.small, size.large):
            held = lake(environ)
            fill(held, standing)
            yield publishing(environ, size, held, standing)
        yield from reading(environ, size, held, size.large)
        for said in look_ups(environ, (size.small, size.large)):
            inputs = f"{NEW:,} new texts in {said.window:,}; {said.megabytes:,.0f} MB"
            yield Line("look up / read what is known", inputs, "s", said.seconds, said.reading)
        yield from crawl(environ, size)


def machine() -> str:
    names = ("trafilatura", "scrapy", "pyarrow", "deltalake")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = os.getloadavg()[0]
    return (
        f"{platform.platform()}, {os.cpu_count()} cores, load {load:.1f} at the start;"
        f" Python {platform.python_version()}; {versions}; seed {SEED}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny inputs: does it run at all?")
    size = QUICK if parser.parse_args().quick else FULL
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    os.environ.update(objectstore.past_proxies(os.environ))
    print(f"{machine()}; medians of {size.rounds} rounds\n", flush=True)
    form = "{:<44} {:<54} {:<12} {:>9} {:>9} {:>7}"
    print(form.format("ours / plain", "input", "unit", "ours", "plain", "ratio"), flush=True)
    for line in measure(size):
        figures = (f"{line.ours:,.1f}", f"{line.plain:,.1f}", f"{line.ratio:.2f}")
        print(form.format(line.measured, line.inputs, line.unit, *figures), flush=True)


if __name__ == "__main__":
    main()
