"""Exports read back: the rows of the filter in every format, whole or not at all."""

from __future__ import annotations

import gzip
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml

from newslake import exporting
from newslake.exporting import Selection, export
from newslake.reader import Lake
from processing.exceptions import ConfigurationError, ExportError, StoreError
from processing.publishing import RunFacts, publish
from processing.records import FETCHED, Article, Rights, Visit
from processing.schema_documents import COLUMNS
from processing.staging import StagedSource
from processing.storage import Store
from processing.tables import SCHEMAS
from processing.texts import content_hash, count_words
from processing.urls import url_id, url_key

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
MADE = datetime(2026, 11, 20, 9, tzinfo=UTC)
FIRST, SECOND = "20261111T120000Z-abcdef", "20261112T120000Z-abcdef"


def article(path: str, text: str, *, days: int = 0, fetched: int = 1, **more: Any) -> Article:
    url = f"https://herald.example{path}"
    return Article(
        id=url_id(url_key(url)),
        url=url,
        title=f"Title of „{path}“ \u2028 with a line separator",
        text=text,
        published_at=NOON + timedelta(days=days),
        published_source="json-ld",
        first_seen_at=NOON + timedelta(days=1),
        fetched_at=NOON + timedelta(days=fetched),
        content_hash=content_hash(text),
        word_count=count_words(text),
        extractor="test",
        **more,
    )


def published(store: Store, run_id: str, **sources: list[Article]) -> None:
    for source, articles in sources.items():
        staged = StagedSource(run_id, source)
        for one in articles:
            staged.add(Visit(one.url, FETCHED, "", one.fetched_at), one)
        staged.put(store)
    maps = {"herald": {"/sport/": "sport"}}
    publish(store, RunFacts(run_id, tuple(sources), NOON, maps, {}, {}))


@pytest.fixture(scope="module")
def lake(object_store: dict[str, str]) -> Iterator[Lake]:
    """Four articles of two sources on two days, a copy, and a new text of /a."""
    bucket = f"s3://test-{secrets.token_hex(8)}"
    store = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    store.ensure_bucket()
    reserved = Rights(tdm="denied", ai="unknown")
    published(
        store,
        FIRST,
        herald=[
            article("/a", "Text of a.", language="en", authors=("A. Writer",)),
            article("/sport/b", "Text of b.", language="de", rights=reserved),
            article("/c", "Text of c.", days=1, language="en"),
        ],
        tribune=[article("/d", "Text of d, somewhere else.", days=1)],
    )
    published(
        store,
        SECOND,
        herald=[article("/a", "Text of a, with more of it.", fetched=3, language="en")],
        tribune=[article("/b-again", "Text of b.", days=2, fetched=3)],
    )
    with Lake(store) as opened:
        yield opened


SELECTIONS = {
    "everything": (Selection(), {"/a", "/sport/b", "/c", "/d"}),
    "a day": (Selection(first=NOON.date(), last=NOON.date()), {"/a", "/sport/b"}),
    "a topic": (Selection(topics=("sport",)), {"/sport/b"}),
    "a source": (Selection(sources=("tribune",)), {"/d"}),
    "languages": (Selection(languages=("en", "de")), {"/a", "/sport/b", "/c"}),
    "all at once": (
        Selection("articles", NOON.date(), date(2026, 11, 11), (), ("herald",), ("en",)),
        {"/a", "/c"},
    ),
    "copies": (Selection("copies"), {"/b-again"}),
    "revisions": (Selection("revisions"), {"/a"}),
    "nothing": (Selection(sources=("nobody",)), set()),
}


def wanted(lake: Lake, selection: Selection, paths: set[str]) -> list[dict[str, Any]]:
    """The rows themselves, out of the lake, by another way than the export's."""
    rows = lake.dataset(selection.table).to_table().to_pylist()
    chosen = [row for row in rows if row["url"].removeprefix("https://herald.example") in paths]
    assert len(chosen) == len(paths)
    return sorted(chosen, key=lambda row: row["id"])


