"""Runs the whole pipeline over real news pages: ``python tests/evaluation/replay.py``.

The pages of three labelled sets (344 of 250 hosts, in more than 20 languages) are served over
loopback under their own host names, with feeds and sitemaps made from their addresses, titles
and dates, and ``newslake run`` crawls, extracts and publishes them as it would the live sites.
The report says what became of every page, how near its text is to the truth, how fast it went
and what memory it took. The exit status is 1 when a page was lost or the run hung or failed.

The sets are not part of the project: ``--data`` names the directory that holds them.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import fmean
from subprocess import TimeoutExpired
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

import psutil
import trafilatura
import yaml
from deltalake import DeltaTable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from metrics import f1, precision_recall
from siteserver import Answer, Request, SiteServer

from newslake import processes
from newslake.objectstore import serving
from processing.dataset import scan
from processing.parquet import encode
from processing.storage import Store
from processing.urls import url_key

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = CHECKOUT.parent / "shared" / "data" / "extraction"
HOME = CHECKOUT / ".newslake" / "replay"
SETS = ("text_news_aeb", "text_meta_news_fundus_dev", "text_meta_news_wcxb")
HANGS_AFTER = 1800.0
"""Seconds after which a run is taken to hang; it needs a few minutes on two cores."""

_TEXT_STATES = ("published", "updated", "unchanged", "duplicate-exact", "duplicate-near")
_XML = '<?xml version="1.0" encoding="utf-8"?>\n'
_SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
_NEWS = "http://www.google.com/schemas/sitemap-news/0.9"


@dataclass(frozen=True, slots=True)
class RealPage:
    """A page of a labelled set; ``url`` as it is served, ``date`` YYYY-MM-DD where known."""

    set_name: str
    url: str
    html: bytes
    text: str
    title: str | None
    date: str | None
    language: str | None

    @property
    def key(self) -> str:
        return url_key(self.url)


@dataclass(slots=True)
class Site:
    """One host: what it answers by path, and the listings its source file names."""

    host: str
    gzipped: bool
    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    feeds: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)

    @property
    def source_id(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.host)

    def put(self, path: str, content_type: str, body: bytes) -> str:
        self.answers[unquote(path)] = (content_type, body)
        return f"http://{self.host}{path}"


# --- the pages and their sites --------------------------------------------------------------


def load(data: Path) -> list[RealPage]:
    """The pages of the three sets; raises FileNotFoundError when one of them is missing."""
    pages = []
    for name in SETS:
        with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            pages += [_page(name, json.loads(line)) for line in lines]
    return pages


def _page(set_name: str, said: Mapping[str, Any]) -> RealPage:
    parts = urlsplit(said["url"])
    return RealPage(
        set_name=set_name,
        url=parts._replace(scheme="http", fragment="").geturl(),
        html=said["html"].encode("utf-8", "replace"),
        text=said["text"] or "",
        title=said["title"],
        date=said["date"] and said["date"][:10],
        language=said["lang"],
    )


def sites_of(pages: Iterable[RealPage]) -> dict[str, Site]:
    """Sites by host: each with its pages, one make of listing in turn, some with robots.txt."""
    by_host: dict[str, list[RealPage]] = defaultdict(list)
    for page in pages:
        by_host[urlsplit(page.url).netloc.lower()].append(page)
    sites = {}
    for number, (host, own) in enumerate(sorted(by_host.items())):
        site = sites[host] = Site(host, gzipped=number % 3 == 0)
        for page in own:
            parts = urlsplit(page.url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            site.put(path, "text/html; charset=utf-8", page.html)
        _MAKES[number % len(_MAKES)](site, own)
        if number % 5:
            robots = "User-agent: *\nDisallow: /replay-private/\n"
            robots += "".join(f"Sitemap: {url}\n" for url in site.sitemaps)
            site.put("/robots.txt", "text/plain; charset=utf-8", robots.encode())
    return sites


def _rss(site: Site, pages: Sequence[RealPage]) -> None:
    items = "".join(
        "<item>"
        + _tag("title", page.title)
        + _tag("link", page.url)
        + _tag("pubDate", page.date and time.strftime("%a, %d %b %Y 00:00:00 +0000", _day(page)))
        + "</item>\n"
        for page in pages
    )
    body = f'{_XML}<rss version="2.0"><channel>{_tag("title", site.host)}\n{items}</channel></rss>'
    site.feeds.append(site.put("/replay-feed.xml", "application/rss+xml", body.encode()))


def _atom(site: Site, pages: Sequence[RealPage]) -> None:
    entries = "".join(
        f"<entry>{_tag('title', page.title)}<link href={_quoted(page.url)}/>"
        + _tag("id", page.url)
        + _tag("published", page.date and f"{page.date}T00:00:00Z")
        + "</entry>\n"
        for page in pages
    )
    title = _tag("title", site.host)
    body = f'{_XML}<feed xmlns="http://www.w3.org/2005/Atom">{title}\n{entries}</feed>'
    site.feeds.append(site.put("/replay-feed.atom", "application/atom+xml", body.encode()))


def _sitemap(site: Site, pages: Sequence[RealPage]) -> None:
    site.sitemaps.append(_put_sitemap(site, "/replay-sitemap.xml", _urlset(pages)))


def _sitemap_index(site: Site, pages: Sequence[RealPage]) -> None:
    """Dated and titled pages in a news sitemap, the others in a plain one, under one index."""
    news = [page for page in pages if page.date and page.title]
    others = [page for page in pages if page not in news]
    parts = []
    if news:
        parts.append(_put_sitemap(site, "/replay-news.xml", _urlset(news, news=True)))
    if others:
        parts.append(_put_sitemap(site, "/replay-pages.xml", _urlset(others)))
    children = "".join(f"<sitemap>{_tag('loc', url)}</sitemap>\n" for url in parts)
    body = f'{_XML}<sitemapindex xmlns="{_SITEMAP}">\n{children}</sitemapindex>'
    site.sitemaps.append(_put_sitemap(site, "/replay-index.xml", body))


_MAKES: tuple[Callable[[Site, Sequence[RealPage]], None], ...] = (
    _rss,
    _atom,
    _sitemap,
    _sitemap_index,
)


def _urlset(pages: Iterable[RealPage], news: bool = False) -> str:
    rows = []
    for page in pages:
        about = _tag("lastmod", page.date)
        if news:
            paper = f"{_tag('news:name', 'Replay')}{_tag('news:language', page.language or 'en')}"
            about = (
                f"<news:news><news:publication>{paper}</news:publication>"
                + _tag("news:publication_date", page.date)
                + _tag("news:title", page.title)
                + "</news:news>"
            )
        rows.append(f"<url>{_tag('loc', page.url)}{about}</url>\n")
    return f'{_XML}<urlset xmlns="{_SITEMAP}" xmlns:news="{_NEWS}">\n{"".join(rows)}</urlset>'


def _put_sitemap(site: Site, path: str, xml: str) -> str:
    if site.gzipped:
        body = gzip.compress(xml.encode(), mtime=0)
        return site.put(f"{path}.gz", "application/gzip", body)
    return site.put(path, "application/xml", xml.encode())


def _tag(name: str, value: str | None) -> str:
    return f"<{name}>{escape(_printable(value))}</{name}>" if value else ""


def _quoted(value: str) -> str:
    return '"' + escape(value, {'"': "&quot;"}) + '"'


def _printable(text: str) -> str:
    """Text without the characters XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def _day(page: RealPage) -> time.struct_time:
    return time.strptime(page.date or "", "%Y-%m-%d")


