"""A stored page saved as a fixture: `newslake extract` makes of it what lies beside it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from crawled_lake import WALL, crawl, fetch, finish, report, stage_visits

from newslake import cli, fixture
from newslake.reader import Lake
from processing.archive import read_pages
from processing.exceptions import ConfigurationError, ObjectNotFound
from processing.records import State
from processing.storage import Store

SITE = "https://courier.example/2026/11/10"
FIRST, SECOND = "20260801T120000Z-abcdef", "20261110T120000Z-abcdef"


@pytest.fixture(scope="module")
def lake(object_store: dict[str, str]) -> Lake:
    """A page that was an article in August and gives a bot check in November, and others."""
    bucket = f"s3://test-{secrets.token_hex(8)}"
    store = Store.from_environment({**object_store, "NEWSLAKE_LAKE": bucket})
    store.ensure_bucket()
    crawl(store, FIRST, "courier", {f"{SITE}/a": report("Old water")})
    finish(store, FIRST, ["courier"])
    pages = {f"{SITE}/a": WALL, f"{SITE}/b": report("High water"), f"{SITE}/c": report("Low tide")}
    crawl(store, SECOND, "courier", pages, {f"{SITE}/gone": State.FAILED_HTTP})
    finish(store, SECOND, ["courier"])
    return Lake(store)


Extract = Callable[[Path], tuple[str, str]]


@pytest.fixture
def extract(capfd: pytest.CaptureFixture[str]) -> Extract:
    """What ``newslake extract`` prints: standard output and standard error."""

    def run(path: Path) -> tuple[str, str]:
        capfd.readouterr()
        cli.newslake(["extract", str(path)], standalone_mode=False)
        return tuple(capfd.readouterr())

    return run


def test_an_article_is_saved_with_what_extraction_makes_of_it(lake, tmp_path, extract):
    warc, outcome = fixture.save(lake, f"{SITE}/b", tmp_path / "fixtures")
    assert extract(warc) == (outcome.read_text("utf-8"), "")
    said = json.loads(outcome.read_text("utf-8"))
    assert (said["title"], said["authors"]) == ("High water in the harbour", ["Ada Quill"])
    assert said["section"] == "City", "what the listing said belongs to the page"
    assert warc.parent == outcome.parent == tmp_path / "fixtures"
    assert warc.name.startswith("courier-") and warc.name.endswith(".warc.gz")


def test_a_page_that_is_no_article_is_saved_with_the_reason(lake, tmp_path, extract):
    warc, outcome = fixture.save(lake, f"{SITE}/a", tmp_path)
    said = json.loads(outcome.read_text("utf-8"))
    assert (said["url"], said["state"]) == (f"{SITE}/a", "rejected-blocked")
    assert extract(warc) == ("", f"{said['url']}: {said['state']}: {said['detail']}\n")


def test_only_the_page_itself_is_saved_as_it_lies_in_the_raw_zone(lake, tmp_path):
    stored = fixture.find(lake.store, SECOND, "courier", f"{SITE}/b")
    warc, _ = fixture.save(lake, f"{SITE}/b", tmp_path)
    assert warc.read_bytes() == stored.records
    (page,) = read_pages(warc.read_bytes(), "saved")
    assert page.page.body == report("High water")
    pointer = stored.pointer
    raw = lake.store.get_range(pointer.key, pointer.offset, pointer.length)
    assert stored.records.endswith(raw)


def test_the_last_attempt_that_has_the_page_counts(store):
    pages = {f"{SITE}/a": report("High water")}
    for attempt in (1, 2, 10):
        fetch(store, FIRST, "courier", pages, attempt)
    fetch(store, FIRST, "courier", {f"{SITE}/b": WALL}, 11)
    found = fixture.find(store, FIRST, "courier", f"{SITE}/a")
    assert found.pointer.key.endswith("-10-000.warc.gz")
    assert fixture.find(store, FIRST, "courier", f"{SITE}/never") is None
    assert fixture.find(store, SECOND, "courier", f"{SITE}/a") is None


def test_a_page_that_a_run_took_over_from_a_dead_one_is_found(store, tmp_path):
    visits = fetch(store, FIRST, "courier", {f"{SITE}/a": report("High water")})
    stage_visits(store, SECOND, "courier", visits)
    finish(store, SECOND, ["courier"])
    assert fixture.find(store, SECOND, "courier", f"{SITE}/a") is None
    _, outcome = fixture.save(Lake(store), f"{SITE}/a", tmp_path)
    assert json.loads(outcome.read_text("utf-8"))["title"] == "High water in the harbour"


@pytest.mark.parametrize("path", ["/gone", "/never-seen"])
def test_what_has_no_stored_page_is_told(lake, tmp_path, path):
    with pytest.raises(ObjectNotFound, match=f"no page of {SITE}{path} is stored in {lake.url}"):
        fixture.save(lake, f"{SITE}{path}", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(lake, tmp_path):
    _, outcome = fixture.save(lake, f"{SITE}/b", tmp_path)
    with pytest.raises(ConfigurationError, match="is there already"):
        fixture.save(lake, f"{SITE}/b", tmp_path)
    with pytest.raises(ConfigurationError, match="cannot write into"):
        fixture.save(lake, f"{SITE}/c", outcome)


def test_the_command_names_the_files(lake, lake_env, tmp_path, capfd):
    environ = {**lake_env, "NEWSLAKE_LAKE": lake.url}
    words = ["sources", "fixture", f"{SITE}/c", "--output", str(tmp_path)]
    with mock.patch.dict(os.environ, environ, clear=True):
        cli.newslake(words, standalone_mode=False)
    written = sorted(str(path) for path in tmp_path.iterdir())
    assert sorted(capfd.readouterr().out.splitlines()) == written
    assert len(written) == 2
