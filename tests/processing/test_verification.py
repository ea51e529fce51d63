"""Verification of real lakes: a sound one, and each way of being wrong that it must see."""

from __future__ import annotations

import gzip
import json
import secrets
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from crawlers.warc import WarcFiles, WireResponse
from processing import dataset
from processing.dataset import Change
from processing.pool import ExtractionPool
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, KNOWN, Hints, State, Visit
from processing.staging import stage
from processing.storage import Store
from processing.tables import SCHEMAS
from processing.texts import content_hash
from processing.verification import Finding, verify

FIRST, SECOND = "20261110T120000Z-abcdef", "20261111T120000Z-abcdef"
SITE = "https://herald.example"
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
STORIES = {
    "/sport/harbour-race": "The harbour race was won by the smallest boat of the fleet",
    "/council-vote": "The council voted late at night to keep the old market hall open",
    "/ferry": "The ferry to the northern islands will sail twice a day from March on",
}


def page(title: str) -> bytes:
    """An article of about 150 words, different for each title."""
    said = [
        f"{title}, people in the town said on Monday, and sentence {n} of this report explains how"
        f" that came about and who was there to see it happen in round {n}."
        for n in range(8)
    ]
    paragraphs = "".join(f"<p>{line}</p>" for line in said)
    dated = '<meta property="article:published_time" content="2026-11-10T09:30:00Z">'
    return (
        f"<html lang=en><head><title>{title}</title>{dated}</head><body><article><h1>{title}</h1>"
        f"{paragraphs}</article></body></html>"
    ).encode()


def run(store: Store, run_id: str, folder: Path, stories: dict[str, str], *known: str) -> None:
    """What a crawl leaves behind, staged and published."""
    raw = WarcFiles(folder, f"raw/date={run_id[:4]}-11-{run_id[6:8]}/source=herald/{run_id}-1", {})
    visits = [Visit(SITE + path, KNOWN, f"{SITE}/feed", NOON) for path in known]
    visits.append(Visit(f"{SITE}/gone", State.FAILED_HTTP, f"{SITE}/feed", NOON, http_status=404))
    for path, title in stories.items():
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        hints = Hints(title=title, tags=("town", "news"))
        said = {"url": SITE + path, "discovered_via": f"{SITE}/feed", "hints": hints.to_json()}
        pointer = raw.write(SITE + path, NOON, WireResponse(head, page(title)), said)
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


@pytest.fixture
def lake(sound: Store, store: Store) -> Store:
    """A copy of the sound lake, to damage."""
    for found in sound.objects():
        store.put(found.key, sound.get(found.key).data)
    return store


def put_rows(store: Store, name: str, rows: pa.Table) -> None:
    """Make ``rows`` the whole table, as a careless writer would."""
    table = dataset.open_table(store, name)
    assert table is not None
    change = Change(
        name,
        dataset.write_files(store, name, rows, "careless"),
        tuple(dataset.files_of(table)),
    )
    dataset.commit(store, change, f"careless/{table.version()}", table.version(), NOON)


def rows_of(store: Store, name: str) -> pa.Table:
    return dataset.scan(store, name).to_table().select(SCHEMAS[name].names).cast(SCHEMAS[name])


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    at = table.schema.get_field_index(name)
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(values, field.type))


def test_a_sound_lake_gives_no_findings_and_says_what_it_looked_at(lake):
    report = verify(lake, full=True, workers=1)
    assert report.findings == []
    assert report.notes == []
    assert report.checked == {
        "articles": 3,
        "copies": 1,
        "revisions": 0,
        "coverage": 6,
        "keys": 4,
        "manifests": 2,
        "texts": 4,
        "pages": 4,
    }


def test_an_empty_lake_is_sound(store):
    dataset.initialise(store)
    assert verify(store).findings == []


def test_a_sample_is_the_first_articles_by_id(lake):
    first, *others = sorted(rows_of(lake, "articles").to_pylist(), key=lambda row: row["id"])
    wrong = [
        {**row, "text": f"{row['text']} More."} if row is others[0] else row
        for row in (first, *others)
    ]
    put_rows(lake, "articles", pa.Table.from_pylist(wrong, schema=SCHEMAS["articles"]))
    report = verify(lake, sample=1, workers=1)
    assert report.findings == [] and report.checked["texts"] == 1
    assert [f.subject for f in verify(lake, sample=2, workers=1).findings] == [others[0]["id"]]


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