def handler(sites: Mapping[str, Site]) -> Callable[[Request], Answer]:
    """Answers for every site by host and path; 404 for the rest."""

    def answer(request: Request) -> Answer:
        site = sites.get(request.host)
        found = site and site.answers.get(unquote(request.path))
        if not site or not found:
            return Answer(404, {"Content-Type": "text/plain"}, b"not here\n")
        content_type, body = found
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"Content-Type": content_type, "ETag": etag}
        packs = site.gzipped and not content_type.endswith("gzip")
        if packs and "gzip" in request.headers.get("accept-encoding", ""):
            return Answer(200, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body))
        return Answer(200, headers, body)

    return answer


def write_sources(sites: Mapping[str, Site], directory: Path) -> None:
    """One source file per site."""
    directory.mkdir(parents=True, exist_ok=True)
    for site in sites.values():
        source = {
            "id": site.source_id,
            "name": site.host,
            "homepage": f"http://{site.host}/",
            "feeds": site.feeds,
            "sitemaps": site.sitemaps,
            "max_articles": 10_000,
            "max_age_days": 20_000,
            "delay": 0,
            "concurrency": 4,
            "allow_private": True,
        }
        (directory / f"{site.source_id}.yaml").write_text(yaml.safe_dump(source, sort_keys=False))


# --- the run --------------------------------------------------------------------------------


