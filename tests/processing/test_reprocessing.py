"""Reprocessing real lakes: what an older extractor made, extracted again by today's."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime
from itertools import count
from random import Random

import pyarrow.dataset as ds
import pytest
from older_code import OLD, failing, older, without_rights
from older_lake import FIRST, SECOND, STUB, crawl, story

from processing import dataset
from processing.corrections import commit_day
from processing.extraction import SITE_TEMPLATE, extractor, read_page
from processing.pool import ExtractionPool
from processing.reprocessing import (
    EXPIRED,
    FAILED,
    FOREIGN,
    MISSING,
    Kind,
    Selection,
    find_differences,
)
from processing.storage import Store
from processing.urls import url_id, url_key
from processing.verification import verify

ALL = Selection()
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
HERALD, TRIBUNE = "https://herald.example", "https://tribune.example"
TEXT = "The smallest boat of the fleet came home with a new captain"
PAGES = {
    f"{HERALD}/same": story("The council voted late at night to keep the old market hall"),
    f"{HERALD}/cut": story(TEXT, section="Sport"),
    f"{HERALD}/early": story("The ferry to the islands will sail twice a day from March on"),
    f"{HERALD}/missed": story("The bridge over the river was opened again after long repairs"),
    f"{HERALD}/stub": STUB,
    f"{HERALD}/stub-one-text": STUB,
    f"{TRIBUNE}/one-text": story("A library of tools was opened in the former town bakery"),
    f"{TRIBUNE}/one-text/again": story("The choir sang in the railway station at noon"),
}


@pytest.fixture(scope="module")
def old(object_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A lake that an older extractor filled in one run."""
    store = Store.from_environment(
        {**object_store, "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}"}
    )
    store.ensure_bucket()
    crawl(store, FIRST, tmp_path_factory.mktemp("raw"), PAGES)
    return store


@pytest.fixture
def lake(old: Store, store: Store) -> Store:
    """A copy of that lake, to work on."""
    for found in old.objects():
        store.put(found.key, old.get(found.key).data)
    return store


@pytest.fixture(scope="module")
def pool():
    with ExtractionPool(workers=1) as workers:
        yield workers


@pytest.fixture(scope="module")
def corrected(old, pool, object_store):
    """Another copy, with every difference committed; and the manifests of that."""
    store = Store.from_environment(
        {**object_store, "NEWSLAKE_LAKE": f"s3://test-{secrets.token_hex(8)}"}
    )
    store.ensure_bucket()
    for found in old.objects():
        store.put(found.key, old.get(found.key).data)
    return store, commit(store, pool)


def find(store, pool, selection=ALL, topic_maps=None):
    return list(find_differences(store, selection, pool, topic_maps or {}))


def differences(store, pool, selection=ALL):
    return {d.url: d for day in find(store, pool, selection) for d in day.differences}


def commit(store, pool, selection=ALL, clock=lambda: NOW):
    facts = {"started_at": NOW, "topic_maps": {}, "software": {"newslake": "test"}}
    return [
        manifest
        for day in find(store, pool, selection)
        for manifest in commit_day(store, day, **facts, clock=clock)
    ]


def rows(store, name, where=None):
    return dataset.scan(store, name).to_table(filter=where).to_pylist()


def by_url(store, name):
    return {row["url"]: row for row in rows(store, name)}


def id_of(url):
    return url_id(url_key(url))


def test_a_lake_of_todays_making_shows_no_difference(store, pool, tmp_path):
    crawl(store, FIRST, tmp_path, {f"{HERALD}/cut": PAGES[f"{HERALD}/cut"]}, extractor=read_page)
    (day,) = find(store, pool)
    assert day.looked_at == {"herald": 1}
    assert (day.differences, day.left) == ([], {})