def gone_raw(store: Store) -> None:
    store.delete([found.key for found in store.objects("raw/date=2026-11-10/")])


def other_text(store: Store) -> None:
    rows = rows_of(store, "articles")
    texts = ["Not what the page says.", *rows["text"].to_pylist()[1:]]
    rows = with_column(rows, "text", texts)
    put_rows(store, "articles", with_column(rows, "content_hash", list(map(content_hash, texts))))


@pytest.mark.parametrize(
    ("damage", "check", "detail"),
    [
        (broken_manifest, "manifest", "says 7 published of herald, coverage has 3 rows"),
        (broken_manifest, "manifest", "5 URLs discovered of herald"),
        (broken_manifest, "manifest", "version 99 of keys"),
        (lost_manifest, "manifest", "no manifest"),
        (dead_publish, "unfinished", "the next publish completes it"),
        (doubled("articles"), "identity", "2 times in articles"),
        (doubled("copies"), "identity", "2 times in copies"),
        (doubled("coverage"), "identity", "2 times in coverage"),
        (emptied("articles"), "reference", "which is not in articles"),
        (emptied("articles"), "key", "where none is"),
        (emptied("keys"), "key", "keys does not find"),
        (changed("keys", "topic", "health"), "key", "under 2026-11-10 and health"),
        (changed("articles", "topic", "sports"), "topic", "sports is no topic"),
        (changed("articles", "date", date(2026, 11, 9)), "date", "2026-11-09, but of 2026-11-10"),
        (changed("coverage", "state", "lost"), "state", "lost is no state"),
        (changed("coverage", "date", date(2026, 1, 1)), "date", "not the day of its run"),
        (changed("articles", "text", "Another text."), "text", "not its text's"),
        (changed("articles", "warc_offset", 3), "page", "is gone or damaged"),
        (gone_raw, "page", "is gone or damaged"),
        (other_text, "page", "gives another text when extracted again"),
    ],
)
def test_what_is_wrong_is_found(lake, damage, check, detail):
    damage(lake)
    found = verify(lake, sample=3 if check in ("text", "page") else 0, workers=1).findings
    assert any(finding.check == check and detail in finding.detail for finding in found), found


def test_a_null_where_none_may_be_is_found(lake):
    rows = rows_of(lake, "coverage").to_pylist()
    loose = pa.schema([field.with_nullable(True) for field in SCHEMAS["coverage"]])
    rows[0]["at"] = None
    put_rows(lake, "coverage", pa.Table.from_pylist(rows, schema=loose))
    assert (
        Finding("null", "coverage.at", "is null in 1 of 6 rows") in verify(lake, sample=0).findings
    )


def test_what_another_extractor_made_is_not_held_against_todays(lake):
    other_text(lake)
    rows = rows_of(lake, "articles")
    put_rows(lake, "articles", with_column(rows, "extractor", ["newslake/0.0.1"] * len(rows)))
    assert verify(lake, workers=1).findings == []


def test_expired_and_foreign_pages_are_notes(lake):
    rows = rows_of(lake, "articles")
    keys = [None, "s3://crawl-data/x.warc.gz", rows["warc_key"][2].as_py()]
    put_rows(lake, "articles", with_column(rows, "warc_key", keys))
    report = verify(lake, workers=1)
    assert report.findings == []
    assert len(report.notes) == 2 and all(note.startswith("1 rows of") for note in report.notes)


def test_findings_of_one_kind_are_capped(lake):
    rows = rows_of(lake, "coverage")
    many = pa.concat_tables([rows] * 40)
    urls = [f"{SITE}/{n}" for n in range(len(many))]
    many = with_column(many, "state", ["lost"] * len(many))
    put_rows(lake, "coverage", with_column(many, "url", urls))
    states = [f for f in verify(lake, sample=0).findings if f.check == "state"]
    assert len(states) == 101 and states[-1].detail == "more than 100 of this kind"
