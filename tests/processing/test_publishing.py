"""Publishing against a real store: what is decided, what survives a crash, what repeats."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from faultproxy import FaultProxy

from processing import dataset
from processing.commits import read_manifest
from processing.exceptions import StoreError
from processing.publishing import RunFacts, publish
from processing.records import KNOWN, Article, Rights, State
from processing.site_templates import PageLines, Templates
from processing.storage import Store
from processing.tables import EXTRACTED, STAGED_ARTICLES, STAGED_COVERAGE, to_table
from processing.urls import url_id, url_key

DAY = datetime(2026, 11, 10, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"2026111{n}T120000Z-abcdef" for n in range(3))
EVERYTHING = ds.field("id").is_valid()


def article(url: str, text: str = "Some text.", *, source: str = "herald", **more) -> Article:
    canonical = more.pop("canonical_url", None)
    fetched = more.pop("fetched_at", DAY + timedelta(hours=1))
    return Article(
        id=url_id(url_key(canonical or url)),
        url=url,
        canonical_url=canonical,
        source=source,
        title=more.pop("title", "A title"),
        text=text,
        published_at=more.pop("published_at", DAY),
        published_source="json-ld",
        fetched_at=fetched,
        first_seen_at=fetched,
        content_hash=sha256(text.encode()).hexdigest(),
        word_count=len(text.split()),
        extractor="test",
        **more,
    )


def stage(store, run_id: str, *articles: Article, others: tuple[tuple[str, str], ...] = ()) -> None:
    """Put what extraction would have staged; ``others`` are (url, state) of source herald."""
    sources = {a.source for a in articles} | {"herald"}
    for source in sources:
        own = [a for a in articles if a.source == source]
        rows = [{**a.to_row(), "listed_url": a.url} for a in own]
        said = [(a.url, EXTRACTED) for a in own] + (list(others) if source == "herald" else [])
        coverage = [
            {"run_id": run_id, "source": source, "url": url, "state": state, "at": DAY}
            | {"date": datetime.strptime(run_id[:8], "%Y%m%d").date()}
            for url, state in said
        ]
        for name, table in (
            ("articles", to_table(rows, STAGED_ARTICLES)),
            ("coverage", to_table(coverage, STAGED_COVERAGE)),
        ):
            sink = io.BytesIO()
            pq.write_table(table, sink)
            store.put(f"staged/run={run_id}/source={source}/{name}.parquet", sink.getvalue())


def facts(run_id: str, *sources: str) -> RunFacts:
    return RunFacts(
        run_id=run_id,
        sources=sources or ("herald", "tribune"),
        started_at=DAY,
        topic_maps={"herald": {"/sport/": "sport"}},
        failures={},
        software={"newslake": "test"},
    )


def rows(store, table: str):
    return sorted(
        dataset.scan(store, table).to_table().to_pylist(), key=lambda r: r.get("id", r.get("url"))
    )


def states(store, run_id: str) -> dict[str, str]:
    where = ds.field("run_id") == run_id
    return {r["url"]: r["state"] for r in dataset.read_rows(store, "coverage", where)}


def test_an_article_is_published_with_its_columns_partition_and_keys(store):
    one = article("https://www.herald.example/sport/one?utm_source=x")
    stage(store, FIRST, one, others=(("https://herald.example/gone", "failed-http"),))
    manifest = publish(store, facts(FIRST))
    (row,) = rows(store, "articles")
    assert row["id"] == url_id("herald.example/sport/one")
    assert (row["date"], row["topic"], row["topic_method"]) == (DAY.date(), "sport", "source-map")
    assert (row["cluster_id"], row["run_id"], row["revision"]) == (row["id"], FIRST, 0)
    assert [k["key"] for k in rows(store, "keys")] == [row["id"]]
    assert states(store, FIRST) == {
        one.url: State.PUBLISHED,
        "https://herald.example/gone": State.FAILED_HTTP,
    }
    assert manifest["partitions"] == ["2026-11-10|sport"]
    assert manifest["counts"]["herald"] == {"failed-http": 1, "published": 1}
    assert not list(store.objects("staged/"))


def test_known_urls_are_counted_and_not_rows(store):
    stage(store, FIRST, others=(("https://herald.example/known", KNOWN),))
    manifest = publish(store, facts(FIRST))
    assert states(store, FIRST) == {}
    assert manifest["known"]["herald"] == manifest["discovered"]["herald"] == 1


def test_the_same_text_elsewhere_is_an_exact_copy_of_the_earliest(store):
    late = article("https://herald.example/a", published_at=DAY)
    early = article(
        "https://tribune.example/b", source="tribune", published_at=DAY - timedelta(hours=2)
    )
    stage(store, FIRST, late, early)
    publish(store, facts(FIRST))
    (kept,), (copy,) = rows(store, "articles"), rows(store, "copies")
    assert (kept["url"], copy["url"]) == (early.url, late.url)
    assert (copy["article_id"], copy["relation"]) == (kept["id"], "exact")
    assert copy["similarity"] == 1.0 and copy["cluster_id"] == kept["id"]
    assert states(store, FIRST)[late.url] == State.DUPLICATE_EXACT


def test_a_copy_that_comes_in_a_later_run_stays_a_copy_even_if_dated_earlier(store):
    stage(store, FIRST, article("https://herald.example/a"))
    publish(store, facts(FIRST))
    older = article("https://tribune.example/b", source="tribune", published_at=DAY - timedelta(1))
    stage(store, SECOND, older)
    publish(store, facts(SECOND))
    assert [r["url"] for r in rows(store, "articles")] == ["https://herald.example/a"]
    assert [r["url"] for r in rows(store, "copies")] == [older.url]


def test_equal_texts_far_apart_in_time_are_two_articles(store):
    stage(store, FIRST, article("https://herald.example/weather-1"))
    publish(store, facts(FIRST))
    stage(
        store,
        SECOND,
        article("https://herald.example/weather-2", published_at=DAY - timedelta(days=31)),
    )
    publish(store, facts(SECOND))
    assert len(rows(store, "articles")) == 2


def test_a_canonical_at_another_source_makes_a_same_url_copy(store):
    origin = article("https://herald.example/a", "The text as the agency sent it.")
    stage(store, FIRST, origin)
    publish(store, facts(FIRST))
    carried = article(
        "https://tribune.example/b",
        "The text, cut.",
        source="tribune",
        canonical_url="https://herald.example/a",
    )
    stage(store, SECOND, carried)
    publish(store, facts(SECOND))
    (copy,) = rows(store, "copies")
    assert (copy["relation"], copy["article_id"]) == ("same-url", origin.id)
    assert copy["id"] == url_id(url_key(carried.url))


def test_a_page_met_again_unchanged_adds_nothing(store):
    stage(store, FIRST, article("https://herald.example/a"))
    publish(store, facts(FIRST))
    before = rows(store, "articles")
    stage(store, SECOND, article("https://herald.example/a", fetched_at=DAY + timedelta(days=1)))
    manifest = publish(store, facts(SECOND))
    assert rows(store, "articles") == before
    assert states(store, SECOND) == {"https://herald.example/a": State.UNCHANGED}
    assert manifest["partitions"] == []


def test_a_changed_text_replaces_the_row_and_keeps_the_old_one(store):
    others = [article(f"https://herald.example/other-{n}", f"Other {n}.") for n in range(3)]
    stage(store, FIRST, article("https://herald.example/a", "Old."), *others)
    publish(store, facts(FIRST))
    new = article(
        "https://herald.example/a",
        "New text.",
        title="Corrected",
        fetched_at=DAY + timedelta(days=1),
        published_at=DAY + timedelta(days=1),
    )
    stage(store, SECOND, new)
    publish(store, facts(SECOND))
    found = {r["url"]: r for r in rows(store, "articles")}
    assert len(found) == 4
    row = found["https://herald.example/a"]
    assert (row["text"], row["revision"], row["run_id"]) == ("New text.", 1, SECOND)
    assert row["date"] == DAY.date(), "the partition is fixed at first publication"
    assert row["published_at"] == DAY + timedelta(days=1)
    (old,) = rows(store, "revisions")
    assert (old["text"], old["revision"], old["replaced_by_run"]) == ("Old.", 0, SECOND)
    assert old["changed"] == ["title", "text", "published_at"]
    assert states(store, SECOND) == {new.url: State.UPDATED}


def test_a_canonical_that_different_reports_share_replaces_none_of_them(store):
    shared = "https://herald.example/live/all-the-news-today"
    reports = {
        n: f"Report {n}: " + " ".join(f"{word}{n}" for word in ("harbour", "tram", "vote", "gale"))
        for n in "abc"
    }

    def page(n: str, text: str, hours: int = 1) -> Article:
        fetched = DAY + timedelta(hours=hours)
        return article(
            f"https://herald.example/{n}", text, canonical_url=shared, fetched_at=fetched
        )

    stage(store, FIRST, page("a", reports["a"]))
    publish(store, facts(FIRST))
    stage(store, SECOND, page("b", reports["b"], 2), page("c", reports["c"], 2))
    publish(store, facts(SECOND))
    assert {r["url"][-1]: r["text"] for r in rows(store, "articles")} == reports
    assert not rows(store, "revisions")
    stage(store, THIRD, page("b", reports["b"] + " And more.", 3))
    publish(store, facts(THIRD))
    assert len(rows(store, "articles")) == 3
    assert [r["url"][-1] for r in rows(store, "revisions")] == ["b"]


def test_a_page_that_moved_under_the_same_canonical_is_a_revision(store):
    named = "https://herald.example/news/harbour-wall"
    text = "The harbour wall was finished on Friday, two weeks early."
    stage(store, FIRST, article("https://herald.example/m/1", text, canonical_url=named))
    publish(store, facts(FIRST))
    moved = article(
        named, text + " Ferries run again.", canonical_url=named, fetched_at=DAY + timedelta(1)
    )
    stage(store, SECOND, moved)
    publish(store, facts(SECOND))
    assert states(store, SECOND) == {named: State.UPDATED}
    assert len(rows(store, "articles")) == len(rows(store, "revisions")) == 1


def test_a_page_reached_under_two_listed_urls_is_one_row(store):
    one = article("https://herald.example/a")
    stage(store, FIRST, one)
    blob = store.get(f"staged/run={FIRST}/source=herald/articles.parquet").data
    table = pq.read_table(io.BytesIO(blob)).to_pylist()
    stage(store, FIRST, one, others=(("https://herald.example/old-address", EXTRACTED),))
    twice = to_table(
        [*table, {**table[0], "listed_url": "https://herald.example/old-address"}], STAGED_ARTICLES
    )
    sink = io.BytesIO()
    pq.write_table(twice, sink)
    store.put(f"staged/run={FIRST}/source=herald/articles.parquet", sink.getvalue())
    publish(store, facts(FIRST))
    assert len(rows(store, "articles")) == 1 and not rows(store, "copies")
    assert sorted(states(store, FIRST).values()) == [State.DUPLICATE_EXACT, State.PUBLISHED]


def test_publishing_the_same_run_again_changes_nothing(store):
    staged = (
        article("https://herald.example/a"),
        article("https://tribune.example/b", source="tribune"),
        article("https://herald.example/c", "Another."),
    )
    stage(store, FIRST, *staged)
    first = publish(store, facts(FIRST))
    before = {name: rows(store, name) for name in dataset.SCHEMAS}
    stage(store, FIRST, *staged)
    second = publish(store, facts(FIRST))
    assert {name: rows(store, name) for name in dataset.SCHEMAS} == before
    assert second["counts"] == first["counts"] and second["partitions"] == first["partitions"]


def test_a_repeat_without_staged_input_keeps_what_the_run_published(store):
    stage(store, FIRST, article("https://herald.example/a"))
    first = publish(store, facts(FIRST))
    again = publish(store, facts(FIRST))
    assert len(rows(store, "articles")) == 1
    assert again["counts"] == first["counts"]


class _Crash(Exception):
    pass


@pytest.mark.parametrize("stop_before", range(7))
@pytest.mark.parametrize("finisher", ["the run itself", "the next run"])
def test_a_publish_cut_off_anywhere_is_completed_without_loss_or_double(
    store, monkeypatch, stop_before, finisher
):
    stage(store, FIRST, article("https://herald.example/a", "Old."))
    publish(store, facts(FIRST))
    staged = (
        article("https://herald.example/a", "New.", fetched_at=DAY + timedelta(days=1)),
        article("https://herald.example/b", "Second."),
        article("https://tribune.example/c", "Second.", source="tribune"),
    )
    stage(store, SECOND, *staged)
    calls = 0
    whole_commit = dataset.commit

    def commit_until(*arguments):
        nonlocal calls
        if calls == stop_before:
            raise _Crash
        calls += 1
        return whole_commit(*arguments)

    monkeypatch.setattr(dataset, "commit", commit_until)
    completes = stop_before > 4
    if completes:  # all five tables are in: the cut falls before or after the manifest
        put = store.put

        def put_until(key, *arguments, **keywords):
            if key.startswith("runs/"):
                if stop_before == 6:
                    put(key, *arguments, **keywords)
                raise _Crash
            return put(key, *arguments, **keywords)

        monkeypatch.setattr(store, "put", put_until)
    with pytest.raises(_Crash):
        publish(store, facts(SECOND))
    monkeypatch.undo()
    if finisher == "the next run":
        stage(store, THIRD, article("https://herald.example/d", "Third."))
        publish(store, facts(THIRD))
    publish(store, facts(SECOND))
    urls = [r["url"] for r in rows(store, "articles")]
    assert len(urls) == len(set(urls)) == 2 + (finisher == "the next run")
    assert {r["url"]: r["text"] for r in rows(store, "articles")}[staged[0].url] == "New."
    assert len(rows(store, "copies")) == len(rows(store, "revisions")) == 1
    assert states(store, SECOND) == {
        staged[0].url: State.UPDATED,
        staged[1].url: State.PUBLISHED,
        staged[2].url: State.DUPLICATE_EXACT,
    }
    manifest = read_manifest(store, SECOND)
    assert manifest and manifest["counts"]["herald"] == {"published": 1, "updated": 1}
    for name, version in manifest["tables"].items():
        assert dataset.open_table(store, name, version) is not None


def test_two_publishers_at_once_lose_and_double_nothing(store):
    shared = article("https://herald.example/shared", "Shared.")
    runs = (FIRST, SECOND, THIRD)
    for number, run_id in enumerate(runs):
        stage(store, run_id, shared, article(f"https://herald.example/{number}", f"Own {number}."))
    with ThreadPoolExecutor(len(runs)) as publishers:
        manifests = list(publishers.map(lambda run_id: publish(store, facts(run_id)), runs))
    urls = sorted(row["url"] for row in rows(store, "articles"))
    assert urls == [*(f"https://herald.example/{n}" for n in range(3)), shared.url]
    told = [states(store, run_id)[shared.url] for run_id in runs]
    assert sorted(told) == [State.PUBLISHED, State.UNCHANGED, State.UNCHANGED]
    assert len({m["tables"]["articles"] for m in manifests}) == len(runs)


def test_a_source_without_staged_input_counts_nothing_and_stops_nobody(store):
    stage(store, FIRST, article("https://herald.example/a"))
    manifest = publish(store, facts(FIRST, "herald", "dead"))
    assert manifest["counts"] == {"dead": {}, "herald": {"published": 1}}


def test_a_lake_may_lie_under_a_prefix(store, lake_env):
    under = Store.from_environment({**lake_env, "NEWSLAKE_LAKE": f"{store.url}/some/folder/"})
    stage(under, FIRST, article("https://herald.example/a"))
    publish(under, facts(FIRST))
    assert len(rows(under, "articles")) == 1
    assert {o.key.split("/")[0] for o in store.objects()} == {"some"}


def test_a_newer_lake_is_refused_in_one_sentence(store):
    store.put("lake.json", b'{"format_version": 99}')
    with pytest.raises(StoreError, match=r"format 99.*upgrade newslake"):
        publish(store, facts(FIRST))


def test_a_publish_reads_no_articles_but_those_met_again(store, lake_env):
    old = [
        article(f"https://herald.example/{n}", f"Old {n}.", published_at=DAY - timedelta(days=n))
        for n in range(1, 6)
    ]
    stage(store, FIRST, *old)
    publish(store, facts(FIRST))
    again = article("https://herald.example/3", "New.", fetched_at=DAY + timedelta(days=1))
    stage(store, SECOND, article("https://herald.example/new", "Quite new."), again)
    opened = []

    def note(request):
        opened.append(request.path)
        return True

    table = r"GET /[^/]+/(articles|copies|revisions)/date"
    with FaultProxy(lake_env["AWS_ENDPOINT_URL_S3"], table, note, times=10_000) as proxy:
        past = Store.from_environment({**lake_env, "AWS_ENDPOINT_URL_S3": proxy.url})
        publish(past, facts(SECOND))
    days = {re.search(r"date%3D([0-9-]+)|date=([0-9-]+)", path)[0][-10:] for path in opened}
    assert days == {"2026-11-07"}


def test_what_a_publisher_says_of_a_texts_use_is_kept_up_to_date(store):
    url, other = "https://herald.example/a", "https://herald.example/b"
    stage(store, FIRST, article(url), article(other, "Another text."))
    publish(store, facts(FIRST))
    reserved = Rights(robots="allowed", tdm="denied", ai="denied", evidence="tdmrep.json")
    again = article(url, fetched_at=DAY + timedelta(days=1), rights=reserved)
    stage(store, SECOND, again)
    publish(store, facts(SECOND))
    found = {row["url"]: row for row in rows(store, "articles")}
    assert found[url]["rights"]["tdm"] == "denied"
    assert (found[url]["revision"], found[url]["run_id"]) == (0, FIRST)
    assert found[other]["rights"] is None
    assert states(store, SECOND) == {url: State.UNCHANGED}
    assert not rows(store, "revisions")


def test_lines_learnt_of_a_site_meanwhile_make_no_revision(store):
    url, line = "https://herald.example/a", "Get the evening letter"
    stage(store, FIRST, article(url, f"Some text.\n{line}"))
    publish(store, facts(FIRST))
    templates = Templates(store)
    for report in ("ferry", "opera", "rates"):
        words = " ".join(f"{report}{n}" for n in range(30))
        templates.meet(url, PageLines.of(f"{words}\n{line}"))
    templates.put()
    later = {"fetched_at": DAY + timedelta(days=1)}
    cleaned = replace(article(url, "Some text.", **later), extractor="test+site-template/1")
    stage(store, SECOND, cleaned)
    publish(store, facts(SECOND))
    assert states(store, SECOND) == {url: State.UNCHANGED}
    stage(store, THIRD, replace(cleaned, text="Other text.", content_hash="0" * 64))
    publish(store, facts(THIRD))
    assert states(store, THIRD) == {url: State.UPDATED}