def test_every_difference_is_found_and_nothing_is_changed_by_looking(lake, pool):
    before = {found.key: found.etag for found in lake.objects()}
    found = differences(lake, pool)
    assert {url: d.kind for url, d in found.items()} == {
        f"{HERALD}/cut": Kind.CHANGED,
        f"{HERALD}/early": Kind.CHANGED,
        f"{HERALD}/missed": Kind.GAINED,
        f"{HERALD}/stub": Kind.LOST,
        f"{HERALD}/stub-one-text": Kind.LOST,
        f"{TRIBUNE}/one-text": Kind.CHANGED,
        f"{TRIBUNE}/one-text/again": Kind.CHANGED,
    }
    assert found[f"{HERALD}/early"].columns == ["published_at"]
    assert {"title", "text", "section", "topic"} <= set(found[f"{HERALD}/cut"].columns)
    assert {found.key: found.etag for found in lake.objects()} == before


def test_a_changed_row_is_replaced_in_place(old, corrected):
    lake, (_, manifest, _) = corrected
    before = by_url(old, "articles")[f"{HERALD}/cut"]
    assert (before["extractor"], before["topic"]) == (OLD, "human-interest")
    after = by_url(lake, "articles")[f"{HERALD}/cut"]
    assert (after["title"], after["topic"]) == (TEXT, "sport")
    assert after["text"].count("\n") == 7
    assert (after["extractor"], after["run_id"]) == (extractor(), manifest["run_id"])
    fixed = ("id", "url", "date", "revision", "first_seen_at", "fetched_at", "warc_key")
    assert {c: after[c] for c in fixed} == {c: before[c] for c in fixed}
    assert rows(lake, "revisions") == []
    moved = {f"{after['date']}|human-interest", f"{after['date']}|sport"}
    assert moved <= set(manifest["partitions"])


def test_a_corrected_date_of_publication_moves_no_row(corrected):
    lake, _ = corrected
    after = by_url(lake, "articles")[f"{HERALD}/early"]
    assert (after["published_at"].day, after["date"]) == (10, date(2026, 11, 8))


def test_an_article_lost_leaves_and_its_run_no_longer_names_it(corrected):
    lake, _ = corrected
    gone = id_of(f"{HERALD}/stub")
    for name in ("articles", "copies", "fingerprints", "keys"):
        assert rows(lake, name, ds.field("id") == gone) == []
    said = rows(lake, "coverage", ds.field("url") == f"{HERALD}/stub")
    assert [(r["run_id"] == FIRST, r["state"], r["article_id"]) for r in said] in (
        [(True, "published", None), (False, "rejected-too-short", None)],
        [(False, "rejected-too-short", None), (True, "published", None)],
    )


def test_the_earliest_copy_takes_the_place_of_an_article_lost(old, corrected):
    lake, _ = corrected
    gone, heir, other = (
        id_of(url)
        for url in (
            f"{HERALD}/stub-one-text",
            f"{TRIBUNE}/one-text",
            f"{TRIBUNE}/one-text/again",
        )
    )
    assert {row["article_id"] for row in rows(old, "copies")} == {gone}
    article = by_url(lake, "articles")[f"{TRIBUNE}/one-text"]
    assert (article["id"], article["cluster_id"]) == (heir, heir)
    assert article["text"].startswith("A library of tools")
    (copy,) = rows(lake, "copies")
    assert (copy["id"], copy["article_id"], copy["cluster_id"]) == (other, heir, heir)
    assert (copy["relation"], copy["title"]) == (
        "exact",
        "The choir sang in the railway station at noon",
    )
    kinds = {row["key"]: row["kind"] for row in rows(lake, "keys")}
    assert (kinds.get(gone), kinds[heir], kinds[other]) == (None, "article", "copy")
    said = rows(lake, "coverage", ds.field("source") == "tribune")
    assert {row["article_id"] for row in said} == {heir}


def test_a_page_gained_is_published_as_a_crawl_publishes_it(corrected):
    lake, manifests = corrected
    row = by_url(lake, "articles")[f"{HERALD}/missed"]
    assert (row["run_id"], row["date"]) == (manifests[-1]["run_id"], date(2026, 11, 10))
    assert row["warc_key"].startswith("raw/date=2026-11-10/source=herald/")
    said = rows(lake, "coverage", ds.field("url") == f"{HERALD}/missed")
    assert {(r["run_id"] == FIRST, r["state"], r["article_id"]) for r in said} == {
        (True, "rejected-not-article", None),
        (False, "published", row["id"]),
    }


