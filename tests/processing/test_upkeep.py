"""Upkeep against a real store: what readers see stays, and only what is due goes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from test_publishing import FIRST, SECOND, THIRD, article, facts, publish, rows, stage

from processing import dataset, upkeep
from processing.commits import read_manifest
from processing.dataset import SCHEMAS, Tables
from processing.exceptions import StoreError
from processing.storage import Store
from processing.upkeep import Upkeep

KEEP = timedelta(days=30)
LATER = timedelta(days=40)
RAW = "raw/date=2026-11-10/source=herald/20261110T120000Z-abcdef-1-000.warc.gz"
COMING = datetime.now(UTC).date() + timedelta(days=10)
YOUNGER = f"raw/date={COMING}/source=herald/{COMING:%Y%m%d}T120000Z-abcdef-1-000.warc.gz"


def after(span: timedelta, store: Store) -> Upkeep:
    """The upkeep of a day that lies ahead: what is written now is as old by then."""
    return Upkeep(store, clock=lambda: datetime.now(UTC) + span)


def everything(store: Store) -> dict[str, list]:
    return {name: rows(store, name) for name in SCHEMAS}


def files(store: Store, name: str) -> list[str]:
    return Tables(store).files(name)["path"].to_pylist()


def lying(store: Store, name: str) -> list[str]:
    """Data files in the bucket, listed by a version or not."""
    found = (o.key.removeprefix(f"{name}/") for o in store.objects(f"{name}/"))
    return [key for key in found if key.endswith(".parquet") and "_delta_log" not in key]


def filled(store: Store, *runs: tuple[str, dict]) -> None:
    """Runs that each publish into the same partitions, with a copy and a revision."""
    for number, (run_id, more) in enumerate(runs):
        again = {"fetched_at": datetime(2026, 11, 10 + number, 14, tzinfo=UTC), **more}
        stage(
            store,
            run_id,
            article(f"https://herald.example/{number}", f"Plain {number}.", **more),
            article(f"https://herald.example/sport/{number}", f"Sport {number}.", **more),
            article(
                f"https://tribune.example/{number}", f"Plain {number}.", source="tribune", **more
            ),
            article("https://herald.example/live", f"Live {number}.", **again),
        )
        publish(store, facts(run_id))


@pytest.fixture(scope="module")
def built(object_store: dict[str, str]) -> Store:
    made = Store.from_environment({**object_store, "NEWSLAKE_LAKE": f"s3://test-{token_hex(8)}"})
    made.ensure_bucket()
    filled(made, (FIRST, {}), (SECOND, {}), (THIRD, {}))
    return made


@pytest.fixture
def lake(built: Store, store: Store) -> Store:
    """Three runs' articles, copies and revisions, in a bucket of the test's own."""
    for found in built.objects():
        store.put(found.key, built.get(found.key).data)
    return store


def test_compaction_leaves_one_file_a_partition_and_every_row(lake):
    before, runs = everything(lake), {name: len(files(lake, name)) for name in SCHEMAS}
    done = {each.where: each for each in Upkeep(lake).compact()}
    assert everything(lake) == before
    assert {"articles", "copies", "keys"} <= done.keys()
    for name, each in done.items():
        partitions = {path.rpartition("/")[0] for path in files(lake, name)}
        assert len(files(lake, name)) == len(partitions)
        assert each.task == "compacted" and each.bytes > 0
        assert each.objects > 1 and re.match(r"into \d+ of \d+ bytes", each.detail)
        assert runs[name] - len(partitions) == each.objects - int(each.detail.split()[1])
    assert len(files(lake, "coverage")) == 3, "its days have a file each already"


def test_compaction_is_no_change_of_data_to_those_who_follow_the_log(lake):
    Upkeep(lake).compact()
    version = dataset.open_table(lake, "articles").version()
    entry = lake.get(f"articles/_delta_log/{version:020}.json").data
    said = [json.loads(line) for line in entry.splitlines()]
    flags = [
        action[kind]["dataChange"]
        for action in said
        for kind in ("add", "remove")
        if kind in action
    ]
    assert len(flags) == 3 + 1 and not any(flags)


def test_what_is_compact_is_left_alone(lake):
    Upkeep(lake).compact()
    versions = Tables(lake).versions()
    assert Upkeep(lake).compact() == []
    assert Tables(lake).versions() == versions


def test_other_readers_read_what_was_compacted_and_vacuumed(lake):
    after(LATER, lake).compact()
    after(LATER, lake).vacuum(KEEP)
    frame = pl.scan_delta(f"{lake.url}/articles", storage_options=lake.delta_options).collect()
    assert sorted(frame["id"]) == [row["id"] for row in rows(lake, "articles")]


def test_files_that_fit_no_more_into_the_target_stay_apart(lake):
    sizes = sorted(Tables(lake).files("keys")["size_bytes"].to_pylist())
    Upkeep(lake).compact(target=sizes[0] + sizes[1])
    assert len(files(lake, "keys")) == 2


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 150)), max_size=30),
    st.integers(50, 120),
)
def test_groups_are_whole_fit_the_target_and_are_worth_it(found, target):
    listed = [
        {"path": str(n), "size_bytes": size, "partition.date": day}
        for n, (day, size) in enumerate(found)
    ]
    groups = upkeep._mergeable("coverage", listed, target)
    paths = [file["path"] for group in groups for file in group]
    assert len(paths) == len(set(paths))
    for group in groups:
        assert len(group) > 1 and len({file["partition.date"] for file in group}) == 1
        assert sum(file["size_bytes"] for file in group) <= target
    for day in "ab":  # of what is left no two would have fitted together
        left = sorted(
            f["size_bytes"] for f in listed if f["partition.date"] == day and f["path"] not in paths
        )
        assert len(left) < 2 or left[0] + left[1] > target
    slices = list(upkeep._slices(groups))
    assert [file["path"] for part in slices for file in part] == paths


class _Crash(Exception):
    pass


def test_a_kill_before_the_commit_leaves_orphans_for_vacuum_and_nothing_else(lake, monkeypatch):
    before, listed = everything(lake), set(files(lake, "articles"))

    def crash(*_: object) -> None:
        raise _Crash

    monkeypatch.setattr(dataset, "commit", crash)
    with pytest.raises(_Crash):
        Upkeep(lake).compact()
    monkeypatch.undo()
    orphans = set(lying(lake, "articles")) - listed
    assert orphans and everything(lake) == before
    Upkeep(lake).vacuum(KEEP)
    assert orphans <= set(lying(lake, "articles")), "too young: it may be a commit under way"
    (gone,) = [
        e for e in after(LATER, lake).vacuum(KEEP) if (e.task, e.where) == ("vacuumed", "articles")
    ]
    assert gone.objects == len(orphans)
    assert set(lying(lake, "articles")) == listed and everything(lake) == before


def test_versions_are_read_for_as_long_as_they_are_kept(lake):
    then = Tables(lake).versions()
    before = everything(lake)
    Upkeep(lake).compact()
    after(KEEP / 2, lake).vacuum(KEEP)
    kept = Tables(lake, then)
    for name in SCHEMAS:
        assert kept.dataset(name).count_rows() == len(before[name])
        assert len(kept.files(name)) >= len(files(lake, name))


def test_what_no_kept_version_needs_goes_with_its_log(lake):
    before = everything(lake)
    Upkeep(lake).compact()
    first = DeltaTable(f"{lake.url}/keys", storage_options=lake.delta_options).version()
    done = after(LATER, lake).vacuum(KEEP)
    for name in SCHEMAS:
        assert sorted(lying(lake, name)) == sorted(files(lake, name))
    assert everything(lake) == before
    cleared = {e.where: e for e in done if e.task == "log cleared"}
    assert cleared["keys"].objects == first and cleared["keys"].bytes > 0
    with pytest.raises(StoreError, match="keys"):
        Tables(lake, {"keys": first - 1}).dataset("keys")
    stage(lake, "20261113T120000Z-abcdef", article("https://herald.example/next", "Next."))
    publish(lake, facts("20261113T120000Z-abcdef"))
    assert len(rows(lake, "keys")) == len(before["keys"]) + 1


def test_the_log_is_kept_as_long_by_the_library_itself(lake):
    for keep in (timedelta(days=90), timedelta(days=90), KEEP):
        Upkeep(lake).vacuum(keep)
        said = dataset.open_table(lake, "articles").metadata().configuration
        assert said["delta.logRetentionDuration"] == f"interval {keep.days} days"
    assert dataset.open_table(lake, "copies").version() == 3 + 2, "set only where it differs"


def test_a_dead_runs_plan_comes_before_vacuum_however_old(lake, monkeypatch):
    fourth = "20261113T120000Z-abcdef"
    stage(lake, fourth, article("https://herald.example/late", "Late."))

    def crash(*_: object) -> None:
        raise _Crash

    monkeypatch.setattr(dataset, "commit", crash)
    with pytest.raises(_Crash):
        publish(lake, facts(fourth))
    monkeypatch.undo()
    after(LATER, lake).vacuum(KEEP)
    assert "https://herald.example/late" in {row["url"] for row in rows(lake, "articles")}
    assert read_manifest(lake, fourth)


# --- leftovers ------------------------------------------------------------------------------


def test_staged_input_goes_by_whole_runs_whose_pages_are_safe(lake):
    for run in ("lost", "taken", "planned", FIRST):
        lake.put(f"staged/run={run}/source=herald/articles.parquet", b"1234")
    lake.put("staged/run=planned/commit.json", b"{}")
    lake.put("staged/probe-0123", b"1")
    asked = []

    def taken_over(run_id: str) -> bool:
        asked.append(run_id)
        return run_id != "lost"

    assert Upkeep(lake).expire_staged(KEEP, taken_over) == [], "too young"
    done = after(LATER, lake).expire_staged(KEEP, taken_over)
    assert [(e.where, e.objects, e.bytes) for e in done] == [
        ("probe-0123", 1, 1),
        (f"run={FIRST}", 1, 4),
        ("run=taken", 1, 4),
    ]
    left = {found.key.split("/")[1] for found in lake.objects("staged/")}
    assert left == {"run=lost", "run=planned"}
    assert FIRST not in asked and "planned" not in asked


def test_uploads_that_nobody_finished_are_given_up_after_a_day(lake, lake_env):
    started = lake.client.create_multipart_upload(Bucket=lake.bucket, Key="raw/part")
    lake.client.upload_part(
        Bucket=lake.bucket,
        Key="raw/part",
        UploadId=started["UploadId"],
        PartNumber=1,
        Body=b"12345",
    )
    assert Upkeep(lake).expire_staged(KEEP, bool) == []
    (done,) = after(timedelta(days=2), lake).expire_staged(KEEP, bool)
    assert (done.task, done.objects, done.bytes) == ("uploads given up", 1, 5)
    assert not lake.client.list_multipart_uploads(Bucket=lake.bucket).get("Uploads")


# --- raw pages ------------------------------------------------------------------------------


@pytest.fixture
def pointed(store: Store) -> Store:
    """Rows of three tables that point into an old raw file and into a younger one."""
    for key in (RAW, YOUNGER):
        store.put(key, b"0123456789")
    runs = ((FIRST, RAW), (SECOND, YOUNGER))
    filled(store, *((r, {"warc_key": k, "warc_offset": 3, "warc_length": 4}) for r, k in runs))
    return store


def pointers(store: Store) -> list[tuple]:
    return sorted(
        {
            (name, row["warc_key"], row["warc_offset"], row["warc_length"])
            for name in ("articles", "copies", "revisions")
            for row in rows(store, name)
        },
        key=str,
    )


NULL = (None, None, None)


def test_raw_pages_expire_and_the_rows_say_so(pointed):
    before = everything(pointed)
    # By then both files were written long enough ago, but only one lies in an old folder.
    done = after(LATER, pointed).expire_raw(LATER - timedelta(days=1), frozenset())
    assert [o.key for o in pointed.objects("raw/")] == [YOUNGER]
    assert pointers(pointed) == sorted(
        [
            ("articles", *NULL),
            ("articles", YOUNGER, 3, 4),
            ("copies", *NULL),
            ("copies", YOUNGER, 3, 4),
            ("revisions", *NULL),
        ],
        key=str,
    )
    assert [(e.task, e.where, e.objects, e.bytes, e.detail) for e in done] == [
        ("pointers cleared", "articles", 0, 0, "in 2 rows"),
        ("pointers cleared", "copies", 0, 0, "in 1 rows"),
        ("pointers cleared", "revisions", 0, 0, "in 1 rows"),
        ("raw pages expired", "raw/date=2026-11-10", 1, 10, ""),
    ]

    def without(row: dict) -> dict:
        return {name: value for name, value in row.items() if not name.startswith("warc_")}

    for name, was in before.items():
        assert list(map(without, rows(pointed, name))) == list(map(without, was))


def test_raw_pages_stay_while_they_are_young_or_needed(pointed):
    before = everything(pointed)
    assert Upkeep(pointed).expire_raw(timedelta(days=1), frozenset()) == [], "written just now"
    assert after(LATER, pointed).expire_raw(timedelta(days=1), {RAW, YOUNGER}) == []
    assert after(LATER, pointed).expire_raw(timedelta(days=3650), frozenset()) == []
    assert len(list(pointed.objects("raw/"))) == 2 and everything(pointed) == before


def test_raw_pages_are_deleted_only_after_their_pointers(pointed, monkeypatch):
    def crash(*_: object) -> None:
        raise _Crash

    monkeypatch.setattr(pointed, "delete", crash)
    with pytest.raises(_Crash):
        after(LATER, pointed).expire_raw(timedelta(days=1), frozenset())
    monkeypatch.undo()
    assert {key for _, key, *_ in pointers(pointed)} == {None}
    assert len(list(pointed.objects("raw/"))) == 2
    done = after(LATER, pointed).expire_raw(timedelta(days=1), frozenset())
    assert {e.task for e in done} == {"raw pages expired"}
    assert not list(pointed.objects("raw/"))


def test_a_row_that_moves_meanwhile_loses_its_pointer_all_the_same(pointed, monkeypatch):
    """A publish between the look at one table and the look at the next turns up in a further."""
    look, third = upkeep.Upkeep._pointing, [True]

    def looking(self, name, *arguments):
        if name == "revisions" and third.pop() if third else False:
            found = look(self, name, *arguments)
            stage(
                pointed,
                THIRD,
                article(
                    "https://herald.example/0",
                    "Rewritten meanwhile.",
                    fetched_at=datetime(2026, 11, 12, 14, tzinfo=UTC),
                ),
            )
            publish(pointed, facts(THIRD))
            return found
        return look(self, name, *arguments)

    monkeypatch.setattr(upkeep.Upkeep, "_pointing", looking)
    after(LATER, pointed).expire_raw(timedelta(days=1), frozenset())
    assert not third and {key for _, key, *_ in pointers(pointed)} == {None}
    assert {r["text"] for r in rows(pointed, "revisions")} >= {"Plain 0."}
