"""What the DAGs of upkeep do: the same as the commands, told as manifests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from filled_lake import fill
from older_lake import FIRST, STUB, crawl, story

from newslake import chores
from processing import dataset
from processing.exceptions import ArchiveError, ConfigurationError, UnknownArticle
from processing.manifests import list_manifests
from processing.storage import Store

HERALD, TRIBUNE = "https://herald.example", "https://tribune.example"
PAGES = {
    f"{HERALD}/cut": story("The harbour race was won by the smallest boat", section="Sport"),
    f"{HERALD}/stub": STUB,
    f"{TRIBUNE}/same": story("The council voted late at night to keep the old market hall"),
}
NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


@pytest.fixture
def lake(lake_env: dict[str, str], store: Store, tmp_path: Path) -> dict[str, str]:
    """A lake of which today's code makes something else: one article changed, one lost."""
    crawl(store, FIRST, tmp_path, PAGES)
    return lake_env


def articles(store: Store) -> dict[str, str]:
    found = dataset.scan(store, "articles").to_table(["url", "id"]).to_pylist()
    return {row["url"]: row["id"] for row in found}


def test_reprocessing_shows_and_commits_only_when_told_to(lake, store, capsys):
    assert chores.reprocess(None, None, ["herald"], lake, commit=False) == {}
    assert f"changed {HERALD}/cut" in capsys.readouterr().out
    assert list(list_manifests(store)) == [FIRST]
    said = chores.reprocess(None, None, ["herald"], lake, commit=True)
    assert said["run_id"] in list_manifests(store)
    assert said["partitions"] and set(said["counts"]) == {"herald"}
    assert f"{HERALD}/stub" not in articles(store)
    with pytest.raises(ConfigurationError, match="exchange the two"):
        chores.reprocess("2026-02-01", "2026-01-01", [], lake, commit=True)


def test_forgetting_tells_the_partition_it_left_and_logs_no_address(lake, store, caplog):
    said = chores.forget(f"{TRIBUNE}/same", NOW, lake, with_copies=False)
    assert said["partitions"] and f"{TRIBUNE}/same" not in articles(store)
    assert "tribune" not in caplog.text
    with pytest.raises(UnknownArticle):
        chores.forget("0" * 32, NOW, lake, with_copies=False)


def test_a_repeated_import_is_the_same_run(lake, store, tmp_path):
    # Any WARC file will do, so one of the lake's own.
    key = next(found.key for found in store.objects("raw/") if "herald" in found.key)
    file = tmp_path / "foreign.warc.gz"
    store.get_file(key, file)
    files = chores.archives([str(file), str(file)], None, lake)
    first, again = (chores.import_archive(files[0], "foreign", NOW, lake) for _ in range(2))
    assert (first["run_id"], list(first["counts"])) == (again["run_id"], ["foreign"])
    with pytest.raises(ConfigurationError, match=r"no file is at /no/such\.warc"):
        chores.archives(["/no/such.warc"], None, lake)


def test_an_import_that_left_files_out_fails_and_names_them():
    chores.judge_import(["a", "b"], ["b", "a"], None)
    with pytest.raises(ArchiveError, match=r"^not imported: b; "):
        chores.judge_import(["a", "b"], ["a", None], None)
    with pytest.raises(ArchiveError, match=r"^nothing was imported: no file is at a$"):
        chores.judge_import(None, [None], "no file is at a")


def test_maintenance_merges_what_several_runs_left(lake_env, store):
    fill(store)
    assert "compacted" in [
        done["task"] for done in chores.maintain(30, datetime.now(UTC), lake_env)
    ]
    assert chores.maintain(30, datetime.now(UTC), lake_env) == []
    with pytest.raises(ConfigurationError, match="NEWSLAKE_RAW_DAYS"):
        chores.maintain(30, datetime.now(UTC), {**lake_env, "NEWSLAKE_RAW_DAYS": "soon"})
