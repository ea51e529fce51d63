"""Verification of real lakes: a sound one, and each way of being wrong that it must see."""

from __future__ import annotations

import gzip
import json
import secrets
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from crawlers.warc import WarcFiles, WireResponse
from processing import dataset
from processing.dataset import Change, Tables
from processing.findings import Report
from processing.pool import ExtractionPool
from processing.provenance import all_rows, some_rows
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, KNOWN, Hints, State, Visit
from processing.staging import stage
from processing.storage import Store
from processing.tables import SCHEMAS
from processing.texts import content_hash
from processing.tombstones import Tombstone
from processing.urls import url_id, url_key
from processing.verification import verify

FIRST, SECOND, THIRD = (f"202611{day}T120000Z-abcdef" for day in (10, 11, 12))
SITE = "https://herald.example"
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
STORIES = {
    "/sport/harbour-race": "The harbour race was won by the smallest boat of the fleet",
    "/council-vote": "The council voted late at night to keep the old market hall open",
    "/ferry": "The ferry to the northern islands will sail twice a day from March on",
}

_SENTENCE = (
    "people in the town said on Monday and the next of these reports explains how that came about"
    " and who was there to see it happen"
)


def page(title: str, day: str = "2026-11-10") -> bytes:
    """An article of about 150 words, different for each title."""
    # The words in another order in each sentence: no story is an edited copy of another.
    draw, words = Random(title), _SENTENCE.split()
    said = [f"{title}, {' '.join(draw.sample(words, len(words)))} in {n}." for n in range(8)]
    paragraphs = "".join(f"<p>{line}</p>" for line in said)
    dated = f'<meta property="article:published_time" content="{day}T09:30:00Z">'
    return (
        f"<html lang=en><head><title>{title}</title>{dated}</head><body><article><h1>{title}</h1>"
        f"{paragraphs}</article></body></html>"
    ).encode()


def run(
    store: Store,
    run_id: str,
    folder: Path,
    stories: dict[str, str],
    *known: str,
    moment: datetime = NOON,
    day: str = "2026-11-10",
) -> None:
    """What a crawl at a moment leaves behind, staged and published: stories of a day."""
    raw = WarcFiles(folder, f"raw/date={run_id[:4]}-11-{run_id[6:8]}/source=herald/{run_id}-1", {})
    visits = [Visit(SITE + path, KNOWN, f"{SITE}/feed", NOON) for path in known]
    visits.append(Visit(f"{SITE}/gone", State.FAILED_HTTP, f"{SITE}/feed", NOON, http_status=404))
    for path, title in stories.items():
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        hints = Hints(title=title, tags=("town", "news"))
        said = {"url": SITE + path, "discovered_via": f"{SITE}/feed", "hints": hints.to_json()}
        pointer = raw.write(SITE + path, moment, WireResponse(head, page(title, day)), said)
        visits.append(Visit(SITE + path, FETCHED, f"{SITE}/feed", NOON, None, 200, pointer, hints))
    for key, file in raw.files.items():
        store.put_file(key, file)
    ledger = "\n".join(json.dumps(visit.to_json()) for visit in visits)
    key = f"staged/run={run_id}/source=herald/crawl-1.jsonl.gz"
    store.put(key, gzip.compress(ledger.encode()))
    with ExtractionPool(workers=1) as pool:
        stage(store, run_id, "herald", pool)
    publish(store, RunFacts(run_id, ("herald",), NOON, {}, {}, {}))