def by_id(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: row["id"])


@pytest.mark.parametrize("name", SELECTIONS)
def test_parquet_holds_the_rows_of_the_selection_in_hive_folders(lake, tmp_path: Path, name: str):
    selection, paths = SELECTIONS[name]
    said = export(lake, tmp_path / "out", "parquet", selection, MADE)
    rows = wanted(lake, selection, paths)
    assert said["rows"] == len(rows)
    schema = SCHEMAS[selection.table]
    shape = ds.partitioning(pa.schema([schema.field("date"), schema.field("topic")]), flavor="hive")
    found = ds.dataset(
        tmp_path / "out" / selection.table, schema=schema, format="parquet", partitioning=shape
    )
    assert by_id(found.to_table()) == rows
    for file in (tmp_path / "out").rglob("*.parquet"):
        assert {"date", "topic"}.isdisjoint(pq.read_schema(file).names)
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


def test_polars_reads_the_hive_folders_with_their_partition_columns(lake, tmp_path: Path):
    export(lake, tmp_path / "out", "parquet", Selection(), MADE)
    sport = pl.scan_parquet(tmp_path / "out" / "articles", hive_partitioning=True).filter(
        (pl.col("date") == NOON.date()) & (pl.col("topic") == "sport")
    )
    assert sport.select("url", "date", "topic").collect().rows() == [
        ("https://herald.example/sport/b", NOON.date(), "sport")
    ]


@pytest.mark.parametrize("name", SELECTIONS)
def test_json_lines_hold_the_rows_of_the_selection(lake, tmp_path: Path, name: str):
    selection, paths = SELECTIONS[name]
    export(lake, tmp_path / "out", "jsonl", selection, MADE)
    with gzip.open(tmp_path / "out" / f"{selection.table}.jsonl.gz", "rb") as file:
        found = [json.loads(line) for line in file]
    rows = wanted(lake, selection, paths)
    assert [row["id"] for row in sorted(found, key=lambda row: row["id"])] == [
        row["id"] for row in rows
    ]
    for row in found:
        for column, value in next(r for r in rows if r["id"] == row["id"]).items():
            said = row[column]
            if isinstance(value, datetime):
                said = datetime.fromisoformat(said)
            elif isinstance(value, date):
                said = date.fromisoformat(said)
            assert said == value, column


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_hugging_face_folder_holds_the_rows_where_its_card_says(lake, tmp_path: Path, name: str):
    selection, paths = SELECTIONS[name]
    export(lake, tmp_path / "out", "huggingface", selection, MADE)
    _, front, _ = (tmp_path / "out" / "README.md").read_text("utf-8").split("---\n", 2)
    (config,) = yaml.safe_load(front)["configs"]
    (split,) = config["data_files"]
    shards = sorted((tmp_path / "out").glob(split["path"]))
    assert sorted((tmp_path / "out" / "data").iterdir()) == shards
    found = pa.concat_tables(map(pq.read_table, shards))
    assert found.schema.equals(SCHEMAS[selection.table])
    assert by_id(found) == wanted(lake, selection, paths)


def test_the_card_says_what_a_stranger_must_know(lake: Lake, tmp_path: Path):
    said = export(lake, tmp_path / "out", "huggingface", Selection(), MADE)
    _, front, card = (tmp_path / "out" / "README.md").read_text("utf-8").split("---\n", 2)
    meta = yaml.safe_load(front)
    assert meta["language"] == ["de", "en"]
    assert meta["size_categories"] == ["n<1K"]
    assert (meta["license"], meta["license_name"]) == ("other", "rights-of-the-publishers")
    assert "2026-11-10 to 2026-11-11" in card
    assert "| herald | 3 |" in card and "| tribune | 1 |" in card
    assert "| tdm | denied | 1 |" in card
    assert f"Version {said['version']} " in card and SECOND in card
    for name, column in COLUMNS["articles"].items():
        assert f"| `{name}` | {column.null or 'never'} | {column.meaning} |" in card