def test_after_a_commit_the_lake_is_sound_and_a_second_time_finds_nothing(corrected, pool):
    lake, manifests = corrected
    assert [m["dag_id"] for m in manifests] == ["reprocess"] * len(manifests)
    assert verify(lake, full=True, workers=1).findings == []
    assert differences(lake, pool) == {}


def test_a_selection_by_source_and_by_day(lake, pool):
    assert set(differences(lake, pool, Selection(sources=("tribune",)))) == {
        f"{TRIBUNE}/one-text",
        f"{TRIBUNE}/one-text/again",
    }
    assert differences(lake, pool, Selection(first=date(2026, 11, 11))) == {}
    eighth = Selection(date(2026, 11, 8), date(2026, 11, 8))
    assert set(differences(lake, pool, eighth)) == {f"{HERALD}/early"}


def test_rows_from_before_rights_were_read_gain_them(store, pool, tmp_path):
    pages = {f"{HERALD}/same": PAGES[f"{HERALD}/same"]}
    rights = {"tdm": "denied", "evidence": ["tdmrep.json: location /, tdm-reservation 1"]}
    crawl(store, FIRST, tmp_path, pages, extractor=without_rights, rights=rights)
    assert by_url(store, "articles")[f"{HERALD}/same"]["rights"] is None
    assert differences(store, pool)[f"{HERALD}/same"].columns == ["rights"]
    commit(store, pool)
    assert by_url(store, "articles")[f"{HERALD}/same"]["rights"] == {
        "robots": "unknown",
        "tdm": "denied",
        "ai": "unknown",
        "licence": None,
        "evidence": "tdmrep.json: location /, tdm-reservation 1",
    }
    assert differences(store, pool) == {}


def test_a_source_map_decides_todays_topic(lake, pool):
    maps = {"herald": {"/same": "environment"}}
    (said,) = [
        d
        for day in find(lake, pool, topic_maps=maps)
        for d in day.differences
        if d.url == f"{HERALD}/same"
    ]
    assert said.columns == ["topic", "topic_score", "topic_method", "topics"]
    assert said.after
    assert said.after["topic"] == "environment"


def replace_rows(store, name, change):
    """Rows as a reader would find them had ``change`` been true of them from the first."""
    tables = dataset.Tables(store)
    held = [change(row) for row in rows(store, name)]
    schema = tables.dataset(name).schema
    table = dataset.change_rows(
        tables,
        name,
        dataset.pa.Table.from_pylist(held, schema=schema),
        "careless",
        gone=ds.scalar(True),
    )
    dataset.commit(tables, table, f"careless/{name}", tables.delta(name).version(), NOW)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, EXPIRED),
        ("s3://elsewhere/cc-news.warc.gz", FOREIGN),
        ("raw/date=2026-11-10/source=herald/gone.warc.gz", MISSING),
    ],
)
def test_what_has_no_stored_page_is_counted_and_stays(lake, pool, key, reason):
    replace_rows(lake, "articles", lambda row: {**row, "warc_key": key})
    (day,) = find(lake, pool, Selection(date(2026, 11, 8), date(2026, 11, 8)))
    assert day.differences == []
    assert day.left == {("herald", reason): 1}


def test_a_page_that_cannot_be_extracted_this_time_loses_nothing(lake):
    with ExtractionPool(workers=1, extractor=failing) as broken:
        first, second = find(lake, broken)
    assert first.left + second.left == {("herald", FAILED): 5, ("tribune", FAILED): 2}
    assert [*first.differences, *second.differences] == []


def test_a_wall_taken_for_a_new_text_gives_way_to_the_earlier_one(store, pool, tmp_path):
    url = f"{HERALD}/stub-wall"
    crawl(store, FIRST, tmp_path, {url: story(TEXT)})
    crawl(store, SECOND, tmp_path, {url: STUB})
    (standing,) = rows(store, "articles")
    assert (standing["title"], standing["revision"]) == ("A stub", 1)
    (manifest,) = commit(store, pool)
    (after,) = rows(store, "articles")
    assert (after["title"], after["revision"], after["id"]) == (TEXT, 0, standing["id"])
    assert after["warc_key"].startswith("raw/date=2026-11-10/")
    assert rows(store, "revisions") == []
    (said,) = rows(store, "coverage", ds.field("run_id") == manifest["run_id"])
    assert said["detail"].startswith("an earlier text stands again: rejected-too-short")
    assert verify(store, full=True, workers=1).findings == []
    assert differences(store, pool) == {}