@dataclass(slots=True)
class Run:
    """How the command ended: exit status (None: it hung), seconds, and peak memory in bytes."""

    status: int | None
    seconds: float
    peak: int
    store_peak: int


class _Memory(threading.Thread):
    """Samples the resident memory of a process tree, the object store's apart, until stopped."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._done = threading.Event()
        self.peak = 0
        self.store_peak = 0

    def run(self) -> None:
        while not self._done.wait(0.25):
            used = Counter[bool]()
            try:
                tree = psutil.Process(self._root)
                for process in (tree, *tree.children(recursive=True)):
                    with process.oneshot():
                        used[process.name().startswith("weed")] += process.memory_info().rss
            except psutil.Error:
                pass  # a process ended while it was looked at; the rest of this sample stands
            self.peak = max(self.peak, used[False])
            self.store_peak = max(self.store_peak, used[True])

    def stop(self) -> None:
        self._done.set()
        self.join()


def run_pipeline(sources: Path, home: Path, proxy: str, log: Path) -> Run:
    """``newslake run`` over ``sources``, its lake in ``home``, its web behind ``proxy``."""
    foreign = ("AWS_", "NEWSLAKE_", "AIRFLOW", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    kept = {n: v for n, v in os.environ.items() if not n.upper().startswith(foreign)}
    # https_proxy too, though nothing here is https: whatever asks for it must not get out.
    web = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": "127.0.0.1,localhost"}
    command = [sys.executable, "-m", "newslake", "run", "--sources", str(sources)]
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        process = processes.start(
            command,
            output=output,
            env={**kept, **web, "NEWSLAKE_HOME": str(home)},
            cwd=CHECKOUT,
        )
        memory = _Memory(process.pid)
        memory.start()
        try:
            status: int | None = process.wait(HANGS_AFTER)
        except TimeoutExpired:
            status = None
        finally:
            memory.stop()
            if process.poll() is None:
                processes.stop(process)
    return Run(status, time.monotonic() - began, memory.peak, memory.store_peak)


# --- the report -----------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What the lake says: each URL's last coverage row, texts by URL key, and the manifest.

    ``sizes`` are bytes an article, by where they lie.
    """

    coverage: dict[str, dict[str, Any]]
    texts: dict[str, str]
    manifest: dict[str, Any] | None
    sizes: dict[str, int] = field(default_factory=dict)


def read_outcome(store: Store) -> Outcome:
    """The lake's account, read with deltalake as any reader would."""
    store.ensure_bucket()  # a run that failed early has not made it
    coverage = _rows(store, "coverage", ["url", "state", "detail", "at"])
    coverage.sort(key=lambda row: row["at"])
    texts: dict[str, str] = {}
    for table in ("copies", "articles"):
        texts |= {url_key(r["url"]): r["text"] for r in _rows(store, table, ["url", "text"])}
    manifests = sorted(found.key for found in store.objects("runs/"))
    manifest = json.loads(store.get(manifests[-1]).data) if manifests else None
    by_url = {url_key(row["url"]): row for row in coverage}
    return Outcome(by_url, texts, manifest, _sizes(store))


