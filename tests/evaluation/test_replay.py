"""The replay's own parts: sites made from pages, the accounts it draws up, missing data."""

import gzip
import io
from datetime import UTC, date, datetime
from urllib.request import ProxyHandler, Request, build_opener

import pyarrow.parquet as pq
import pytest
import replay
from replay import Outcome, RealPage, Run
from siteserver import SiteServer

from crawlers import catalogue
from crawlers.discovery import Entry, Kind, read_listing
from processing import tables
from processing.publishing import RunFacts, publish

KINDS = {
    "a.example": Kind.FEED,
    "b.example": Kind.FEED,
    "c.example": Kind.SITEMAP,
    "d.example": Kind.SITEMAP_INDEX,
}


def page(url: str, title: str | None = None, day: str | None = None, text: str = "") -> RealPage:
    html = f"<html><meta charset=latin-1><p>Grüße aus {url}</p></html>".encode()
    return RealPage("text_news_aeb", url, html, text, title, day, "de")


PAGES = [
    *(page(f"http://{host}/2024/eins?id=1&n=2", "Ä < B & \x01 C", "2024-02-29") for host in KINDS),
    *(page(f"http://{host}/zwei") for host in KINDS),
]


@pytest.fixture(scope="module")
def sites():
    return replay.sites_of(PAGES)


@pytest.fixture(scope="module")
def fetch(sites):
    with SiteServer(replay.handler(sites)) as server:
        opener = build_opener(ProxyHandler({"http": server.proxy_url}))

        def get(url: str, encoding: str = "identity"):
            with opener.open(Request(url, headers={"Accept-Encoding": encoding})) as answer:
                return answer.read(), dict(answer.headers)

        yield get


def entries(url, fetch) -> list[Entry]:
    body, headers = fetch(url)
    listing = read_listing(body, url, headers)
    if listing.kind is Kind.SITEMAP_INDEX:
        return [entry for child in listing.entries for entry in entries(child.url, fetch)]
    return list(listing.entries)


@pytest.mark.parametrize("host", KINDS)
def test_each_sites_listing_names_its_pages_and_what_is_known_of_them(host, sites, fetch):
    (url,) = sites[host].feeds + sites[host].sitemaps
    body, headers = fetch(url)
    assert read_listing(body, url, headers).kind is KINDS[host]
    listed = {entry.url: entry for entry in entries(url, fetch)}
    assert set(listed) == {p.url for p in PAGES if f"//{host}/" in p.url}
    dated = listed[f"http://{host}/2024/eins?id=1&n=2"]
    moment = dated.published or dated.modified
    assert (moment.date() if isinstance(moment, datetime) else moment) == date(2024, 2, 29)
    titled = dated.title and dated.title.split()
    assert titled == (None if host == "c.example" else ["Ä", "<", "B", "&", "C"])
    undated = listed[f"http://{host}/zwei"]
    assert undated.published is undated.modified is None


def test_the_pages_are_served_as_they_are_plain_or_packed(sites, fetch):
    for real in PAGES:
        body, headers = fetch(real.url, "gzip")
        packed = headers.get("Content-Encoding") == "gzip"
        assert packed == sites[real.url.split("/")[2]].gzipped
        assert (gzip.decompress(body) if packed else body) == real.html
        assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert {site.gzipped for site in sites.values()} == {True, False}


def test_the_source_files_are_a_sound_catalogue(sites, tmp_path):
    replay.write_sources(sites, tmp_path)
    found = catalogue.load(tmp_path)
    assert not found.errors
    assert sorted(found.sources) == ["a-example", "b-example", "c-example", "d-example"]


def test_the_account_is_read_from_the_lake(store):
    assert replay.read_outcome(store) == Outcome({}, {}, None)
    run_id = "20261110T120000Z-abcdef"
    moment = datetime(2026, 11, 10, 12, tzinfo=UTC)
    real, gone = PAGES[:2]
    article = {
        **{"id": "1", "url": real.url, "source": "a-example", "title": "Eins", "text": "Ein Satz."},
        **{"published_source": "first-seen", "first_seen_at": moment, "fetched_at": moment},
        **{"topic_method": "none", "word_count": 2, "revision": 0, "content_hash": "1"},
        **{"extractor": "test", "listed_url": real.url},
    }
    said = {"run_id": run_id, "source": "a-example", "at": moment, "date": moment.date()}
    coverage = [
        {**said, "url": real.url, "state": tables.EXTRACTED},
        {**said, "url": gone.url, "state": "failed-http", "detail": "503"},
    ]
    for name, rows, schema in (
        ("articles", [article], tables.STAGED_ARTICLES),
        ("coverage", coverage, tables.STAGED_COVERAGE),
    ):
        sink = io.BytesIO()
        pq.write_table(tables.to_table(rows, schema), sink)
        key = f"staged/run={run_id}/source=a-example/{name}.parquet"
        store.put(key, sink.getvalue())
    manifest = publish(store, RunFacts(run_id, ("a-example",), moment, {}, {}, {}))
    outcome = replay.read_outcome(store)
    assert outcome.texts == {real.key: "Ein Satz."}
    assert {key: row["state"] for key, row in outcome.coverage.items()} == {
        real.key: "published",
        gone.key: "failed-http",
    }
    assert outcome.manifest == manifest


def test_a_page_without_a_coverage_row_is_lost():
    first, *others = PAGES
    row = {"state": "failed-http", "detail": "503", "at": datetime(2026, 1, 1, tzinfo=UTC)}
    coverage = {p.key: row for p in others}
    assert replay.lost_pages(PAGES, coverage) == [first.url]
    lines = replay.report(PAGES, Outcome(coverage, {}, None), Run(0, 1.0, 1 << 20, 0))
    assert any(line.split() == ["7", "failed-http"] for line in lines)
    assert any(line.split() == ["7", "503"] for line in lines)
    assert any(line.split() == ["1", "lost"] for line in lines)


def test_the_text_score_counts_what_was_rejected_as_nothing():
    truth = "eins zwei drei vier fünf"
    assert replay.text_score([(truth, truth)]) == (1.0, 1.0, 1.0)
    assert replay.text_score([(truth, truth), ("", truth)])[2] == 0.5
    assert replay.text_score([]) == (0.0, 0.0, 0.0)


def test_a_run_is_measured_and_its_words_are_kept(tmp_path, monkeypatch):
    (tmp_path / "newslake").mkdir()
    (tmp_path / "newslake" / "__init__.py").touch()
    (tmp_path / "newslake" / "__main__.py").write_text(
        "import os, sys; print(sys.argv[1:], os.environ['http_proxy']); sys.exit(3)"
    )
    monkeypatch.setattr(replay, "CHECKOUT", tmp_path)
    monkeypatch.setenv("NEWSLAKE_LAKE", "s3://somewhere-else")
    run = replay.run_pipeline(tmp_path / "s", tmp_path / "h", "http://127.0.0.1:9", tmp_path / "l")
    assert run.status == 3
    words = (tmp_path / "l").read_text()
    assert "['run', '--sources'" in words
    assert "http://127.0.0.1:9" in words


def test_missing_data_is_one_sentence(tmp_path, capsys):
    assert replay.main(["--data", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert str(tmp_path) in line
    assert "--data" in line