def test_many_rows_make_many_shards(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exporting, "_SHARD_ROWS", 1)
    monkeypatch.setattr(exporting, "_GROUP_ROWS", (1, 1))
    export(lake, tmp_path / "out", "huggingface", Selection(), MADE)
    shards = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert shards == [f"train-{n:05}-of-00004.parquet" for n in range(4)]


def test_export_json_tells_what_the_reader_holds(lake: Lake, tmp_path: Path):
    selection = Selection("articles", NOON.date(), NOON.date(), ("sport",), (), ("de",))
    said = export(lake, tmp_path / "out", "jsonl", selection, MADE)
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == {
        "table": "articles",
        "version": lake.versions()["articles"],
        "last_run": SECOND,
        "selection": {
            "first": "2026-11-10",
            "last": "2026-11-10",
            "topics": ["sport"],
            "languages": ["de"],
        },
        "rows": 1,
        "format": "jsonl",
        "exported_at": "2026-11-20T09:00:00+00:00",
        "newslake": said["newslake"],
    }


@pytest.mark.parametrize("form", ["parquet", "jsonl", "huggingface"])
def test_the_same_export_has_the_same_bytes(lake: Lake, tmp_path: Path, form: str):
    for name in ("one", "two"):
        export(lake, tmp_path / name, form, Selection(), MADE)
    one, two = (
        {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files(tmp_path / name)}
        for name in ("one", "two")
    )
    assert one == two and one


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_folder_that_holds_something_is_refused(lake: Lake, tmp_path: Path):
    (tmp_path / "out").mkdir()
    export(lake, tmp_path / "out", "jsonl", Selection(), MADE)
    before = files(tmp_path)
    for taken in (tmp_path / "out", tmp_path / "out" / "export.json"):
        with pytest.raises(ExportError, match="is not empty; name a folder that is new or empty"):
            export(lake, taken, "parquet", Selection(), MADE)
    assert files(tmp_path) == before


def test_only_a_local_folder_is_written(lake: Lake, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="no local folder"):
        export(lake, Path("s3://bucket/export"), "parquet", Selection(), MADE)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        export(lake, tmp_path / "file" / "out", "parquet", Selection(), MADE)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("form", ["parquet", "jsonl", "huggingface"])
def test_what_cannot_be_finished_leaves_nothing(lake: Lake, tmp_path: Path, form: str):
    ours = lake.store
    # A version of which a file is gone, as when an export outlives a vacuum.
    copy = Store(f"{ours.bucket}-{secrets.token_hex(4)}", "", ours.client, ours.delta_options)
    copy.ensure_bucket()
    for found in ours.objects():
        if "/topic=sport/" not in found.key:
            copy.put(found.key, ours.get(found.key).data)
    with Lake(copy) as torn, pytest.raises(StoreError, match=r"cannot read|no longer kept"):
        export(torn, tmp_path / "out", form, Selection(), MADE)
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_and_tells_what(lake_env, lake: Lake, tmp_path: Path):
    environ = {**lake_env, "NEWSLAKE_LAKE": lake.url}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "newslake", "dataset", "export", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    out = tmp_path / "new" / "out"
    done = run(str(out), "--date", "2026-11-10..2026-11-11", "--source", "herald", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (said,) = json.loads(done.stdout)
    assert (said["destination"], said["rows"], said["format"]) == (str(out), 3, "parquet")
    again = run(str(out))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("newslake: ") and len(again.stderr.splitlines()) == 1
    wrong = run(str(tmp_path / "x"), "--topic", "sports")
    assert wrong.returncode == 2 and "'sports'" in wrong.stderr
    typed = run(str(tmp_path / "x"), "--date", "yesterday")
    assert typed.returncode == 2 and "'yesterday'" in typed.stderr