@pytest.fixture(scope="module")
def sound(object_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three articles and a copy of one, over two runs."""
    bucket = f"s3://test-{secrets.token_hex(8)}"
    store = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    store.ensure_bucket()
    folder = tmp_path_factory.mktemp("raw")
    run(store, FIRST, folder, STORIES, "/old")
    race = STORIES["/sport/harbour-race"]
    run(store, SECOND, folder, {"/again/harbour-race": race}, "/ferry", "/council-vote")
    return store


def check(store: Store, sample: int = 0, *, full: bool = False) -> Report:
    return verify(store, sample=sample, full=full, workers=1, wait=lambda seconds: None)


@pytest.fixture
def lake(sound: Store, store: Store) -> Store:
    """A copy of the sound lake, to damage."""
    for found in sound.objects():
        store.put(found.key, sound.get(found.key).data)
    return store


def put_rows(store: Store, name: str, rows: pa.Table) -> None:
    """Make ``rows`` the whole table, as a careless writer would."""
    tables = Tables(store)
    removes = dataset.files_of(tables, name, tables.files(name)["path"].to_pylist())
    base = tables.versions()[name]
    change = Change(name, dataset.write_files(store, name, rows, f"careless{base}"), removes)
    dataset.commit(tables, change, f"careless/{base}", base, NOON)


def rows_of(store: Store, name: str) -> pa.Table:
    return dataset.scan(store, name).to_table().select(SCHEMAS[name].names).cast(SCHEMAS[name])


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    at = table.schema.get_field_index(name)
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(values, field.type))


def test_a_sound_lake_gives_no_findings_and_says_what_it_looked_at(lake):
    report = check(lake, full=True)
    assert report.findings == []
    assert report.notes == []
    assert report.checked == {
        "articles": 3,
        "copies": 1,
        "coverage": 6,
        "revisions": 0,
        "keys": 4,
        "fingerprints": 4,
        "files": sum(len(Tables(lake).files(name)) for name in SCHEMAS),
        "manifests": 2,
        "texts": 4,
        "pages": 4,
    }


def test_an_empty_lake_is_sound(store):
    dataset.initialise(store)
    assert check(store, 20).findings == []


def test_a_lake_without_its_tables_is_told(store):
    assert {finding.subject for finding in check(store).findings} == set(SCHEMAS)


def test_a_sample_is_of_articles_and_of_copies(lake):
    rows = rows_of(lake, "articles")
    put_rows(lake, "articles", with_column(rows, "text", ["Another text."] * len(rows)))
    report = check(lake, sample=1)
    assert report.checked["texts"] == 2
    texts = [finding for finding in report.findings if finding.check == "text"]
    assert len(texts) == 1 and texts[0].subject in rows["id"].to_pylist()
    assert len([f for f in check(lake, sample=3).findings if f.check == "text"]) == 3


def test_a_sample_is_any_rows_of_any_files(lake):
    tables = Tables(lake)
    rows = sorted(rows_of(lake, "articles")["id"].to_pylist())
    drawn = [[row["id"] for row in some_rows(tables, "articles", 2, Random(n))] for n in range(30)]
    assert {id_ for ids in drawn for id_ in ids} == set(rows)
    assert all(len(set(ids)) == 2 for ids in drawn)
    assert sorted(row["id"] for row in some_rows(tables, "articles", 9, Random(1))) == rows
    assert sorted(row["id"] for row in all_rows(tables, "articles")) == rows


def test_a_date_corrected_later_is_no_finding(lake, tmp_path):
    story = {"/ferry": "The ferry to the northern islands will not sail before the first of April"}
    later = NOON.replace(hour=13)
    run(lake, FIRST, tmp_path, story, moment=later, day="2026-11-09")
    (row,) = [row for row in rows_of(lake, "articles").to_pylist() if "ferry" in row["url"]]
    assert (row["revision"], row["date"].day, row["published_at"].day) == (0, 10, 9)
    assert check(lake).findings == []
    story["/ferry"] += " or so"
    run(lake, THIRD, tmp_path, story, moment=NOON.replace(day=12), day="2026-11-08")
    assert len(rows_of(lake, "revisions")) == 1
    assert check(lake).findings == []


def test_an_article_has_as_many_earlier_texts_as_its_revision_says(lake, tmp_path):
    story = {"/ferry": "The ferry to the northern islands will not sail before the first of April"}
    run(lake, THIRD, tmp_path, story, moment=NOON.replace(day=12))
    earlier = rows_of(lake, "revisions")
    assert check(lake).findings == []
    for rows, said in (
        (earlier.slice(0, 0), "has revision 1, but its earlier texts are none"),
        (pa.concat_tables([earlier] * 2), "has revision 1, but its earlier texts are [0, 0]"),
        (with_column(earlier, "id", ["f" * 32]), "has revision 0, but its earlier texts are [0]"),
    ):
        put_rows(lake, "revisions", rows)
        assert said in [f.detail for f in check(lake).findings if f.check == "revision"]


def broken_manifest(store: Store) -> None:
    key = f"runs/{FIRST}.json"
    said = json.loads(store.get(key).data)
    said["counts"]["herald"]["published"] = 7
    said["known"]["herald"] = 0
    said["tables"]["keys"] = 99
    store.put(key, json.dumps(said).encode())


def lost_manifest(store: Store) -> None:
    store.delete([f"runs/{FIRST}.json"])


def dead_publish(store: Store) -> None:
    store.put(f"staged/run={FIRST}/commit.json", b"{}")


def doubled(name: str):
    def act(store: Store) -> None:
        rows = rows_of(store, name)
        put_rows(store, name, pa.concat_tables([rows, rows.slice(0, 1)]))

    return act


def emptied(name: str):
    def act(store: Store) -> None:
        put_rows(store, name, rows_of(store, name).slice(0, 0))

    return act


def changed(name: str, column: str, value: object):
    def act(store: Store) -> None:
        rows = rows_of(store, name)
        before = rows[column].to_pylist()
        put_rows(store, name, with_column(rows, column, [value, *before[1:]]))

    return act


def lost_file(store: Store) -> None:
    store.delete([f"articles/{Tables(store).files('articles')['path'][0]}"])


def cut_file(store: Store) -> None:
    key = f"copies/{Tables(store).files('copies')['path'][0]}"
    store.put(key, store.get(key).data[:100])


def begun_forgetting(store: Store) -> None:
    key = url_id(url_key(f"{SITE}/nothing"))
    Tombstone(NOON.isoformat(), SECOND, (key,), with_copies=False).put(store)


def gone_raw(store: Store) -> None:
    store.delete([found.key for found in store.objects("raw/date=2026-11-10/")])


def other_text(store: Store) -> None:
    rows = rows_of(store, "articles")
    texts = ["Not what the page says.", *rows["text"].to_pylist()[1:]]
    rows = with_column(rows, "text", texts)
    put_rows(store, "articles", with_column(rows, "content_hash", list(map(content_hash, texts))))


@pytest.mark.parametrize(
    ("damages", "findings"),
    [
        (
            (
                broken_manifest,
                doubled("copies"),
                changed("keys", "topic", "health"),
                changed("fingerprints", "article_id", "f" * 32),
                changed("copies", "cluster_id", "f" * 32),
                begun_forgetting,
            ),
            {
                ("manifest", "says 7 published of herald, coverage has 3 rows"),
                ("manifest", "5 URLs discovered of herald"),
                ("manifest", "version 99 of keys"),
                ("identity", "2 times in copies"),
                ("key", "under 2026-11-10 and health"),
                ("fingerprint", "of another text"),
                ("fingerprint", "fingerprints does not find"),
                ("cluster", "another cluster than its article"),
                ("forgotten", "repeat 'newslake dataset forget'"),
            },
        ),
        (
            (
                lost_manifest,
                doubled("articles"),
                doubled("coverage"),
                doubled("fingerprints"),
                changed("coverage", "state", "lost"),
            ),
            {
                ("manifest", "no manifest"),
                ("identity", "2 times in articles"),
                ("identity", "2 times in coverage"),
                ("fingerprint", "more than once"),
                ("state", "lost is no state"),
            },
        ),
        (
            (emptied("articles"), changed("coverage", "date", date(2026, 1, 1)), dead_publish),
            {
                ("reference", "is a copy of"),
                ("reference", "is published, of"),
                ("key", "where none is"),
                ("date", "not the day of its run"),
                ("unfinished", "the next publish completes it"),
            },
        ),
        (
            (
                emptied("keys"),
                emptied("fingerprints"),
                changed("articles", "topic", "sports"),
                changed("articles", "cluster_id", "f" * 32),
            ),
            {
                ("cluster", "no article gives its id"),
                ("key", "keys does not find"),
                ("fingerprint", "fingerprints does not find"),
                ("topic", "sports is no topic"),
            },
        ),
        (
            (changed("articles", "date", date(2026, 11, 9)),),
            {("date", "2026-11-09, but of 2026-11-10")},
        ),
        (
            (changed("articles", "text", "Another text."), gone_raw),
            {("text", "not its text's"), ("page", "is gone or damaged")},
        ),
        ((changed("articles", "warc_offset", 3),), {("page", "is gone or damaged")}),
        ((other_text,), {("page", "gives another text when extracted again")}),
        (
            (lost_file, cut_file),
            {("file", "is not there"), ("file", "has 100 bytes, the table says")},
        ),
    ],
)
def test_what_is_wrong_is_found(lake, damages, findings):
    for damage in damages:
        damage(lake)
    found = check(lake, sample=3).findings
    for kind, detail in findings:
        assert any(f.check == kind and detail in f.detail for f in found), (kind, detail, found)


def test_a_null_where_none_may_be_is_found(lake):
    rows = rows_of(lake, "coverage").to_pylist()
    loose = pa.schema([field.with_nullable(True) for field in SCHEMAS["coverage"]])
    rows[0]["at"] = None
    put_rows(lake, "coverage", pa.Table.from_pylist(rows, schema=loose))
    (found,) = [finding for finding in check(lake).findings if finding.check == "null"]
    assert found.subject == "coverage.at" and "is null in 1 of " in found.detail


def test_a_file_with_a_column_of_another_type_is_found(lake):
    rows = rows_of(lake, "coverage")
    at = rows.schema.get_field_index("http_status")
    put_rows(
        lake, "coverage", rows.set_column(at, "http_status", rows["http_status"].cast("int64"))
    )
    (found,) = {finding.subject for finding in check(lake).findings if finding.check == "schema"}
    assert found == "coverage.http_status"


def test_rows_are_not_looked_at_while_a_file_is_missing(lake):
    lost_file(lake)
    assert check(lake).notes == [
        "rows were not looked at, since files of their tables are not whole"
    ]


def test_a_publish_under_way_is_waited_for(lake):
    plan = f"staged/run={SECOND}/commit.json"
    lake.put(plan, b"{}")
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            lake.delete([plan])

    assert verify(lake, sample=0, wait=wait).findings == []
    assert len(waited) == 3


def test_what_another_extractor_made_is_not_held_against_todays(lake):
    other_text(lake)
    rows = rows_of(lake, "articles")
    assert "page" in {finding.check for finding in check(lake, 20).findings}
    put_rows(lake, "articles", with_column(rows, "extractor", ["newslake/0.0.1"] * len(rows)))
    assert "page" not in {finding.check for finding in check(lake, 20).findings}


def test_expired_and_foreign_pages_are_notes(lake):
    rows = rows_of(lake, "articles")
    keys = [None, "s3://crawl-data/x.warc.gz", rows["warc_key"][2].as_py()]
    put_rows(lake, "articles", with_column(rows, "warc_key", keys))
    report = check(lake, 20)
    assert report.findings == []
    assert len(report.notes) == 2 and all(note.startswith("1 rows of") for note in report.notes)


def test_findings_of_one_kind_are_capped(lake):
    rows = rows_of(lake, "coverage")
    many = pa.concat_tables([rows] * 40)
    urls = [f"{SITE}/{n}" for n in range(len(many))]
    many = with_column(many, "state", ["lost"] * len(many))
    put_rows(lake, "coverage", with_column(many, "url", urls))
    states = [f for f in check(lake).findings if f.check == "state"]
    assert len(states) == 101 and states[-1].detail == "more than 100 of this kind"