def _sizes(store: Store) -> dict[str, int]:
    articles = scan(store, "articles").to_table()
    if not len(articles):
        return {}
    stored = {
        "raw WARC": sum(found.size for found in store.objects("raw/")),
        "articles, a file for each day and topic": sum(
            found.size for found in store.objects("articles/date=")
        ),
        "articles, were they of one day and topic": len(
            encode(articles.drop_columns(["date", "topic"]))
        ),
        "states of the sources": sum(found.size for found in store.objects("state/")),
    }
    return {place: size // len(articles) for place, size in stored.items()}


def _rows(store: Store, table: str, columns: list[str]) -> list[dict[str, Any]]:
    address = f"{store.url}/{table}"
    if not DeltaTable.is_deltatable(address, storage_options=store.delta_options):
        return []
    found = DeltaTable(address, storage_options=store.delta_options)
    rows: list[dict[str, Any]] = found.to_pyarrow_table(columns=columns).to_pylist()
    return rows


def lost_pages(pages: Iterable[RealPage], coverage: Mapping[str, object]) -> list[str]:
    """Addresses that were listed and that no coverage row accounts for."""
    return sorted({page.url for page in pages if page.key not in coverage})


def text_score(pairs: Iterable[tuple[str, str]]) -> tuple[float, float, float]:
    """F1, precision and recall over (found, truth) texts; zeros when there is none."""
    judged = [precision_recall(found, truth) for found, truth in pairs]
    if not judged:
        return 0.0, 0.0, 0.0
    precision, recall = fmean(p for p, _ in judged), fmean(r for _, r in judged)
    return f1(precision, recall), precision, recall


def plain_trafilatura(page: RealPage) -> str:
    """The yardstick: trafilatura on the same bytes, comments left out, nothing else set."""
    return trafilatura.extract(page.html, include_comments=False) or ""


def report(pages: Sequence[RealPage], outcome: Outcome, run: Run) -> list[str]:
    """The lines of the report."""
    lines = [_ended(run)]
    states = Counter(
        (row["state"], row["detail"] or "")
        for key in {page.key for page in pages}
        if (row := outcome.coverage.get(key))
    )
    by_state = Counter[str]()
    for (state, _), count in states.items():
        by_state[state] += count
    lines.append(f"\n{len(pages)} pages of {len({urlsplit(p.url).netloc for p in pages})} hosts")
    for state, count in by_state.most_common():
        lines.append(f"  {count:5} {state}")
        if state not in _TEXT_STATES:
            details = [(detail, n) for (s, detail), n in states.most_common() if s == state]
            lines += [f"        {n:5} {detail[:100] or '(no detail)'}" for detail, n in details]
    lost = lost_pages(pages, outcome.coverage)
    lines.append(f"  {len(lost):5} lost")
    lines += [f"        {url}" for url in lost]
    lines += [
        "",
        *_speed(pages, outcome.manifest, run),
        "",
        *_bytes(outcome),
        "",
        *_texts(pages, outcome),
    ]
    return lines


def _ended(run: Run) -> str:
    if run.status is None:
        return f"The run hung: it was ended after {run.seconds:.0f} s."
    return f"The run ended with status {run.status} after {run.seconds:.0f} s."


def _speed(
    pages: Sequence[RealPage], manifest: Mapping[str, Any] | None, run: Run
) -> Iterable[str]:
    if manifest and manifest.get("finished_at"):
        seconds = _seconds_between(manifest["started_at"], manifest["finished_at"])
        rate = len(pages) / seconds if seconds else 0.0
        yield f"crawl, extract and publish: {seconds:.0f} s, {rate:.1f} pages a second"
    yield f"peak memory: {run.peak >> 20} MiB, and the object store {run.store_peak >> 20} MiB"


def _bytes(outcome: Outcome) -> Iterable[str]:
    yield from (f"{size:9,} bytes an article: {place}" for place, size in outcome.sizes.items())


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _texts(pages: Sequence[RealPage], outcome: Outcome) -> Iterable[str]:
    yield f"{'text':26} pages     F1 (    P/    R)   kept     F1   trafilatura F1"
    for name in (*SETS, "all"):
        own = [page for page in pages if name in (page.set_name, "all")]
        kept = [page for page in own if page.key in outcome.texts]
        all_f1, precision, recall = text_score((outcome.texts.get(p.key, ""), p.text) for p in own)
        kept_f1 = text_score((outcome.texts[p.key], p.text) for p in kept)[0]
        plain = text_score((plain_trafilatura(p), p.text) for p in own)[0]
        yield (
            f"{name:26} {len(own):5}  {all_f1:.3f} ({precision:.3f}/{recall:.3f})"
            f"  {len(kept):5}  {kept_f1:.3f}            {plain:.3f}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help=f"the sets (default: {DATA})")
    parser.add_argument("--keep", action="store_true", help="add to the last replay's lake")
    options = parser.parse_args(arguments)
    try:
        pages = load(options.data)
    except FileNotFoundError as missing:
        print(f"{missing.filename} is missing; name the directory of the sets with --data DIR.")
        return 2
    if not options.keep:
        shutil.rmtree(HOME, ignore_errors=True)
    sites = sites_of(pages)
    write_sources(sites, HOME / "sources")
    log = HOME / "replay.log"
    print(f"Replaying {len(pages)} pages of {len(sites)} sites; the run's log is {log}", flush=True)
    with SiteServer(handler(sites)) as server:
        run = run_pipeline(HOME / "sources", HOME, server.proxy_url, log)
    if run.status != 0:
        print(*log.read_text(errors="replace").splitlines()[-20:], sep="\n")
    with serving(HOME) as variables:
        outcome = read_outcome(Store.from_environment(variables))
    print(*report(pages, outcome, run), sep="\n")
    return int(run.status != 0 or bool(lost_pages(pages, outcome.coverage)))


if __name__ == "__main__":
    sys.exit(main())