def test_a_page_lost_can_be_gained_again(corrected):
    """A stricter rule of one release is no verdict for ever."""
    lake, _ = corrected
    with ExtractionPool(workers=1, extractor=older) as again:
        found = differences(lake, again, Selection(date(2026, 11, 10), date(2026, 11, 10)))
    assert found[f"{HERALD}/stub"].kind is Kind.GAINED


def test_a_cluster_goes_on_without_the_article_it_hung_on(lake, pool):
    gone, left = id_of(f"{HERALD}/stub"), id_of(f"{HERALD}/same")
    replace_rows(
        lake,
        "articles",
        lambda row: {**row, "cluster_id": gone if row["id"] == left else row["cluster_id"]},
    )
    commit(lake, pool)
    assert by_url(lake, "articles")[f"{HERALD}/same"]["cluster_id"] == left


def test_what_a_newer_run_replaced_meanwhile_stays(lake, pool, tmp_path):
    (_, day) = find(lake, pool)
    newer = story("The harbour race was stopped", section="Sport")
    crawl(lake, SECOND, tmp_path, {f"{HERALD}/cut": newer})
    commit_day(lake, day, started_at=NOW, topic_maps={}, software={}, clock=lambda: NOW)
    after = by_url(lake, "articles")[f"{HERALD}/cut"]
    assert (after["run_id"], after["revision"]) == (SECOND, 1)
    assert verify(lake, workers=1).findings == []


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("steps", (3, 8))
def test_a_reprocess_that_dies_is_finished_by_the_next(lake, pool, steps):
    ticks = count()

    def dying():
        if next(ticks) == steps:
            raise Killed
        return NOW

    with pytest.raises(Killed):
        commit(lake, pool, clock=dying)
    later = datetime(2026, 11, 20, 9, tzinfo=UTC)
    commit(lake, pool, clock=lambda: later)
    commit(lake, pool, clock=lambda: later.replace(hour=10))
    assert verify(lake, full=True, workers=1).findings == []
    assert differences(lake, pool) == {}


def test_lines_that_recur_over_a_site_are_learnt_and_taken_out(store, pool, tmp_path):
    """From the site's first run on; and verify, a retry and reprocess agree with what was done."""
    button = "<p>Get the evening letter of the Herald</p>"
    pages = {f"{HERALD}/{name}": _unlike(name, button) for name in ("ferry", "opera", "rates")}
    crawl(store, FIRST, tmp_path, pages, extractor=read_page)
    found = by_url(store, "articles")
    assert len(found) == 3
    assert not any("evening letter" in row["text"] for row in found.values())
    assert all(SITE_TEMPLATE in row["extractor"] for row in found.values())
    assert verify(store, full=True, workers=1).findings == []
    assert differences(store, pool) == {}
    crawl(store, SECOND, tmp_path, pages, extractor=read_page)
    states = {row["state"] for row in rows(store, "coverage", ds.field("run_id") == SECOND)}
    assert states == {"unchanged"}


def _unlike(name: str, after: str) -> bytes:
    """A page whose words no other name shares."""
    draw = Random(name)
    words = ["".join(draw.choices("abcdefghiklmnoprstuvw", k=9)) for _ in range(160)]
    lines = [" ".join(words[at : at + 20]).capitalize() + "." for at in range(0, 160, 20)]
    body = "".join(f"<p>{line}</p>" for line in lines)
    title = f"The {name} of the town"
    return (
        f"<html lang=en><head><title>{title}</title></head><body><article><h1>{title}</h1>"
        f"{body}{after}<p>{lines[0][::-1]}</p></article></body></html>"
    ).encode()
